"""Resketch: a free new structure from the task's description alone, as in the paper."""

from __future__ import annotations

import json
from collections.abc import Sequence

from flowbot.engine.flat import flatten
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.drawing import drawn, tools_told
from flowbot.search.operators.shown import failed_told


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose a workflow that owes nothing to the parent but its frozen steps."""
    parent = found.parent
    inputs = ", ".join(f"{name}: {kind}" for name, kind in parent.inputs.items())
    entries = [each for each in flatten(parent) if each["id"] in parent.frozen_ids]
    frozen = "\n".join(json.dumps(each, ensure_ascii=False) for each in entries)
    failed = failed_told(found, lab.meta.clip // 2)
    sections = [
        ("inputs", inputs),
        ("output", f"a field named {parent.output.partition('.')[2]}, of type {parent.output_type}"),
        *tools_told(parent),
        *([("steps that must stay as they are", frozen)] if frozen else []),
        *([("failed attempts", failed)] if failed else []),
    ]
    return await drawn(lab, found, "resketch", sections, fresh=True)


OPERATOR = Operator("resketch", propose, meta=1, structural=True)
