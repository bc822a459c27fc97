"""Paired statistics held to scipy, to exact enumeration, and to what they promise over many simulated races."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from scipy import stats

from flowbot.search.compare import compare, p_loss_below, passes, rungs, stratified

scipy: Any = stats


def world(draw: random.Random, n: int, right: float, flip: float, gain: float) -> tuple[list[float], list[float]]:
    """Return a parent and a child on n items: `flip` of all flip either way in equal parts, `gain` more are fixed."""
    old = [float(draw.random() < right) for _ in range(n)]
    broken, fixed = flip / 2 / right, (flip / 2 + gain) / (1 - right)
    return old, [float(draw.random() >= broken) if score else float(draw.random() < fixed) for score in old]


def shares_of(strata: Sequence[int]) -> dict[int, float]:
    return {each: strata.count(each) / len(strata) for each in (0, 1)}


def exact(groups: Sequence[tuple[float, Sequence[float]]]) -> float:
    """Return mid-P of the bootstrap's own distribution: every resample of every stratum, each as likely as another."""
    sums = {0.0: 1.0}
    for weight, difference in groups:
        means = [sum(draw) / len(draw) for draw in itertools.product(difference, repeat=len(difference))]
        step: dict[float, float] = {}
        for before, chance in sums.items():
            for mean in means:
                total = round(before + weight * mean, 10)
                step[total] = step.get(total, 0.0) + chance / len(means)
        sums = step
    return sum(chance for total, chance in sums.items() if total > 0) + 0.5 * sums.get(0.0, 0.0)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([0, 0, 1, 1], [1, 0, 1, 0]),
        ([0, 0, 0, 1, 1], [1, 1, 0, 1, 0]),
        ([0, 1, 1, 1, 1], [1, 1, 1, 1, 0]),
        ([0, 0, 0, 0, 0], [1, 0, 0, 0, 0]),
    ],
)
def test_mid_p_is_that_of_all_resamples(old: list[float], new: list[float]) -> None:
    difference = [b - a for a, b in zip(old, new, strict=True)]
    expected = exact([(1.0, difference)])
    assert compare(old, new).p_gain == pytest.approx(expected, abs=0.015)
    assert fmean(compare(old, new, seed).p_gain for seed in range(9)) == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_mid_p_within_strata_is_that_of_all_resamples(share: float) -> None:
    old, new = [0.0] * 4 + [1.0] * 3, [1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]
    found = [stratified(old, new, [0] * 4 + [1] * 3, {0: share, 1: 1 - share}, seed).p_gain for seed in range(9)]
    expected = exact([(share, [1, 1, 0, 0]), (1 - share, [0, 0, -1])])
    assert found == [pytest.approx(expected, abs=0.015)] * 9
    assert fmean(found) == pytest.approx(expected, abs=0.004)


def test_p_of_a_loss_is_that_of_all_resamples() -> None:
    old, new = [1.0] * 5, [1.0, 1.0, 1.0, 0.8, 0.9]
    margin = 0.05
    expected = exact([(1.0, [b - a + margin for a, b in zip(old, new, strict=True)])])
    assert p_loss_below(old, new, margin) == pytest.approx(expected, abs=0.015)


