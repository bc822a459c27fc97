"""Files: read with clear errors, written whole or not at all, and the documents in them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from flowbot.engine.flat import KINDS
from flowbot.errors import InputError
from flowbot.money import PURPOSES
from flowbot.search.induce import RECIPES as SEARCHED
from flowbot.search.operators import OPERATORS
from flowbot.store.files import load_prompts, load_task, load_workflow, read_text, write_text
from flowbot.task.task import RECIPES

TASK = """\
flowbot: 1
name: routing
description: Send a message to its team.
inputs: {message: text}
output: {team: text}
metric: exact
data: {train: train.jsonl, val: val.jsonl}
models: {task: "local:small"}
"""
WORKFLOW = """\
flowbot: 1
name: routing
inputs: {message: text}
steps:
  - {id: answer, kind: call, reads: [message], gives: {team: text}, prompt: Name the team.}
output: answer.team
"""


def refused_text(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_text(path, "task")
    return caught.value


def refused_task(folder: Path, text: str) -> InputError:
    (folder / "task.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        load_task(folder / "task.yaml")
    return caught.value


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_text_is_read_without_marks_of_its_system(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffGrüße\r\nzwei\n".encode())
    assert read_text(path, "task") == "Grüße\nzwei\n"


def test_what_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_bytes(b"name: \xe9\n")
    error = refused_text(tmp_path / "task.yaml")
    assert (error.where, error.what) == (
        str(tmp_path / "task.yaml"),
        "not UTF-8: the byte 0xe9 at offset 6 of the text",
    )
    assert refused_text(tmp_path / "tsak.yaml").what == "there is no such task file; did you mean 'task.yaml'?"
    assert "there is no folder" in refused_text(tmp_path / "no" / "task.yaml").what
    error = refused_text(tmp_path)
    assert "a folder, not a task file" in error.what
    assert error.mend == f"name the file: {tmp_path / 'task.yaml'}"
    assert "cannot read" in refused_text(tmp_path / "a\0b").what
    assert "cannot read" in refused_text(tmp_path / ("x" * 300)).what


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the owner may read everything")
def test_what_may_not_be_read_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch(mode=0o000)
    assert "Permission denied" in refused_text(path).what


def test_writing_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "é\n")
    write_text(path, "two\n")
    assert path.read_bytes() == b"two\n"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_crash_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    seen: list[str] = []

    def crash(file: int) -> None:
        seen.append(path.read_text())
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert (seen, path.read_text(), os.listdir(tmp_path)) == (["old"], "old", ["a.txt"])


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_modes(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.touch()
    path.chmod(0o640)
    write_text(path, "x")
    assert mode(path) == 0o640
    write_text(path, "x", private=True)
    assert mode(path) == 0o600
    write_text(tmp_path / "secret", "x", private=True)
    assert mode(tmp_path / "secret") == 0o600


@pytest.mark.skipif(os.name != "posix", reason="links are those of POSIX")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot write the file: No such file or directory"):
        write_text(tmp_path / "no" / "a.txt", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="cannot write the file"):
        write_text(tmp_path / "folder", "x")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_task_and_its_folder(tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(TASK)
    task, folder = load_task(tmp_path / "task.yaml")
    assert (task.name, folder) == ("routing", tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("exact", "exatc", 6, "unknown metric 'exatc'; did you mean 'exact'? (metrics: exact, contains"),
        ("metric: exact", "metric:\n  name: jduge", 7, "did you mean 'judge'?"),
        ("metric: exact", "metric: judge", 6, "the metric 'judge' needs a rubric"),
        ("exact", '"module:"', 6, "'module:' must be module:function"),
        ("metric: exact", "metric: exact\nrecipe: papr", 7, "unknown recipe 'papr'; did you mean 'paper'?"),
        ("metric: exact", "metric: exact\ncolumns: {mesage: x}", 7, "which is no input; did you mean 'message'?"),
        ("{train: train.jsonl, val: val.jsonl}", "{source: a.csv, split: {train: 0.5}}", 7, "the shares leave out val"),
        ("metric:", "metrik:", 6, "unknown key 'metrik'"),
        ("metric: exact", "metric: {name: exact, rubric: good}", 6, "the metric 'exact' has no rubric; 'judge' has"),
        ("metric: exact", "metric: {name: f1, scale: 5}", 6, "the metric 'f1' has no scale; 'judge' has"),
        (
            "metric: exact",
            "metric: {name: json, tolerance: 0.1}",
            6,
            "the metric 'json' has no tolerance; 'number' has",
        ),
        ("name: routing", "name: a/b", 2, "'a/b' must be 1 to 100 letters, digits, spaces and . _ -"),
        ("name: routing", "name: .hidden", 2, "the run's folder is called so"),
        ("name: routing", "name: '..'", 2, "the run's folder is called so"),
        ("name: routing", "name: ''", 2, "the run's folder is called so"),
        ("description: Send a message to its team.", "description: ' '", 3, "is blank: say what to do in words"),
        (
            "description: Send a message to its team.",
            f"description: {'x' * 20_001}",
            3,
            "has 20001 characters; at most 20000",
        ),
    ],
)
def test_what_is_wrong_with_a_task_names_its_line(tmp_path: Path, old: str, new: str, line: int, said: str) -> None:
    assert TASK.count(old) == 1
    error = refused_task(tmp_path, TASK.replace(old, new))
    assert error.where == f"{tmp_path / 'task.yaml'}:{line}"
    assert said in str(error)


@pytest.mark.parametrize("metric", ["f1", "my.checks:score", '{name: judge, rubric: "Is it right?"}'])
def test_metrics_that_are_known(tmp_path: Path, metric: str) -> None:
    (tmp_path / "task.yaml").write_text(TASK.replace("exact", metric))
    assert load_task(tmp_path / "task.yaml")[0].metric.name in metric


def test_the_recipes_of_a_task_file_are_those_that_there_are() -> None:
    assert set(RECIPES) == set(SEARCHED)


def test_a_workflow(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text(WORKFLOW)
    assert load_workflow(path).prompts == {"answer": "Name the team."}
    path.write_text(WORKFLOW.replace("reads: [message]", "reads: [mesage]"))
    with pytest.raises(InputError, match=r"w\.yaml:5: step 'answer' reads 'mesage'.*did you mean 'message'") as caught:
        load_workflow(path)
    assert caught.value.where == f"{path}:5"


def test_meta_prompts_come_with_the_package(tmp_path: Path) -> None:
    prompts = load_prompts({}, tmp_path)
    assert {"loss_gradient", "call_gradient", "prompt_update", "workflow_update", "prompt_init"} <= set(prompts)
    shipped = ("kind_", "proposal_", "shape_", "bullets")  # kinds of step, operators, seeds, rules
    assert {name for name in prompts if not name.startswith(shipped)} <= set(PURPOSES)
    assert {f"proposal_{name}" for name, operator in OPERATORS.items() if operator.meta} <= set(prompts)
    assert {f"kind_{kind}" for kind in (*KINDS, "tool", "block")} <= set(prompts)
    assert all(prompts.values())


def test_a_task_may_bring_its_own_prompts(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("Criticise.\n")
    prompts = load_prompts({"loss_gradient": "mine.md"}, tmp_path)
    assert prompts == {**load_prompts({}, tmp_path), "loss_gradient": "Criticise."}
    with pytest.raises(InputError, match="unknown purpose 'loss_gradent'; did you mean 'loss_gradient'"):
        load_prompts({"loss_gradent": "mine.md"}, tmp_path)
    with pytest.raises(InputError, match=r"did you mean 'mine\.md'"):
        load_prompts({"loss_gradient": "mina.md"}, tmp_path)
    (tmp_path / "empty.md").write_text("\n")
    with pytest.raises(InputError, match="the prompt is empty"):
        load_prompts({"loss_gradient": "empty.md"}, tmp_path)
