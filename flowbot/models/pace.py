"""Pace: how many calls an endpoint gets at once and a minute, learnt from what it refuses."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiolimiter import AsyncLimiter


class Pace:
    """Sends wait their turn, first come first served; at most `limit` are in flight, never less than one.

    The limit halves when the endpoint is busy (429) and grows by one for each `limit` successes, up to `concurrency`:
    additive increase, multiplicative decrease (Chiu and Jain 1989). `rpm` and `tpm` are requests and tokens a minute.
    """

    def __init__(self, concurrency: int, rpm: float | None = None, tpm: float | None = None) -> None:
        self.concurrency = self.limit = max(1, concurrency)
        self.in_flight = 0
        self.rpm, self.tpm = rpm, tpm
        self._round = 0  # the number of halvings so far; a ticket is the round of its send
        self._successes = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resends: deque[asyncio.Future[None]] = deque()  # served before those who wait for their first send
        self._held_until = 0.0
        self._rates: _Rates | None = None

    async def enter(self, tokens: int = 0, resend: bool = False) -> int:
        """Wait for a turn and return its ticket; `leave` must follow. Resends go first: they have waited longest."""
        if self._waiting or self._resends or self._held_until or self.in_flight >= self.limit:
            await self._turn(self._resends if resend else self._waiting)
        else:
            self.in_flight += 1
        if self.rpm is not None or self.tpm is not None:
            await self._slowly(tokens)
        return self._round

    def leave(self) -> None:
        """Give the place of a send back, however it ended."""
        self.in_flight -= 1
        if self._waiting or self._resends:
            self._wake()

    def succeeded(self) -> None:
        """Book a success: after as many as the limit, one more may be in flight."""
        if self.limit < self.concurrency:
            self._successes += 1
            if self._successes >= self.limit:
                self.limit += 1
                self._successes = 0
                self._wake()

    def refused(self, ticket: int) -> None:
        """Book a 429: halve, but once only for all sends that were already out when it came."""
        if ticket == self._round:
            self._round += 1
            self.limit = max(1, self.limit // 2)
            self._successes = 0

    def hold(self, seconds: float) -> None:
        """Let no new send begin for so many seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if until > self._held_until:
            self._held_until = until
            loop.call_at(until, self._release, until)

    def booked(self, tokens: int) -> None:
        """Book the difference between a send's estimated and real tokens, so that the next one waits for it."""
        if self._rates is not None:
            self._rates.debt += tokens

    async def _turn(self, queue: deque[asyncio.Future[None]]) -> None:
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._wake()  # a hold may be over, with its timer not yet run
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave()
            raise

    def _release(self, until: float) -> None:
        if until >= self._held_until:  # else a later hold has taken over
            self._held_until = 0.0
            self._wake()

    def _wake(self) -> None:
        if self._held_until:
            if asyncio.get_running_loop().time() < self._held_until:
                return
            self._held_until = 0.0
        while (queue := self._resends or self._waiting) and self.in_flight < self.limit:
            turn = queue.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    async def _slowly(self, tokens: int) -> None:
        if self._rates is None:
            self._rates = _Rates(self.rpm, self.tpm)
        try:
            await self._rates.take(tokens)
            if (wait := self._held_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(wait)
        except BaseException:
            self.leave()
            raise


class _Rates:
    """Requests and tokens a minute. The lock keeps the order of arrival, which the limiters do not."""

    def __init__(self, rpm: float | None, tpm: float | None) -> None:
        self.requests = _limiter(rpm)
        self.tokens = _limiter(tpm)
        self.debt = 0
        self.lock = asyncio.Lock()

    async def take(self, tokens: int) -> None:
        async with self.lock:
            if self.requests is not None:
                await self.requests.acquire(1)
            if self.tokens is not None:
                taken = max(0, min(tokens + self.debt, int(self.tokens.max_rate)))  # the next one pays what is over
                await self.tokens.acquire(taken)
                self.debt += tokens - taken


def _limiter(rate: float | None) -> AsyncLimiter | None:
    if rate is None:
        return None
    from aiolimiter import AsyncLimiter

    whole = max(1.0, rate)
    return AsyncLimiter(whole, 60.0 * whole / rate)
