"""What a day may cost: reserved before, settled after, in a file that outlives its process."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from flowbot.errors import InputError
from flowbot.faces.serve.day import DAY, SHARE, Day, DayReached
from flowbot.money import Budget, Usage

CENT = Usage(1, 5, 5, usd=0.01)


def test_the_wall_holds_and_gives_back(tmp_path: Path) -> None:
    day = Day(tmp_path / "d.sqlite", Budget(usd=0.03))
    for _ in range(3):
        day.reserve(CENT)
    with pytest.raises(DayReached):
        day.reserve(CENT)
    day.settle(CENT, Usage(1, 5, 5, usd=0.002))
    day.settle(CENT, None)
    day.reserve(CENT)
    assert day.spent.usd == pytest.approx(0.022)
    with pytest.raises(DayReached):
        day.reserve(CENT)


def test_what_was_in_flight_counts_after_a_kill_and_an_orderly_end_gives_back(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    day = Day(file, Budget(usd=1.0))
    day.reserve(CENT)
    day.settle(CENT, CENT)
    day.reserve(CENT)
    again = Day(file, Budget(usd=1.0))  # as after a kill
    assert 0.02 <= (again.spent.usd or 0) <= 0.02 + SHARE + 1e-9
    day.settle(CENT, None)
    day.close()
    assert Day(file, Budget(usd=1.0)).spent.usd == pytest.approx(0.01)


def test_two_processes_share_a_day(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    days = [Day(file, Budget(usd=0.051, tokens=1000)) for _ in range(2)]
    held = 0
    for number in range(10):
        try:
            days[number % 2].reserve(CENT)
            held += 1
        except DayReached:
            pass
    assert held == 5


def test_tokens_are_bounded_too(tmp_path: Path) -> None:
    day = Day(tmp_path / "d.sqlite", Budget(tokens=25))
    for _ in range(2):
        day.reserve(Usage(1, 5, 5, usd=None))
    with pytest.raises(DayReached) as reached:
        day.reserve(Usage(1, 5, 5, usd=None))
    assert reached.value.limit == "tokens"


def test_midnight_begins_anew_and_what_is_in_flight_counts_then(tmp_path: Path) -> None:
    now = [1000 * DAY + 100]
    day = Day(tmp_path / "d.sqlite", Budget(usd=0.02), lambda: now[0])
    day.reserve(CENT)
    day.settle(CENT, CENT)
    day.reserve(CENT)
    now[0] += DAY
    day.reserve(CENT)
    with pytest.raises(DayReached):
        day.reserve(CENT)
    day.settle(CENT, None)
    day.reserve(CENT)


def test_what_is_spent_is_never_more_than_the_budget_nor_forgotten(tmp_path: Path) -> None:
    file, budget, drawn = tmp_path / "d.sqlite", Budget(usd=0.5), random.Random(1)
    paid, flight = 0.0, list[Usage]()
    day = Day(file, budget)
    for _ in range(600):
        if drawn.random() < 0.02:  # a kill: what was in flight was paid
            paid += sum(each.usd or 0 for each in flight)
            flight.clear()
            day.db.close()
            day = Day(file, budget)
        estimate = Usage(1, 1, 1, usd=drawn.uniform(0.0001, 0.01))
        if drawn.random() < 0.5 and flight:
            was = flight.pop()
            cost = Usage(1, 1, 1, usd=(was.usd or 0) * drawn.random())
            day.settle(was, cost)
            paid += cost.usd or 0
        else:
            try:
                day.reserve(estimate)
                flight.append(estimate)
            except DayReached:
                pass
        assert paid <= 0.5 + 1e-9
        assert paid - 1e-9 <= (day.spent.usd or 0)


def test_a_file_that_cannot_be_had_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.sqlite").write_text("this is no database" * 100)
    with pytest.raises(InputError, match="--spent"):
        Day(tmp_path / "d.sqlite", Budget(usd=1))


def test_what_a_call_cost_beyond_its_estimate_survives_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "d.sqlite"
    day = Day(file, Budget(usd=1.0))
    day.reserve(CENT)
    day.settle(CENT, Usage(1, 5, 500, usd=0.3))
    assert (Day(file, Budget(usd=1.0)).spent.usd or 0) >= 0.3


def test_the_next_day_has_spent_nothing_yet(tmp_path: Path) -> None:
    now = [1000 * DAY + 100]
    day = Day(tmp_path / "d.sqlite", Budget(usd=0.02), lambda: now[0])
    day.reserve(CENT)
    day.settle(CENT, CENT)
    now[0] += DAY
    assert day.spent.usd == 0


def test_what_is_in_flight_is_told_apart_from_what_is_spent(tmp_path: Path) -> None:
    day = Day(tmp_path / "d.sqlite", Budget(usd=0.02))
    day.reserve(CENT)
    day.settle(CENT, CENT)
    day.reserve(CENT)
    with pytest.raises(DayReached) as reached:
        day.reserve(CENT)
    assert reached.value.for_now
    day.settle(CENT, CENT)
    with pytest.raises(DayReached) as reached:
        day.reserve(CENT)
    assert not reached.value.for_now
