"""Planted worlds: each start has its fault and each repair mends it; replies fit, and depend on the request alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.engine.chat import Ask, schema_of
from flowbot.engine.ports import Request
from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.models import scripted
from flowbot.models.scripted import World
from flowbot.models.scripted.faults import FAULTS, call
from flowbot.models.scripted.orders import Notes, notes_in
from flowbot.models.scripted.trades import Conventions
from flowbot.models.scripted.world import META, MODEL
from flowbot.store.journal import MemoryJournal
from flowbot.store.session import Opened, RunSession
from flowbot.task.metrics import exact
from flowbot.tools.metric import Wrapped
from flowbot.tools.tool import Toolbox
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.edits import Edit, apply
from flowbot.workflow.fields import FieldType, parse_type
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.restructure import Remove
from flowbot.workflow.tuning import Bullets, SetOutputType
from flowbot.workflow.wrapping import Resize, WrapCheckFix, WrapVote

MARKS = {"marks": "list[text]"}
SEEDS = (0, 1, 2)
LOW = {  # points of 100 that a start has at most; the ceiling is above 85
    "missing_instruction": 75,
    "missing_hop": 40,
    "wrong_tool": 40,
    "lossy_type": 30,
    "small_loop": 65,
    "bad_seed": 2,
    "blank": 15,
}


def session(world: World) -> RunSession:
    functions = {f"flowbot.models.scripted:{name}": getattr(scripted, name) for name in world.kind.tools}
    box = Toolbox(Path(), Path(), functions=functions)
    return RunSession({MODEL: Opened(world), META: Opened(world)}, MemoryJournal(keep=False), open_tool=box.open)


def traces(world: World, workflow: Workflow, count: int = 200) -> list[Trace]:
    """Run a workflow on fresh orders."""

    async def main() -> list[Trace]:
        workers = InProcess(session(world), 32, Wrapped(exact), "exact")
        return [trace async for trace in workers.evaluate(workflow, world.fresh(count), "fresh")]

    return asyncio.run(main())


def points(world: World, workflow: Workflow, count: int = 200) -> float:
    return 100 * sum(trace.points for trace in traces(world, workflow, count)) / count


def flow(world: World, *steps: Mapping[str, Any]) -> Workflow:
    return rebuild(world.start, steps=steps, output=f"{steps[-1]['id']}.marks")


def direct(world: World, lines: Sequence[str] = (), **more: Any) -> Workflow:
    prompt = "\n".join([world.trade.description, *(f"- {line}" for line in lines)])
    return flow(world, call("answer", ["order"], MARKS, prompt) | more)


def conventions(world: World) -> Conventions:
    assert isinstance(world.trade, Conventions)
    return world.trade


# ------------------------------------------------------------------ faults and repairs


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_is_as_bad_as_its_fault_and_the_ceiling_is_high(fault: str, seed: int) -> None:
    world = World(fault, seed)
    start, ceiling = points(world, world.start), points(world, world.best)
    assert ceiling > 85
    if fault in LOW:
        assert start <= LOW[fault]
    else:
        assert abs(start - ceiling) < 4


def repair(world: World) -> Edit:
    """Return the one edit that mends the start."""
    planted = world.planted
    (step,) = planted.blamed if len(planted.blamed) == 1 else ("rounds",)
    match world.fault:
        case "missing_instruction":
            return Bullets(step=step, add=(planted.rule,))
        case "lossy_type":
            return SetOutputType(step=step, field="notes", type=parse_type("text"))
        case "small_loop":
            return Resize(step="rounds", size=3)
        case _:
            return Remove(step="remarks")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("fault", ["missing_instruction", "lossy_type", "small_loop"])
def test_one_edit_at_the_blamed_step_mends_it(fault: str, seed: int) -> None:
    world = World(fault, seed)
    mended = apply(world.start, [repair(world)])
    assert points(world, mended) > points(world, world.best) - 3


def test_the_same_rule_at_another_step_mends_nothing() -> None:
    world = World("missing_instruction", 0)
    for step in {"note", "weigh", "write"} - world.planted.blamed:
        moved = apply(world.start, [Bullets(step=step, add=(world.planted.rule,))])
        assert points(world, moved) < points(world, world.start) + 5


def test_a_rule_in_other_words_counts() -> None:
    world = World("missing_instruction", 1)
    gone = next(each for each in conventions(world).all if each.line == world.planted.rule)
    (step,) = world.planted.blamed
    said = f"Do not forget {gone.mark} wherever you read the word {gone.word}"
    assert points(world, apply(world.start, [Bullets(step=step, add=(said,))])) > 85


def test_the_useless_step_costs_and_changes_nothing() -> None:
    world = World("useless_step", 0)
    lean = rebuild(world.start, steps=world.best.steps, output=world.best.output)
    before, after = traces(world, world.start), traces(world, lean)
    assert sum(each.usage.calls for each in before) > 2.5 * sum(each.usage.calls for each in after)
    assert abs(sum(each.points for each in before) - sum(each.points for each in after)) < 10


def test_a_bad_seed_is_not_mended_step_by_step_and_a_fresh_call_does_better() -> None:
    world = World("bad_seed", 0)
    best = [step.prompt for step in world.best.calls]
    for step, prompt in zip(world.start.calls, best, strict=True):
        assert points(world, world.start.with_prompts({step.id: prompt})) < 2
    assert points(world, direct(world)) > 15


def test_some_labels_contradict_and_fresh_ones_do_not() -> None:
    world = World("contradictory_labels", 0)
    rows = world.data(300, 100)["train"]
    wrong = sum(tuple(row["marks"]) != world.trade.right(row["order"]) for row in rows)
    assert 75 < wrong < 150
    assert all(tuple(each.target) == world.trade.right(each.inputs["order"]) for each in world.fresh(100))


def test_no_order_stands_in_two_splits() -> None:
    for fault in ("nothing", "small_loop", "missing_hop"):
        world = World(fault)
        rows = [row for found in world.data(200, 200, 200).values() for row in found]
        orders = [row["order"] for row in rows] + [each.inputs["order"] for each in world.fresh(200)]
        assert len(set(orders)) == 800
        assert len({row["id"] for row in rows}) == 600


def test_the_description_tells_no_rule() -> None:
    for fault in FAULTS:
        world = World(fault, 3)
        assert not any(mark in world.trade.description for row in world.data(50, 1)["train"] for mark in row["marks"])


@pytest.mark.parametrize(
    ("changes", "said"), [({"fault": "nothin"}, "did you mean 'nothing'"), ({"skill": 2}, "skill")]
)
def test_a_world_that_is_none_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        World(**changes)


# ------------------------------------------------------------------ other shapes


@pytest.mark.parametrize("fault", ["nothing", "small_loop", "missing_hop", "wrong_tool"])
def test_shapes_of_all_kinds_run(fault: str) -> None:
    world = World(fault)
    tools = list(world.kind.tools)
    one = direct(world)
    reasoned = [
        call("think", ["order"], {"idea": "text"}, "Think."),
        call("say", ["order", "think.idea"], MARKS, "Say."),
    ]
    typed = call("plan", ["order"], {"parts": "list[text]", "hard": "bool", "kind": "choice[a, b]"}, "Split it.")
    judged = WrapVote(step="answer", n=3, by="judge", judge="Take the best.")
    checked = WrapCheckFix(step="answer", check="Is it right?", max=3)
    shapes = [
        one,
        direct(world, tools=tools, max_tool_calls=2),
        flow(world, *reasoned),
        flow(world, typed, call("say", ["plan.parts", "plan.hard"], {"why": "text", **MARKS}, "Say.")),
        flow(world, call("j", ["order"], {"notes": "json"}, "Note."), call("say", ["j.notes"], MARKS, "Say.")),
        apply(one, [WrapVote(step="answer", n=3)]),
        apply(one, [judged]),
        apply(one, [checked]),
        apply(apply(one, [checked]), [WrapVote(step="answer_loop", n=3)]),
    ]
    for shape in shapes:
        assert [trace.error for trace in traces(world, shape, 20) if trace.error] == []


def test_one_call_keeps_two_rules_two_calls_five_and_three_all() -> None:
    world = World("nothing", noise=0)
    trade = conventions(world)
    lines = [each.line for each in trade.all]
    known = direct(world, lines)
    order = next(each.inputs["order"] for each in world.fresh(5000) if len(each.target) == 6)
    example = replace(world.fresh(1)[0], inputs={"order": order}, target=[each.mark for each in trade.all])

    def kept(workflow: Workflow) -> int:
        async def main() -> int:
            workers = InProcess(session(world), 4, Wrapped(exact), "exact")
            (trace,) = [trace async for trace in workers.evaluate(workflow, [example], "")]
            return len(trace.output)

        return asyncio.run(main())

    two = call("note", ["order"], {"notes": "text"}, "\n".join(lines[:2]))
    rest = call("answer", ["note.notes"], MARKS, "\n".join(lines[2:]))
    assert (kept(known), kept(flow(world, two, rest)), kept(world.best)) == (2, 5, 6)


def test_demos_teach_a_single_call() -> None:
    world = World("blank", noise=0)
    rows = [row for row in world.data(60, 1)["train"] if len(row["marks"]) == 1][:6]
    demos = [{"reads": {"order": row["order"]}, "gives": {"marks": row["marks"]}} for row in rows]
    assert points(world, direct(world, demos=demos)) > 1.4 * points(world, direct(world))


def test_votes_average_slips_out_and_checks_find_some() -> None:
    world = World("nothing", noise=0.3)
    last = apply(world.best, [WrapVote(step="write", n=5)])
    every = apply(last, [WrapVote(step="note", n=5), WrapVote(step="weigh", n=5)])
    assert points(world, every) > points(world, world.best) + 25
    checked = apply(world.best, [WrapCheckFix(step="write", check="Is it right?", max=3)])
    assert points(world, checked) > points(world, world.best) + 2


def test_a_call_with_tools_calls_one_once_that_which_its_instruction_names() -> None:
    world = World("wrong_tool", noise=0)
    tools = list(world.kind.tools)
    blind = direct(world, tools=tools)
    told = direct(world, ["Ask the register."], tools=tools)
    assert [{use.tool for use in trace.steps[0].tools} for trace in traces(world, told, 2)] == [{"register"}] * 2
    assert points(world, told) == 100
    assert points(world, blind) < 40
    hop = World("missing_hop", noise=0)
    assert points(hop, direct(hop, tools=["search"])) < 40


@given(
    st.lists(st.sampled_from(["text", "number", "bool", "choice[a, b]", "list[text]", "json"]), min_size=1, max_size=4)
)
def test_a_reply_fits_the_schema_that_is_asked_for(kinds: list[str]) -> None:
    gives: dict[str, FieldType] = {f"f{at}": parse_type(kind) for at, kind in enumerate(kinds)}
    plan = {
        "json": {"type": "object", "properties": {"n": {"type": "integer"}, "s": {"enum": ["x"]}}, "required": ["n"]}
    }
    for fields in (
        gives,
        gives | {"marks": parse_type("list[text]")},
        gives | {"marks": parse_type("text")},
        {"p": plan},
    ):
        typed = {name: parse_type(kind) for name, kind in fields.items()}
        for said in ("Order 0001: 2 jade rings.", "nothing here"):
            ask = Ask("Do it.", [("order", said), ("a.marks", ["B2"])], typed)
            schema = None if ask.plain else schema_of(typed)
            text = World("nothing").answer(Request(MODEL, ask.messages(), schema=schema)).text
            assert set(ask.parse(text)) == set(typed)


def asked(said: str, draw: str = "") -> Request:
    ask = Ask("Note it.", [("order", said)], {"notes": parse_type("text")})
    return Request(MODEL, ask.messages(), draw=draw)


def test_equal_requests_have_equal_replies_whatever_came_before() -> None:
    orders = [row["order"] for row in World("nothing", 4).data(40, 1)["train"]]
    first, second = World("nothing", 4, noise=0.5), World("nothing", 4, noise=0.5)
    one = [first.answer(asked(each)) for each in orders]
    other = [second.answer(asked(each)) for each in reversed(orders)][::-1]
    assert one == other
    assert [each.text for each in one] != [first.answer(asked(order, "again")).text for order in orders]
    assert [each.text for each in one] != [World("nothing", 5, noise=0.5).answer(asked(o)).text for o in orders]


def test_notes_survive_text_and_json() -> None:
    notes = Notes("Order 0003: 9 coral masks in sacks.").and_then("reading", []).and_then("working", ["D5", "T2"])
    assert notes_in(f"weigh.notes:\n{notes.text}\n\nmore: x") == notes
    assert notes_in(json.dumps([{"a": notes.text}])) == notes
    assert notes_in(f"{notes.order} and {notes.text}") == notes
    assert notes_in("nothing") is None


@pytest.mark.parametrize("name", ["search", "register", "archive"])
def test_the_tools_bear_any_text(name: str) -> None:
    tool: Callable[[str], list[str]] = getattr(scripted, name)
    assert tool("") == ["Nothing was found."]
    assert len(tool("Order 1 of the firm Halden by way of Ansa")) == 1
