"""How figures are shown: the median over rounds with the least and the most, and whether a bound holds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def spread(values: Sequence[float], digits: int) -> str:
    """Return the median with min..max."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}..{max(values):.{digits}f})"


def holds(what: str, value: float, bound: float, digits: int = 2) -> bool:
    """Print whether a value is within its bound, and return it."""
    within = value <= bound
    print(f"{'ok' if within else 'BROKEN'}: {what} is {value:.{digits}f}, the bound is {bound:g}")
    return within
