"""A session that only replays: it answers from a journal and asks nobody, so that any trace can be looked at again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flowbot.engine.forward import forward
from flowbot.engine.ports import Program, Ran, Reply, Request, ToolReply
from flowbot.engine.trace import StepTrace, Trace
from flowbot.store.hearing import Hearing
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.tools import ToolSpec


class NotRecorded(Exception):
    """The journal does not hold what a trace is made of: the run was stopped in it, or something of it has changed."""


@dataclass(frozen=True)
class _Nobody:
    """A model, a tool and a sandbox that are never asked; `tool` is the tool's name."""

    tool: str = ""

    async def complete(self, request: Request) -> Reply:
        raise NotRecorded(f"no reply of {request.model} to step '{request.schema_name}' is recorded")

    async def call(self, args: Mapping[str, Json]) -> ToolReply:
        raise NotRecorded(f"no value of the tool '{self.tool}' is recorded")

    async def run(self, program: Program) -> Ran:
        raise NotRecorded("what came of a program is not recorded")


@dataclass(frozen=True)
class _Recorded:
    """The calls of a journal, for reading only."""

    db: sqlite3.Connection

    def find(self, key: str) -> Any | None:
        try:
            row = self.db.execute("SELECT value FROM calls WHERE key=?", (key,)).fetchone()
            return json.loads(row[0]) if row else None
        except (sqlite3.Error, ValueError) as error:
            raise NotRecorded(f"the journal is damaged ({error})") from None

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
        raise NotRecorded(f"a journal that is read takes no {purpose}")


async def replayed(
    db: sqlite3.Connection,
    salts: Mapping[str, str],
    workflow: Workflow,
    example: Example,
    draw: str,
    hearing: Hearing | None = None,
) -> Trace:
    """Return the trace of a run that a journal holds, as it was, but for its score: a judge is not asked again.

    `salts` are those of the run's models by name, `hearing` hears what was said in each step. The seconds of a call
    are those that its replies took. Raises `NotRecorded` where a part is not there.
    """
    names = {call.model or workflow.model or "" for call in workflow.calls}
    models = {name: Opened(_Nobody(), salt=salts.get(name, "")) for name in names}

    def no_tool(spec: ToolSpec) -> _Nobody:
        return _Nobody(next(name for name, each in workflow.tools.items() if each == spec))

    session = RunSession(models, _Recorded(db), open_tool=no_tool, open_sandbox=_Nobody)
    hearing = hearing or Hearing()
    try:
        trace = await forward(workflow, example, hearing.within(session), draw, watch=hearing.watch)
    finally:
        await session.drain(0)
    return replace(trace, steps=tuple(_timed(part) for part in trace.steps))


def _timed(part: StepTrace) -> StepTrace:
    """Return a part of the tape with the seconds that it took when it was run."""
    bodies = tuple({name: _timed(inner) for name, inner in body.items()} for body in part.bodies)
    if bodies:
        return replace(part, bodies=bodies, seconds=sum(inner.seconds for body in bodies for inner in body.values()))
    taken = part.usage.seconds + sum(use.seconds for use in part.tools)
    return replace(part, seconds=taken) if part.messages else part
