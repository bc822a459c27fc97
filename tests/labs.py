"""A lab without anything around it, for what proposes workflows and runs none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from flowbot.engine.verdict import Verdict
from flowbot.search.findings import Cluster, Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.task.data import Example
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from tests.sessions import Scripted, meta_of


def no_reply(request: Any) -> str:
    """Refuse every request: what needs no model asks none."""
    raise AssertionError(f"a request was made: {request.purpose}")


def anything(text: str) -> str:
    """Let every prompt pass."""
    return ""


def lab_of(start: Workflow, targets: Sequence[Json] = (), description: str = "Do the task.", **parts: Any) -> Lab:
    """Return a lab whose train examples have these targets; a request to a model is an error, unless by `script`."""
    session: Any = Scripted(parts.pop("script", no_reply))
    train = [
        Example(f"t{n}", {name: f"{name} {n}" for name in start.inputs}, target) for n, target in enumerate(targets)
    ]
    nothing: Any = None
    settings: dict[str, Any] = {
        "guard": anything,
        "meta": meta_of(session, description=description),
        "score": nothing,
    }
    return Lab(
        start=start,
        train=tuple(train),
        val=(),
        session=session,
        stages=nothing,
        workers=nothing,
        journal=nothing,
        **(settings | parts),
    )


def found_in(parent: Workflow, *, blame: Sequence[str] = (), defects: Sequence[str] = (), **parts: Any) -> Findings:
    """Return findings on a parent: blame on these steps, and one cluster of one example for each defect."""
    shares = {step_id: 1 / (rank + 2) for rank, step_id in enumerate(blame)}
    clusters = [
        Cluster(f"cluster {n}", defect, "a rule", (Verdict(f"t{n}", tuple(blame), defect, "a rule"),))
        for n, defect in enumerate(defects)
    ]
    known: dict[str, Any] = {"number": 1, "parent": parent, "blame": shares, "clusters": tuple(clusters)}
    return Findings(**(known | parts))


def proposals(operator: Operator, lab: Lab, found: Findings) -> list[Candidate]:
    """Return what an operator proposes."""
    return list(asyncio.run(_propose(operator, lab, found)))


async def _propose(operator: Operator, lab: Lab, found: Findings) -> Sequence[Candidate]:
    return await operator.propose(lab, found)


def settings_of(workflow: Workflow) -> Mapping[str, Json]:
    """Return the steps of a workflow in plain form by id, those of bodies too, without their bodies."""
    return {step.id: {k: v for k, v in step.plain().items() if k != "body"} for step in workflow.all_steps}
