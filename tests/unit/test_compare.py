"""Paired statistics, held to scipy's bootstrap."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from flowbot.search.compare import compare, interval

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
