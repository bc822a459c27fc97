"""Places for runs: whoever waits and leaves costs nobody a place."""

from __future__ import annotations

import asyncio

import pytest

from flowbot.faces.serve.refusal import Refusal
from flowbot.faces.serve.slots import Slots


def test_one_that_leaves_as_a_place_comes_free_ends_as_cancelled() -> None:
    async def main() -> None:
        slots = Slots(1, 2)
        await slots.enter()
        first, second = (asyncio.create_task(slots.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        slots.leave()  # before the one that was cancelled knows of it
        with pytest.raises(asyncio.CancelledError):
            await first
        await second
        slots.leave()
        assert (slots.running, len(slots.waiting)) == (0, 0)

    asyncio.run(main())


def test_one_that_leaves_with_its_place_gives_it_on() -> None:
    async def main() -> None:
        slots = Slots(1, 1)
        await slots.enter()
        first = asyncio.create_task(slots.enter())
        await asyncio.sleep(0)
        with pytest.raises(Refusal):
            await slots.enter()
        slots.leave()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await slots.enter()
        assert slots.running == 1

    asyncio.run(main())
