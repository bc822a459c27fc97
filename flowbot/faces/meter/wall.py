"""What each label spent, and the wall that it may not pass."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from flowbot.money import Budget, BudgetReached, Purse, Usage

COUNTS = ("refused", "errors", "cached", "gone")


@dataclass(frozen=True)
class Tally:
    """What the calls of one label came to. `usage` has calls, tokens, US dollars (None: a price is not known) and the
    sum of latencies in seconds; `models` the same by model. `refused` were turned away at the wall and `errors` are
    failures of the upstream: both cost nothing. `cached` were answered from the cache, and `gone` are calls whose
    client left before the answer: both stand in `usage` as well, the latter by estimate.
    """

    usage: Usage = Usage()
    models: Mapping[str, Usage] = field(default_factory=dict[str, Usage])
    refused: int = 0
    errors: int = 0
    cached: int = 0
    gone: int = 0

    def __add__(self, other: Tally) -> Tally:
        models = dict(self.models)
        for name, usage in other.models.items():
            models[name] = models.get(name, Usage()) + usage
        counts = [getattr(self, name) + getattr(other, name) for name in COUNTS]
        return Tally(self.usage + other.usage, models, *counts)

    def plain(self) -> dict[str, Any]:
        """Return it as JSON data: the usage's parts at the top, and again for each of `models`."""
        counts = {name: getattr(self, name) for name in COUNTS}
        return {**asdict(self.usage), **counts, "models": {name: asdict(each) for name, each in self.models.items()}}

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Tally:
        """Return the tally in what `plain` gave."""
        models = {name: _usage(each) for name, each in plain["models"].items()}
        return cls(_usage(plain), models, *(plain[name] for name in COUNTS))


def _usage(plain: Mapping[str, Any]) -> Usage:
    return Usage(**{each.name: plain[each.name] for each in fields(Usage)})


class Wall:
    """A budget that calls in flight share. What does not fit waits while a call in flight may give something back."""

    def __init__(self, budget: Budget, settled: Usage = Usage()) -> None:
        self.purse = Purse(budget, settled)
        self._changed = asyncio.Event()

    async def reserve(self, estimate: Usage) -> None:
        """Set aside what a call may take; raise `BudgetReached` where it does not fit into what is left."""
        purse = self.purse
        while True:
            try:
                return purse.reserve(estimate)
            except BudgetReached:
                purse.budget.check(purse.settled, estimate)  # what is settled never comes back
                if not purse.reserved.calls:
                    raise
            await self._changed.wait()

    def settle(self, estimate: Usage, actual: Usage | None) -> None:
        """Give a reservation back and book what the call took (None: nothing)."""
        self.purse.settle(estimate, actual)
        self._wake()

    def move(self, budget: Budget) -> None:
        """Set another budget; what was spent stays spent."""
        self.purse.budget = budget
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Account:
    """One label: its wall, which others may share, and what it spent."""

    def __init__(self, wall: Wall) -> None:
        self.wall = wall
        self.tally = Tally()

    def book(self, model: str, usage: Usage, **counts: int) -> None:
        """Add what one call took, and to the counts named."""
        models = {**self.tally.models, model: self.tally.models.get(model, Usage()) + usage}
        self.tally = replace(self.tally, usage=self.tally.usage + usage, models=models)
        self.count(**counts)

    def count(self, **counts: int) -> None:
        """Add to `refused`, `errors`, `cached` or `gone`."""
        self.tally = replace(self.tally, **{name: getattr(self.tally, name) + more for name, more in counts.items()})
