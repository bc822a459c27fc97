"""Law 10: prompts are bounded and carry no training text: a rewrite that does is sent back once, then dropped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import Message
from flowbot.task.leaks import Leaks
from tests import worlds
from tests.worlds import World

RECIPE = {"name": "paper", "batches": 2, "inner": 2}
TOLD = "my parcel was left behind the green gate number"


def rows() -> dict[str, Any]:
    """Return rows that tell a story: each input has a run of words of its own."""
    found = worlds.data(10, 6, 6)
    for made in found.values():
        for row in made:
            row["q"] = f"{row['q']} {TOLD} {row['q']} says {row['id']} to you again"
    return found


def induce(override: Callable[[str, Sequence[Message]], str | None]) -> tuple[flowbot.Result, World]:
    world = World(calls=2, override=override)
    patch = pytest.MonkeyPatch()
    worlds.shelved(patch, world)
    try:
        return flowbot.induce(worlds.task(recipe=RECIPE), data=rows()), world
    finally:
        patch.undo()


def copying(purpose: str, messages: Sequence[Message]) -> str | None:
    """Copy the first training example into every instruction."""
    return json.dumps({"instruction": f"Remember: {rows()['train'][0]['q']}"}) if purpose == "prompt_update" else None


def test_a_rewrite_that_copies_an_example_goes_back_once_and_is_dropped() -> None:
    result, world = induce(copying)
    updates = [request for request in world.requests if request.purpose == "prompt_update"]
    first, again = [r for r in updates if not r.repair], [r for r in updates if r.repair]
    assert len(again) == len(first) > 0
    assert all("the instruction copies an example" in request.messages[-1]["content"] for request in again)
    assert not any("Remember" in prompt for prompt in result.best.prompts.values())
    tasks = [request for request in world.requests if request.purpose == "task"]
    assert not any("Remember" in request.messages[0]["content"] for request in tasks)


def test_a_mended_rewrite_is_taken() -> None:
    def mending(purpose: str, messages: Sequence[Message]) -> str | None:
        return copying(purpose, messages) if len(messages) == 2 else None

    result, _ = induce(mending)
    assert any("Rule: " in prompt for prompt in result.best.prompts.values())


@pytest.mark.parametrize("text", ["word " * 601, "x" * 20_001, "   "])
def test_a_rewrite_out_of_bounds_is_dropped(text: str) -> None:
    def wild(purpose: str, messages: Sequence[Message]) -> str | None:
        return json.dumps({"instruction": text}) if purpose == "prompt_update" else None

    result, world = induce(wild)
    assert all(len(request.messages[0]["content"]) < 5000 for request in world.requests if request.purpose == "task")
    assert not any(text.strip() and text in prompt for prompt in result.best.prompts.values())


def test_a_first_prompt_that_copies_drops_the_structure() -> None:
    def first(purpose: str, messages: Sequence[Message]) -> str | None:
        return copying("prompt_update", messages) if purpose == "prompt_init" else None

    result, world = induce(first)
    assert len(result.best.calls) == 1
    assert all(request.schema_name == "answer" for request in world.requests if request.purpose == "task")


def test_no_prompt_of_any_run_holds_a_rare_run_of_its_data() -> None:
    result, world = induce(lambda purpose, messages: None)
    train = [flowbot.Example(row["id"], {"q": row["q"]}, row["a"]) for row in rows()["train"]]
    leaks = Leaks.of(train, "Name the colour.")
    prompts = {request.messages[0]["content"] for request in world.requests if request.purpose == "task"}
    assert len(prompts) > 3
    assert [leaks.find(prompt) for prompt in prompts] == [""] * len(prompts)
    assert result.best != result.start
