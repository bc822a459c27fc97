"""The recipe `paper`: its ledger is exactly the published formula's, and the best on validation is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbot
from flowbot.engine.ports import Message
from flowbot.search.lab import Lab
from flowbot.search.paper import PaperSettings, batches, bilevel, expected_calls
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow
from tests import worlds
from tests.laboratory import Laboratory
from tests.sessions import call, flow
from tests.worlds import World


def chain(calls: int) -> Workflow:
    """Return a workflow of so many calls, as the world's meta model draws it."""
    steps: list[dict[str, Any]] = []
    for n in range(1, calls):
        steps.append(call(f"think{n}", *(["q"] if n == 1 else ["q", f"think{n - 1}.idea"]), gives={"idea": "text"}))
    reads = ["q"] if calls == 1 else ["q", f"think{calls - 1}.idea"]
    return flow(*steps, call("answer", *reads, gives={"a": "text"}), tools={})


def formula(b: int, j: int, k0: int, k1: int, fresh: int) -> dict[str, int]:
    """One loop, as the design has it; `fresh` steps are new or changed."""
    plain = {
        "task": b * k0 + j * b * k1,
        "workflow_gradient": b,
        "loss_gradient": j * b,
        "call_gradient": j * b * (k1 - 1),
        "prompt_update": j * k1,
        "workflow_update": 1,
        "prompt_init": fresh,
    }
    return {purpose: count for purpose, count in plain.items() if count}


@pytest.mark.parametrize(
    ("k0", "k1", "fresh"),
    [(1, 1, 0), (2, 2, 0), (4, 4, 0), (1, 3, 3), (3, 1, 1), (2, 3, 2), (5, 2, 1)],
)
@pytest.mark.parametrize(("b", "j"), [(5, 5), (3, 2), (1, 1), (4, 0)])
def test_the_ledger_of_a_loop_is_the_formula(
    monkeypatch: pytest.MonkeyPatch, k0: int, k1: int, fresh: int, b: int, j: int
) -> None:
    world = World(calls=k1)
    place = Laboratory(world, chain(k0))
    settings = PaperSettings(inner=j)

    async def loop(lab: Lab) -> Workflow:
        return await bilevel(lab, lab.start, lab.train[:b], settings, "loop")

    made = place.work(monkeypatch, loop)
    assert len(made.calls) == k1
    assert place.ledger.requests() == formula(b, j, k0, k1, fresh)
    assert world.asked() == formula(b, j, k0, k1, fresh)
    if k0 == k1 and (b, j) == (5, 5):
        assert place.ledger.total.calls == 60 * k0 + 6


SETTINGS: list[dict[str, Any]] = [
    {},
    {"batches": 1, "loops": 1},
    {"batch": 3, "inner": 2},
    {"batch": 4, "inner": 1, "epochs": 2},
    {"batch": 7, "batches": 2, "loops": 3, "inner": 1},
    {"loops": 0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=range(len(SETTINGS)))
@pytest.mark.parametrize("calls", [1, 2])
def test_a_whole_run_makes_the_calls_that_were_expected(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], calls: int
) -> None:
    world = World(calls=calls, override=restless)
    worlds.shelved(monkeypatch, world)
    task = worlds.task(recipe={"name": "paper", **settings})
    result = flowbot.induce(task, data=worlds.data(11, 4, 3), start=chain(calls))
    expected = dict(expected_calls(PaperSettings(**settings), 11, 4, calls, calls))
    tested = 3 * calls * (1 if result.best.id == result.start.id else 2)
    kept = len({row["candidate"] for row in told(result, "row")})
    measured = len(told(result, "row"))
    expected["task"] += tested - 4 * calls * (measured - kept)  # what is measured again is not paid again
    assert result.ledger.requests() == expected


def told(result: Any, kind: str) -> list[Mapping[str, Any]]:
    return [event for event in EVENTS[id(result)] if event["kind"] == kind]


EVENTS: dict[int, list[Mapping[str, Any]]] = {}


