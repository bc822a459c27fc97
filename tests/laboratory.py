"""A lab on a world in process: what a recipe or a move does there, without faces around it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

from flowbot.faces.problem import read_problem
from flowbot.faces.wiring import Site, site
from flowbot.money import Budget, Ledger
from flowbot.search.lab import Candidate, Lab
from flowbot.search.moves import try_moves
from flowbot.search.paper import PaperSettings
from flowbot.store.journal import MemoryJournal
from flowbot.store.splits import splits_of
from flowbot.workflow.graph import Workflow
from tests import worlds

T = TypeVar("T")


class Laboratory:
    """A task with its data in a world (any model). `ledger` is what the last work cost."""

    def __init__(
        self, world: Any, workflow: Workflow | None = None, sizes: Mapping[str, int] | None = None, **task: Any
    ) -> None:
        made = worlds.task(**task)
        self.data = worlds.data(**(sizes or {"train": 30, "val": 20, "test": 10}))
        self.problem = read_problem(made, Path(), splits_of(made, self.data).splits, start=workflow)
        self.world, self.journal, self.ledger = world, MemoryJournal(), Ledger()

    def work(self, patch: pytest.MonkeyPatch, work: Callable[[Lab], Awaitable[T]], budget: Budget | None = None) -> T:
        """Do work in the lab."""
        worlds.shelved(patch, self.world)

        async def main() -> T:
            place: Site
            async with site(self.problem, self.journal, None, budget or Budget()) as place:
                self.ledger = place.session.ledger
                return await work(place.lab(lambda event: None))

        return asyncio.run(main())

    def find(self, patch: pytest.MonkeyPatch, **settings: Any) -> Lab:
        """Measure the start and try the moves."""

        async def moves(lab: Lab) -> Lab:
            await lab.keep(await lab.measure(Candidate(lab.start)), "the start")
            await try_moves(lab, PaperSettings(**settings))
            return lab

        return self.work(patch, moves)

    def moves(self) -> list[dict[str, Any]]:
        """Return what was told of the moves."""
        return [event for event in self.journal.written if event["kind"] == "move"]
