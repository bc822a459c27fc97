"""flowbot bench run: methods on the same task behind one meter, with records that stay."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

from flowbot.bench.grid import Cell
from flowbot.bench.job import Job, Outcome
from flowbot.bench.records import Record
from flowbot.bench.settings import Settings
from flowbot.faces.cli import code_of
from tests.commands import ROOT, begin, finish
from tests.fitting import fitting
from tests.servers import Answer, Body, Server, serving

pytestmark = pytest.mark.slow

TASK = """
flowbot: 1
name: capitals
description: Name the capital of the country.
inputs: {country: text}
output: {capital: text}
metric: exact
data: {train: train.jsonl, val: val.jsonl, test: test.jsonl}
models: {task: "vllm:small", meta: "vllm:large"}
recipe: {name: race, iterations: 1}
"""


@pytest.fixture
def task(tmp_path: Path, bare: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the processes of jobs
    for split in ("train", "val", "test"):
        rows = [{"id": f"{split}{n}", "country": f"{split} {n}", "capital": "Rome"} for n in range(6)]
        (tmp_path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    (tmp_path / "task.yaml").write_text(TASK, "utf-8")
    return tmp_path / "task.yaml"


@pytest.fixture
def server() -> Generator[Server]:
    with serving(fitting("Rome")) as found:
        yield found


def line(task: Path, server: Server, *more: str, methods: str) -> list[str]:
    out = str(task.parent / "out")
    return ["bench", "run", str(task), "--base-url", server.url, "--out", out, "--methods", methods, *more]


def here(*arguments: str | Path) -> tuple[int, str, str]:
    """Run a command in this process, which is begun already; jobs have their own."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = code_of(list(map(str, arguments)))
    return code, out.getvalue(), err.getvalue()


def bench(task: Path, server: Server, *more: str, methods: str) -> tuple[int, str, str]:
    return here(*line(task, server, *more, methods=methods))


def records(task: Path) -> list[Record]:
    files = sorted((task.parent / "out" / "records").iterdir())
    return [Record.model_validate_json(file.read_text("utf-8")) for file in files]


def test_all_methods_have_records_on_the_same_test_items(task: Path, server: Server) -> None:
    arguments = line(task, server, "--seeds", "2", "--budget-calls", "60", methods="start,paper,race,vote")
    code, out, err = finish(begin(*arguments), 120)
    assert code == 0, err
    found = records(task)
    assert {(each.method, each.seed) for each in found} == {
        (method, seed) for method in ("start", "paper", "race", "vote") for seed in (0, 1)
    }
    assert all(each.scores == {f"test{n}": 1.0 for n in range(6)} for each in found)
    assert all(each.search.calls <= 60 and not each.missing for each in found)
    assert all(each.test.calls >= 6 and each.cpu > 0 and each.wall > 0 for each in found)
    assert {each.method for each in found if not each.search.calls} == {"start", "vote"}
    assert "100.0 %" in out
    assert (task.parent / "out" / "report.md").is_file()
    programs = sorted(file.parent.name for file in (task.parent / "out" / "runs").glob("*/program.yaml"))
    assert len(programs) == 8


def test_what_has_a_record_is_not_run_again(task: Path, server: Server) -> None:
    assert bench(task, server, "--seeds", "1", methods="start")[0] == 0
    asked = len(server.requests)
    code, _, err = bench(task, server, "--seeds", "1", methods="start")
    assert (code, len(server.requests)) == (0, asked), err
    code, _, err = bench(task, server, "--seeds", "2", methods="start")
    assert (code, len(server.requests)) == (0, asked + 6), err
    code, _, err = bench(task, server, "--seeds", "2", "--budget-calls", "5", methods="start")
    assert code == 2
    assert "its records were made with another budget of capitals give another --out" in " ".join(err.split())


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [("task.yaml", "metric: exact", "metric: contains", "task"), ("test.jsonl", "Rome", "Oslo", "test")],
)
def test_records_of_another_task_or_test_are_not_mixed(
    task: Path, server: Server, file: str, old: str, new: str, what: str
) -> None:
    assert bench(task, server, "--seeds", "1", methods="start")[0] == 0
    path = task.parent / file
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    code, _, err = bench(task, server, "--seeds", "1", methods="start")
    assert code == 2
    assert f"its records were made with another {what} of capitals" in err


def test_a_vote_that_is_added_later_samples_what_single_found(task: Path, server: Server) -> None:
    more = ("--seeds", "1", "--budget-calls", "40")
    for methods in ("single,race", "vote"):
        code, _, err = bench(task, server, *more, methods=methods)
        assert code == 0, err
    (vote,) = (each for each in records(task) if each.method == "vote")
    assert vote.note != "3 samples of the direct call"


