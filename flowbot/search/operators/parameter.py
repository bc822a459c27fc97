"""Typed parameters: sizes of blocks, types between steps, tools and how often they are used, bounds, temperatures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import aims, built, distinct, edited, tried
from flowbot.workflow.blocks import MOST_ITEMS, MOST_SAMPLES, MOST_TURNS, Loop, Map, Vote
from flowbot.workflow.body import walk
from flowbot.workflow.draft import Draft
from flowbot.workflow.edits import Edit, words
from flowbot.workflow.fields import TEXT
from flowbot.workflow.graph import Workflow
from flowbot.workflow.kept import sampled
from flowbot.workflow.restructure import Rewire
from flowbot.workflow.steps import MOST_TOOL_CALLS, Call, ToolStep
from flowbot.workflow.tools import SearchSpec, ToolSpec
from flowbot.workflow.tuning import SetOutputType, SetTemperature, SetTools
from flowbot.workflow.wrapping import Resize

DEFECTS = ("parameter", "tool")  # that such a change mends
CUT = "reply was cut"  # stands in the failure of a call whose bound was too small
MOST_RESULTS = 20  # of a search
WARM = (0.4, 1.0)  # temperatures of samples beside a vote's own


@dataclass(frozen=True)
class Change:
    """One change of a parameter: the defect that it mends, and the edits that make it, of which the first valid one
    counts; or else, in words, the `settings` of a step that no typed edit says.
    """

    defect: str
    step: str
    edits: tuple[Edit, ...] = ()
    told: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def words(self) -> str:
        """The change in one line."""
        return self.told or words(self.edits[0])


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Change one parameter of one step: of the kind that the failures show, of the steps blamed first; what lost
    before comes last.
    """
    defects = list(dict.fromkeys(cluster.defect for cluster in found.clusters if cluster.defect in DEFECTS))

    def rank(change: Change) -> tuple[bool, int, int]:
        kind = defects.index(change.defect) if change.defect in defects else len(defects)
        return tried(found, f"{change.words};"), kind, _blame(found, change.step)

    made: list[Candidate] = []
    for change in sorted(_changes(found), key=rank):
        if len(made) >= found.variants:
            break
        made = distinct([*made, *_candidate(lab, found, change)], found.variants)
    return made


def _candidate(lab: Lab, found: Findings, change: Change) -> list[Candidate]:
    why = f"a setting holds the step '{change.step}' back: {change.words}"
    facts = aims(found, (change.defect,))
    if not change.edits:
        build = partial(found.parent.with_steps, {change.step: change.settings})
        return built(lab, found, "parameter", build, change.words, why, **facts)
    made = (edited(lab, found, "parameter", [edit], why, **facts) for edit in change.edits)
    return next(filter(None, made), list[Candidate]())


def _blame(found: Findings, step_id: str) -> int:
    """Return the rank of a step by blame, of a block by the steps in it; behind all that are blamed where it is not."""
    inner = {each.id for each in walk([found.parent.step(step_id)])}
    return next((rank for rank, blamed in enumerate(found.blame) if blamed in inner), len(found.blame))


def _changes(found: Findings) -> Iterator[Change]:
    """Yield the changes of all steps; of one step those first that mend most."""
    parent = found.parent
    votes = sampled(Draft.of(parent))
    cut = {part.step for trace in found.traces for part in trace.walk() if CUT in part.error}
    for step in parent.all_steps:
        if isinstance(step, Call) and step.id in cut and step.max_tokens is not None:
            told = f"let '{step.id}' reply in at most {2 * step.max_tokens} tokens"
            yield Change("parameter", step.id, told=told, settings={"max_tokens": 2 * step.max_tokens})
        if isinstance(step, Vote | Map | Loop):
            yield from _resized(step)
        if isinstance(step, ToolStep):
            yield from _tool_changes(parent, step)
        if isinstance(step, Call) and step.tools:
            yield from _call_tools(parent, step)
        for name, kind in step.gives.items():
            if kind.kind in ("number", "bool", "choice") and f"{step.id}.{name}" != parent.output:
                yield Change("parameter", step.id, (SetOutputType(step=step.id, field=name, type=TEXT),))
        if isinstance(step, Call):
            yield from _temperatures(step, step.id in votes)


def _resized(step: Vote | Map | Loop) -> Iterator[Change]:
    """Yield one more sample, item or turn, and as many as there may be: the most, or the half or a quarter of it."""
    match step:
        case Vote():
            size, most = step.n, MOST_SAMPLES
        case Map():
            size, most = step.cap, MOST_ITEMS
        case Loop():
            size, most = step.max, MOST_TURNS
    if size < most:
        yield Change("parameter", step.id, (Resize(step=step.id, size=size + 1),))
    larger = [each for each in (most, most // 2, most // 4) if each > size + 1]
    if larger:
        yield Change("parameter", step.id, tuple(Resize(step=step.id, size=each) for each in larger))


def _tool_changes(workflow: Workflow, step: ToolStep) -> Iterator[Change]:
    spec = workflow.tools[step.tool]
    given = step.args.get("k", spec.k) if isinstance(spec, SearchSpec) else None
    if isinstance(given, int) and given < MOST_RESULTS:
        yield Change("parameter", step.id, (Rewire(step=step.id, args={"k": min(MOST_RESULTS, 2 * given)}),))
    for name in _like(workflow, step.tool):
        told = f"let '{step.id}' use the tool '{name}' and not '{step.tool}'"
        yield Change("tool", step.id, told=told, settings={"tool": name})


def _call_tools(workflow: Workflow, call: Call) -> Iterator[Change]:
    if call.max_tool_calls < MOST_TOOL_CALLS:
        most = min(MOST_TOOL_CALLS, 2 * call.max_tool_calls)
        told = f"let '{call.id}' use its tools at most {most} times"
        yield Change("tool", call.id, told=told, settings={"max_tool_calls": most})
    for tool in call.tools:
        for name in _like(workflow, tool):
            if name not in call.tools:
                tools = tuple(name if each == tool else each for each in call.tools)
                yield Change("tool", call.id, (SetTools(step=call.id, tools=tools),))


def _like(workflow: Workflow, tool: str) -> list[str]:
    """Return the other tools that need the same arguments as a tool."""
    needed = _needed(workflow.tools[tool])
    others = [name for name in workflow.tools if name != tool]
    return [name for name in others if needed and _needed(workflow.tools[name]) == needed]


def _needed(spec: ToolSpec) -> set[str]:
    return set(spec.takes or ()) - set(spec.may_omit)


def _temperatures(call: Call, votes: bool) -> Iterator[Change]:
    """Yield other temperatures: of a sample two beside the vote's own, of another call 0, or where it is 0 one."""
    other = WARM if votes else (0.0,) if call.temperature else WARM[1:]
    for each in other:
        if call.temperature != each:
            yield Change("parameter", call.id, (SetTemperature(step=call.id, temperature=each),))


OPERATOR = Operator("parameter", propose)