@pytest.fixture(autouse=True)
def events(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what every run tells, by its result."""
    EVENTS.clear()
    plain = flowbot.induce

    def induce(*args: Any, **how: Any) -> Any:
        heard: list[Mapping[str, Any]] = []
        result = plain(*args, heard=heard.append, **how)
        EVENTS[id(result)] = heard
        return result

    monkeypatch.setattr(flowbot, "induce", induce)


def restless(purpose: str, messages: Sequence[Message]) -> str | None:
    """Give a new instruction at every update, so that nothing measured is measured again."""
    if purpose != "prompt_update":
        return None
    text = worlds.section(messages[-1]["content"], "instruction", "critiques")
    count = int(text.partition("version ")[2] or 0) + 1
    return json.dumps({"instruction": f"Do it, version {count}"})


def test_growth_is_expected_with_each_new_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def grow(purpose: str, messages: Sequence[Message]) -> str | None:
        if purpose != "workflow_update":
            return restless(purpose, messages)
        text = {"gives": [{"name": "a", "type": "text"}], "role": "check"}
        steps = [
            {"id": "answer", "reads": ["q"], **text},
            {"id": "check", "reads": ["q", "answer.a"], **text},
            {"id": "mend", "reads": ["q", "check.a"], **text},
        ]
        return json.dumps({"steps": steps, "output": "mend.a"})

    worlds.shelved(monkeypatch, World(override=grow))
    settings: dict[str, Any] = {"batches": 2, "inner": 2}
    result = flowbot.induce(worlds.task(recipe={"name": "paper", **settings}), data=worlds.data(10, 4, 3))
    expected = dict(expected_calls(PaperSettings(**settings), 10, 4, 1, 3))
    expected["task"] += 3 * (1 if result.best.id == result.start.id else 4)
    assert result.ledger.requests() == expected
    assert expected["prompt_init"] == 2


def test_repairs_have_a_line_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def sloppy(purpose: str, messages: Sequence[Message]) -> str | None:
        return "no JSON" if purpose == "loss_gradient" and len(messages) == 2 else None

    worlds.shelved(monkeypatch, World(override=sloppy))
    task = worlds.task(recipe={"name": "paper", "batches": 1, "loops": 1, "inner": 2})
    result = flowbot.induce(task, data=worlds.data(5, 3, 3))
    line = result.ledger.lines["loss_gradient"]
    assert (line.requests, line.repairs, line.usage.calls) == (10, 10, 20)
    assert result.ledger.requests()["prompt_update"] == 2


def drawn(count: int = 12) -> list[Example]:
    return [Example(str(n), {"q": str(n)}) for n in range(count)]


@given(st.integers(1, 30), st.integers(1, 7), st.integers(1, 3), st.integers(0, 5))
def test_batches_deal_every_example_once_an_epoch(count: int, size: int, epochs: int, seed: int) -> None:
    train = drawn(count)
    dealt = list(batches(train, PaperSettings(batch=size, epochs=epochs), seed))
    assert [len(batch) for batch in dealt][: -(-count // size)] == [
        *[size] * (count // size),
        *([count % size] * (count % size > 0)),
    ]
    each = -(-count // size)
    for epoch in range(epochs):
        seen = [example.id for batch in dealt[epoch * each : (epoch + 1) * each] for example in batch]
        assert sorted(seen, key=int) == [example.id for example in train]


def test_batches_go_by_the_seed() -> None:
    def order(seed: int, **settings: Any) -> list[str]:
        return [example.id for batch in batches(drawn(), PaperSettings(**settings), seed) for example in batch]

    assert order(1) == order(1)
    assert order(1) != order(2)
    twice = order(1, epochs=2)
    assert twice[:12] == order(1)
    assert twice[12:] != twice[:12]
    assert order(1, batches=1) == order(1)[:5]


def test_the_best_on_validation_is_kept_whatever_comes_after(monkeypatch: pytest.MonkeyPatch) -> None:
    def spoil(purpose: str, messages: Sequence[Message]) -> str | None:
        if purpose != "prompt_update":
            return None
        text = worlds.section(messages[-1]["content"], "instruction", "critiques")
        rules = text.count("Rule: ")
        return json.dumps(
            {"instruction": "Forget it." if rules == 2 else "\n".join([text, f"Rule: {worlds.COLOURS[rules]}"])}
        )

    worlds.shelved(monkeypatch, World(override=spoil))
    task = worlds.task(recipe={"name": "paper", "batch": 3, "loops": 1, "inner": 1})
    result = flowbot.induce(task, data=worlds.data(12, 6, 6))
    means = [row["mean"] for row in told(result, "row")]
    assert means[0] == 0
    assert max(means) == pytest.approx(2 / 3)
    assert means[-1] < max(means)
    assert result.tables["val"].new == pytest.approx(2 / 3)
    assert result.best.prompts["answer"].count("Rule: ") == 2
    assert result.parts == {"start": 0.0, "gradients": pytest.approx(2 / 3)}


def test_a_tie_on_validation_keeps_the_earlier_one(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World(override=restless))
    result = flowbot.induce(worlds.task(recipe={"name": "paper", "batches": 1}), data=worlds.data())
    assert result.best == result.start
    assert [event["why"] for event in told(result, "best")] == ["the start"]


def test_a_world_with_rules_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())
    result = flowbot.induce(worlds.task(), data=worlds.data())
    assert (result.tables["test"].old, result.tables["test"].new) == (0, 1)


def test_demos_of_several_calls_are_cut_from_runs_that_are_foreseen() -> None:
    plain, shown = PaperSettings(), PaperSettings(moves=("demos",), demos=4, demo_sets=3)
    more = [
        expected_calls(shown, 20, 10, calls, calls)["task"] - expected_calls(plain, 20, 10, calls, calls)["task"]
        for calls in (1, 2)
    ]
    assert more[1] == 2 * (more[0] + 3 * 4)
