"""At most `limit` sends in flight, in order of arrival; the limit halves on a refusal and grows on successes."""

from __future__ import annotations

import asyncio
import time

import pytest

from flowbot.models.pace import Pace


def test_the_limit_holds_and_turns_come_in_order() -> None:
    async def main() -> None:
        pace, order, most = Pace(3), list[int](), 0

        async def call(index: int) -> None:
            nonlocal most
            await pace.enter()
            order.append(index)
            most = max(most, pace.in_flight)
            await asyncio.sleep(0.001)
            pace.leave()

        await asyncio.gather(*(call(index) for index in range(30)))
        assert most == 3
        assert order == list(range(30))
        assert pace.in_flight == 0

    asyncio.run(main())


def test_resends_go_first() -> None:
    async def main() -> None:
        pace, order = Pace(1), list[str]()

        async def call(name: str) -> None:
            await pace.enter(resend=name.startswith("again"))
            order.append(name)
            pace.leave()

        await pace.enter()
        calls = [asyncio.create_task(call(name)) for name in ("one", "two", "again 1", "again 2")]
        await asyncio.sleep(0)
        pace.leave()
        await asyncio.gather(*calls)
        assert order == ["again 1", "again 2", "one", "two"]

    asyncio.run(main())


def test_one_round_of_refusals_halves_once() -> None:
    async def main() -> None:
        pace = Pace(16)
        tickets = [await pace.enter() for _ in range(16)]
        for ticket in tickets:
            pace.refused(ticket)
            pace.leave()
        assert pace.limit == 8
        pace.refused(await pace.enter())
        assert pace.limit == 4
        for _ in range(5):
            pace.refused(pace._round)  # pyright: ignore[reportPrivateUsage]
        assert pace.limit == 1

    asyncio.run(main())


def test_successes_bring_the_limit_back() -> None:
    async def main() -> None:
        pace = Pace(4)
        pace.refused(await pace.enter())
        assert pace.limit == 2
        for expected in (2, 3, 3, 3, 4, 4, 4, 4, 4, 4):
            pace.succeeded()
            assert pace.limit == expected

    asyncio.run(main())


def test_a_growing_limit_wakes_those_who_wait() -> None:
    async def main() -> None:
        pace = Pace(2)
        pace.refused(await pace.enter())
        waiting = asyncio.create_task(pace.enter())
        await asyncio.sleep(0)
        assert not waiting.done()
        pace.succeeded()
        await waiting
        assert pace.in_flight == 2

    asyncio.run(main())


def test_a_hold_stops_all_new_sends() -> None:
    async def main() -> None:
        pace = Pace(4)
        pace.hold(0.01)
        pace.hold(0.05)
        started = time.monotonic()
        await asyncio.gather(*(pace.enter() for _ in range(4)))
        assert 0.045 <= time.monotonic() - started < 1
        pace.leave()
        started = time.monotonic()
        await pace.enter()
        assert time.monotonic() - started < 0.02

    asyncio.run(main())


def test_a_hold_that_outlives_its_loop_ends_all_the_same() -> None:
    pace = Pace(1)

    async def hold() -> None:
        pace.hold(0.02)

    asyncio.run(hold())
    time.sleep(0.03)
    asyncio.run(asyncio.wait_for(pace.enter(), 1))


def test_cancelled_calls_leave_no_place_behind() -> None:
    async def main() -> None:
        pace = Pace(1)
        await pace.enter()
        waiting = [asyncio.create_task(pace.enter()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        pace.leave()  # gives the turn to the second, which is cancelled before it runs
        waiting[1].cancel()
        assert await asyncio.wait_for(waiting[2], 1) == 0
        assert pace.in_flight == 1

    asyncio.run(main())


@pytest.mark.parametrize("rates", [{"rpm": 600.0}, {"tpm": 600.0}])
def test_rates_are_kept_in_order(rates: dict[str, float]) -> None:
    async def main() -> None:
        pace = Pace(1000, **rates)
        tokens = 1 if "tpm" in rates else 0
        order: list[int] = []
        for _ in range(600):
            await pace.enter(tokens)
        started = time.monotonic()

        async def call(index: int) -> None:
            await pace.enter(tokens)
            order.append(index)

        await asyncio.gather(*(call(index) for index in range(3)))
        assert time.monotonic() - started > 0.2  # ten a second
        assert order == [0, 1, 2]

    asyncio.run(main())


def test_tokens_are_settled_after_the_call() -> None:
    async def main() -> None:
        pace = Pace(10, tpm=600.0)
        await pace.enter(10_000)  # more than a minute holds: it takes all there is, and owes the rest
        pace.booked(600 - 10_000)  # but it was 600 in truth
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pace.enter(100), 0.02)
        assert pace.in_flight == 1
        pace.booked(-100)
        await asyncio.wait_for(pace.enter(100), 0.02)

    asyncio.run(main())


def test_a_rate_below_one_a_minute_is_a_rate() -> None:
    async def main() -> None:
        pace = Pace(10, rpm=0.5)
        await pace.enter()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(pace.enter(), 0.02)

    asyncio.run(main())


def test_an_unhindered_turn_costs_microseconds() -> None:
    async def main() -> float:
        pace = Pace(64)
        started = time.process_time()
        for _ in range(10_000):
            await pace.enter()
            pace.leave()
            pace.succeeded()
        return (time.process_time() - started) / 10_000

    assert asyncio.run(main()) < 20e-6
