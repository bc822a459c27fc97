"""Paired statistics: whether one workflow is better than another on the same examples, and on which to find out."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Stratum = TypeVar("Stratum", bound=int)  # a bool, such as whether the parent passes, or a number

RESAMPLES = 8_000
BLOCK = 1_000_000  # items drawn at once, so that memory stays flat
Z = 1.959964  # of a normal's 95 %
TINY = 1e-12  # differences below it are rounding
LEAST = 5  # items that the parent fails, and as many that it passes, in a race's first rung
FEW = 12  # items below which a race has no rung before the last
LEVELS = ((10, 0.9), (40, 0.95))  # up to so many children tested, this P(gain > 0) accepts one
LAST_LEVEL = 0.98  # beyond


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

    @property
    def undecided(self) -> bool:
        """True where the interval holds 0: the data do not say which of the two is better."""
        return self.low <= TINY and self.high >= -TINY


def compare(old: Sequence[float], new: Sequence[float], seed: int = 0) -> Comparison:
    """Compare two workflows by their scores on the same examples, in the same order.

    A percentile bootstrap over examples, drawn by `seed`. Raises ValueError for rows that are empty or not paired.
    """
    return stratified(old, new, [0] * len(old), {0: 1.0}, seed)


def stratified(
    old: Sequence[float],
    new: Sequence[float],
    strata: Sequence[Stratum],
    shares: Mapping[Stratum, float],
    seed: int = 0,
    counted: int = 0,
) -> Comparison:
    """Compare on a sample that holds more of some strata than the population does, such as what the parent fails.

    `strata` is each item's stratum, `shares` the population's by stratum: all means are weighted back to them. The
    bootstrap draws within strata. `counted` is the number of items that the shares were counted on: they are drawn anew
    too, as shares of so few are uncertain themselves (0: they are exact, and the interval is of just these items). A
    stratum without items leaves its share to the others; items of one without a share count for nothing. Raises
    ValueError for rows that are empty or not paired, and where no item has a share.
    """
    import numpy as np  # heavy; only when used

    weights = _weights(old, new, strata, shares)
    before, after = np.asarray(old, dtype=float), np.asarray(new, dtype=float)
    gains = _gains(after - before, weights, seed, counted)
    low, high = np.quantile(gains, (0.025, 0.975))
    mean_before, mean_after = (
        sum(weight * float(scores[items].mean()) for items, weight in weights) for scores in (before, after)
    )
    return Comparison(len(old), mean_before, mean_after, float(low), float(high), _above(gains, 0.0))


def p_loss_below(
    old: Sequence[float],
    new: Sequence[float],
    margin: float,
    seed: int = 0,
    strata: Sequence[Stratum] | None = None,
    shares: Mapping[Stratum, float] | None = None,
    counted: int = 0,
) -> float:
    """Return P(loss < margin), a tie counted as half: how sure it is that `new` is not worse by as much as `margin`.

    The margin is in the metric's units: 0.02 are two points of 100. `strata`, `shares` and `counted` are as in
    `stratified`; without strata and shares all items count alike. Raises ValueError as that does.
    """
    import numpy as np

    if strata is None or shares is None:
        weights = _weights(old, new, [0] * len(old), {0: 1.0})
    else:
        weights = _weights(old, new, strata, shares)
    difference = np.asarray(new, dtype=float) - np.asarray(old, dtype=float)
    return _above(_gains(difference, weights, seed, counted), -margin)


def interval(scores: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of a mean score. Raises ValueError where there are no scores.

    It is Wilson's where every score is 0 or 1 (ten of ten right do not make a workflow certain), else a bootstrap's.
    """
    import numpy as np

    if not scores:
        raise ValueError("no scores")
    if all(score in (0.0, 1.0) for score in scores):
        return wilson(sum(scores) / len(scores), len(scores))
    means = _resampled(np.asarray(scores, dtype=float), np.random.default_rng(seed))
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share of so many trials."""
    square = Z * Z / count
    middle = (share + square / 2) / (1 + square)
    reach = math.sqrt(share * (1 - share) * square + square * square / 4) / (1 + square)
    return min(share, max(0.0, middle - reach)), max(share, min(1.0, middle + reach))  # rounding never leaves it out


def pooled(repeats: Sequence[Sequence[float]]) -> list[float]:
    """Return each item's mean score over repeats, which are runs of one workflow on the same items in the same order.

    Raises ValueError where there are none or they differ in length.
    """
    if not repeats or len({len(scores) for scores in repeats}) > 1:
        raise ValueError(f"cannot pool repeats of {[len(scores) for scores in repeats]} items")
    return [sum(scores) / len(repeats) for scores in zip(*repeats, strict=True)]


def passes(scores: Sequence[float]) -> list[bool]:
    """Tell which items a workflow passes: those at or above its mean score, all of them where all are equal."""
    mean = sum(scores) / len(scores) if scores else 0.0
    return [score >= mean - TINY for score in scores]


def flips(old: Mapping[str, float], new: Mapping[str, float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the ids that score higher in `new` (fixed) and those that score lower (broken), of items in both."""
    both = [each for each in old if each in new]
    fixed = tuple(each for each in both if new[each] > old[each] + TINY)
    return fixed, tuple(each for each in both if new[each] < old[each] - TINY)


