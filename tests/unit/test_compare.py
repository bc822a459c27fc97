"""Paired statistics: comparisons, strata, flips, and the items of a race."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowbot.search.compare import (
    Comparison,
    compare,
    flips,
    interval,
    needed,
    p_loss_below,
    passes,
    pooled,
    rungs,
    stratified,
)

scipy: Any = stats
bootstrap: Any = scipy.bootstrap
SCORES = st.floats(0, 1, allow_nan=False)


def paired(kind: str, n: int, seed: int) -> tuple[list[float], list[float]]:
    draw = random.Random(seed)
    if kind == "binary":
        return [float(draw.random() < 0.5) for _ in range(n)], [float(draw.random() < 0.65) for _ in range(n)]
    old = [draw.random() for _ in range(n)]
    return old, [min(1.0, max(0.0, score + draw.gauss(0.05, 0.2))) for score in old]


@pytest.mark.parametrize("kind", ["binary", "graded"])
@pytest.mark.parametrize("n", [12, 60, 300])
def test_the_interval_is_scipys(kind: str, n: int) -> None:
    old, new = paired(kind, n, n)
    found = compare(old, new, seed=3)
    difference = np.asarray(new) - np.asarray(old)
    oracle = bootstrap((difference,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    near = max(0.006, 1.1 / n if kind == "binary" else 0.0)  # a binary mean moves in steps of 1 / n
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=near)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=near)
    means = oracle.bootstrap_distribution
    p_gain = float((means > 1e-12).mean() + 0.5 * (abs(means) <= 1e-12).mean())
    assert found.p_gain == pytest.approx(p_gain, abs=0.015)
    assert found.gain == pytest.approx(float(difference.mean()))
    assert (found.old, found.new) == (pytest.approx(np.mean(old)), pytest.approx(np.mean(new)))


@pytest.mark.parametrize("n", [15, 200])
def test_the_interval_of_a_mean_is_scipys(n: int) -> None:
    scores, _ = paired("graded", n, 5)
    oracle = bootstrap((scores,), np.mean, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1))
    assert interval(scores) == pytest.approx(tuple(oracle.confidence_interval), abs=0.006)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (7, 10), (10, 10), (29, 44), (199, 200)])
def test_the_interval_of_a_share_is_scipys_of_wilson(right: int, count: int) -> None:
    found = scipy.binomtest(right, count).proportion_ci(method="wilson")
    assert interval([1.0] * right + [0.0] * (count - right)) == pytest.approx((found.low, found.high), abs=1e-6)


def test_a_tie_counts_as_half() -> None:
    found = compare([0.0, 1.0], [1.0, 0.0])  # means are -1, 0 and 1, with chances 1/4, 1/2 and 1/4
    assert found.p_gain == pytest.approx(0.5, abs=0.02)
    assert compare([0.0, 0.0], [1.0, 0.0]).p_gain == pytest.approx(0.75 + 0.125, abs=0.02)


@pytest.mark.parametrize("rows", [[0.5] * 7, [0.1, 0.2, 0.3]])
def test_equal_rows_are_a_tie(rows: Sequence[float]) -> None:
    found = compare(rows, rows)
    assert (found.gain, found.low, found.high, found.p_gain) == (0, 0, 0, 0.5)


def test_a_sure_gain_is_sure() -> None:
    found = compare([0.0] * 5, [1.0] * 5)
    assert (found.low, found.high, found.p_gain, found.n) == (1, 1, 1, 5)


@pytest.mark.parametrize(("old", "new"), [([], []), ([1.0], []), ([1.0], [1.0, 0.0])])
def test_rows_that_are_no_pairs_are_refused(old: list[float], new: list[float]) -> None:
    with pytest.raises(ValueError, match="cannot pair"):
        compare(old, new)


def test_the_draws_come_from_the_seed() -> None:
    old, new = paired("graded", 40, 1)
    assert compare(old, new, 1) == compare(old, new, 1)
    assert compare(old, new, 1) != compare(old, new, 2)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=1, max_size=20))
def test_what_holds_for_every_pair_of_rows(pairs: list[tuple[float, float]]) -> None:
    old, new = [a for a, _ in pairs], [b for _, b in pairs]
    found, back = compare(old, new), compare(new, old)
    assert found.low - 1e-9 <= found.high
    assert min(b - a for a, b in pairs) - 1e-9 <= found.low
    assert found.high <= max(b - a for a, b in pairs) + 1e-9
    assert 0 <= found.p_gain <= 1
    assert back.gain == pytest.approx(-found.gain)
    assert back.p_gain == pytest.approx(1 - found.p_gain, abs=1e-9)


def test_one_stratum_is_no_strata() -> None:
    old, new = paired("graded", 60, 2)
    assert stratified(old, new, [True] * 60, {True: 0.3}, 5) == compare(old, new, 5)
    assert stratified(old, new, [7] * 60, {7: 1.0, 8: 2.0}, 5) == compare(old, new, 5)
    assert stratified(old, new, [7] * 60, {7: 1.0}, 5, counted=60) == compare(old, new, 5)
    assert compare(old, new, 5).p_gain == p_loss_below(old, new, 0.0, 5)


def test_means_are_weighted_back_to_the_shares() -> None:
    old, new = [0.0, 0.0, 0.0, 1.0], [1.0, 1.0, 0.0, 0.0]
    found = stratified(old, new, [False, False, False, True], {False: 0.25, True: 0.75})
    assert (found.n, found.old, found.new) == (4, pytest.approx(0.75), pytest.approx(0.25 * 2 / 3))
    assert found.gain == pytest.approx(0.25 * 2 / 3 - 0.75)


def test_a_share_without_items_goes_to_the_others() -> None:
    old, new, strata = [0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 1.0, 0.0], [0, 0, 1, 1]
    assert stratified(old, new, strata, {0: 0.2, 1: 0.3, 2: 0.5}) == stratified(old, new, strata, {0: 0.4, 1: 0.6})


def test_items_without_a_share_count_for_nothing() -> None:
    found = stratified([0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0, 0, 1], {0: 1.0})
    assert (found.old, found.new, found.p_gain) == (0, 1, 1)
    with pytest.raises(ValueError, match="no item is of a stratum with a share"):
        stratified([0.0], [1.0], [0], {1: 1.0})


def test_strata_are_told_for_every_item() -> None:
    with pytest.raises(ValueError, match="cannot give 2 scores 1 strata"):
        stratified([0.0, 0.0], [1.0, 1.0], [0], {0: 1.0})
    with pytest.raises(ValueError, match="cannot pair 0 scores with 0"):
        stratified([], [], [], {0: 1.0})


def test_a_loss_within_the_margin() -> None:
    same = [0.0, 1.0, 1.0]
    assert p_loss_below(same, same, 0.02) == 1.0
    assert p_loss_below(same, same, 0.0) == 0.5
    assert p_loss_below([1.0] * 4, [0.98] * 4, 0.02) == 0.5
    assert p_loss_below([1.0] * 4, [0.9] * 4, 0.02) == 0.0
    old, new = [1.0] * 10, [1.0] * 8 + [0.0] * 2
    assert p_loss_below(old, new, 0.15) < p_loss_below(old, new, 0.35)
    strata = [1] * 8 + [0] * 2
    assert p_loss_below(old, new, 0.15, strata=strata, shares={0: 0.1, 1: 0.9}) == 1.0  # a tenth is lost for sure


def test_large_rows_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = paired("graded", 50, 3)
    whole = compare(old, new)
    monkeypatch.setattr("flowbot.search.compare.BLOCK", 170)
    found = compare(old, new)
    assert found.gain == whole.gain
    assert (found.low, found.high) == (pytest.approx(whole.low, abs=0.005), pytest.approx(whole.high, abs=0.005))


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no scores"):
        interval([])


@pytest.mark.parametrize(
    ("low", "high", "undecided"), [(-0.1, 0.1, True), (0.0, 0.2, True), (0.01, 0.2, False), (-0.2, -0.01, False)]
)
def test_an_interval_with_0_decides_nothing(low: float, high: float, undecided: bool) -> None:
    assert Comparison(9, 0.5, 0.6, low, high, 0.8).undecided is undecided


# ------------------------------------------------------------------ what is passed, what flips


@pytest.mark.parametrize(
    ("scores", "passed"),
    [
        ([1.0, 0.0, 0.0], [True, False, False]),
        ([1.0, 1.0, 1.0, 0.0], [True, True, True, False]),
        ([0.1, 0.1, 0.1], [True] * 3),
        ([0.0, 0.0], [True] * 2),
        ([0.2, 0.4, 0.9], [False, False, True]),
        ([], []),
    ],
)
def test_passes_are_at_or_above_the_mean(scores: list[float], passed: list[bool]) -> None:
    assert passes(scores) == passed


@given(st.lists(SCORES, min_size=1, max_size=30))
def test_some_item_is_always_passed(scores: list[float]) -> None:
    found = passes(scores)
    assert any(found)
    assert found[scores.index(max(scores))]


def test_flips_are_items_that_changed() -> None:
    old, new = {"a": 0.0, "b": 1.0, "c": 0.5, "d": 0.1, "e": 1.0}, {"b": 0.0, "a": 1.0, "c": 0.5, "d": 0.3, "f": 1.0}
    assert flips(old, new) == (("a", "d"), ("b",))
    assert flips(old, old) == ((), ())


def test_repeats_are_pooled_by_item() -> None:
    assert pooled([[0.0, 1.0, 1.0], [1.0, 1.0, 0.0]]) == [0.5, 1.0, 0.5]
    assert pooled([[0.25]]) == [0.25]
    for repeats in ([], [[1.0], [1.0, 0.0]]):
        with pytest.raises(ValueError, match="cannot pool"):
            pooled(repeats)


# ------------------------------------------------------------------ races


def half(n: int, right: int) -> dict[str, float]:
    return {f"item-{at}": float(at < right) for at in range(n)}


@pytest.mark.parametrize(
    ("n", "sizes"),
    [
        *((150, [16, 48, 150]), (96, [16, 48, 96]), (95, [16, 95]), (32, [16, 32])),
        *((31, [10, 31]), (12, [4, 12]), (11, [11]), (1, [1])),
    ],
)
def test_a_rung_above_half_of_val_is_skipped_and_a_third_stands_in_where_none_is_left(n: int, sizes: list[int]) -> None:
    assert [len(rung) for rung in rungs(half(n, n // 2), (16, 48), 0)] == sizes


@given(st.integers(1, 120), st.integers(0, 120), st.integers(0, 9))
def test_what_holds_for_all_rungs(n: int, right: int, seed: int) -> None:
    scores = half(n, right)
    found = rungs(scores, (16, 48), seed)
    assert sorted(found[-1]) == sorted(scores)
    for shorter, longer in itertools.pairwise(found):
        assert longer[: len(shorter)] == shorter
    passed = dict(zip(scores, passes(list(scores.values())), strict=True))
    for kind in (True, False):
        there = sum(each is kind for each in passed.values())
        assert sum(passed[each] is kind for each in found[0]) >= min(5, len(found[0]) // 2, there)


def test_a_small_first_rung_is_half_of_each() -> None:
    (first, *_) = rungs(half(40, 39), (4,), 1)
    assert len(first) == 4
    assert "item-39" in first


def test_a_draw_of_items_depends_on_seed_and_ids_alone() -> None:
    scores = half(100, 60)
    back = dict(reversed(scores.items()))
    assert rungs(scores, (16, 48), "0|1") == rungs(back, (16, 48), "0|1")
    assert rungs(scores, (16, 48), "0|1") != rungs(scores, (16, 48), "0|2")


def test_every_failure_is_as_likely_to_be_raced_on() -> None:
    scores = half(100, 80)
    counts = Counter(each for race in range(2000) for each in rungs(scores, (16, 48), f"0|{race}")[0])
    failing = [counts[each] for each, score in scores.items() if not score]
    passing = [counts[each] for each, score in scores.items() if score]
    assert min(failing) > 0.8 * max(failing)
    assert min(passing) > 0.6 * max(passing)
    assert sum(failing) + sum(passing) == 2000 * 16


@pytest.mark.parametrize(("tested", "level"), [(1, 0.9), (10, 0.9), (11, 0.95), (40, 0.95), (41, 0.98), (500, 0.98)])
def test_the_bar_rises_with_the_children_tested(tested: int, level: float) -> None:
    assert needed(tested) == level
