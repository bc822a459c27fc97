"""Places for runs: so many at once, so many more that wait, and no more."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from flowbot.faces.serve.refusal import Refusal

LONGEST_RETRY = 60  # seconds that a client is told to wait at most


class Slots:
    """At most `at_once` runs hold a place; first come, first served. `queue` bounds those who wait."""

    def __init__(self, at_once: int, queue: int) -> None:
        self.at_once, self.queue = at_once, queue
        self.running = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._seconds = 1.0  # how long a run takes: a moving mean

    @property
    def full(self) -> bool:
        """True where nobody else may wait."""
        return self.running >= self.at_once and len(self.waiting) >= self.queue

    async def enter(self, *, anyway: bool = False) -> None:
        """Take a place, and wait for it where none is free; `leave` must follow. Raises `Refusal` where it is full.

        `anyway` waits all the same: for the rows of a batch that was let in.
        """
        if self.running < self.at_once and not self.waiting:
            self.running += 1
            return
        if not anyway:
            self.check()
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave()
            elif turn in self.waiting:  # `leave` may have passed over it
                self.waiting.remove(turn)
            raise

    def check(self) -> None:
        """Raise `Refusal` where nobody else may wait."""
        if self.full:
            wait = math.ceil(self._seconds * len(self.waiting) / self.at_once)
            retry = {"Retry-After": str(min(LONGEST_RETRY, max(1, wait)))}
            raise Refusal(429, "overloaded", "too many requests at once: try again in a moment", retry)

    def leave(self, seconds: float | None = None) -> None:
        """Give a place back after a run of so many seconds; the next one in line has it at once."""
        if seconds is not None:
            self._seconds += 0.05 * (seconds - self._seconds)
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1
