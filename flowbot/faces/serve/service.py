"""The service: runs of open workflows within their bounds, counted, for every route alike."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from flowbot.engine.ports import EndpointError, SandboxError
from flowbot.engine.scene import Watch
from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.faces.serve.day import Day, DayReached
from flowbot.faces.serve.desk import Desk, Served
from flowbot.faces.serve.refusal import NO_RETRY, Refusal
from flowbot.faces.serve.settings import Settings
from flowbot.faces.serve.slots import Slots
from flowbot.faces.serve.visit import Visit
from flowbot.models.patience import Fault
from flowbot.money import Budget, BudgetReached, Ledger, Usage
from flowbot.task.data import Example

if TYPE_CHECKING:
    from flowbot.faces.serve.counted import Counted

T = TypeVar("T")
Tell = Callable[[str], None]
KNOWN = (EndpointError, SandboxError, InputError, BudgetReached, TimeoutError)


@dataclass
class Service:
    """What all routes share: the open workflows, the places, the counters, the day."""

    desk: Desk
    settings: Settings
    slots: Slots
    counted: Counted
    day: Day | None = None
    stopping: bool = False
    visits: set[Visit] = field(default_factory=set["Visit"])

    def __post_init__(self) -> None:
        limits = self.settings.limits
        self.budget = Budget(usd=limits.usd, tokens=limits.tokens, seconds=limits.seconds)

    async def stop(self, grace: float) -> None:
        """Begin nothing new, wait so many seconds for what runs, and end the rest with an error that says so."""
        self.stopping = True
        going = [visit.task for visit in self.visits if visit.task is not None]
        if not going:
            return
        await asyncio.wait(going, timeout=grace)
        for visit in list(self.visits):
            visit.stopping = True
            if visit.task is not None:
                visit.task.cancel()
        await asyncio.wait(going, timeout=5)

    def check(self) -> None:
        """Raise `Refusal` where nothing new may begin: the server ends, or is full."""
        if self.stopping:
            closing = {"Retry-After": "1", "Connection": "close"}
            raise Refusal(503, "stopping", "the server is stopping", closing)
        self.slots.check()

    async def run(
        self,
        served: Served,
        example: Example,
        visit: Visit,
        tell: Tell | None = None,
        *,
        watch: Watch | None = None,
        anyway: bool = False,
    ) -> Trace:
        """Return the trace of one run, once there is a place for it; raise `Refusal` for one that came to nothing.

        A run whose step failed is one too. What it cost is in the visit's facts in any case.
        """
        asked = time.monotonic()
        served.enter()  # before it waits: a reload meanwhile leaves this one open
        try:
            await self.slots.enter(anyway=anyway)
        except BaseException:
            served.leave()
            raise
        began, ledger, ended = time.monotonic(), Ledger(), "cancelled"
        try:
            trace = await served.flow.run(example, budget=self.budget, watch=watch, tell=tell, ledger=ledger)
            ended = "failed" if trace.error else "ok"
        except KNOWN as error:
            ended = "refused" if isinstance(error, BudgetReached) else "error"
            raise self._refusal(served, error, visit) from None
        finally:
            served.leave()
            self.slots.leave(time.monotonic() - began)
            self._book(served.name, ended, ledger.total, visit, began - asked)
        if trace.error:
            visit.facts["failed"] = _step_of(trace)
            if self.settings.log_content:
                visit.facts["reason"] = trace.error
            raise Refusal(422, "run_failed", served.flow.scrub(trace.error), NO_RETRY)
        return trace

    def _book(self, name: str, ended: str, usage: Usage, visit: Visit, waited: float) -> None:
        self.counted.run(name, ended, usage)
        visit.usage = visit.usage + usage if visit.usage.calls else usage
        if waited > 0.001:
            visit.facts["waited"] = round(max(waited, visit.facts.get("waited", 0.0)), 3)

    def _refusal(self, served: Served, error: Exception, visit: Visit) -> Refusal:
        """Say what came of a run that raised: to the client in general words, to the log in those without content."""
        visit.facts["cause"] = type(error).__name__
        match error:
            case DayReached() if error.for_now:
                what = "what is in flight may take the rest of the day's budget: try again in a moment"
                return Refusal(402, "daily_budget_reached", what, {"Retry-After": "1", **NO_RETRY})
            case DayReached():
                left = self.day.seconds_left() if self.day is not None else 1
                what = f"the budget of the day is spent; it begins anew in {left} seconds"
                return Refusal(402, "daily_budget_reached", what, {"Retry-After": str(left), **NO_RETRY})
            case BudgetReached():
                what = f"this run would take more {error.limit} than a run may take"
                return Refusal(402, "run_budget_reached", what, NO_RETRY)
            case TimeoutError():
                what = f"the run took longer than {self.settings.limits.seconds:g} seconds"
                return Refusal(504, "too_long", what, NO_RETRY)
            case EndpointError():
                fault = error.__cause__
                if isinstance(fault, Fault):
                    visit.facts |= {"fault": fault.kind, "endpoint_status": fault.status}
                if self.settings.log_content:
                    visit.facts["reason"] = str(error)
                return Refusal(502, "endpoint_failed", "the model's endpoint fails", NO_RETRY)
            case _:
                visit.facts["reason"] = served.flow.scrub(str(error))
                return Refusal(500, "cannot_run", "the server cannot run this workflow now", NO_RETRY)


def _step_of(trace: Trace) -> str:
    return next((part.path for part in trace.walk() if part.error), "")
