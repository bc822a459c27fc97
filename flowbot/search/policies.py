"""The policies that a search is made of, one method each: what a recipe chooses, and the loop that wires them needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from flowbot.search.lab import Candidate, Lab


class Seeds(Protocol):
    """What iteration `number` begins with: the first with the start measured, any with other workflows planted."""

    async def plant(self, lab: Lab, number: int) -> None: ...


class Stop(Protocol):
    """When a search ends by itself. The reason in words, empty to go on."""

    def reason(self, lab: Lab) -> str: ...


class Parents(Protocol):
    """Which workflow an iteration changes."""

    def choose(self, lab: Lab, number: int) -> Candidate: ...


class Slate(Protocol):
    """What an iteration proposes: candidates made from the parent, tested by nobody yet."""

    async def propose(self, lab: Lab, parent: Candidate, number: int) -> Sequence[Candidate]: ...


class Judge(Protocol):
    """What becomes of proposals: measured, and made the best so far or not."""

    async def decide(self, lab: Lab, parent: Candidate, children: Sequence[Candidate], number: int) -> None: ...


class Finish(Protocol):
    """How a search ends, whatever ended it (`done` or `budget`): the last word on the best."""

    async def close(self, lab: Lab, ended: str) -> None: ...


@dataclass(frozen=True)
class Policies:
    """One of each."""

    seeds: Seeds
    stop: Stop
    parents: Parents
    slate: Slate
    judge: Judge
    finish: Finish


async def search(lab: Lab, policies: Policies) -> str:
    """Search until the stop policy says why to end; raise `BudgetReached` at the wall. The best is in the lab."""
    number = 0
    while not (why := policies.stop.reason(lab)):
        number += 1
        await policies.seeds.plant(lab, number)
        parent = policies.parents.choose(lab, number)
        children = await policies.slate.propose(lab, parent, number)
        await policies.judge.decide(lab, parent, children, number)
    return why
