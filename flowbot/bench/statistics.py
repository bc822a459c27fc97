"""Statistics of repeated runs: means, paired differences and ranks, over seeds and the test items of each.

Two things are drawn anew: the seeds (another search would have found another program) and the items (another test would
have asked other questions). An item is drawn as one in all seeds that hold it, so seeds that share a test do not count
its items several times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Scores = Mapping[int, Mapping[str, float]]  # seed -> item -> score

RESAMPLES = 8_000
FLIPS = 20_000  # random sign flips, so no p is below 1 / (FLIPS + 1)
EXACT = 14  # differences up to which all sign flips are counted
BLOCK = 1_000_000  # numbers drawn at once, so that memory stays flat
TINY = 1e-12  # differences below it are rounding
LEVEL = 0.05
NEMENYI = (  # studentized range at 0.95 over the square root of 2, for 2, 3, ... methods
    *(1.9600, 2.3437, 2.5690, 2.7278, 2.8497, 2.9483, 3.0309, 3.1017, 3.1637, 3.2187),
    *(3.2680, 3.3127, 3.3536, 3.3912, 3.4260, 3.4584, 3.4887, 3.5171, 3.5438),
)


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval, over so many seeds (or cells, of a rank) and `items` scores."""

    value: float
    low: float
    high: float
    seeds: int
    items: int

    @property
    def items_only(self) -> bool:
        """True where one seed was run: the interval says nothing of what another search would have found."""
        return self.seeds == 1


@dataclass(frozen=True)
class Difference(Estimate):
    """A paired difference `new - old`. `p_above` is P(difference > 0), a tie counted as half; `p` is that of the
    permutation test, two-sided and not corrected."""

    p_above: float
    p: float

    @property
    def undecided(self) -> bool:
        """True where the interval holds 0."""
        return self.low <= TINY and self.high >= -TINY


@dataclass(frozen=True)
class Friedman:
    """Friedman's test that all methods rank alike: chi-square over the blocks, and its p."""

    chi2: float
    p: float


def mean(scores: Scores, seed: int = 0) -> Estimate:
    """Return the mean over seeds of the mean over items, with a bootstrap interval drawn by `seed`.

    Seeds are drawn S - 1 of S with replacement, which keeps the variance of so few unbiased (Rao and Wu, 1988); an item
    is drawn Poisson(1) times. One seed: items only. Raises ValueError where there is no seed, or one without scores.
    """
    values, there = _laid(scores)
    return Estimate(*_bounded(values, _resampled(values, there, seed), there), len(values), int(there.sum()))


def difference(old: Scores, new: Scores, seed: int = 0) -> Difference:
    """Compare two methods on the items and seeds that both have; draws as `mean`. Swapped, it is the mirror image.

    Raises ValueError where they share no item of a seed.
    """
    import numpy as np

    both = {each: _subtracted(old[each], new[each]) for each in old if each in new}
    paired = {each: found for each, found in both.items() if found}
    if not paired:
        raise ValueError("the two methods share no item of a seed")
    values, there = _laid(paired)
    means = _resampled(values, there, seed)
    above = float((means > TINY).mean() + 0.5 * (np.abs(means) <= TINY).mean())
    bounds = _bounded(values, means, there)
    return Difference(*bounds, len(values), int(there.sum()), above, _flipped(values, there, seed))


