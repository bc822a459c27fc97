"""The model-free moves: which type targets have, how demos are drawn, and that only what measures better is kept."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from flowbot.engine.ports import Message, Reply, Request
from flowbot.search.lab import Lab
from flowbot.search.moves import race_calls, target_type
from flowbot.workflow.fields import NUMBER, Json, choice
from flowbot.workflow.graph import Workflow
from tests import worlds
from tests.laboratory import Laboratory
from tests.sessions import call, flow
from tests.worlds import World


@pytest.mark.parametrize(
    ("targets", "wanted"),
    [
        (["a", "b", "a", "b", "a", "b"], choice("a", "b")),
        (["b ", "a", "a", "b", " a", "a"], choice("a", "b")),
        (["a", "b", "a", "b", "c"], None),
        (["a"] * 9, None),
        (["a", ""] * 5, None),
        (["x" * 61, "a"] * 5, None),
        ([f"label {n}" for n in range(31)] * 5, None),
        ([1, 2.5, "3", "1,234"], NUMBER),
        ([1, 2, "three"], None),
        ([1, 2] * 6, choice("1", "2")),
        (["12 apples", "13 pears", "14 plums"], None),
        ([True, False] * 5, choice("false", "true")),
        ([], None),
        (["a", None] * 5, None),
        ([["a"], ["b"]] * 5, None),
        ([{"a": 1}] * 5, None),
    ],
)
def test_the_type_that_targets_have(targets: Sequence[Json], wanted: Any) -> None:
    assert target_type(targets) == wanted


def taught(purpose: str, messages: Sequence[Message]) -> str | None:
    """Name the colour of an item where a demo shows that colour; `think` in the instruction gives the number."""
    text = messages[-1]["content"]
    number = int((re.findall(r"item (\d+)|n(\d+)", text)[-1][0]) or re.findall(r"n(\d+)", text)[-1])
    if "think" in messages[0]["content"]:
        return f"n{number}"
    shown = {message["content"] for message in messages[1:-1] if message["role"] == "assistant"}
    right = worlds.colour(number)
    return right if any(right in each for each in shown) or number % 2 else "unknown"


def best_of(lab: Lab) -> Workflow:
    assert lab.best is not None
    return lab.best.candidate.workflow


def test_a_closed_set_of_targets_becomes_a_choice_where_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    class Free:
        async def complete(self, request: Request) -> Reply:
            said = worlds.named_colour(
                [{"content": " ".join(f"Rule: {each}" for each in worlds.COLOURS)}, request.messages[-1]]
            )
            return Reply(f"I think {said}." if request.schema is None else json.dumps({"a": said}))

    place = Laboratory(Free())
    lab = place.find(monkeypatch, moves=["output_type"])
    assert str(best_of(lab).output_type) == "choice[blue, green, red]"
    (move,) = place.moves()
    assert move["kept"]
    assert move["gain"] == 1.0


def test_a_move_that_does_not_pay_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Laboratory(World())
    lab = place.find(monkeypatch, moves=["output_type", "demos"])
    assert best_of(lab) == lab.start
    assert [move["kept"] for move in place.moves()] == [False, False]
    assert "below 0.9" in place.moves()[0]["why"]


def test_a_move_that_does_not_apply_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Laboratory(World(), output={"a": "choice[red, green, blue, unknown]"})
    place.find(monkeypatch, moves=["output_type"])
    assert place.moves() == [{"kind": "move", "name": "output_type", "kept": False, "why": "it does not apply here"}]


def test_demos_are_drawn_balanced_from_train_only_and_kept_where_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(override=taught)
    place = Laboratory(world)
    lab = place.find(monkeypatch, moves=["demos"], demos=6, demo_sets=4)
    (step,) = best_of(lab).calls
    assert Counter(demo.gives["a"] for demo in step.demos) == {"red": 2, "green": 2, "blue": 2}
    right = {row["q"]: row["a"] for row in place.data["train"]}
    assert all(demo.gives["a"] == right[demo.reads["q"]] for demo in step.demos)
    assert len({demo.reads["q"] for demo in step.demos}) == 6
    assert place.moves()[0]["kept"]
    measured = {request.messages[-1]["content"][3:] for request in world.requests if request.draw == "demos"}
    for candidate in lab.known.values():
        shown = {demo.reads["q"] for each in candidate.workflow.calls for demo in each.demos}
        assert shown <= set(right)
        assert not shown & measured
    assert measured <= set(right)


def test_two_calls_show_what_they_gave_in_runs_that_came_out_right(monkeypatch: pytest.MonkeyPatch) -> None:
    start = flow(
        call("first", "q", gives={"note": "text"}, prompt="think"),
        call("answer", "q", "first.note", gives={"a": "text"}),
    )
    world = World(override=taught)
    place = Laboratory(world, start)
    lab = place.find(monkeypatch, moves=["demos"], demos=9)
    first, answer = best_of(lab).calls
    assert len(first.demos) == len(answer.demos) > 0
    train = {row["q"]: row["a"] for row in place.data["train"]}
    for before, after in zip(first.demos, answer.demos, strict=True):
        assert before.reads["q"] == after.reads["q"]
        assert before.gives["note"] == after.reads["first.note"] == f"n{before.reads['q'][5:]}"
        assert after.gives["a"] == train[before.reads["q"]]
        assert int(before.reads["q"][5:]) % 2  # the even ones did not come out right
    assert place.moves()[0]["kept"]


@pytest.mark.parametrize(
    ("kind", "target", "shown"),
    [("text", ["red", "pink"], "red"), ("list[text]", ["red", "pink"], ["red", "pink"]), ("json", ["red"], ["red"])],
)
def test_a_list_as_target_is_shown_whole_or_by_its_first_alternative(
    kind: str, target: Json, shown: Json, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(**sizes: int) -> dict[str, list[dict[str, Json]]]:
        return {name: [{"q": f"item {n}", "a": target} for n in range(count)] for name, count in sizes.items()}

    class Silent:
        async def complete(self, request: Request) -> Reply:
            return Reply("", failure="silent")

    monkeypatch.setattr(worlds, "data", rows)
    lab = Laboratory(Silent(), output={"a": kind}).find(monkeypatch, moves=["demos"], demos=2)
    shows = [demo.gives["a"] for each in lab.known.values() for demo in each.workflow.calls[0].demos]
    assert shows
    assert all(show == shown for show in shows)


def test_frozen_calls_get_no_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    start = flow(
        call("first", "q", gives={"note": "text"}, prompt="think", frozen=True),
        call("answer", "q", "first.note", gives={"a": "text"}),
    )
    lab = Laboratory(World(override=taught), start).find(monkeypatch, moves=["demos"], demos=9)
    assert [len(step.demos) > 0 for step in best_of(lab).calls] == [False, True]


def test_the_race_of_demos_makes_the_calls_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for sets, items in ((3, 12), (4, 15), (1, 12), (5, 7)):
        world = World(override=taught)
        lab = Laboratory(world).find(monkeypatch, moves=["demos"], demos=6, demo_sets=sets, demo_items=items)
        assert len(lab.known) - 1 == sets
        assert sum(request.draw == "demos" for request in world.requests) == race_calls(sets, items)


def test_the_same_seed_draws_the_same_demos(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        best_of(Laboratory(World(override=taught, latency=0.002, seed=n), seed=seed).find(monkeypatch, moves=["demos"]))
        for n, seed in enumerate([1, 1, 2])
    ]
    assert found[0] == found[1] != found[2]
