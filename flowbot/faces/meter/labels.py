"""The meter: labels with their walls, in front of one upstream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowbot.faces.meter.call import Call, Upstream
from flowbot.faces.meter.kept import Cache
from flowbot.faces.meter.wall import Account, Tally, Wall
from flowbot.money import Budget, Price

NONE = Budget()


class Meter:
    """Counts what each label spends at an upstream, and bounds it.

    `prices` by model id win over those the upstream knows. `budget` holds for each label that `bound` gives none, and
    for all of them together with `shared`; its seconds are not heeded. `latency` (seconds) is added to each answer.
    Equal calls are answered from the folder `cache`, and count like others unless `cached_free`. Raises `InputError`
    where the cache cannot be opened.
    """

    def __init__(
        self,
        upstream: Upstream,
        prices: Mapping[str, Price] | None = None,
        *,
        budget: Budget = NONE,
        latency: float = 0.0,
        cache: Path | None = None,
        shared: bool = False,
        cached_free: bool = False,
    ) -> None:
        self.upstream, self.latency, self.cached_free = upstream, latency, cached_free
        self.cache = None if cache is None else Cache(cache)
        self._prices, self._budget = dict(prices or {}), budget
        self._shared = Wall(budget) if shared else None
        self._accounts: dict[str, Account] = {}
        self._bounds: dict[str, Budget] = {}
        self._repeats: dict[tuple[str, str], int] = {}
        self._draws: dict[str, str] = {}

    @property
    def labels(self) -> list[str]:
        """The labels seen, in order of their first call."""
        return list(self._accounts)

    def bound(self, label: str, budget: Budget, draws: str = "") -> None:
        """Give a label a wall of its own; `Budget()` is none. What it spent stays spent.

        `draws` names the sequence that sampled answers come from: labels of one sequence get the same answers to the
        same calls, labels of different ones get answers that are independent.
        """
        self._bounds[label], self._draws[label] = budget, draws
        account = self._accounts.get(label)
        if account is None:
            return
        if account.wall is self._shared:
            account.wall = Wall(budget, account.tally.usage)
        else:
            account.wall.move(budget)

    def budget_of(self, label: str) -> Budget:
        """Return the bounds of a label's wall."""
        return self._bounds.get(label, self._budget)

    def tally(self, label: str) -> Tally:
        """Return what a label came to so far; nothing for one that was not seen."""
        account = self._accounts.get(label)
        return account.tally if account else Tally()

    def in_flight(self, label: str) -> int:
        """Return how many calls of a label are under way."""
        account = self._accounts.get(label)
        return account.wall.purse.reserved.calls if account else 0

    @property
    def total(self) -> Tally:
        """What all labels together came to."""
        # a copy first: a view may ask from another thread
        return sum((account.tally for account in list(self._accounts.values())), Tally())

    def account(self, label: str) -> Account:
        """Return a label's account; it is opened with its first call."""
        account = self._accounts.get(label)
        if account is None:
            own = label in self._bounds or self._shared is None
            wall = None if own else self._shared
            account = self._accounts[label] = Account(wall or Wall(self.budget_of(label)))
        return account

    def numbered(self, label: str, call: Call) -> Call:
        """Return a call with the count of equal ones of its label before it, where that matters."""
        if self.cache is None and not self.upstream.samples:
            return call
        place = (label, call.key(""))
        repeat = self._repeats.get(place, 0)
        self._repeats[place] = repeat + 1
        return replace(call, repeat=repeat, draws=self._draws.get(label, ""))

    def price(self, model: str) -> Price | None:
        """Return the price of a model, None where nobody knows it."""
        given = self._prices.get(model)
        return self.upstream.price(model) if given is None else given

    def plain(self) -> dict[str, Any]:
        """Return all tallies by label as JSON data."""
        labels = {label: account.tally.plain() for label, account in self._accounts.items()}
        return {"upstream": self.upstream.name, "labels": labels, "total": self.total.plain()}

    async def close(self) -> None:
        """Close the upstream and the cache."""
        await self.upstream.close()
        if self.cache is not None:
            self.cache.close()
