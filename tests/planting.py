"""A search in a planted world, in this process: what tests of the recipe `race` look at."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flowbot.engine.ports import Reply, Request
from flowbot.faces.problem import read_problem
from flowbot.faces.wiring import Site, site
from flowbot.models.scripted import World
from flowbot.models.shelf import Shelf
from flowbot.money import Budget, Ledger
from flowbot.search.induce import Found, induce
from flowbot.search.lab import Lab
from flowbot.store.journal import MemoryJournal
from flowbot.store.session import Opened
from flowbot.store.splits import splits_of
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import Workflow

SIZES = (48, 48, 1)


@dataclass
class Heard:
    """A world that remembers what it was asked."""

    world: World
    requests: list[Request] = field(default_factory=list[Request])

    async def complete(self, request: Request) -> Reply:
        """Answer as the world does."""
        self.requests.append(request)
        return self.world.answer(request)


@dataclass(frozen=True)
class Searched:
    """What a search came to. `events` are those of the journal, in order."""

    found: Found
    lab: Lab
    events: Sequence[Mapping[str, Any]]
    ledger: Ledger
    requests: Sequence[Request]

    def of(self, kind: str) -> list[Mapping[str, Any]]:
        """Return the events of a kind."""
        return [event for event in self.events if event["kind"] == kind]

    @property
    def result(self) -> Workflow:
        """The workflow that the search ended in."""
        assert self.found.best is not None
        return self.found.best.candidate.workflow


def searched(
    fault: str = "missing_instruction",
    seed: int = 0,
    *,
    sizes: tuple[int, int, int] = SIZES,
    recipe: str = "race",
    budget: Budget | None = None,
    world: Mapping[str, Any] | None = None,
    guard: int = 0,
    **settings: Any,
) -> Searched:
    """Search in a planted world; `guard` examples more may not get worse."""
    planted = World(fault, seed, **(world or {}))
    heard = Heard(planted)
    task = planted.task(recipe, **settings)
    data = planted.data(*sizes)
    if guard:
        data["guard"] = [
            {**row, "id": f"guard{at}"} for at, row in enumerate(planted.data(0, 0, guard, seed=1)["test"])
        ]
    problem = read_problem(task, Path(), splits_of(task, data).splits, start=planted.start)
    journal = MemoryJournal()

    def opened(specs: Sequence[ModelSpec], base_url: str | None, concurrency: int) -> Shelf:
        return Shelf({spec.name: Opened(heard, max_tokens=256) for spec in specs})

    async def main() -> Searched:
        place: Site
        async with site(problem, journal, None, budget or Budget()) as place:
            lab = place.lab(lambda event: None)
            found = await induce(lab, recipe, problem.settings)
            return Searched(found, lab, journal.written, place.session.ledger, heard.requests)

    with patch("flowbot.faces.wiring.open_shelf", opened):
        return asyncio.run(main())
