"""The meta model of planted worlds: right with the chance of its skill, and never broken by what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.engine.meta import Meta
from flowbot.engine.ports import Request
from flowbot.engine.verdict import Verdict, verdict
from flowbot.models.scripted import World
from flowbot.models.scripted.faults import FAULTS
from flowbot.models.scripted.orders import notes_in
from flowbot.models.scripted.server import PURPOSES
from flowbot.models.scripted.world import META
from flowbot.store.files import load_prompts
from flowbot.task.metrics import exact
from flowbot.tools.metric import Wrapped
from flowbot.workers.inprocess import InProcess
from tests.unit.test_scripted import SEEDS, conventions, session, traces


def verdicts(world: World, count: int = 40) -> list[Verdict]:
    """Return the verdicts on what a start gets wrong."""
    prompts = load_prompts({}, Path())
    failed = [trace for trace in traces(world, world.start, count) if trace.points < 1]

    async def main() -> list[Verdict]:
        meta = Meta(session(world), META, prompts)
        found = [await verdict(trace, meta) for trace in failed]
        return [each for each in found if each is not None]

    return asyncio.run(main())


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "fault", ["missing_instruction", "missing_hop", "wrong_tool", "lossy_type", "small_loop", "bad_seed"]
)
def test_a_perfect_verdict_names_the_planted_step_and_defect(fault: str, seed: int) -> None:
    world = World(fault, seed, skill=1.0, noise=0.0)
    found = verdicts(world)
    assert found
    assert {each.blame[0] in world.planted.blamed for each in found} == {True}
    assert {each.defect for each in found} == {world.planted.defect}


def test_a_verdict_says_what_the_step_should_have_given() -> None:
    world = World("missing_instruction", 1, skill=1.0, noise=0.0)
    (step,) = world.planted.blamed
    assert step != "write"  # of this seed
    failed = {trace.example.id: trace for trace in traces(world, world.start, 40) if trace.points < 1}
    gone = next(each for each in conventions(world).all if each.line == world.planted.rule)
    for each in verdicts(world):
        gave, should = notes_in(failed[each.example].by_step[step].gives["notes"]), notes_in(each.should)
        assert gave is not None
        assert should is not None
        assert set(should.marks) - set(gave.marks) == {gone.mark}


def test_slips_and_wrong_labels_are_no_fault_of_a_prompt() -> None:
    slips = verdicts(World("nothing", 0, skill=1.0, noise=0.2))
    assert {each.defect for each in slips} == {"capability"}
    world = World("contradictory_labels", 0, skill=1.0, noise=0.0)
    wrong = [replace(each, target=["Z9"]) for each in world.fresh(3)]

    async def main() -> list[Verdict | None]:
        workers = InProcess(session(world), 4, Wrapped(exact), "exact")
        meta = Meta(session(world), META, load_prompts({}, Path()))
        return [await verdict(trace, meta) async for trace in workers.evaluate(world.start, wrong, "")]

    assert {each.defect for each in asyncio.run(main()) if each} == {"label"}


def test_skill_is_the_share_of_right_verdicts() -> None:
    world = World("missing_instruction", 2, skill=0.5, noise=0.0)
    found = verdicts(world, 400)
    right = sum(each.rule == world.planted.rule for each in found)
    assert 0.4 < right / len(found) < 0.6


TEXTS = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(
    [
        "workflow:\n1. note (call) reads order; gives notes: text",
        "clusters:\n1. x: 2 failures (a), prompt",
        "verdicts:\n1. [",
    ]
)
FORMS: Sequence[Mapping[str, Any]] = (
    {"edits": {"type": "array"}},
    {"instruction": {"type": "string"}},
    {"steps": {"type": "array"}},
    {"critique": {"type": "string"}},
)


@given(
    st.sampled_from([*PURPOSES, "other"]),
    st.lists(TEXTS, max_size=4),
    st.sampled_from(FORMS),
    st.sampled_from([*FAULTS]),
)
def test_no_request_breaks_the_meta_model(purpose: str, texts: list[str], form: Mapping[str, Any], fault: str) -> None:
    messages = ({"role": "system", "content": "x"}, {"role": "user", "content": "\n\n".join(texts)})
    request = Request(META, messages, purpose=purpose, schema={"type": "object", "properties": form})
    for world in (World(fault), World(fault, garbage=1.0)):
        assert isinstance(world.answer(request).text, str)


def test_garbage_is_useless() -> None:
    world = World("missing_instruction", 0, garbage=1.0)
    rules = {each.line for each in conventions(world).all}
    assert all(each.rule not in rules for each in verdicts(world))
