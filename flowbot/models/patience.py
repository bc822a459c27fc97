"""Patience: which failures of an endpoint are worth another send, how long to wait, and when to give up."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")
LOG = logging.getLogger(__name__)

# broken: 5xx, cut or senseless bodies, timeouts; busy: 429; unreached: no connection; changed: the endpoint refused the
# form of the request and gets it in another one at once; final: no send will ever be answered
Kind = Literal["broken", "busy", "unreached", "changed", "final"]


@dataclass(frozen=True)
class Patience:
    """How long failures are borne. Counts are sends of one request, the rest is seconds.

    `sends` bounds server errors, cut bodies and timeouts, `busy_sends` bounds 429, and `busy_seconds` bounds the time
    that goes by with either, the waits that an endpoint asks for among it. `unreachable_seconds` bounds an endpoint
    that has never answered, with `connect_seconds` for one connection.
    """

    sends: int = 6
    busy_sends: int = 20
    busy_seconds: float = 300.0
    unreachable_seconds: float = 20.0
    connect_seconds: float = 8.0
    first_wait: float = 0.5
    longest_wait: float = 30.0
    changes: int = 6  # a form can change thrice; more means that the endpoint refuses them all


class Fault(Exception):
    """One send that gave no reply. `asked` is the wait in seconds that the endpoint asked for, `status` is HTTP's."""

    def __init__(self, kind: Kind, reason: str, status: int | None = None, asked: float | None = None) -> None:
        self.kind: Kind = kind
        self.reason, self.status, self.asked = reason, status, asked
        self.seconds = 0.0  # how long a send that was not answered took
        super().__init__(reason)


@dataclass
class Trial:
    """The failures of one request so far."""

    patience: Patience
    reached: Callable[[], bool]
    started: float
    first_seconds: float = 0.0  # how long the first send took
    counts: dict[Kind, int] = field(default_factory=dict[Kind, int])

    def wait(self, state: RetryCallState) -> float:
        """Return the seconds until the next send: what the endpoint asked for, else doubling with jitter."""
        fault = _fault(state)
        count = self.counts[fault.kind] = self.counts.get(fault.kind, 0) + 1
        if fault.kind in ("changed", "final"):
            return 0.0
        jitter = random.random()  # it spreads sends in time and decides nothing
        if fault.asked is not None:
            return fault.asked + jitter * min(1.0, self.patience.first_wait)
        wait = min(self.patience.longest_wait, self.patience.first_wait * 2.0 ** (count - 1))
        return wait * (0.5 + jitter / 2)

    def stop(self, state: RetryCallState) -> bool:
        """Return whether to give up rather than to wait and send again."""
        fault, patience = _fault(state), self.patience
        count = self.counts[fault.kind]
        until = time.monotonic() - self.started + state.upcoming_sleep
        if fault.kind == "changed":
            return count > patience.changes
        if fault.kind == "busy":
            return count >= patience.busy_sends or until > patience.busy_seconds
        if fault.kind == "unreached" and not self.reached():
            return until + patience.connect_seconds > patience.unreachable_seconds
        broken = self.counts.get("broken", 0) + self.counts.get("unreached", 0)
        if fault.kind == "final" or broken >= patience.sends:
            return True
        return until - self.first_seconds > patience.busy_seconds  # a first send that timed out is worth a second one


def _log(state: RetryCallState) -> None:
    """Tell of a send that is made again; what the endpoint said may hold content, and is left out."""
    fault = _fault(state)
    what = f"HTTP {fault.status}" if fault.status else fault.kind
    LOG.info("%s: send %d follows in %.1f s", what, state.attempt_number + 1, state.upcoming_sleep)


def _fault(state: RetryCallState) -> Fault:
    fault = state.outcome.exception() if state.outcome else None
    assert isinstance(fault, Fault)
    return fault


async def persist(
    first: Fault, send: Callable[[int], Awaitable[T]], patience: Patience, reached: Callable[[], bool]
) -> T:
    """Send again after a first failure until there is a reply; raise the last `Fault` where patience ends.

    `send` takes the count of sends before it, and `reached` tells whether the endpoint has ever answered.
    """
    from tenacity import AsyncRetrying, retry_if_exception_type

    trial = Trial(patience, reached, time.monotonic() - first.seconds, first.seconds)
    sends = 0

    async def attempt() -> T:
        nonlocal sends
        sends += 1
        if sends == 1:
            raise first  # it was made outside, where a reply at the first send costs nothing
        return await send(sends - 1)

    again = AsyncRetrying(
        wait=trial.wait,
        stop=trial.stop,
        retry=retry_if_exception_type(Fault),
        sleep=asyncio.sleep,
        before_sleep=_log,
        reraise=True,
    )
    try:
        return await again(attempt)
    except Fault as fault:
        fault.reason += f" (gave up after {sends} sends)" if sends > 1 else ""
        if fault.asked is not None and fault.asked > patience.busy_seconds:
            fault.reason += f" (it asks for a wait of {fault.asked:g} seconds)"
        raise


def asked_wait(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (seconds or an HTTP date) or `retry-after-ms` asks for."""
    milliseconds, after = headers.get("retry-after-ms"), headers.get("Retry-After")
    try:
        if milliseconds is not None:
            return _wait(float(milliseconds) / 1000)
    except ValueError:
        pass
    try:
        return None if after is None else _wait(float(after))
    except ValueError:
        return _until(after) if after is not None else None


def _wait(seconds: float) -> float | None:
    return None if math.isnan(seconds) else max(0.0, seconds)


def _until(date: str) -> float | None:
    from email.utils import parsedate_to_datetime

    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
    except (ValueError, OverflowError, OSError):
        return None
