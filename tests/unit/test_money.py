"""Budgets are a wall; purses reserve before and settle after; the ledger adds up."""

from __future__ import annotations

import math

import pytest

from flowbot.money import FREE, Budget, BudgetReached, Ledger, Price, Purse, Usage

CALL = Usage(calls=1, input_tokens=100, output_tokens=20, usd=0.5)
UNKNOWN = Usage(calls=1, usd=None)


def test_usages_add_up_and_an_unknown_price_makes_the_sum_unknown() -> None:
    total = CALL + Usage(calls=2, cached_tokens=5, usd=0.25, seconds=1.5, estimated=True)
    assert total == Usage(3, 100, 20, 5, 0.75, 1.5, True)
    assert total.tokens == 120
    assert (CALL + UNKNOWN).usd is None


def test_a_price_is_per_million_tokens_and_cached_ones_are_cheaper() -> None:
    price = Price(input=2.0, output=8.0, cached=0.5)
    assert price.of(1_000_000, 500_000) == pytest.approx(6.0)
    assert price.of(1_000_000, 0, cached_tokens=400_000) == pytest.approx(0.6 * 2 + 0.4 * 0.5)
    assert Price(2.0, 8.0).of(100, 0, 100) == pytest.approx(2e-4)
    assert FREE.of(10**9, 10**9) == 0


@pytest.mark.parametrize(
    ("budget", "limit"),
    [(Budget(usd=1.0), "usd"), (Budget(calls=2), "calls"), (Budget(tokens=240), "tokens")],
)
def test_the_budget_is_a_wall(budget: Budget, limit: str) -> None:
    budget.check(CALL, CALL)
    with pytest.raises(BudgetReached, match=f"{limit} is reached") as caught:
        budget.check(CALL + CALL, Usage(calls=1, input_tokens=1, usd=0.01))
    assert caught.value.limit == limit


def test_an_unknown_price_does_not_fit_into_a_money_budget() -> None:
    with pytest.raises(BudgetReached) as caught:
        Budget(usd=1.0).check(UNKNOWN, CALL)
    assert caught.value.used == math.inf
    with pytest.raises(BudgetReached):
        Budget(usd=1.0).check(Usage(), UNKNOWN)
    Budget(calls=5).check(UNKNOWN, UNKNOWN)
    Budget().check(UNKNOWN, Usage(calls=10**9, usd=1e9))


def test_sums_of_small_amounts_reach_the_wall_and_not_before() -> None:
    purse = Purse(Budget(usd=1.0))
    for _ in range(10):
        purse.reserve(Usage(calls=1, usd=0.1))
        purse.settle(Usage(calls=1, usd=0.1), Usage(calls=1, usd=0.1))
    with pytest.raises(BudgetReached):
        purse.reserve(Usage(calls=1, usd=0.001))


def test_what_is_in_flight_counts() -> None:
    purse = Purse(Budget(calls=2))
    purse.reserve(CALL)
    purse.reserve(CALL)
    with pytest.raises(BudgetReached):
        purse.reserve(CALL)
    purse.settle(CALL, None)  # it was never made
    purse.reserve(CALL)
    assert purse.settled == Usage()


def test_settling_books_what_it_really_cost() -> None:
    purse = Purse(Budget(usd=2.0))
    purse.reserve(CALL)
    purse.reserve(CALL)
    actual = Usage(calls=1, input_tokens=10, output_tokens=2, usd=0.05)
    purse.settle(CALL, actual)
    assert purse.settled == actual
    assert purse.reserved == CALL
    purse.settle(CALL, actual)
    assert purse.settled == actual + actual
    assert purse.reserved == Usage()


def test_unknown_prices_are_reserved_and_settled_where_money_is_not_bounded() -> None:
    purse = Purse(Budget(calls=3))
    purse.reserve(UNKNOWN)
    purse.reserve(CALL)
    assert purse.reserved.usd is None
    purse.settle(UNKNOWN, UNKNOWN)
    purse.settle(CALL, CALL)
    assert purse.reserved == Usage()
    assert purse.settled.usd is None
    assert purse.settled.calls == 2


def test_a_refused_reservation_reserves_nothing() -> None:
    purse = Purse(Budget(tokens=150))
    purse.reserve(CALL)
    with pytest.raises(BudgetReached):
        purse.reserve(CALL)
    assert purse.reserved == CALL


def test_the_ledger_is_read_by_purpose_in_a_fixed_order() -> None:
    ledger = Ledger()
    ledger.add("judge", CALL)
    ledger.add("task", CALL)
    ledger.add("task", CALL, repair=True, retries=2)
    ledger.add("other", UNKNOWN)
    assert [purpose for purpose, _ in ledger] == ["task", "judge", "other"]
    line = ledger.lines["task"]
    assert (line.usage.calls, line.repairs, line.retries, line.requests) == (2, 1, 2, 1)
    assert ledger.requests() == {"task": 1, "judge": 1, "other": 1}
    assert ledger.total.calls == 4
    assert ledger.total.usd is None
    assert Ledger().total == Usage()


def test_what_is_held_back_counts_at_the_wall_until_it_is_let_go() -> None:
    purse = Purse(Budget(calls=10), held=Usage(calls=4))
    purse.reserve(Usage(calls=6))
    with pytest.raises(BudgetReached, match="what comes next and what is kept back take about 1"):
        purse.reserve(Usage(calls=1))
    purse.held = Usage()
    purse.reserve(Usage(calls=4))
