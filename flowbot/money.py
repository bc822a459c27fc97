"""Usage, prices, budgets and the ledger: pure arithmetic, no effects."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

PURPOSES = (
    "task",
    "loss_gradient",
    "call_gradient",
    "workflow_gradient",
    "prompt_update",
    "workflow_update",
    "prompt_init",
    "verdict",
    "taxonomy",
    "proposal",
    "judge",
)


@dataclass(frozen=True)
class Usage:
    """What one or more calls cost. Tokens are counts, `seconds` the sum of call latencies, `usd` money or None.

    `usd` is None where the price is not known; a sum with an unknown part is unknown.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    estimated: bool = False  # a token count that the provider did not report

    @property
    def tokens(self) -> int:
        """Input and output tokens together."""
        return self.input_tokens + self.output_tokens

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            None if self.usd is None or other.usd is None else self.usd + other.usd,
            self.seconds + other.seconds,
            self.estimated or other.estimated,
        )


@dataclass(frozen=True)
class Price:
    """Money for tokens, in US dollars per million. `cached` is the price of a cached input token."""

    input: float
    output: float
    cached: float | None = None

    def of(self, input_tokens: int, output_tokens: int, cached_tokens: int = 0) -> float:
        """Return the price of one call in dollars."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, input_tokens - cached_tokens)
        return (fresh * self.input + cached_tokens * cached + output_tokens * self.output) / 1e6


FREE = Price(0.0, 0.0, 0.0)


class BudgetReached(Exception):
    """The wall: what is asked for next does not fit into the budget. Carries the limit that was met."""

    def __init__(self, limit: str, used: float, allowed: float, wanted: float = 0.0) -> None:
        self.limit, self.used, self.allowed = limit, used, allowed
        more = f", what comes next and what is kept back take about {wanted:.4g}" if wanted else ""
        super().__init__(f"the budget of {allowed:g} {limit} is reached ({used:g} used{more})")


@dataclass(frozen=True)
class Budget:
    """Upper bounds for a whole run, over all purposes; None is no bound."""

    usd: float | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None

    def check(self, used: Usage, wanted: Usage) -> None:
        """Raise `BudgetReached` where `used + wanted` goes over a bound; an unknown price counts as a breach."""
        if self.usd is not None:
            if used.usd is None or wanted.usd is None:
                raise BudgetReached("usd", math.inf if used.usd is None else used.usd, self.usd)
            if used.usd + wanted.usd > self.usd + 1e-12:
                raise BudgetReached("usd", used.usd, self.usd, wanted.usd)
        if self.calls is not None and used.calls + wanted.calls > self.calls:
            raise BudgetReached("calls", used.calls, self.calls, wanted.calls)
        if self.tokens is not None and used.tokens + wanted.tokens > self.tokens:
            raise BudgetReached("tokens", used.tokens, self.tokens, wanted.tokens)


@dataclass
class Purse:
    """A budget being spent: what is reserved for calls in flight, what is settled, and what `earlier` stretches paid.

    What an earlier stretch of a run paid for is settled when it is replayed, so that every stage is admitted as it was;
    until then it counts at the wall. `held` is kept back for what ends the run, and counts at the wall as well.
    """

    budget: Budget = Budget()
    settled: Usage = Usage()
    reserved: Usage = Usage()
    earlier: Usage = Usage()
    held: Usage = Usage()

    def reserve(self, estimate: Usage) -> None:
        """Set money, tokens and calls aside before a call; raise `BudgetReached` where they are not there."""
        self.budget.check(self.settled + self.reserved + self.earlier + self.held, estimate)
        self.reserved += estimate

    def replay(self, usage: Usage) -> None:
        """Settle what an earlier stretch paid for."""
        self.settled += usage
        self.earlier = Usage(
            max(0, self.earlier.calls - usage.calls),
            max(0, self.earlier.input_tokens - usage.input_tokens),
            max(0, self.earlier.output_tokens - usage.output_tokens),
            usd=None if self.earlier.usd is None or usage.usd is None else max(0.0, self.earlier.usd - usage.usd),
        )

    def settle(self, estimate: Usage, actual: Usage | None) -> None:
        """Give a reservation back and book what the call really cost (None: it was never made)."""
        usd = None if self.reserved.usd is None or estimate.usd is None else self.reserved.usd - estimate.usd
        self.reserved = Usage(
            self.reserved.calls - estimate.calls,
            self.reserved.input_tokens - estimate.input_tokens,
            self.reserved.output_tokens - estimate.output_tokens,
            usd=max(0.0, usd) if usd is not None and self.reserved.calls > estimate.calls else 0.0,
        )
        if actual is not None:
            self.settled += actual


@dataclass(frozen=True)
class Line:
    """One line of the ledger: first requests, and beside them repairs, turns after tool calls, and retried sends."""

    usage: Usage = Usage()
    repairs: int = 0
    retries: int = 0
    turns: int = 0

    @property
    def requests(self) -> int:
        """Requests that are no repairs, tool turns or retries: what the recipe's formula counts."""
        return self.usage.calls - self.repairs - self.turns


@dataclass
class Ledger:
    """Calls, tokens, seconds and money, by purpose."""

    lines: dict[str, Line] = field(default_factory=dict[str, Line])

    def add(self, purpose: str, usage: Usage, *, repair: bool = False, retries: int = 0, turn: bool = False) -> None:
        """Book one call under its purpose; one that follows tool calls is a `turn`."""
        line = self.lines.get(purpose, Line())
        turns = line.turns + (turn and not repair)
        self.lines[purpose] = Line(line.usage + usage, line.repairs + repair, line.retries + retries, turns)

    def __iter__(self) -> Iterator[tuple[str, Line]]:
        known = [purpose for purpose in PURPOSES if purpose in self.lines]
        return iter([(purpose, self.lines[purpose]) for purpose in known + sorted(set(self.lines) - set(known))])

    @property
    def total(self) -> Usage:
        """The sum over all purposes."""
        return sum((line.usage for line in self.lines.values()), Usage())

    def requests(self) -> Mapping[str, int]:
        """Return the count of first requests by purpose."""
        return {purpose: line.requests for purpose, line in self}