@pytest.mark.parametrize("n", [20, 80])
def test_the_stratified_interval_is_scipys(n: int) -> None:
    """scipy resamples several independent samples at once: the strata."""
    draw = random.Random(n)
    low, high = [draw.gauss(0.2, 0.3) for _ in range(n)], [draw.gauss(-0.1, 0.2) for _ in range(n // 2)]
    old = [0.5] * (n + n // 2)
    new = [0.5 + each for each in (*low, *high)]
    found = stratified(old, new, [0] * n + [1] * (n // 2), {0: 0.3, 1: 0.7}, seed=2)

    def gain(one: Any, other: Any, axis: int) -> Any:
        return 0.3 * one.mean(axis=axis) + 0.7 * other.mean(axis=axis)

    rng = np.random.default_rng(1)
    oracle = scipy.bootstrap((low, high), gain, n_resamples=20_000, method="percentile", vectorized=True, rng=rng)
    assert found.low == pytest.approx(oracle.confidence_interval.low, abs=0.006)
    assert found.high == pytest.approx(oracle.confidence_interval.high, abs=0.006)
    assert found.p_gain == pytest.approx(float((oracle.bootstrap_distribution > 0).mean()), abs=0.01)


@pytest.mark.parametrize("seed", range(4))
def test_the_tests_of_the_field_agree(seed: int) -> None:
    draw = random.Random(seed)
    old = [draw.random() for _ in range(80)]
    new = [score + draw.gauss(0.05 * (seed - 1.5), 0.2) for score in old]
    p_gain = compare(old, new).p_gain
    t_test = scipy.ttest_rel(new, old, alternative="greater").pvalue
    assert 1 - p_gain == pytest.approx(t_test, abs=0.03)

    def gain(one: Any, other: Any, axis: int) -> Any:
        return (one - other).mean(axis=axis)

    signs = scipy.permutation_test(
        (new, old),
        gain,
        permutation_type="samples",
        alternative="greater",
        n_resamples=4000,
        vectorized=True,
        rng=np.random.default_rng(0),
    ).pvalue
    assert 1 - p_gain == pytest.approx(signs, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("right", [0.5, 0.8])
def test_the_interval_covers_the_gain(right: float) -> None:
    draw = random.Random(7)
    held = 0
    for number in range(400):
        found = compare(*world(draw, 100, right, 0.2, 0.08), seed=number)
        held += found.low - 1e-9 <= 0.08 <= found.high + 1e-9
    assert 0.92 <= held / 400 <= 0.98  # by chance 95 % +- 2.2 points


@pytest.mark.slow
@pytest.mark.parametrize(("level", "most"), [(0.9, 0.135), (0.95, 0.08)])
@pytest.mark.parametrize(("right", "flip"), [(0.5, 0.2), (0.8, 0.3)])
def test_the_gate_accepts_as_few_equals_as_its_level_says(
    level: float, most: float, right: float, flip: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(3)
    monkeypatch.setattr("flowbot.search.compare.RESAMPLES", 3000)  # enough for a rate over so many races
    accepted = narrow = 0
    for number in range(400):
        old, new = world(draw, 100, right, flip, 0.0)
        strata = [int(each) for each in passes(old)]
        shares = shares_of(strata)
        accepted += stratified(old, new, strata, shares, number, counted=100).p_gain >= level
        narrow += stratified(old, new, strata, shares, number).p_gain >= level
    assert accepted / 400 <= most  # the level, what a bootstrap of 100 items lacks, and two standard errors
    assert narrow > accepted  # taking the shares for exact accepts more of them


def test_shares_that_were_counted_on_the_sample_give_the_plain_interval() -> None:
    draw = random.Random(5)
    old, new = world(draw, 120, 0.8, 0.3, 0.05)
    strata = [int(each) for each in passes(old)]
    found, plain = stratified(old, new, strata, shares_of(strata), counted=120), compare(old, new)
    assert found.gain == pytest.approx(plain.gain)
    assert (found.low, found.high) == (pytest.approx(plain.low, abs=0.009), pytest.approx(plain.high, abs=0.009))
    assert found.p_gain == pytest.approx(plain.p_gain, abs=0.015)


@pytest.mark.slow
def test_a_rung_with_more_failures_estimates_the_gain_without_bias() -> None:
    draw = random.Random(1)
    old, new = world(draw, 120, 0.85, 0.2, 0.05)
    ids = [f"item-{at}" for at in range(len(old))]
    before, after = dict(zip(ids, old, strict=True)), dict(zip(ids, new, strict=True))
    fails = dict(zip(ids, [int(each) for each in passes(old)], strict=True))
    shares = shares_of(list(fails.values()))
    errors: list[float] = []
    for race in range(600):
        items = rungs(before, (16, 48), f"0|{race}")[0]
        rows = [before[each] for each in items], [after[each] for each in items]
        errors.append(stratified(*rows, [fails[each] for each in items], shares).gain)
    truth = sum(new) / 120 - sum(old) / 120
    error = sum(errors) / 600 - truth
    assert abs(error) <= 3 * float(np.std(errors)) / 600**0.5
