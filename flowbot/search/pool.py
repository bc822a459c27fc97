"""The pool: the workflows worth keeping beside the best, on score against cost, and the choice among them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from flowbot.search.lab import Candidate, Row
from flowbot.workflow.requests import length

MOST = 12  # members
CHEAPER = 0.85  # a child that costs at most this share of another is a cheaper one


class Priced(Protocol):
    """What has a mean score and a cost, such as a row."""

    @property
    def mean(self) -> float: ...

    @property
    def cost(self) -> float: ...


P = TypeVar("P", bound=Priced)


@dataclass
class Pool:
    """Rows on validation of workflows that none dominates on (items won, cost, length), the start among them.

    `best` is the incumbent. Rows hold what is known by now: a row that is sampled again takes its member's place.
    """

    start: Row
    best: Row
    members: list[Row] = field(default_factory=list[Row])

    def row(self, workflow_id: str) -> Row | None:
        """Return a member's row."""
        return next((row for row in self.members if row.candidate.id == workflow_id), None)

    def put(self, row: Row) -> None:
        """Take a row in, in the place of an older one of the same workflow; whoever is dominated then goes."""
        self.members = [each for each in self.members if each.candidate.id != row.candidate.id]
        self.members.append(row)
        if self.start.candidate.id == row.candidate.id:
            self.start = row
        if self.best.candidate.id == row.candidate.id:
            self.best = row
        self._prune()

    def crown(self, row: Row) -> None:
        """Make a row the incumbent."""
        self.best = row
        self.put(row)

    def _prune(self) -> None:
        wins = self.wins()
        stays = {self.start.candidate.id, self.best.candidate.id}
        kept = [row for row in self.members if row.candidate.id in stays or not self._dominated(row, wins)]
        order = sorted(kept, key=lambda row: (row.candidate.id not in stays, -row.mean, row.cost))
        alive = {row.candidate.id for row in order[:MOST]}
        self.members = [row for row in kept if row.candidate.id in alive]

    def _dominated(self, row: Row, wins: Mapping[str, frozenset[int]]) -> bool:
        """Tell whether another member wins wherever this one does, costs no more and is no longer."""
        mine, cost, size = wins[row.candidate.id], row.cost, length(row.candidate.workflow)
        for other in self.members:
            theirs, other_cost, other_size = wins[other.candidate.id], other.cost, length(other.candidate.workflow)
            no_worse = theirs >= mine and other_cost <= cost and other_size <= size
            if other is not row and no_worse and (theirs, other_cost, other_size) != (mine, cost, size):
                return True
        return False

    def admits(self, row: Row) -> bool:
        """Tell whether no member dominates a row."""
        trial = Pool(self.start, self.best, [*self.members, row])
        return not trial._dominated(row, trial.wins())

    def wins(self) -> dict[str, frozenset[int]]:
        """Return the items, by place, on which each member scores as high as the highest does, and not nothing."""
        best = [max(scores) for scores in zip(*(row.scores for row in self.members), strict=True)]
        return {
            row.candidate.id: frozenset(at for at, top in enumerate(best) if row.scores[at] >= top > 0)
            for row in self.members
        }

    def draw(self, seed: str, share: float) -> Candidate:
        """Draw a parent: the incumbent with the chance `share`, else any member by wins, low cost and short prompts."""
        rng = random.Random(seed)
        wins = self.wins()
        if rng.random() < share or not any(wins.values()):
            return self.best.candidate
        cost = min(row.cost for row in self.members) or 1.0
        short = min(length(row.candidate.workflow) for row in self.members) or 1
        weights = [
            len(wins[row.candidate.id]) ** 2
            * (cost / max(row.cost, cost)) ** 0.5
            * (short / max(short, length(row.candidate.workflow))) ** 0.5
            for row in self.members
        ]
        return rng.choices(self.members, weights)[0].candidate

    def front(self) -> tuple[Row, ...]:
        """Return the members that no other beats on score and cost, the cheapest first."""
        return front_of(self.members)

    def ranked(self, prefer: str, margin: float) -> list[Row]:
        """Return the members in the order that a preference has, best first.

        `score`: by mean, then cost. `balanced`: the cheapest within the margin of the best mean. `cheap`: the cheapest
        that costs less than the start and is within the margin of it, or is above it. What does not qualify follows by
        score, the start among it.
        """
        by_score = sorted(
            self.members, key=lambda row: (-row.mean, row.candidate.id != self.best.candidate.id, row.cost)
        )
        if prefer == "score":
            first = [row for row in by_score if row.candidate.id == self.best.candidate.id]
            return [*first, *(row for row in by_score if row not in first)]
        floor = (by_score[0].mean if prefer == "balanced" else self.start.mean) - margin
        better = [row for row in by_score if row.mean > self.start.mean + margin or row.cost < self.start.cost]
        fits = sorted((row for row in better if row.mean >= floor), key=lambda row: (row.cost, -row.mean))
        return [*fits, *(row for row in by_score if row not in fits)]


def front_of(rows: Iterable[P]) -> tuple[P, ...]:
    """Return the rows that no other beats on score and cost, the cheapest first."""
    front: list[P] = []
    for row in sorted(rows, key=lambda row: (row.cost, -row.mean)):
        if not front or row.mean > front[-1].mean:
            front.append(row)
    return tuple(front)
