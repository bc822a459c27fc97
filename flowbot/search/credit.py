"""Credit: which step a failure comes from. By verdicts, by contrast with another workflow, and by replay."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from flowbot.engine.flat import value_of
from flowbot.engine.forward import forward
from flowbot.engine.tasks import together
from flowbot.engine.trace import StepTrace, Trace
from flowbot.engine.verdict import Verdict
from flowbot.search.lab import Lab
from flowbot.task.metrics import Score
from flowbot.workflow.body import Block, walk
from flowbot.workflow.fields import Json, Misfit
from flowbot.workflow.graph import Workflow

Trust = Mapping[tuple[str, str], float]  # by defect and step, how often verdicts were right; 1 where nothing is known
Scorer = Callable[[Trace], Awaitable[Score]]
SOLVED = 1.0
FLIP = 0.5  # a gain in score that counts as a flip


def blame(verdicts: Sequence[Verdict], trust: Trust | None = None, order: Sequence[str] = ()) -> dict[str, float]:
    """Return the share of the blame by step, largest first; ties go by `order` (ids in file order).

    A verdict gives 1 to the first step that it blames, 1/2 to the second, 1/4 to the third, and so on, times the trust
    in such verdicts.
    """
    known = trust or {}
    shares: dict[str, float] = {}
    for verdict in verdicts:
        for rank, step in enumerate(verdict.blame):
            shares[step] = shares.get(step, 0.0) + known.get((verdict.defect, step), 1.0) / 2**rank
    total = sum(shares.values())
    place = {step: at for at, step in enumerate(order)}
    ranked = sorted(shares, key=lambda step: (-round(shares[step], 9), place.get(step, len(place))))
    return {step: shares[step] / total for step in ranked} if total > 0 else {}


def contrast(one: Trace, other: Trace) -> str | None:
    """Return the first step that two workflows share, read the same at, and gave something else for, on one example.

    Steps of bodies are compared before the block that they stand in. None where both or neither solve the example, or
    no such step is found.
    """
    if one.example.id != other.example.id or (one.points >= SOLVED) == (other.points >= SOLVED):
        return None
    there = {part.path: part for part in other.walk()}
    for part in _inner_first(one.steps):
        twin = there.get(part.path)
        if twin is not None and twin.reads == part.reads and (twin.gives, twin.error) != (part.gives, part.error):
            return part.step
    return None


def _inner_first(parts: Sequence[StepTrace]) -> Iterator[StepTrace]:
    for part in parts:
        for body in part.bodies:
            yield from _inner_first([*body.values()])
        yield part


async def replay(lab: Lab, trace: Trace, verdict: Verdict, draw: str, score: Scorer) -> bool | None:
    """Put what the blamed step should have given in its place, run what follows, and tell whether the score flips.

    Everything that does not follow from the step is given from the trace. None where that proves nothing: the value is
    not said, does not fit, or would be the output itself. At the trace's own `draw`, what is asked for again in equal
    words costs nothing. Raises what the session raises.
    """
    given = _instead(trace, verdict)
    if given is None:
        return None
    step_id = verdict.blame[0]
    if given == trace.by_step[step_id].gives:
        return False  # it did give that
    fixed = {part.step: part.gives for part in _before(trace, step_id)}
    again = await forward(trace.workflow, trace.example, lab.session, draw, {**fixed, step_id: given})
    points = (await score(again)).value
    return points > trace.points and (points >= SOLVED or points - trace.points >= FLIP)


async def replays(
    lab: Lab, verdicts: Sequence[Verdict], traces: Mapping[str, Trace], draw: str, score: Scorer
) -> dict[str, tuple[int, int]]:
    """Replay verdicts, all at once, on traces by example.

    Return for each step first blamed how many flipped, and how many could be tried.
    """
    tried = [each for each in verdicts if each.blame and each.example in traces]
    found = await together([replay(lab, traces[each.example], each, draw, score) for each in tried])
    counts: dict[str, tuple[int, int]] = {}
    for verdict, flipped in zip(tried, found, strict=True):
        if flipped is not None:
            hits, times = counts.get(verdict.blame[0], (0, 0))
            counts[verdict.blame[0]] = (hits + flipped, times + 1)
    return counts


def _instead(trace: Trace, verdict: Verdict) -> Mapping[str, Json] | None:
    """Return the fields of the blamed step, the first as it should have been; None where that cannot be or is idle."""
    workflow = trace.workflow
    step_id = verdict.blame[0] if verdict.blame else ""
    part = trace.by_step.get(step_id)
    judges = {judge.id for step in workflow.all_steps if isinstance(step, Block) for judge in step.judges}
    if part is None or verdict.should is None or step_id in judges or step_id in _ends(workflow):
        return None
    fields = workflow.step(step_id).gives
    name, kind = next(iter(fields.items()))
    said = verdict.should if kind.kind in ("text", "choice") else value_of(verdict.should)
    try:
        values = {**part.gives, name: kind.fit(said)}
    except Misfit:
        return None
    return values if set(values) == set(fields) else None


def _ends(workflow: Workflow) -> set[str]:
    """Return the steps that the output is a field of: the step itself and, where it is a block, what it hands on."""
    found: set[str] = set()
    todo = [workflow.output]
    while todo:
        step_id, _, name = todo.pop().partition(".")
        if step_id in found:
            continue
        try:
            step = workflow.step(step_id)
        except KeyError:
            continue  # an input, an item, or what the turn before gave
        found.add(step_id)
        if isinstance(step, Block):
            todo += [source for body in step.bodies.values() if (source := body.source(name))]
    return found


def _before(trace: Trace, step_id: str) -> Iterator[StepTrace]:
    """Yield the parts of the steps at the top that do not follow from a step, nor hold it, and did not fail."""
    workflow = trace.workflow
    home = next(step.id for step in workflow.steps if any(inner.id == step_id for inner in walk([step])))
    after = {step.id for step in workflow.steps if home in workflow.ancestors([f"{step.id}."])}
    for part in trace.steps:
        if part.step not in after and not part.error:
            yield part
