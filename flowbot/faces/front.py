"""The front: the workflows of a run that no other beats on score and cost, cheapest first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flowbot.money import Ledger
from flowbot.search.compare import interval
from flowbot.search.lab import Row
from flowbot.workflow.graph import Workflow
from flowbot.workflow.requests import length, requests

FOLDER = "front"
WEIGHTED = "tokens: input + 4 x output, for there is no price to go by"


@dataclass(frozen=True)
class Member:
    """A workflow of the front: its mean score on validation with a 95 % interval, and what one example costs.

    `calls` are the most LLM calls an example, `length` the characters of prompts and demos, `steps` counts those of
    bodies too. `file` is where the run writes it, relative to its folder.
    """

    workflow: Workflow
    score: float
    low: float
    high: float
    cost: float
    file: str

    @property
    def calls(self) -> int:
        """The most LLM calls an example, repairs and tool turns left out."""
        return requests(self.workflow.steps)

    @property
    def length(self) -> int:
        """The characters of prompts and demos."""
        return length(self.workflow)

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.workflow.all_steps)

    def plain(self) -> dict[str, Any]:
        """Return it as plain data, with the name that events use for it."""
        return {
            "candidate": self.workflow.id,
            "mean": self.score,
            "low": self.low,
            "high": self.high,
            "cost": self.cost,
            "calls": self.calls,
            "length": self.length,
            "steps": self.steps,
            "file": self.file,
        }


@dataclass(frozen=True)
class Front:
    """The members, cheapest first; their cost is in dollars, or else in tokens, the output's counted four times."""

    members: tuple[Member, ...] = ()
    dollars: bool = False

    def __bool__(self) -> bool:
        return bool(self.members)


def front_of_rows(rows: Sequence[Row], ledger: Ledger) -> Front:
    """Return the front that rows are, in their order; the ledger tells whether money is what they cost."""
    members: list[Member] = []
    for place, row in enumerate(rows, 1):
        low, high = _interval(row.scores)
        name = file_name(place, len(rows), row.mean, row.cost)
        members.append(Member(row.candidate.workflow, row.mean, low, high, row.cost, f"{FOLDER}/{name}"))
    line = ledger.lines.get("task")
    return Front(tuple(members), bool(line and line.usage.usd))


@lru_cache(256)
def _interval(scores: tuple[float, ...]) -> tuple[float, float]:
    return interval(scores)  # a run that is followed asks for the same again and again


def plain_front(front: Front) -> dict[str, Any]:
    """Return a front as plain data."""
    return {"dollars": front.dollars, "members": [member.plain() for member in front.members]}


def front_told(plain: Mapping[str, Any], known: Mapping[str, Workflow]) -> Front:
    """Return a front from plain data; `known` has the workflows by id."""
    found = [
        Member(known[each["candidate"]], each["mean"], each["low"], each["high"], each["cost"], each["file"])
        for each in plain.get("members") or ()
        if each["candidate"] in known
    ]
    return Front(tuple(found), bool(plain.get("dollars")))


def file_name(place: int, count: int, score: float, cost: float) -> str:
    """Return the name of a member's file; names sort as the front does."""
    digits = max(0, 2 - math.floor(math.log10(cost))) if cost > 0 else 0
    return f"{place:0{len(str(count))}}-score-{score:.3f}-cost-{cost:.{digits}f}.yaml"
