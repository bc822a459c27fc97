"""The pool: who stays, who is on the front, who is drawn, and who is the finalist of a preference."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.search.lab import Candidate, Row
from flowbot.search.pool import MOST, Pool, front_of
from tests.sessions import call, flow


def row(name: str, *scores: float, cost: float = 10.0) -> Row:
    """Return a row of a workflow of one call; prompts of one length."""
    return Row(Candidate(flow(call("say", "q", prompt=f"Say {name:<8}."))), "val", scores, cost)


def pool(*rows: Row) -> Pool:
    """Return a pool of rows; the first is the start and the incumbent."""
    made = Pool(rows[0], rows[0], [rows[0]])
    for each in rows[1:]:
        made.put(each)
    return made


def ids(rows: tuple[Row, ...] | list[Row]) -> list[str]:
    return [each.candidate.id for each in rows]


def test_a_dominated_member_goes_and_the_start_stays() -> None:
    start, low, high = row("start", 0, 0, 1), row("low", 1, 0, 0, cost=20), row("high", 1, 1, 1, cost=15)
    made = pool(start, low)
    assert ids(made.members) == ids([start, low])
    made.put(high)
    assert ids(made.members) == ids([start, high])  # low wins on fewer items, and costs more


def test_one_that_is_worse_but_cheaper_stays() -> None:
    start, cheap = row("start", 1, 1, 0), row("cheap", 1, 0, 0, cost=2)
    assert ids(pool(start, cheap).members) == ids([start, cheap])


def test_admits_says_who_would_stay() -> None:
    made = pool(row("start", 1, 1, 0))
    assert made.admits(row("other", 0, 0, 1))
    assert not made.admits(row("worse", 1, 0, 0, cost=11))


def test_a_row_takes_the_place_of_an_older_one_of_its_workflow() -> None:
    start = row("start", 1, 0)
    made = pool(start)
    again = Row(start.candidate, "val", (0.5, 0.0), start.cost)
    made.put(again)
    assert made.members == [again]
    assert made.start is again
    assert made.best is again


def test_the_front_is_score_against_cost() -> None:
    cheap, dear, waste = row("cheap", 0, 1, cost=1), row("dear", 1, 1, cost=9), row("waste", 0, 1, cost=5)
    assert ids(front_of([dear, waste, cheap])) == ids([cheap, dear])


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 9)), min_size=1, max_size=12))
def test_no_member_of_the_front_is_beaten_on_both(points: list[tuple[float, int]]) -> None:
    rows = [row(str(place), mean, cost=cost) for place, (mean, cost) in enumerate(points)]
    front = front_of(rows)
    for one in front:
        assert not any(other.mean >= one.mean and other.cost < one.cost for other in rows)
        assert not any(other.mean > one.mean and other.cost <= one.cost for other in rows)
    assert [each.cost for each in front] == sorted({each.cost for each in front})


def test_it_keeps_so_many_at_most() -> None:
    start = row("start", *[1.0] * 40, cost=1)
    made = pool(start, *(row(f"m{n}", *[float(n == at) for at in range(40)], cost=1 / (n + 2)) for n in range(39)))
    assert len(made.members) <= MOST
    assert start in made.members


@pytest.mark.parametrize(("prefer", "first"), [("score", "dear"), ("balanced", "middle"), ("cheap", "cheap")])
def test_a_preference_ranks_the_finalists(prefer: str, first: str) -> None:
    start = row("start", *[1.0] * 70, *[0.0] * 30, cost=10)
    named = {
        "dear": row("dear", *[1.0] * 90, *[0.0] * 10, cost=30),
        "middle": row("middle", *[1.0] * 89, *[0.0] * 11, cost=12),
        "cheap": row("cheap", *[0.0] * 31, *[1.0] * 69, cost=2),
        "poor": row("poor", *[0.0] * 60, *[1.0] * 40, cost=1),
    }
    made = Pool(start, named["dear"], [start, *named.values()])
    assert made.ranked(prefer, 0.02)[0] == named[first]


def test_the_parent_is_mostly_the_incumbent() -> None:
    start, best, other = row("start", 0, 1), row("best", 1, 1, cost=30), row("other", 0, 1, cost=5)
    made = Pool(start, best, [start, best, other])
    drawn = Counter(made.draw(f"seed {n}", 0.85).id for n in range(2000))
    assert 0.85 < drawn[best.candidate.id] / 2000 < 0.98
    assert drawn[other.candidate.id] > drawn[start.candidate.id] > 0  # at half of its cost
    assert made.draw("seed 1", 0.85) == made.draw("seed 1", 0.85)


def test_cheap_does_not_mean_the_start_itself() -> None:
    start, better = row("start", *[1.0] * 5, *[0.0] * 5, cost=1), row("better", *[1.0] * 8, *[0.0] * 2, cost=3)
    made = Pool(start, better, [start, better])
    assert [made.ranked(prefer, 0.02)[0] for prefer in ("cheap", "balanced")] == [better, better]
