"""Typed parameters: sizes of blocks, types between steps, tools and how often they are used, temperatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flowbot.search.aim import aims, built, distinct, edited, tried
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.workflow.blocks import MOST_ITEMS, MOST_SAMPLES, MOST_TURNS, Loop, Map, Step, Vote
from flowbot.workflow.body import Block, walk
from flowbot.workflow.draft import Draft
from flowbot.workflow.edits import Edit, words
from flowbot.workflow.fields import NUMBER, TEXT, Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.kept import sampled
from flowbot.workflow.restructure import Rewire
from flowbot.workflow.steps import MOST_TOOL_CALLS, Call, ToolStep
from flowbot.workflow.tools import SearchSpec, ToolSpec
from flowbot.workflow.tuning import SetOutputType, SetTemperature, SetTools
from flowbot.workflow.value import reference
from flowbot.workflow.wrapping import Resize

CUT = "reply was cut"  # how a failure begins where a call's bound was too small
MOST_RESULTS = 20  # of a search


@dataclass(frozen=True)
class Change:
    """One change of a parameter: the defect that it mends (`parameter` or `tool`), its words, how it is made."""

    defect: str
    words: str
    edit: Edit | None = None
    settings: dict[str, Any] = field(default_factory=dict[str, Any])  # of the step, where no typed edit says it
    step: str = ""


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Change one parameter of a step: those blamed first, of the kind that the failures show; what lost before last."""
    parent = found.parent
    defects = [cluster.defect for cluster in found.clusters if cluster.defect in ("parameter", "tool")]
    changes = [
        (_blame(found, step), change) for step in parent.all_steps for change in _changes(parent, step, found)
    ]
    ranked = sorted(
        changes,
        key=lambda pair: (
            tried(found, pair[1].words),
            defects.index(pair[1].defect) if pair[1].defect in defects else len(defects),
            pair[0],
        ),
    )
    made: list[Candidate] = []
    for _, change in ranked:
        if len(made) >= found.variants:
            break
        made = distinct([*made, *_candidate(lab, found, change)], found.variants)
    return made


def _candidate(lab: Lab, found: Findings, change: Change) -> list[Candidate]:
    why = f"the {'step' if change.defect == 'parameter' else 'tool'} is right, its setting is not: {change.words}"
    facts = aims(found, (change.defect,))
    if change.edit is not None:
        return edited(lab, found, "parameter", [change.edit], why, **facts)
    build = partial(found.parent.with_steps, {change.step: change.settings})
    return built(lab, found, "parameter", build, change.words, why, **facts)


def _blame(found: Findings, step: Step) -> int:
    """Return the rank of a step by blame, that of a block by the steps in it; behind all that are blamed if none is."""
    inner = {each.id for each in walk([step])}
    return next((rank for rank, step_id in enumerate(found.blame) if step_id in inner), len(found.blame))


def _changes(workflow: Workflow, step: Step, found: Findings) -> Iterator[Change]:
    """Yield the changes of one step, those first that mend most."""
    if isinstance(step, Vote | Map | Loop):
        yield from _resized(step)
    if isinstance(step, ToolStep):
        yield from _more_results(workflow, step)
        for name in _like(workflow, step.tool, workflow.tools):
            told = f"let '{step.id}' use the tool '{name}' and not '{step.tool}'"
            yield Change("tool", told, settings={"tool": name}, step=step.id)
    if isinstance(step, Call):
        yield from _call_changes(workflow, step, found)
    for name, kind in step.gives.items():
        if kind.kind in ("number", "bool", "choice") and f"{step.id}.{name}" != workflow.output:
            yield _edit("parameter", SetOutputType(step=step.id, field=name, type=TEXT))
    if isinstance(step, Call):
        yield from _temperatures(workflow, step)
