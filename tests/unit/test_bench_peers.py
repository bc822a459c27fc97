"""What the adapters of other optimisers decide by themselves: sizes by budget, names, types, labels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pytest

from flowbot.bench.arena import Arena
from flowbot.bench.methods import open_method
from flowbot.bench.methods.dspy_plan import Plan, plan, runs_of, trials_for
from flowbot.bench.methods.dspy_program import Names, label, python_type
from flowbot.bench.methods.gepa import METHODS as GEPA
from flowbot.bench.methods.gepa import prompted
from flowbot.bench.methods.peer import Wall, affordable, as_markdown, at_wall, feedback, unstepped
from flowbot.bench.methods.textgrad import batches, validation_size
from flowbot.money import Budget, Usage
from flowbot.task.data import Example
from flowbot.task.metrics import Score, exact
from flowbot.task.task import Task
from flowbot.workflow.fields import Json, parse_type
from flowbot.workflow.graph import Workflow, build

CALL: dict[str, Any] = {"kind": "call", "reads": ["message"], "gives": {"place": "text"}, "prompt": "Say where."}


def chain(*more: dict[str, Any], output: str = "say.place", **parts: Any) -> Workflow:
    return build(name="w", model="openai:task", inputs={"message": "text"}, steps=[*more], output=output, **parts)


def arena(budget: Budget) -> Arena:
    task = Task.model_validate(
        {
            "flowbot": 1,
            "name": "orders",
            "description": "Say where.",
            "inputs": {"message": "text"},
            "output": {"place": "text"},
            "metric": "exact",
            "data": {"train": "a.jsonl", "val": "b.jsonl", "test": "c.jsonl"},
            "models": {"task": "openai:task"},
        }
    )

    async def score(example: Example, output: Json) -> Score:
        return exact(example, output)

    async def spent() -> Usage:
        return Usage()

    start = chain({**CALL, "id": "say"})
    return Arena(task, Path(), start, (), (), "http://127.0.0.1:1/v1", "task", "task", 0, budget, Path(), score, spent)


def test_budgets_pay_for_runs_by_the_bound_that_is_met_first():
    before, after = (10, 1100, 0.1, 2.0), (16, 4400, 0.2, 5.0)
    assert affordable(Budget(calls=100), before, after, 3) == 42
    assert affordable(Budget(tokens=7_700), before, after, 3) == 3
    assert affordable(Budget(calls=100, usd=0.4), before, after, 3) == 6
    assert affordable(Budget(seconds=25.0), before, after, 3) == 20
    assert affordable(Budget(calls=12), before, after, 3) == 0
    assert affordable(Budget(), before, after, 3) is None
    assert affordable(Budget(calls=100), before, before, 3) is None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"model": "openai:other"}, "a DSPy program asks one model, and 'say' names another"),
        (
            {"prompt": "Say where.\n<!-- frozen -->\nIn one word.\n<!-- /frozen -->"},
            "a DSPy program cannot hold a part of a prompt still (frozen, in 'say')",
        ),
        ({"model": "openai:task", "temperature": 0.5, "max_tokens": 9}, ""),
    ],
)
def test_what_a_program_of_another_package_cannot_hold_of_a_call(more: dict[str, Any], said: str):
    assert unstepped(chain({**CALL, "id": "say", **more}), "a DSPy program") == said


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("mipro", {}, ""),
        ("mipro", {"tools": ["calculator"]}, "DSPy's agent has no form for the worked examples in 'say'"),
        ("gepa", {}, ""),
        ("textgrad", {}, "a TextGrad graph has no form for the worked examples in 'say'"),
    ],
)
def test_worked_examples_are_no_part_of_every_package(name: str, more: dict[str, Any], said: str):
    demos = [{"reads": {"message": "Where?"}, "gives": {"place": "north"}}]
    tools = {"calculator": {"kind": "calculator"}} if more else {}
    start = chain({**CALL, "id": "say", "demos": demos, **more}, tools=tools)
    assert open_method(name).cannot(replace(arena(Budget()), start=start)) == said


def test_gepa_puts_frozen_blocks_back():
    block = "<!-- frozen -->\nIn one word.\n<!-- /frozen -->"
    start = chain({**CALL, "id": "say", "prompt": f"Say where.\n{block}"})
    assert block in prompted(start, {"say": "Look at the map."}).prompts["say"]
    changed = prompted(start, {"say": f"Look.\n{block.replace('one word', 'two words')}"}).prompts["say"]
    assert block in changed
    assert "two words" not in changed


def test_mipro_takes_the_dearest_preset_that_the_budget_pays_for():
    assert plan(None, 100, 1) == Plan("light")
    assert plan(10**6, 300, 1) == Plan("heavy")
    assert Plan("light").runs(300, 2) == runs_of(6, trials_for(6, 2), 100, 2)
    light = runs_of(6, trials_for(6, 1), 100, 1)
    assert plan(light, 100, 1) == Plan("light")
    medium = runs_of(12, trials_for(12, 1), 300, 1)
    assert plan(medium - 1, 300, 1) == Plan("light")


@pytest.mark.parametrize("limit", [900, 400, 300, 200, 120])
@pytest.mark.parametrize("calls", [1, 3])
def test_below_light_mipro_is_sized_to_the_budget(limit: int, calls: int):
    found = plan(limit, 100, calls)
    if not found.auto and found.candidates > 3:
        assert found.size >= 10
    if not found.auto and found.size != 10:
        assert runs_of(found.candidates, found.trials, found.size, calls) <= limit
        assert runs_of(found.candidates, found.trials, found.size + 1, calls) > limit or found.size == 100
    assert found.trials == (trials_for(found.candidates, calls) if not found.auto else 0)


def test_mipro_recommends_trials_as_dspy_does():
    dspy = pytest.importorskip("dspy")
    optimiser = dspy.MIPROv2(metric=lambda: 0, auto="light", prompt_model=object(), task_model=object())

    class Program:
        def predictors(self) -> list[int]:
            return [1, 2]

    for candidates in (3, 6, 12, 18):
        assert trials_for(candidates, 2) == optimiser._set_num_trials_from_num_candidates(Program(), False, candidates)


def test_textgrad_leaves_room_for_the_steps_of_its_tutorial():
    assert validation_size(None, 100) == 100
    assert validation_size(10_000, 100) == 100
    assert validation_size(500, 100) == 29
    assert validation_size(20, 100) == 10
    assert validation_size(20, 4) == 4


def test_batches_go_through_all_examples_each_epoch_and_depend_on_the_seed():
    train = [Example(str(number), {}) for number in range(7)]

    def ids(found: Iterator[Any], count: int) -> list[list[str]]:
        return [[example.id for example in batch] for batch in islice(found, count)]

    first = ids(batches(train, 1), 4)
    assert all(len(batch) == 3 for batch in first)
    assert len({*first[0], *first[1]}) == 6
    assert first == ids(batches(train, 1), 4) != ids(batches(train, 2), 4)
    assert ids(batches(train[:2], 1), 1)[0] in (["0", "1"], ["1", "0"])


def test_a_refusal_at_the_wall_is_told_from_others():
    assert at_wall(Wall("x"))
    assert at_wall(RuntimeError("HTTP 429: the budget of 5 usd is reached (4.99 used) for 'gepa-0'"))
    assert at_wall(RuntimeError("{'code': 'budget_reached'}"))
    assert not at_wall(RuntimeError("HTTP 429: slow down"))


def test_a_block_and_a_frozen_step_cannot_be_expressed():
    body = {"steps": [{**CALL, "id": "say"}]}
    vote = {"id": "ask", "kind": "vote", "n": 3, "by": "majority", "gives": {"place": "text"}, "body": body}
    voted = chain(vote, output="ask.place")
    assert unstepped(voted, "a DSPy program") == "a DSPy program has no form for steps of the kind vote"
    assert "frozen" in unstepped(chain({**CALL, "id": "say", "frozen": True}), "a TextGrad graph")
    assert unstepped(chain({**CALL, "id": "say"}), "x") == ""


def test_gepa_needs_a_prompt_that_may_change():
    from dataclasses import replace

    method = GEPA["gepa"]
    assert method.cannot(arena(Budget())) == ""
    assert method.cannot(replace(arena(Budget()), start=chain({**CALL, "id": "say", "frozen": True})))


def test_fields_have_names_of_their_own():
    pytest.importorskip("dspy")
    workflow = build(
        name="w",
        model="openai:task",
        inputs={"message": "text", "config": "text", "copy": "text"},
        steps=[
            {**CALL, "id": "first", "gives": {"place": "text", "reasoning": "text"}},
            {**CALL, "id": "say", "reads": ["message", "config", "copy", "first.place", "first.reasoning"]},
        ],
        output="say.place",
    )
    names = Names.in_workflow(workflow)
    assert names.of["message"] == "message"
    assert names.of["first.place"] == "place"
    assert names.output == names.of["say.place"] == "say_place"
    assert len(set(names.of.values())) == len(names.of)
    assert not {"config", "copy", "reasoning"} & set(names.of.values())


@pytest.mark.parametrize(
    ("spelled", "annotation"),
    [
        ("text", str),
        ("number", float),
        ("bool", bool),
        ("choice[a, b]", Literal["a", "b"]),
        ("list[number]", list[float]),
        ({"json": {"type": "object"}}, dict[str, Any]),
        ({"json": {"type": "array"}}, list[Any]),
        ("json", Any),
    ],
)
def test_types_become_annotations(spelled: Any, annotation: Any):
    assert python_type(parse_type(spelled)) == annotation


@pytest.mark.parametrize(
    ("target", "spelled", "shown"),
    [
        ("a", "text", "a"),
        (["a", "b"], "text", "a"),
        (7, "text", "7"),
        ({"tests": "assert"}, "text", None),
        (["a", "b"], "list[text]", ["a", "b"]),
        ("no", "number", None),
        ("12", "number", 12),
        (None, "text", None),
    ],
)
def test_labels_are_outputs_that_could_be_right(target: Json, spelled: str, shown: Json):
    assert label(Example("1", {}, target), parse_type(spelled)) == shown


def test_what_critics_are_told_and_what_people_read():
    told = feedback(Example("1", {}, {"answer": 4, "tests": "secret"}), Score(0.25, "Too long."))
    assert told.startswith("Score: 0.25 of 1. Too long.\nExpected: ")
    assert "secret" not in told
    assert as_markdown({"a": "One.\n", "b": "Two."}) == "# a\n\nOne.\n\n# b\n\nTwo.\n"


def test_unknown_packages_are_imported_late():
    import subprocess
    import sys

    code = (
        "import sys, flowbot.bench.methods.gepa, flowbot.bench.methods.dspy, flowbot.bench.methods.textgrad;"
        "print([name for name in ('gepa', 'dspy', 'textgrad', 'openai', 'litellm') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_loop_is_where_scores_are_made():
    from flowbot.bench.methods.peer import Peer

    async def main() -> float:
        peer = Peer.of(arena(Budget(seconds=0.001)))
        example = Example("1", {"message": "x"}, "here")
        value = await asyncio.to_thread(lambda: peer.fitted(example, "here")[1].value)
        await asyncio.sleep(0.01)
        assert peer.over
        with pytest.raises(Wall):
            peer.check()
        return value

    assert asyncio.run(main()) == 1.0
