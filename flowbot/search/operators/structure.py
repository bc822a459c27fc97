"""Structure: steps added, removed, merged, split or rewired, with the instructions of new and neighbouring steps."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.drawing import drawn, structure_told, tools_told
from flowbot.search.operators.shown import WHOLE, aimed, evidence


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose a new structure for the largest clusters; nothing where nothing fails."""
    clusters = aimed(found, WHOLE)
    if not clusters:
        return []
    shown = structure_told(found.parent, lab.meta.clip)
    sections = [*shown, *tools_told(found.parent), *evidence(lab, found, clusters)]
    return await drawn(lab, found, "structure", sections, clusters)


OPERATOR = Operator("structure", propose, meta=1, structural=True)
