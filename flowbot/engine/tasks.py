"""Many things at once, in order: what all concurrent parts of the engine and the search share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


async def together(going: Sequence[Awaitable[T]]) -> list[T]:
    """Await all at once and return their values in order; where one raises, the others are ended first."""
    tasks = [asyncio.ensure_future(each) for each in going]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await end(tasks)
        raise


async def both(one: Awaitable[T], other: Awaitable[S]) -> tuple[T, S]:
    """Await two things of different types at once; where one raises, the other is ended first."""
    tasks = asyncio.ensure_future(one), asyncio.ensure_future(other)
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        await asyncio.gather(end([tasks[0]]), end([tasks[1]]))
        raise


async def end(tasks: Iterable[asyncio.Future[T]]) -> None:
    """Cancel tasks and wait until they have ended, whatever they end with."""
    ending = list(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
