"""Moves that need no meta model: the output's type, and worked examples. Each is kept only if it is measured better."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from flowbot.engine.tasks import together
from flowbot.search.compare import chance
from flowbot.search.lab import Candidate, Lab
from flowbot.search.targets import bootstrapped, drawn, labelled, labels, typed
from flowbot.search.targets import target_type as target_type
from flowbot.task.data import Example
from flowbot.workflow.edits import EditError, apply
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call

RUNGS = 3  # stretches of a race


class MoveSettings(Protocol):
    """What the moves can be told."""

    @property
    def moves(self) -> Sequence[str]: ...

    @property
    def demos(self) -> int: ...

    @property
    def demo_sets(self) -> int: ...

    @property
    def demo_items(self) -> int: ...

    @property
    def accept(self) -> float: ...


async def try_moves(lab: Lab, settings: MoveSettings) -> None:
    """Try each move on the best so far, in turn; keep it where a paired comparison on validation favours it.

    P(gain > 0) must reach `accept`; otherwise what was best stays.
    """
    for name in settings.moves:
        best = lab.best
        assert best is not None
        child = await MOVES[name](lab, best.candidate.workflow, settings)
        if child is None:
            await lab.tell("move", name=name, kept=False, why="it does not apply here")
            continue
        row = await lab.measure(child)
        comparison = lab.compared(best, row)
        kept = comparison.p_gain >= settings.accept and row.mean > best.mean
        why = f"{chance(comparison.p_gain)}, {'at least' if kept else 'below'} {settings.accept:g}"
        await lab.tell("move", name=name, kept=kept, why=why, candidate=child.id, gain=comparison.gain)
        if kept:
            await lab.keep(row, f"move {name}", comparison)


async def output_type(lab: Lab, workflow: Workflow, settings: MoveSettings) -> Candidate | None:
    """Give the output the type that the train targets have: a small set becomes `choice[...]`, numbers `number`."""
    edit = typed(workflow, [example.target for example in lab.train])
    if edit is None:
        return None
    try:
        made = apply(workflow, [edit], lab.bounds)
    except EditError:
        return None
    return Candidate(made, workflow.id, (f"output type {edit.type}",), "the answers come from a closed set of values")


async def demos(lab: Lab, workflow: Workflow, settings: MoveSettings) -> Candidate | None:
    """Show worked examples: sets drawn from one half of train are raced on the other, the winner is the child.

    A call whose output is the workflow's shows the expected value; other calls show what they gave in runs that
    scored 1.
    """
    pool, rest = _halves(lab)
    children: list[Workflow] = []
    for number in range(settings.demo_sets if pool else 0):
        examples = drawn(pool, settings.demos, f"{lab.seed}|demos|{number}")
        made = await _with_demos(lab, workflow, examples)
        if made is not None and made not in children:
            children.append(made)
            why = "worked examples show the task"
            await lab.enter(Candidate(made, workflow.id, (f"demos, set {number + 1}",), why))
    if not children:
        return None
    return lab.known[(await _raced(lab, children, rest[: settings.demo_items])).id]


async def _raced(lab: Lab, children: Sequence[Workflow], items: Sequence[Example]) -> Workflow:
    """Return the winner of a race by halves: all on a third of the items, the better half on the next, and so on."""
    left = list(children)
    scores: dict[str, list[float]] = {child.id: [] for child in left}
    step = max(4, -(-len(items) // RUNGS))
    for start in range(0, len(items), step):
        if len(left) == 1:
            break
        rung = items[start : start + step]
        lab.admit(lab.runs(len(rung), *left), f"race of {len(left)} sets of demos")
        runs = await together([lab.run(child, rung, "demos") for child in left])
        for child, traces in zip(left, runs, strict=True):
            scores[child.id] += [trace.points for trace in traces]
        means = {child.id: sum(scores[child.id]) / len(scores[child.id]) for child in left}
        await lab.tell("demo_race", items=start + len(rung), means=means)
        left.sort(key=lambda child: -means[child.id])  # a stable sort: ties go to the earlier set
        left = left[: -(-len(left) // 2)]
    return left[0]


def race_calls(sets: int, items: int) -> int:
    """Return the runs on examples that a race of so many sets on so many items makes."""
    step, total, left = max(4, -(-items // RUNGS)), 0, sets
    for start in range(0, items, step):
        if left == 1:
            break
        total += left * min(step, items - start)
        left = -(-left // 2)
    return total


def _halves(lab: Lab) -> tuple[list[Example], list[Example]]:
    """Deal train by seed: one half to show, the other to measure on what is shown."""
    deck = list(lab.train)
    random.Random(f"{lab.seed}|halves").shuffle(deck)
    return deck[: len(deck) // 2], deck[len(deck) // 2 :]


async def _with_demos(lab: Lab, workflow: Workflow, examples: Sequence[Example]) -> Workflow | None:
    """Return the workflow with demos made from examples, or None where they give none."""
    direct = _output_call(workflow)
    if direct is not None and labels(workflow, direct, examples):
        made = [{direct.id: demo} for each in examples if (demo := labelled(direct, each.inputs, each)) is not None]
    else:
        lab.admit(lab.runs(len(examples), workflow), "demos: runs on train")
        made = [bootstrapped(workflow, trace) for trace in await lab.run(workflow, examples, "demos")]
    steps = {
        call.id: {"demos": tuple(shown[call.id] for shown in made if call.id in shown)}
        for call in workflow.calls
        if call.id not in workflow.frozen_ids
    }
    if not any(settings["demos"] for settings in steps.values()):
        return None
    return workflow.with_steps(steps)


def _output_call(workflow: Workflow) -> Call | None:
    step = workflow.step(workflow.output.partition(".")[0])
    return step if isinstance(step, Call) and step.id not in workflow.frozen_ids else None


Move = Callable[[Lab, Workflow, MoveSettings], Awaitable[Candidate | None]]
MOVES: Mapping[str, Move] = {"output_type": output_type, "demos": demos}
