"""flowbot compare: scores beside each other, paired differences, verdicts in words, one error for bad input."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.errors import InputError
from flowbot.faces.cli import code_of
from flowbot.faces.comparing import Compared, acompare, comparison_tables, named_workflow
from flowbot.faces.tables import plain_table
from flowbot.money import Price
from flowbot.search.compare import compare, interval
from tests import worlds
from tests.servers import Server, serving
from tests.sessions import call, flow
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("bare")

Out = pytest.CaptureFixture[str]
SIZES = {"train": 10, "val": 12, "test": 6}
RULES = {"two": "Rule: red\nRule: green", "all": "Rule: red\nRule: green\nRule: blue", "red": "Rule: red"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(World().script) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A task, workflows that know two, all and one of the three rules, and a run's folder with that of all."""
    worlds.write_task(tmp_path, SIZES)
    for name, rules in RULES.items():
        flowbot.save(worlds.start().with_prompts({"answer": rules}), tmp_path / f"{name}.yaml")
    (tmp_path / "runs").mkdir()
    flowbot.save(flowbot.load("all.yaml"), tmp_path / "runs" / "best.yaml")
    return tmp_path


def compared(monkeypatch: pytest.MonkeyPatch, *names: str, **how: Any) -> Compared:
    worlds.shelved(monkeypatch, World(price=Price(1.0, 1.0)), Price(1.0, 1.0))
    workflows = [(name, worlds.start().with_prompts({"answer": RULES[name]})) for name in names]
    return asyncio.run(acompare(workflows, worlds.task(), data=worlds.data(**SIZES), **how))


def scores(rules: str, split: str) -> list[float]:
    return [float(str(row["a"]) in RULES[rules]) for row in worlds.rows(split, SIZES[split])]


# ------------------------------------------------------------------ from Python


def test_each_is_paired_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(monkeypatch, "two", "all", "red")
    assert [(pair.old, pair.new) for pair in found.pairs] == [("two", "all"), ("two", "red")]
    assert [pair.verdict for pair in found.pairs] == ["better", "worse"]
    assert found.pairs[0].comparison == compare(scores("two", "val"), scores("all", "val"))
    blue = tuple(str(row["id"]) for row in worlds.rows("val", 12) if row["a"] == "blue")
    green = tuple(str(row["id"]) for row in worlds.rows("val", 12) if row["a"] == "green")
    assert [(pair.fixed, pair.broken) for pair in found.pairs] == [(blue, ()), ((), green)]
    for each in found.measured:
        assert list(each.scores.values()) == scores(each.label, "val")
        assert (each.low, each.high) == interval(scores(each.label, "val"))
        assert (each.usage.calls, each.failed) == (12, 0)
        assert each.usage.usd == pytest.approx(each.usage.tokens / 1e6)


def test_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = compared(monkeypatch, "red", "two", "all", all_pairs=True, split="test")
    assert [(pair.old, pair.new) for pair in found.pairs] == [("red", "two"), ("red", "all"), ("two", "all")]
    assert found.split == "test"
    assert list(found.measured[1].scores.values()) == scores("two", "test")


def test_the_draws_come_from_the_tasks_seed_or_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    first = compared(monkeypatch, "two", "all")
    assert compared(monkeypatch, "two", "all").pairs == first.pairs
    other = compared(monkeypatch, "two", "all", options=flowbot.Options(seed=3))
    assert other.pairs[0].comparison == compare(scores("two", "val"), scores("all", "val"), 3)


def test_what_no_example_tells_apart_is_undecided_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())
    longer = worlds.start().with_prompts({"answer": RULES["two"] + "\nBe brief."})
    workflows = [("two", worlds.start().with_prompts({"answer": RULES["two"]})), ("longer", longer)]
    found = asyncio.run(acompare(workflows, worlds.task(), data=worlds.data(**SIZES)))
    assert [pair.verdict for pair in found.pairs] == ["undecided"]
    _, differences = comparison_tables(found)
    text = plain_table(differences)
    assert "undecided" in text
    assert "the interval holds 0, so these 12 examples do not say which of the two is better" in text
    assert "the interval holds 0" not in plain_table(comparison_tables(compared(monkeypatch, "two", "all"))[1])


def test_one_workflow_named_twice_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(price=Price(1.0, 1.0))
    worlds.shelved(monkeypatch, world, Price(1.0, 1.0))
    same = worlds.start().with_prompts({"answer": RULES["two"]})
    found = asyncio.run(acompare([("a", same), ("b", same)], worlds.task(), data=worlds.data(**SIZES)))
    assert world.asked()["task"] == SIZES["val"]
    assert [pair.verdict for pair in found.pairs] == ["the same"]
    assert "the interval holds 0" not in plain_table(comparison_tables(found)[1])


def test_what_does_not_fit_is_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    worlds.shelved(monkeypatch, world)
    other = flow(call("answer", "x", gives={"a": "text"}), inputs=["x"])
    for workflows, said in (
        ([("one", worlds.start())], "1 given to compare"),
        ([("one", worlds.start()), ("other", other)], "other: the workflow's inputs"),
    ):
        with pytest.raises(InputError, match=said):
            asyncio.run(acompare(workflows, worlds.task(), data=worlds.data()))
    assert world.requests == []