def test_nothing_is_unbounded_where_the_method_that_bounds_others_did_not_run(
    task: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def child(cell: Cell, job: Job, label: str) -> Outcome:
        scores = {f"test{n}": 1.0 for n in range(6)}
        return Outcome(missing="it broke") if job.method == "paper" else Outcome(scores=scores)

    monkeypatch.setattr(Cell, "_child", child)
    monkeypatch.setattr(Settings, "like", "paper")
    _, _, err = bench(task, server, "--seeds", "1", methods="start,paper,race")
    missing = {each.method: each.missing for each in records(task)}
    assert missing == {
        "start": "",
        "paper": "it broke",
        "race": "paper was not run, so nobody knows what others may spend",
    }, err


def test_the_wall_is_the_same_for_all_and_the_test_is_not_bounded(task: Path, server: Server) -> None:
    code, _, err = bench(task, server, "--seeds", "1", "--budget-calls", "3", methods="single,paper,race")
    assert code == 0, err
    for each in records(task):
        assert each.search.calls <= 3
        assert len(each.scores) == 6
        assert each.test.calls >= 6


def test_time_that_is_up_ends_a_search(task: Path) -> None:
    def slow(body: Body, index: int) -> Answer:
        answer = fitting("Rome")(body, index)
        return Answer(answer.text, json=answer.json, latency=0.2)

    with serving(slow) as server:
        code, _, err = bench(task, server, "--seeds", "1", "--max-seconds", "3", "--concurrency", "1", methods="paper")
    assert code == 0, err
    (record,) = records(task)
    assert record.wall < 30
    assert record.scores


@pytest.mark.usefixtures("task")
def test_a_planted_world_is_repaired_by_race_and_not_by_the_start(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "flowbot.models.scripted",
        "--fault",
        "missing_instruction",
        "--write",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as world:
        try:
            assert world.stdout is not None
            url = world.stdout.readline().strip()
            arguments = ["bench", "run", tmp_path / "task.yaml", "--base-url", url, "--out", tmp_path / "out"]
            arguments += ["--methods", "start,race", "--seeds", "1", "--budget-calls", "1500", "--limit-test", "40"]
            code, _, err = here(*arguments)
        finally:
            world.kill()
    assert code == 0, err
    means = {each.method: each.mean for each in records(tmp_path / "task.yaml")}
    assert means["race"] >= means["start"] + 0.2


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--methods", "rase"], "unknown method 'rase'; did you mean 'race'?"),
        (["--protocol", "paper"], "is none of the paper's benchmarks"),
        (["--answer", "x=y"], "must be NAME=PROVIDER:NAME"),
        (["--answer", "openai:x=vllm:y"], "the benchmark names no model 'openai:x' beside its task model (none)"),
        (["--seeds", "0"], "0 is not in the range"),
    ],
)
def test_bad_options_are_refused_before_anything_is_asked(
    task: Path, server: Server, more: Sequence[str], said: str
) -> None:
    code, _, err = bench(task, server, *more, methods="start")
    assert code == 2
    assert said in " ".join(err.split())
    assert not server.requests


def test_unknown_names_and_money_without_a_price(task: Path, server: Server) -> None:
    code, _, err = here("bench", "run", "gsm9k", "--out", task.parent / "out")
    assert code == 2
    assert "unknown benchmark 'gsm9k'; did you mean 'gsm8k'?" in " ".join(err.split())
    priced = task.read_text("utf-8").replace("vllm:small", "openai:nobody-knows-it")
    task.write_text(priced, "utf-8")
    code, _, err = bench(task, server, "--budget-usd", "1", methods="start")
    assert code == 2
    assert "the price of openai:nobody-knows-it is not known" in " ".join(err.split())


def test_a_dry_run_asks_nobody_and_says_what_it_takes(task: Path, server: Server) -> None:
    code, out, err = bench(task, server, "--dry-run", "--budget-calls", "500", methods="start,single,paper,race,gepa")
    assert (code, len(server.requests)) == (0, 0), err
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert " to " in lines["race"]
    assert " to " in lines["paper"]
    assert "at most 500" in lines["gepa"]
    assert not (task.parent / "out").exists()
    code, out, err = bench(task, server, "--dry-run", "--budget-calls", "50", methods="race")
    assert (code, "at most 50" in out) == (0, True), "what a budget cannot pay for is not announced"


@pytest.mark.parametrize("method", ["paper", "gepa", "textgrad"])
def test_a_bound_on_replies_holds_for_every_model(task: Path, server: Server, method: str) -> None:
    server.script = fitting("Oslo")  # some of it is wrong: the meta model is asked too
    code, _, err = bench(task, server, "--max-tokens", "77", "--budget-calls", "40", "--seeds", "1", methods=method)
    assert code == 0, err
    assert not records(task)[0].missing
    bounds = {(sent.body["model"], sent.body["max_tokens"]) for sent in server.requests}
    assert bounds == {("small", 77), ("large", 77)}


def test_a_bound_of_the_task_model_bounds_no_meta_call(task: Path, server: Server) -> None:
    document = task.read_text("utf-8").replace(
        '{task: "vllm:small", meta: "vllm:large"}', "{task: {name: vllm:small, max_tokens: 8}}"
    )
    task.write_text(document, "utf-8")
    code, _, err = bench(task, server, "--budget-calls", "60", "--seeds", "1", methods="paper")
    assert code == 0, err
    assert not records(task)[0].missing
    assert {sent.body["max_tokens"] for sent in server.requests} == {8, 1024}


def test_the_list_names_ten_benchmarks_and_the_methods() -> None:
    code, out, _ = here("bench", "list", "--json")
    assert code == 0
    assert len([json.loads(line) for line in out.splitlines()]) == 10
    code, out, _ = here("bench", "list")
    assert {"gsm8k", "hotpotqa-search", "race", "mipro"} <= {
        line.split()[0] for line in out.splitlines() if line.strip()
    }


@pytest.mark.usefixtures("bare")
def test_estimate_takes_a_benchmark_at_its_published_size(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "gsm8k").mkdir(parents=True)
    rows = [json.dumps({"id": str(n), "question": f"{n}?", "answer": f"#### {n}"}) for n in range(8)]
    for split in ("train", "val"):
        (data / "gsm8k" / f"{split}.jsonl").write_text("\n".join(rows).replace('"id": "', f'"id": "{split}'), "utf-8")
    code, out, err = here("estimate", "gsm8k", "--data", data, "--recipe", "paper")
    assert code == 0, err
    assert out.startswith("gsm8k, recipe paper, task model openai:gpt-4o-mini")
    code, _, err = here("estimate", tmp_path / "task.yaml", "--data", data)
    assert (code, "a task file names its own data" in err) == (2, True)
