"""Contrast: what a better workflow did otherwise on one example that it solves and the parent does not."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.engine.backward import loss_of
from flowbot.engine.trace import Trace
from flowbot.engine.verdict import told
from flowbot.search import credit
from flowbot.search.findings import Cluster, Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.drawing import drawn, structure_told, tools_told
from flowbot.search.operators.shown import failed_told
from flowbot.workflow.fields import as_text


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose a structure that does what another member of the pool does right; nothing where no run shows that."""
    pair = compared(found)
    if pair is None:
        return []
    mine, other = pair
    room = lab.meta.clip // 2
    first = credit.contrast(mine, other)
    inputs = "\n".join(f"{name}: {as_text(value)}" for name, value in mine.example.inputs.items())
    failed = failed_told(found, room)
    sections = [
        *structure_told(found.parent, room),
        *structure_told(other.workflow, room, "other workflow"),
        *tools_told(found.parent),
        ("inputs of one example", inputs),
        ("what the workflow did", told(mine, room)),
        ("its result", loss_of(mine).critique),
        ("what the other workflow did", told(other, room)),
        ("its result, which is right", as_text(other.output)),
        *([("the first step that they share and that gave something else", first)] if first else []),
        *([("failed attempts", failed)] if failed else []),
    ]
    spare = other.workflow.prompts
    return await drawn(lab, found, "contrast", sections, _holding(found, mine.example.id), spare)


def compared(found: Findings) -> tuple[Trace, Trace] | None:
    """Return the runs of the parent and of the first other member on an example that only the member solves."""
    failing = {trace.example.id: trace for trace in found.traces if trace.points < credit.SOLVED}
    for member in found.pool:
        for trace in found.passed:
            if trace.workflow.id == member.id != found.parent.id and trace.example.id in failing:
                return failing[trace.example.id], trace
    return None


def _holding(found: Findings, example: str) -> tuple[Cluster, ...]:
    """Return the clusters that hold an example."""
    return tuple(cluster for cluster in found.clusters if example in cluster.examples)


OPERATOR = Operator("contrast", propose, meta=1, structural=True)
