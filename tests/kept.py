"""A search in a planted world, kept in a folder with the traces that it ran: what readers of journals look at."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import flowbot
from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.engine.trace import StepTrace, Trace
from flowbot.models.scripted import World
from flowbot.models.shelf import Shelf
from flowbot.store.journal import opened_to_read
from flowbot.store.session import Opened
from flowbot.store.shown import Shown
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import Workflow

SIZES = (24, 24, 4)
SALT = "salted"


@dataclass
class Kept:
    """A run's folder, and the traces that it ran with their draws, in the order in which they ended."""

    folder: Path
    ran: list[tuple[Trace, str]] = field(default_factory=list[tuple[Trace, str]])
    requests: list[Request] = field(default_factory=list[Request])

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.sqlite"

    def opened(self) -> Reading:
        """Open the journal for reading."""
        return Reading(opened_to_read(self.journal), {trace.workflow.id: trace.workflow for trace, _ in self.ran})

    def change(self, statement: str, *values: Any) -> int:
        """Change the journal by hand; return how many rows that touched."""
        db = sqlite3.connect(self.journal)
        with db:
            touched = db.execute(statement, values).rowcount
        db.close()
        return touched


@dataclass(frozen=True)
class Reading:
    """As much of a book as a trace needs."""

    db: sqlite3.Connection
    workflows: Mapping[str, Workflow]
    facts: Mapping[str, Any] = field(default_factory=lambda: {"models": {}})

    def workflow(self, workflow_id: str) -> Workflow:
        """Return a workflow of the run."""
        return self.workflows[workflow_id]


def kept(
    folder: Path,
    fault: str = "missing_instruction",
    *,
    sizes: Sequence[int] = SIZES,
    recipe: str = "race",
    answers: int = 10**9,
    world: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Kept:
    """Search in a planted world; the endpoint fails after so many `answers`, and the run stops there."""
    planted, made = World(fault, **(world or {})), Kept(folder)
    told = Shown.trace

    class Model:
        async def complete(self, request: Request) -> Reply:
            if len(made.requests) >= answers:
                raise EndpointError("down")
            made.requests.append(request)
            reply = planted.answer(request)
            return replace(reply, usage=replace(reply.usage, seconds=0.25))

    def opened(specs: Sequence[ModelSpec], base_url: str | None, concurrency: int) -> Shelf:
        return Shelf({spec.name: Opened(Model(), planted.price, 256, SALT) for spec in specs})

    def hear(shown: Shown, trace: Trace, draw: str) -> None:
        made.ran.append((trace, draw))
        told(shown, trace, draw)

    with patch("flowbot.faces.wiring.open_shelf", opened), patch.object(Shown, "trace", hear):
        try:
            flowbot.induce(planted.task(recipe, **settings), data=planted.data(*sizes), run=folder, start=planted.start)
        except EndpointError:
            assert len(made.requests) >= answers
    return made


def timeless(part: StepTrace) -> StepTrace:
    """Return a part of the tape without its seconds."""
    bodies = tuple({name: timeless(inner) for name, inner in body.items()} for body in part.bodies)
    return replace(part, seconds=0.0, bodies=bodies)
