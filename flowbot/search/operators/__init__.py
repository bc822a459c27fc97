"""The operators by name: each is a module with one `OPERATOR`, and a new one is added here."""

from __future__ import annotations

from collections.abc import Mapping

from flowbot.search.findings import Operator
from flowbot.search.operators import (
    bullets,
    cheaper,
    contrast,
    demos,
    fix,
    merge,
    model,
    output_type,
    parameter,
    refine,
    resketch,
    run_code,
    structure,
    templates,
    vote,
)

MODULES = (
    bullets,
    fix,
    structure,
    demos,
    output_type,
    templates,
    vote,
    refine,
    run_code,
    parameter,
    model,
    contrast,
    merge,
    cheaper,
    resketch,
)
OPERATORS: Mapping[str, Operator] = {module.OPERATOR.name: module.OPERATOR for module in MODULES}
