"""Statistics of repeated runs: held to scipy, to cases by hand, and to how often the intervals hold the truth."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowbot.bench.statistics import (
    critical_difference,
    difference,
    friedman,
    holm,
    mean,
    mean_ranks,
    ranked,
)

scipy: Any = stats
Runs = dict[int, dict[str, float]]
SCORE = st.floats(0, 1).map(lambda value: round(value, 3))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Runs, Runs]:
    """Two methods on the same items: one to four seeds, of one to eight items each."""
    sizes = draw(st.lists(st.integers(1, 8), min_size=1, max_size=4))
    shape = {seed: [f"t{at}" for at in range(size)] for seed, size in enumerate(sizes)}
    old, new = ({seed: {each: draw(SCORE) for each in items} for seed, items in shape.items()} for _ in "ab")
    return old, new


def shuffled(runs: Runs, order: int) -> Runs:
    draw = random.Random(order)
    seeds = draw.sample(sorted(runs), len(runs))
    return {seed: dict(draw.sample(list(runs[seed].items()), len(runs[seed]))) for seed in seeds}


def binary(n: int, p: float, seed: int) -> dict[str, float]:
    draw = random.Random(seed)
    return {f"t{at}": float(draw.random() < p) for at in range(n)}


# ------------------------------------------------------------------ properties


@given(pairs())
def test_the_interval_holds_the_mean(found: tuple[Runs, Runs]) -> None:
    old, new = found
    each = mean(old)
    assert each.low <= each.value <= each.high
    assert each.value == pytest.approx(np.mean([np.mean(list(scores.values())) for scores in old.values()]))
    assert (each.seeds, each.items) == (len(old), sum(map(len, old.values())))
    gap = difference(old, new)
    assert gap.low <= gap.value <= gap.high
    assert 0 <= gap.p_above <= 1
    assert 0 < gap.p <= 1


@given(pairs())
def test_swapped_methods_mirror_the_difference(found: tuple[Runs, Runs]) -> None:
    old, new = found
    one, other = difference(old, new), difference(new, old)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))
    assert one.p_above == pytest.approx(1 - other.p_above)
    assert one.p == other.p


@given(pairs(), st.integers(0, 99))
def test_the_order_of_items_and_seeds_changes_nothing(found: tuple[Runs, Runs], order: int) -> None:
    old, new = found
    assert difference(shuffled(old, order), shuffled(new, order + 1)) == difference(old, new)
    assert mean(shuffled(old, order)) == mean(old)


@given(pairs())
def test_a_method_does_not_differ_from_itself(found: tuple[Runs, Runs]) -> None:
    same = difference(found[0], found[0])
    assert (same.value, same.low, same.high, same.p_above, same.p) == (0, 0, 0, 0.5, 1)
    assert same.undecided


# ------------------------------------------------------------------ means and differences


@pytest.mark.parametrize("n", [20, 200])
def test_the_interval_of_one_seed_is_scipys(n: int) -> None:
    scores = {f"t{at}": value for at, value in enumerate(np.random.default_rng(n).random(n))}
    found = mean({4: scores})
    oracle = scipy.bootstrap((list(scores.values()),), np.mean, n_resamples=20_000, method="percentile", rng=1)
    assert (found.low, found.high) == pytest.approx(tuple(oracle.confidence_interval), abs=0.012)
    assert found.items_only
    assert not mean({4: scores, 5: scores}).items_only


def test_a_test_that_seeds_share_is_not_counted_twice() -> None:
    """The same items asked three times say as little as once; three tests of their own say more."""
    scores = binary(60, 0.6, 1)
    once, shared = mean({0: scores}), mean(dict.fromkeys(range(3), scores))
    assert shared.high - shared.low == pytest.approx(once.high - once.low, rel=0.05)
    own = {seed: {f"{seed}.{item}": value for item, value in scores.items()} for seed in range(3)}
    assert mean(own).high - mean(own).low < 0.9 * (once.high - once.low)


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = mean({seed: binary(400, 0.5, 7) for seed in range(4)})
    differ = mean({seed: binary(400, 0.2 + 0.2 * seed, 7) for seed in range(4)})
    assert differ.high - differ.low > 2.5 * (alike.high - alike.low)


def test_one_seed_fewer_is_drawn_than_there_are() -> None:
    """Three of four: the lowest is drawn thrice in 1 of 64, so the interval begins at twice the lowest and the next."""
    found = mean({seed: {"a": float(seed)} for seed in range(4)})
    assert (found.low, found.high) == pytest.approx((1 / 3, 3 - 1 / 3))


def test_means_of_seeds_count_alike_whatever_their_items() -> None:
    assert mean({0: {"a": 1.0}, 1: {"a": 0.0, "b": 0.0, "c": 0.0}}).value == 0.5


def test_one_item_decides_nothing() -> None:
    """It is drawn in 63 of 100 resamples; in the others the two methods tie."""
    old = {0: {f"t{at}": 0.5 for at in range(20)}}
    found = difference(old, {0: old[0] | {"t3": 1.0}})
    assert found.undecided
    assert found.p == 1
    assert found.p_above == pytest.approx(1 - math.exp(-1) / 2, abs=0.02)


def test_a_difference_is_of_shared_seeds_and_items() -> None:
    old = {0: {"a": 0.0, "b": 1.0}, 1: {"a": 0.0}}
    found = difference(old, {0: {"a": 1.0, "c": 0.0}, 2: {"a": 0.0}})
    assert (found.value, found.seeds, found.items) == (1.0, 1, 1)
    for other in ({2: {"a": 1.0}}, {1: {"b": 1.0}}, {}):
        with pytest.raises(ValueError, match="share no item"):
            difference(old, other)
    with pytest.raises(ValueError, match="no scores"):
        mean({0: {}})


def test_few_flips_are_all_counted() -> None:
    """Four differences of one sign: 2 of the 16 sign patterns are as far from 0."""
    old, new = {0: dict.fromkeys("abcd", 0.0)}, {0: dict.fromkeys("abcd", 1.0)}
    assert difference(old, new).p == 2 / 16
    fixed = {0: {"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0}}
    assert difference(fixed, {0: {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0}}).p == pytest.approx(10 / 16)


def _gap(x: Any, y: Any) -> Any:
    return (x - y).mean()


@pytest.mark.parametrize("n", [10, 80])
def test_the_permutation_test_is_scipys(n: int) -> None:
    draw = np.random.default_rng(n)
    old, new = draw.random(n), draw.random(n) + 0.1
    before, after = ({0: dict(zip(map(str, range(n)), scores, strict=True))} for scores in (old, new))
    found = difference(before, after)
    oracle = scipy.permutation_test((new, old), _gap, permutation_type="samples", n_resamples=20_000, rng=2)
    assert found.p == pytest.approx(oracle.pvalue, abs=1e-9 if n == 10 else 0.012)


def test_binary_flips_are_the_sign_test() -> None:
    old, new = binary(300, 0.5, 3), binary(300, 0.58, 4)
    up, down = (sum(1 for at in old if sign * (new[at] - old[at]) > 0) for sign in (1, -1))
    assert difference({0: old}, {0: new}).p == pytest.approx(scipy.binomtest(up, up + down).pvalue, abs=0.01)


# ------------------------------------------------------------------ many methods


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_what_its_steps_say(chances: list[float]) -> None:
    found = holm(chances)
    for at, p in enumerate(chances):
        below = [other for other in chances if other <= p]
        steps = [min(1.0, (len(chances) - rank) * other) for rank, other in enumerate(sorted(below))]
        assert found[at] == pytest.approx(max(steps))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


@given(st.lists(SCORE, min_size=1, max_size=9))
def test_ranks_are_scipys(values: list[float]) -> None:
    found = ranked({str(at): value for at, value in enumerate(values)})
    oracle = scipy.rankdata([-value for value in values])
    assert [found[str(at)] for at in range(len(values))] == pytest.approx(list(oracle))


def cells(n: int, k: int, seed: int, lift: float = 0.0) -> list[Mapping[str, float]]:
    draw = random.Random(seed)
    return [{f"m{at}": round(draw.random() + lift * at, 1) for at in range(k)} for _ in range(n)]


@pytest.mark.parametrize(("n", "k"), [(5, 3), (12, 4), (30, 7), (9, 10)])
@pytest.mark.parametrize("lift", [0.0, 0.2])
def test_friedman_is_scipys_with_ties(n: int, k: int, lift: float) -> None:
    found = cells(n, k, n + k, lift)
    oracle = scipy.friedmanchisquare(*([cell[f"m{at}"] for cell in found] for at in range(k)))
    assert friedman(found).chi2 == pytest.approx(oracle.statistic)
    assert friedman(found).p == pytest.approx(oracle.pvalue)


def test_friedman_of_equals_and_of_too_few() -> None:
    assert friedman([{"a": 1.0, "b": 1.0, "c": 1.0}] * 6).p == 1
    with pytest.raises(ValueError, match="three methods"):
        friedman([{"a": 1.0, "b": 0.0}])
    for wrong in ([], [{"a": 1.0}, {"b": 1.0}]):
        with pytest.raises(ValueError, match="cells of different methods"):
            mean_ranks(wrong)


def test_mean_ranks_with_their_interval() -> None:
    sure = mean_ranks([{"a": 0.9, "b": 0.5, "c": 0.5}] * 6)
    assert {name: each.value for name, each in sure.items()} == {"a": 1, "b": 2.5, "c": 2.5}
    assert (sure["a"].low, sure["a"].high, sure["a"].seeds) == (1, 1, 6)
    mixed = mean_ranks([{"a": float(at % 2), "b": 0.5} for at in range(20)])
    assert mixed["a"].low < mixed["a"].value == 1.5 < mixed["a"].high


def test_nemenyi_is_the_studentized_range() -> None:
    for methods in range(2, 21):
        oracle = scipy.studentized_range.ppf(0.95, methods, math.inf) / math.sqrt(2)
        assert critical_difference(methods, 6) == pytest.approx(
            oracle * math.sqrt(methods * (methods + 1) / 36), abs=1e-3
        )
    assert critical_difference(21, 6) is None
    assert critical_difference(1, 6) is None


# ------------------------------------------------------------------ coverage


@pytest.mark.slow
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("between", [0.0, 1.0])
def test_the_interval_holds_the_truth(shared: bool, between: float) -> None:
    """Three seeds of 40 items, seeds that differ by `between` standard errors of a test: at least 90 of 100 hold."""
    draw, hits, times = np.random.default_rng(5), 0, 200
    for _ in range(times):
        hard = draw.normal(0, 0.8, (1 if shared else 3, 40))
        values = draw.normal(0, between / math.sqrt(40), (3, 1)) + hard + draw.normal(0, 0.6, (3, 40))
        runs = {
            seed: {f"{'' if shared else seed}.{at}": float(value) for at, value in enumerate(row)}
            for seed, row in enumerate(values)
        }
        found = mean(runs)
        hits += found.low <= 0 <= found.high
    assert hits >= 0.9 * times


@pytest.mark.slow
def test_equal_methods_are_rarely_told_apart() -> None:
    """Of 200 pairs of equal methods, p is at most 5 % in about ten."""
    low = sum(difference({0: binary(60, 0.5, at)}, {0: binary(60, 0.5, -at - 1)}).p <= 0.05 for at in range(200))
    assert low <= 20