def rungs(scores: Mapping[str, float], sizes: Sequence[int], seed: int | str) -> list[list[str]]:
    """Return the items of a race's rungs by id: each rung holds the one before it, the last holds all items.

    `scores` are the parent's on all of val, `sizes` those of the rungs before the last; one above half of val is
    skipped. The draw depends on ids and seed alone, not on the mapping's order. The first rung has at least five items
    that the parent fails and five that it passes, where there are (half a rung of each, where it is smaller).
    """
    deck = sorted(scores)
    random.Random(f"{seed}|rungs").shuffle(deck)
    passed = dict(zip(scores, passes(list(scores.values())), strict=True))
    steps = before_last(sizes, len(deck))
    if steps:
        least = min(LEAST, steps[0] // 2)
        held = [each for kind in (False, True) for each in [each for each in deck if passed[each] is kind][:least]]
        rest = [each for each in deck if each not in set(held)]
        first = {*held, *rest[: steps[0] - len(held)]}
        deck.sort(key=lambda each: each not in first)
    return [deck[:size] for size in (*steps, len(deck))]


def before_last(sizes: Sequence[int], count: int) -> list[int]:
    """Return the sizes of a race's rungs before the last, on so many items: those up to their half, else a third."""
    steps = sorted({size for size in sizes if 0 < size <= count / 2})
    return steps or [count // 3] * (bool(sizes) and count >= FEW)


def first_rung(sizes: Sequence[int], count: int) -> int:
    """Return how many of so many items a race begins with."""
    return min(before_last(sizes, count), default=count)


def chance(p: float) -> str:
    """Return P(gain > 0) in words; no sample makes it certain."""
    return "P(gain > 0) > 0.999" if p > 0.9995 else "P(gain > 0) < 0.001" if p < 0.0005 else f"P(gain > 0) = {p:.3f}"


def needed(tested: int) -> float:
    """Return the P(gain > 0) that accepts a child; `tested` counts the children tested on this val, it included.

    It rises with them: the more are tried, the more win by luck.
    """
    return next((level for upto, level in LEVELS if tested <= upto), LAST_LEVEL)


def _weights(
    old: Sequence[float], new: Sequence[float], strata: Sequence[Stratum], shares: Mapping[Stratum, float]
) -> list[tuple[list[int], float]]:
    """Return the items and the weight of each stratum that counts; the weights sum to 1."""
    if len(old) != len(new) or not old:
        raise ValueError(f"cannot pair {len(old)} scores with {len(new)}")
    if len(strata) != len(old):
        raise ValueError(f"cannot give {len(old)} scores {len(strata)} strata")
    items = {each: [at for at, stratum in enumerate(strata) if stratum == each] for each in sorted(set(strata))}
    known = {each: share for each in items if (share := shares.get(each, 0.0)) > 0}
    total = sum(known.values())
    if not known:
        raise ValueError(f"no item is of a stratum with a share (shares: {dict(shares)})")
    return [(items[each], share / total) for each, share in known.items()]


def _gains(difference: Floats, weights: Sequence[tuple[list[int], float]], seed: int, counted: int) -> Floats:
    """Return the resampled means of a difference, drawn within strata and weighted."""
    import numpy as np

    draw = np.random.default_rng(seed)
    means = np.stack([_resampled(difference[items], draw) for items, _ in weights], axis=1)
    shares = np.asarray([weight for _, weight in weights])
    if counted:
        shares = draw.multinomial(counted, shares, size=RESAMPLES) / counted
    return (means * shares).sum(axis=1)


def _resampled(values: Floats, draw: np.random.Generator) -> Floats:
    """Return the means of so many resamples of values."""
    import numpy as np

    n = len(values)
    narrow = np.uint16 if n <= 1 << 16 else np.int64  # half the time of wide indices
    rows = max(1, BLOCK // n)
    parts = [
        values[draw.integers(0, n, size=(min(rows, RESAMPLES - start), n), dtype=narrow)].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(parts)


def _above(gains: Floats, bound: float) -> float:
    """Return the share of gains above a bound, those at it counted as half."""
    beyond = gains - bound
    return float((beyond > TINY).mean() + 0.5 * (abs(beyond) <= TINY).mean())