def holm(chances: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number by Holm's steps, in the order given."""
    order = sorted(range(len(chances)), key=lambda at: chances[at])
    corrected, highest = [1.0] * len(chances), 0.0
    for step, at in enumerate(order):
        highest = max(highest, min(1.0, (len(chances) - step) * chances[at]))
        corrected[at] = highest
    return corrected


def ranked(scores: Mapping[str, float]) -> dict[str, float]:
    """Return each method's rank by score, 1 the best; those that tie share the mean of their ranks."""
    order = sorted(scores, key=lambda name: -scores[name])
    found: dict[str, float] = {}
    for _, group in groupby(order, key=lambda name: round(scores[name], 12)):
        names = list(group)
        found |= dict.fromkeys(names, len(found) + (len(names) + 1) / 2)
    return found


def mean_ranks(cells: Sequence[Mapping[str, float]], seed: int = 0) -> dict[str, Estimate]:
    """Return each method's mean rank over cells of scores by method, with a bootstrap interval over the cells.

    Every cell holds the same methods. `seeds` of an estimate counts the cells. Raises ValueError where there are none
    or their methods differ.
    """
    import numpy as np

    names, ranks = _rank_table(cells)
    drawn = np.random.default_rng(seed).multinomial(len(ranks), np.full(len(ranks), 1 / len(ranks)), size=RESAMPLES)
    low, high = np.quantile(drawn @ ranks / len(ranks), (0.025, 0.975), axis=0)
    values = ranks.mean(axis=0)
    return {
        name: Estimate(float(values[at]), float(low[at]), float(high[at]), len(ranks), len(ranks))
        for at, name in enumerate(names)
    }


def friedman(cells: Sequence[Mapping[str, float]]) -> Friedman:
    """Test whether all methods rank alike over blocks of scores by method, corrected for ties.

    Raises ValueError as `mean_ranks`, and for fewer than three methods.
    """
    names, ranks = _rank_table(cells)
    n, k = ranks.shape
    if len(names) < 3:
        raise ValueError(f"Friedman's test needs three methods, not {len(names)}")
    spread = n * float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    within = float(((ranks - (k + 1) / 2) ** 2).sum()) / (n * (k - 1))  # k (k + 1) / 12 where nothing ties
    if within <= TINY:
        return Friedman(0.0, 1.0)
    return Friedman(spread / within, _chi2_above(spread / within, k - 1))


def critical_difference(methods: int, blocks: int) -> float | None:
    """Return Nemenyi's critical difference of mean ranks at 5 %; None for fewer than 2 or more than 20 methods."""
    if not 2 <= methods < 2 + len(NEMENYI):
        return None
    return NEMENYI[methods - 2] * math.sqrt(methods * (methods + 1) / (6 * blocks))


def _laid(scores: Scores) -> tuple[Floats, Floats]:
    """Return scores by seed and item, and 1 where there is one; the order of seeds and items does not matter."""
    import numpy as np

    if not scores or not all(scores.values()):
        raise ValueError("no scores, or a seed without any")
    items = {item: at for at, item in enumerate(sorted({item for found in scores.values() for item in found}))}
    values, there = np.zeros((len(scores), len(items))), np.zeros((len(scores), len(items)))
    for row, each in enumerate(sorted(scores)):
        at = [items[item] for item in scores[each]]
        values[row, at], there[row, at] = list(scores[each].values()), 1.0
    return values, there


def _subtracted(old: Mapping[str, float], new: Mapping[str, float]) -> dict[str, float]:
    return {item: new[item] - old[item] for item in old if item in new}


def _resampled(values: Floats, there: Floats, seed: int) -> Floats:
    """Return means of resamples: seeds drawn, and items, each as often in all seeds that hold it."""
    import numpy as np

    draw = np.random.default_rng(seed)
    seeds, items = values.shape
    drawn = max(1, seeds - 1)
    poisson = _poisson(1 << 16)
    whole = values.sum(axis=1) / there.sum(axis=1)  # of a seed where nothing was drawn
    rows = max(1, BLOCK // items)
    parts: list[Floats] = []
    for start in range(0, RESAMPLES, rows):
        count = min(rows, RESAMPLES - start)
        times = poisson[draw.integers(0, len(poisson), (count, items), dtype=np.uint16)]
        sums, counts = times @ values.T, times @ there.T
        means = np.where(counts > 0, sums / np.maximum(counts, 1.0), whole)
        shares = draw.multinomial(drawn, np.full(seeds, 1 / seeds), size=count) / drawn
        parts.append((means * shares).sum(axis=1))
    return np.concatenate(parts)


def _poisson(size: int) -> Floats:
    """Return Poisson(1) counts in their shares: a lookup is many times faster than a draw."""
    import numpy as np

    below = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(12)])
    return np.searchsorted(below, (np.arange(size) + 0.5) / size).astype(np.float64)


def _bounded(values: Floats, means: Floats, there: Floats) -> tuple[float, float, float]:
    """Return the mean and the interval; rounding never puts the mean outside."""
    import numpy as np

    value = float((values.sum(axis=1) / there.sum(axis=1)).mean())
    low, high = np.quantile(means, (0.025, 0.975))
    return value, min(float(low), value), max(float(high), value)


def _flipped(values: Floats, there: Floats, seed: int) -> float:
    """Return the two-sided p of the mean difference under random signs of the items' differences.

    Under the hypothesis the two methods' scores of an item could as well be swapped, in all seeds at once.
    """
    import numpy as np

    parts = (values / there.sum(axis=1, keepdims=True)).sum(axis=0) / len(values)
    parts = parts[np.abs(parts) > TINY]
    if not len(parts):
        return 1.0
    least = abs(float(parts.sum())) - TINY
    if len(parts) <= EXACT:
        codes = np.arange(1 << len(parts))[:, None]
        return float((np.abs(_signed((codes >> np.arange(len(parts))) & 1, parts)) >= least).mean())
    draw = np.random.default_rng(seed)
    rows, hits = max(1, BLOCK // len(parts)), 0
    for start in range(0, FLIPS, rows):
        bits = draw.integers(0, 2, size=(min(rows, FLIPS - start), len(parts)), dtype=np.uint8)
        hits += int((np.abs(_signed(bits, parts)) >= least).sum())
    return (hits + 1) / (FLIPS + 1)


def _signed(bits: NDArray[np.integer], parts: Floats) -> Floats:
    return 2 * (bits @ parts) - parts.sum()


def _rank_table(cells: Sequence[Mapping[str, float]]) -> tuple[list[str], Floats]:
    """Return the methods by name and their ranks, a row a cell."""
    import numpy as np

    kinds = {frozenset(cell) for cell in cells}
    if len(kinds) != 1 or not cells[0]:
        raise ValueError("no cells, or cells of different methods")
    names = sorted(cells[0])
    found = [ranked(cell) for cell in cells]
    return names, np.asarray([[ranks[name] for name in names] for ranks in found])


def _chi2_above(value: float, freedom: int) -> float:
    """Return P(chi-square > value) for whole degrees of freedom, by the finite sums of the incomplete gamma."""
    half, odd = value / 2, freedom % 2
    found = math.erfc(math.sqrt(half)) if odd else 0.0
    powers = (at + odd / 2 for at in range(freedom // 2))
    return found + sum(math.exp(-half) * half**power / math.gamma(power + 1) for power in powers)
