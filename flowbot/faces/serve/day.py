"""What a day may cost: a budget of all runs that outlives the process, in a small SQLite file."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from flowbot.errors import InputError
from flowbot.faces.serve.settings import Limits
from flowbot.money import Budget, BudgetReached, Usage

SHARE = 0.002  # of a day's budget is taken from the file at once: one write for many calls
DAY = 86400.0


def day_of(limits: Limits, spent: Path | None) -> Day | None:
    """Return the wall of the day that limits ask for, kept in a file; raise `InputError` where there is none."""
    if limits.day_usd is None and limits.day_tokens is None:
        return None
    if spent is None:
        raise InputError("a budget of the day needs a file to keep what was spent", mend="name it: --spent FILE")
    return Day(spent, Budget(usd=limits.day_usd, tokens=limits.day_tokens))


class DayReached(BudgetReached):
    """The budget of the day is reached; `for_now` where what is in flight may give enough of it back."""

    for_now = False


class Day:
    """A wall that many runs share, from midnight to midnight (UTC). What is asked for is in the file before it is used.

    The file holds what may have been spent: estimates in flight, and a small share ahead of them. After a kill all of
    that counts as spent; an orderly end gives back what was not. Several processes may share a file.
    """

    def __init__(self, path: Path, budget: Budget, clock: Callable[[], float] = time.time) -> None:
        self.path, self.budget, self.clock = path, budget, clock
        self.bounds = (budget.usd or 0.0, float(budget.tokens or 0))
        self.number: int = int(clock() // DAY)
        self.taken = [0.0, 0.0]  # from the file, by this process: dollars, tokens
        self.used = [0.0, 0.0]  # of it, settled and reserved
        self.reserved = [0.0, 0.0]  # for calls in flight
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.db = sqlite3.connect(path, timeout=2.0, isolation_level=None, check_same_thread=False)
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=NORMAL")
            self.db.execute("CREATE TABLE IF NOT EXISTS days (day INTEGER PRIMARY KEY, usd REAL, tokens REAL)")
        except (OSError, sqlite3.Error) as error:
            mend = "name another file with --spent"
            raise InputError(f"the spending of the day cannot be kept: {error}", str(path), mend) from None

    def reserve(self, estimate: Usage) -> None:
        """Set aside what a call may cost; raise `DayReached` where the day has not that much left."""
        self._turn()
        if self.budget.usd is not None and estimate.usd is None:
            raise DayReached("usd", 0.0, self.budget.usd)
        wanted = (estimate.usd or 0.0, float(estimate.tokens))
        over = [max(0.0, self.used[at] + wanted[at] - self.taken[at]) for at in (0, 1)]
        if any(over[at] > 0 and self._bounded(at) for at in (0, 1)):
            self._take(over)
        for at in (0, 1):
            self.used[at] += wanted[at]
            self.reserved[at] += wanted[at]

    def settle(self, estimate: Usage, actual: Usage | None) -> None:
        """Give a reservation back and count what the call really cost."""
        cost = actual or Usage()
        for at, (was, now) in enumerate(((estimate.usd, cost.usd), (estimate.tokens, cost.tokens))):
            self.reserved[at] = max(0.0, self.reserved[at] - (was or 0.0))
            self.used[at] = max(0.0, self.used[at] + (now or 0.0) - (was or 0.0))
        over = [max(0.0, self.used[at] - self.taken[at]) for at in (0, 1)]
        if any(over[at] > 0 and self._bounded(at) for at in (0, 1)):  # it cost more than its estimate
            with contextlib.suppress(sqlite3.Error):  # then it is taken with the next reservation
                self._add(over)

    @property
    def spent(self) -> Usage:
        """What the file holds of today, other processes included, less what this one has not used."""
        self._turn()
        usd, tokens = self._row()
        return Usage(0, round(tokens - self.taken[1] + self.used[1]), usd=usd - self.taken[0] + self.used[0])

    def close(self) -> None:
        """Give back what was taken and not used."""
        self._add([self.used[at] - self.taken[at] for at in (0, 1)])
        self.db.close()

    def seconds_left(self) -> int:
        """Return the seconds until the day ends."""
        return int(DAY - self.clock() % DAY) + 1

    def _bounded(self, at: int) -> bool:
        return (self.budget.usd, self.budget.tokens)[at] is not None

    def _take(self, over: list[float]) -> None:
        """Take what is missing from the file, and a share more where the day has it."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            row = self._row()
            more = [0.0, 0.0]
            for at, name in enumerate(("usd", "tokens")):
                left = self.bounds[at] - row[at]
                if self._bounded(at) and over[at] > left + 1e-12:
                    reached = DayReached(name, row[at] - self.taken[at] + self.used[at], self.bounds[at], over[at])
                    reached.for_now = over[at] - self.reserved[at] <= left + 1e-12
                    raise reached
                if self._bounded(at):
                    more[at] = max(over[at], min(left, over[at] + SHARE * self.bounds[at]))
            self._add(more)
        finally:
            self.db.execute("COMMIT")

    def _add(self, more: list[float]) -> None:
        self.db.execute(
            "INSERT INTO days VALUES (?, ?, ?) ON CONFLICT (day) DO UPDATE SET usd = usd + ?, tokens = tokens + ?",
            (self.number, *more, *more),
        )
        for at in (0, 1):
            self.taken[at] += more[at]

    def _row(self) -> tuple[float, float]:
        found = self.db.execute("SELECT usd, tokens FROM days WHERE day = ?", (self.number,)).fetchone()
        return found or (0.0, 0.0)

    def _turn(self) -> None:
        """Begin a new day where midnight is past: what is in flight counts in it."""
        number: int = int(self.clock() // DAY)
        if number != self.number:
            self._add([self.used[at] - self.taken[at] for at in (0, 1)])
            self.number, self.taken = number, [0.0, 0.0]
            self.used = list(self.reserved)
            self._add(self.used)
