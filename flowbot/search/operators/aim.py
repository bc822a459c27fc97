"""What operators without a meta model aim at: the call behind the output, the calls to blame, the open failures."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Any

from flowbot.search.findings import Cluster, Findings
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import candidate, check
from flowbot.workflow.blocks import Loop, Map, Vote
from flowbot.workflow.body import Block, walk
from flowbot.workflow.draft import Draft
from flowbot.workflow.edits import Edit
from flowbot.workflow.graph import Step, Workflow
from flowbot.workflow.kept import frozen_loss
from flowbot.workflow.prompt import loses_frozen
from flowbot.workflow.steps import Call, CodeStep
from flowbot.workflow.value import head, reference

ROOM = 400  # tokens that a step needs at least to reason or to write a program


def output_chain(workflow: Workflow) -> list[Step]:
    """Return the step that gives the output, and where it is a vote, loop or map the step within that makes it."""
    chain: list[Step] = []
    source: str | None = workflow.output
    known = {step.id: step for step in workflow.all_steps}
    while source is not None and (step := known.get(head(source))) is not None:
        chain.append(step)
        source = step.body.source(source.partition(".")[2]) if isinstance(step, Vote | Loop | Map) else None
    return chain


def output_call(workflow: Workflow) -> Call | None:
    """Return the one call whose answer is the output, also from a vote, loop or map; None where it is frozen."""
    step = output_chain(workflow)[-1]
    return step if isinstance(step, Call) and step.id not in workflow.frozen_ids else None


def behind(workflow: Workflow, source: str) -> Call | None:
    """Return the call that a value comes from, through blocks, tools and programs; None where no call made it."""
    step_id, _, field = source.partition(".")
    step = next((step for step in workflow.all_steps if step.id == step_id), None)
    if step is None or isinstance(step, Call):
        return step
    if isinstance(step, Block):
        sources = [end for body in step.bodies.values() if (end := body.source(field)) is not None]
    else:
        sources = list(step.sources)
    return next((call for each in sources if (call := behind(workflow, each)) is not None), None)


def writer_of(workflow: Workflow, step: CodeStep) -> Call | None:
    """Return the call that writes a program; None for a program that stands in the file."""
    source = reference(step.code)
    return next((call for call in workflow.calls if source is not None and call.id == head(source)), None)


def suspects(found: Findings) -> list[Call]:
    """Return the calls to change, most to blame first, at last the one behind the output; none that is frozen."""
    parent = found.parent
    blamed = [call for step_id in found.blame for call in _calls_in(parent, step_id)]
    last = behind(parent, parent.output)
    ranked = {call.id: call for call in (*blamed, *([last] if last is not None else []))}
    return [call for call in ranked.values() if call.id not in parent.frozen_ids]


def _calls_in(workflow: Workflow, step_id: str) -> Iterator[Call]:
    for step in workflow.all_steps:
        if step.id == step_id:
            yield from (inner for inner in walk([step]) if isinstance(inner, Call))


def aims(found: Findings, defects: Container[str] = (), shown: Container[str] = ()) -> dict[str, Any]:
    """Return the clusters that a candidate aims at and the examples predicted to flip.

    The open clusters with one of `defects`, or all where none has; `shown` are examples that it shows, which prove
    nothing.
    """
    clusters: Sequence[Cluster] = [cluster for cluster in found.clusters if cluster.defect in defects]
    clusters = clusters or found.clusters
    flips = dict.fromkeys(each for cluster in clusters for each in cluster.examples if each not in shown)
    return {"clusters": tuple(cluster.name for cluster in clusters), "flips": tuple(flips)}


def tried(found: Findings, text: str) -> bool:
    """Tell whether an edit in whose words a text stands was tried before and lost; each edit's words end with `;`."""
    attempts = (*found.failed, *(attempt for cluster in found.clusters for attempt in cluster.attempts))
    return any(text in f"{attempt.edit};" for attempt in attempts)


def edited(
    lab: Lab, found: Findings, operator: str, edits: Sequence[Edit], hypothesis: str, **facts: Any
) -> list[Candidate]:
    """Return the one candidate that edits make, aimed at all open clusters unless `facts` say otherwise; else none."""
    made = candidate(lab, found, operator, edits, hypothesis, **(aims(found) | facts))
    return [] if made is None else [made]


def built(
    lab: Lab, found: Findings, operator: str, build: Callable[[], Workflow], words: str, hypothesis: str, **facts: Any
) -> list[Candidate]:
    """Return the one candidate that `build` makes, under the guards of typed edits; none where it is refused.

    For changes that no typed edit says. `words` say the change.
    """
    parent = found.parent
    try:
        child = build().within(lab.bounds)
        check(lab, parent, child)
    except ValueError:  # EditError, Refused and WorkflowError are
        return []
    was, now = parent.prompts, child.prompts
    thaws = frozen_loss(Draft.of(parent), Draft.of(child)) or any(
        loses_frozen(was.get(step_id, ""), prompt) for step_id, prompt in now.items() if prompt != was.get(step_id)
    )
    same = child.output.partition(".")[2] == parent.output.partition(".")[2]
    if child.id == parent.id or thaws or not same or not parent.output_type.accepts(child.output_type):
        return []
    return [Candidate(child, parent.id, (words,), hypothesis, operator, **(aims(found) | facts))]


def said(found: Sequence[Candidate], words: str) -> list[Candidate]:
    """Return candidates with other words for their edits."""
    return [replace(each, edits=(words,)) for each in found]


def distinct(found: Sequence[Candidate], most: int) -> list[Candidate]:
    """Return the first `most` candidates with a workflow of their own."""
    kept: dict[str, Candidate] = {}
    for each in found:
        kept.setdefault(each.id, each)
    return list(kept.values())[:most]


def roomier(call: Call) -> dict[str, int]:
    """Return the settings that give a call room to reason or to write a program, where its bound is too small."""
    return {} if call.max_tokens is None or call.max_tokens >= ROOM else {"max_tokens": ROOM}
