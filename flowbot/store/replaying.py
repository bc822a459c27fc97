"""A session that only replays: it answers from a journal and asks nobody, so that any trace can be looked at again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowbot.engine.forward import forward
from flowbot.engine.ports import Reply, Request
from flowbot.engine.trace import Trace
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow


class NotRecorded(Exception):
    """The journal does not hold what a trace is made of: the run was stopped in it, or something of it has changed."""


@dataclass(frozen=True)
class _Nobody:
    """A model that is never asked."""

    async def complete(self, request: Request) -> Reply:
        raise NotRecorded(f"no reply of {request.model} to step '{request.schema_name}' is recorded")


@dataclass(frozen=True)
class _Recorded:
    """The calls of a journal, for reading only."""

    db: sqlite3.Connection

    def find(self, key: str) -> Any | None:
        row = self.db.execute("SELECT value FROM calls WHERE key=?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
        raise NotRecorded(f"no {purpose} of this step is recorded")


async def replayed(
    db: sqlite3.Connection, salts: Mapping[str, str], workflow: Workflow, example: Example, draw: str
) -> Trace:
    """Return the trace of a run that a journal holds, as it was; `salts` are those of the run's models by name.

    Raises `NotRecorded` where a part of it is not there.
    """
    models = {name: Opened(_Nobody(), salt=salt) for name, salt in salts.items()}
    session = RunSession(models, _Recorded(db))
    try:
        return await forward(workflow, example, session, draw)
    except KeyError as missing:
        raise NotRecorded(f"the run had no model {missing}") from None
    finally:
        await session.drain(0)
