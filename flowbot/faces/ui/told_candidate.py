"""A candidate as the page is told it: its workflow, the way from the start to it, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from flowbot.faces.measured import Measured
from flowbot.faces.story import Story
from flowbot.faces.ui.flow import flow_of
from flowbot.faces.ui.schema import Ancestor, Candidate, CandidateLine, Decision, Rung, Split
from flowbot.faces.why import Change, tell_why
from flowbot.search.compare import flips
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import CodeStep


def candidate_of(story: Story, found: Measured, line: CandidateLine, draws: Sequence[Split]) -> Candidate:
    """Return a candidate of a story; `line` and `draws` are what is told of it otherwise."""
    why = tell_why(story, found.workflow)
    child = story.race.child(found.id) if story.race else None
    paid: Mapping[str, Any] = found.facts.get("paid") or {}
    return Candidate(
        line=line,
        flow=flow_of(found.workflow),
        way=[_ancestor(story, each) for each in why.way],
        parts=[(part.step, part.kind, part.text, part.came) for part in why.parts],
        decision=Decision(**asdict(child.decision)) if child and child.decision else None,
        rungs=[Rung(**asdict(each)) for each in (child.rungs if child else ())],
        flips=[str(each) for each in found.facts.get("flips") or ()],
        paid={name: paid.get(name) for name in ("calls", "tokens", "usd")} if paid else {},
        draws=list(draws),
    )


def _ancestor(story: Story, change: Change) -> Ancestor:
    """Return a workflow on the way; what it fixed and broke is by its whole row on validation and its parent's."""
    found = change.candidate
    parent = story.known.get(found.parent or "")
    fixed, broken = flips(parent.scores, found.scores) if parent else ((), ())
    return Ancestor(
        id=found.id,
        name=change.name,
        operator=change.child.operator if change.child else "",
        hypothesis=found.hypothesis,
        edits=list(found.edits),
        mean=found.mean,
        steps=_said(found.workflow),
        fixed=list(fixed),
        broken=list(broken),
    )


def _said(workflow: Workflow) -> dict[str, str]:
    """Return what each step says by its id: the prompt of a call, the program of a code step."""
    programs = {step.id: step.code for step in workflow.all_steps if isinstance(step, CodeStep)}
    return {**workflow.prompts, **programs}
