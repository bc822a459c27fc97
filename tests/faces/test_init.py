"""The starter: what `flowbot init` writes loads, can be estimated, and holds data worth learning from."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from difflib import SequenceMatcher
from itertools import combinations
from pathlib import Path

import pytest

from flowbot.faces.cli import code_of
from flowbot.faces.estimate import estimate
from flowbot.faces.problem import read_problem
from flowbot.search.moves import target_type
from flowbot.store.files import load_task
from flowbot.store.splits import load_splits

SIZES = {"train": 24, "val": 24, "test": 16}


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    folder = tmp_path / "new" / "my-task"
    assert code_of(["init", str(folder)]) == 0
    return folder


def test_it_writes_a_task_with_data_and_says_what_to_do_next(starter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert code_of(["init", str(starter.parent / "other")]) == 0
    said = capsys.readouterr().out
    assert "flowbot induce" in said
    names = {path.name for path in starter.iterdir()}
    assert names == {"README.md", "task.yaml", "train.jsonl", "val.jsonl", "test.jsonl"}


def test_the_task_and_its_data_load(starter: Path) -> None:
    task, folder = load_task(starter / "task.yaml")
    data = load_splits(task, folder)
    assert {name: len(examples) for name, examples in data.splits.items()} == SIZES
    assert data.notes == ()
    assert target_type([example.target for example in data.splits["train"]]) is not None


def test_it_can_be_estimated(starter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, folder = load_task(starter / "task.yaml")
    found = estimate(read_problem(task, folder, load_splits(task, folder).splits))
    assert 0 < found.total(found.low).calls <= found.total(found.high).calls
    assert code_of(["estimate", str(starter / "task.yaml"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])) == {
        "low",
        "high",
        "tool_calls",
        "programs",
        "budget",
    }


def test_its_hosted_model_needs_one_line_less(starter: Path) -> None:
    """The task still loads when a reader does what its comment says."""
    text = (starter / "task.yaml").read_text(encoding="utf-8")
    local = text[text.index("models:\n") : text.index("# A hosted one")]
    swapped = text.replace(local, "").replace('# models: {task: "openai', 'models: {task: "openai')
    (starter / "task.yaml").write_text(swapped.replace("# budget:", "budget:"), encoding="utf-8")
    task, _ = load_task(starter / "task.yaml")
    assert task.models.task.provider == "openai"
    assert task.budget.usd == 1.0


def test_its_examples_differ_and_every_split_has_all_classes(starter: Path) -> None:
    task, folder = load_task(starter / "task.yaml")
    splits = load_splits(task, folder).splits
    for name, examples in splits.items():
        counts = Counter(str(example.target) for example in examples)
        assert set(counts) == {"P1", "P2", "P3"}
        assert min(counts.values()) >= SIZES[name] // 3
    texts = [str(example.inputs["request"]) for examples in splits.values() for example in examples]
    near = [pair for pair in combinations(texts, 2) if SequenceMatcher(None, *pair).quick_ratio() > 0.85]
    assert [pair for pair in near if SequenceMatcher(None, *pair).ratio() > 0.6] == []


def test_a_folder_with_something_in_it_is_refused(starter: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (starter / "task.yaml").write_text("mine\n", encoding="utf-8")
    assert code_of(["init", str(starter)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert (starter / "task.yaml").read_text(encoding="utf-8") == "mine\n"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine\n", encoding="utf-8")
    assert code_of(["init", str(tmp_path / "taken")]) == 2
    assert (tmp_path / "taken").read_text(encoding="utf-8") == "mine\n"


def test_the_starter_is_in_the_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    assert "faces/starter/*" in project["tool"]["setuptools"]["package-data"]["flowbot"]