def test_failed_examples_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = flow(call("answer", "q", gives={"a": "number"}))
    worlds.shelved(monkeypatch, World())
    workflows = [("two", worlds.start()), ("numbers", numbers)]
    found = asyncio.run(acompare(workflows, worlds.task(), data=worlds.data(**SIZES)))
    assert found.measured[1].failed == 12
    assert "12 of 12 examples failed: numbers" in plain_table(comparison_tables(found)[0])


def test_the_metrics_own_calls_are_no_cost_of_a_workflow(monkeypatch: pytest.MonkeyPatch) -> None:
    graded = World(
        override=lambda purpose, messages: json.dumps({"score": 1, "why": ""}) if purpose == "judge" else None
    )
    worlds.shelved(monkeypatch, graded)
    task = worlds.task(metric={"name": "judge", "rubric": "It is a colour."})
    workflows = [("a", worlds.start()), ("b", worlds.start())]
    found = asyncio.run(acompare(workflows, task, data=worlds.data(**SIZES)))
    assert graded.asked()["judge"] >= 24
    assert [each.usage.calls for each in found.measured] == [12, 12]


# ------------------------------------------------------------------ from the command line


def test_compare_prints_scores_and_differences(files: Path, server: Server, capsys: Out) -> None:
    command = ["compare", "two.yaml", "runs", "red.yaml", "--task", "task.yaml", "--base-url", server.url]
    assert code_of(command) == 0
    captured = capsys.readouterr()
    lines = [line.split() for line in captured.out.splitlines()]
    assert captured.out.startswith("val: 12 examples; calls, tokens and cost of one\n")
    assert captured.err == ""
    (two,) = [line for line in lines if line[:1] == ["two.yaml"]]
    assert two[1:3] == ["66.7", "%"]
    assert two[8] == "1"  # one call an example
    (best,) = [line for line in lines if line[:2] == ["runs", "two.yaml"]]
    assert best[2:4] == ["better", "+33.3"]
    assert best[-2:] == ["4", "0"]
    (red,) = [line for line in lines if line[:2] == ["red.yaml", "two.yaml"]]
    assert red[2:4] == ["worse", "-33.3"]
    assert red[-2:] == ["0", "4"]
    assert len(server.requests) == 36


def test_compare_json(files: Path, server: Server, capsys: Out) -> None:
    command = ["compare", "two.yaml", "all.yaml", "red.yaml", "--task", "task.yaml", "--base-url", server.url]
    assert code_of([*command, "--all-pairs", "--split", "test", "--json", "--concurrency", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["split"], found["n"]) == ("test", 6)
    assert [each["label"] for each in found["workflows"]] == ["two.yaml", "all.yaml", "red.yaml"]
    first = found["workflows"][0]
    assert first["scores"] == {row["id"]: float(row["a"] != "blue") for row in worlds.rows("test", 6)}
    assert (first["calls"], first["failed"], first["id"]) == (6, 0, flowbot.load("two.yaml").id)
    assert first["low"] <= first["mean"] <= first["high"]
    assert [(pair["old"], pair["new"]) for pair in found["pairs"]] == [
        ("two.yaml", "all.yaml"),
        ("two.yaml", "red.yaml"),
        ("all.yaml", "red.yaml"),
    ]
    pair = found["pairs"][0]
    assert pair["fixed"] == [row["id"] for row in worlds.rows("test", 6) if row["a"] == "blue"]
    assert pair["gain"] == pytest.approx(1 / 3)
    assert pair["low"] <= pair["gain"] <= pair["high"]
    assert {"p_gain", "verdict", "broken"} <= set(pair)
    assert server.most_in_flight <= 2


def test_compare_reads_no_test_unless_told(files: Path, server: Server) -> None:
    assert code_of(["compare", "two.yaml", "all.yaml", "--task", "task.yaml", "--base-url", server.url]) == 0
    asked = json.dumps([arrival.body for arrival in server.requests])
    assert "item 1000" in asked
    assert "item 200" not in asked


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["two.yaml"], "1 given to compare\n  name two workflows or more"),
        ([], "0 given to compare"),
        (["two.yaml", "alll.yaml"], "alll.yaml: there is no such workflow file; did you mean 'all.yaml'?"),
        (["two.yaml", "home"], "home: this folder has no best.yaml\n  name a workflow file, or the folder of a run"),
        (["two.yaml", "all.yaml", "--split", "tets"], "there is no split 'tets' (splits: train, val, test)"),
        (["two.yaml", "all.yaml", "--model", "foo"], "'foo' must be provider:model"),
        (["two.yaml", "other.yaml"], "other.yaml: the workflow's inputs (x: text) are not the task's (q: text)"),
    ],
)
def test_bad_input_is_one_error_and_ends_with_2(
    files: Path, server: Server, command: list[str], said: str, capsys: Out
) -> None:
    (files / "home").mkdir()
    flowbot.save(flow(call("answer", "x", gives={"a": "text"}), inputs=["x"]), files / "other.yaml")
    assert code_of(["compare", *command, "--task", "task.yaml", "--base-url", server.url]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("flowbot: ")
    assert said in captured.err
    assert server.requests == []


def test_a_task_is_needed(files: Path, capsys: Out) -> None:
    assert code_of(["compare", "two.yaml", "all.yaml"]) == 2
    assert "Missing option '--task'" in capsys.readouterr().err


def test_a_runs_folder_stands_for_its_best(files: Path) -> None:
    assert named_workflow(Path("runs")) == flowbot.load("all.yaml")
