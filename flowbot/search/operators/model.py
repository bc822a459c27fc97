"""Another model of the task for the call most to blame, or for all."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import distinct, edited, suspects
from flowbot.workflow.edits import Edit
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call
from flowbot.workflow.tuning import SetModel


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Let each other model of the task answer the call most to blame; then all calls."""
    parent = found.parent
    blamed = suspects(found)[:1]
    free = [call for call in parent.calls if call.id not in parent.frozen_ids]
    groups = [blamed] if blamed == free else [blamed, free]
    made: list[Candidate] = []
    for calls in groups:
        for model in lab.models:
            edits = _answered_by(parent, calls, model)
            why = f"{model} does better at {'this' if calls is blamed else 'all steps'}, or does it at a lower price"
            made += edited(lab, found, "model", edits, why) if edits else []
    return distinct(made, found.variants)


def _answered_by(workflow: Workflow, calls: Sequence[Call], model: str) -> list[Edit]:
    """Return the edits that let a model answer calls, for those that it does not answer yet."""
    others = [call for call in calls if (call.model or workflow.model) != model]
    return [SetModel(step=call.id, model=None if model == workflow.model else model) for call in others]


OPERATOR = Operator("model", propose)
