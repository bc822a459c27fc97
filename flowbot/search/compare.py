"""Paired statistics: whether one workflow is better than another on the same examples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """The paired difference `new - old` in mean score over `n` examples.

    `low` and `high` bound the 95 % bootstrap interval; `p_gain` is P(gain > 0), a tie counted as half (mid-P).
    """

    n: int
    old: float
    new: float
    low: float
    high: float
    p_gain: float

    @property
    def gain(self) -> float:
        """The mean difference."""
        return self.new - self.old


def compare(old: Sequence[float], new: Sequence[float], seed: int = 0) -> Comparison:
    """Compare two workflows by their scores on the same examples, in the same order.

    A percentile bootstrap over examples, drawn by `seed`. Raises ValueError for rows that are empty or not paired.
    """
    if len(old) != len(new) or not old:
        raise ValueError(f"cannot pair {len(old)} scores with {len(new)}")
    import numpy as np  # heavy; only when used

    before, after = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    difference = after - before
    draws = np.random.default_rng(seed).integers(0, len(old), size=(RESAMPLES, len(old)))
    means = difference[draws].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    tiny = 1e-12
    p_gain = float((means > tiny).mean() + 0.5 * (abs(means) <= tiny).mean())
    return Comparison(len(old), float(before.mean()), float(after.mean()), float(low), float(high), p_gain)


def interval(scores: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean score."""
    import numpy as np

    values = np.asarray(scores, dtype=float)
    draws = np.random.default_rng(seed).integers(0, len(scores), size=(RESAMPLES, len(scores)))
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    return float(low), float(high)
