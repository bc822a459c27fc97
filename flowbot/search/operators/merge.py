"""Merge: the parts of two good workflows in one."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.drawing import drawn, structure_told, tools_told
from flowbot.search.operators.shown import WHOLE, aimed, evidence


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose one workflow made of the parent and the best other member of the pool; nothing where there is none."""
    other = next((each for each in found.pool if each.id != found.parent.id), None)
    if other is None:
        return []
    room, clusters = lab.meta.clip // 2, aimed(found, WHOLE)
    shown = [*structure_told(found.parent, room), *structure_told(other, room, "other workflow")]
    sections = [*shown, *tools_told(found.parent), *evidence(lab, found, clusters)]
    return await drawn(lab, found, "merge", sections, clusters, other.prompts)


OPERATOR = Operator("merge", propose, meta=1, structural=True)
