"""Cheaper: the same with less. Steps dropped and blocks made smaller, else a shorter structure by the meta model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import candidate
from flowbot.search.operators.aim import tried
from flowbot.search.operators.drawing import drawn, structure_told, tools_told
from flowbot.search.operators.shown import failed_told
from flowbot.workflow.blocks import Loop, Map, Vote
from flowbot.workflow.edits import Edit, words
from flowbot.workflow.graph import Workflow
from flowbot.workflow.requests import requests
from flowbot.workflow.restructure import Remove, Unwrap
from flowbot.workflow.wrapping import Resize


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose to drop steps, to take blocks away, or to make them smaller, what saves most first.

    The meta model is asked only where all of that was tried, or cannot be done, and there is more than one call.
    """
    free = variants(lab, found)
    if free:
        return free[: found.variants]
    if requests(found.parent.steps) < 2:
        return []
    room = lab.meta.clip
    failed = failed_told(found, room // 2)
    sections = [*structure_told(found.parent, room), *tools_told(found.parent)]
    return await drawn(lab, found, "cheaper", [*sections, *([("failed attempts", failed)] if failed else [])])


def variants(lab: Lab, found: Findings) -> list[Candidate]:
    """Return what can be left out without a word from a meta model, and was not tried yet; the largest saving first."""
    made: dict[str, Candidate] = {}
    for edit, why in _edits(found.parent):
        each = None if tried(found, words(edit)) else candidate(lab, found, "cheaper", [edit], why)
        if each is not None:
            made.setdefault(each.id, each)
    return sorted(made.values(), key=lambda each: requests(each.workflow.steps))


def _edits(workflow: Workflow) -> Iterator[tuple[Edit, str]]:
    for step in workflow.all_steps:
        if step.id in workflow.frozen_ids:
            continue
        yield Remove(step=step.id), f"'{step.id}' adds cost and may add nothing"
        if isinstance(step, Vote | Loop):
            yield Unwrap(step=step.id), f"one run of what stands in '{step.id}' may be as good"
        size = _smaller(step)
        if size:
            yield Resize(step=step.id, size=size), f"'{step.id}' may need no more than {size}"


def _smaller(step: object) -> int:
    """Return the next smaller size of a block, 0 where there is none: a vote of two decides nothing."""
    match step:
        case Vote():
            return step.n - 2 if step.n >= 5 else 3 if step.n == 4 else 0
        case Loop():
            return step.max - 1 if step.max > 2 else 0
        case Map():
            return step.cap // 2
        case _:
            return 0


OPERATOR = Operator("cheaper", propose, meta=1, structural=True)
