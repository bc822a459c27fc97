"""Workflows in the arena: run at a base URL, and outputs scored by the task's metric."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flowbot.bench.arena import Solved
from flowbot.engine.forward import forward
from flowbot.engine.ports import Metric
from flowbot.engine.trace import Trace
from flowbot.faces.problem import named_by
from flowbot.faces.wiring import open_session, open_toolbox
from flowbot.store.session import RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import Task
from flowbot.tools.metric import open_metric
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow


@dataclass
class Room:
    """A task's metric, tools, sandbox and models at base URLs, each opened when it is first needed."""

    task: Task
    folder: Path
    start: Workflow
    unsafe_code: bool = False
    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    opened: dict[str, RunSession] = field(default_factory=dict[str, RunSession])
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def metric(self) -> Metric:
        """The task's metric; some hold a process, so there is one for all scores."""
        return open_metric(self.task.metric, self.folder, self.task.models.of("judge").name)

    async def session(self, url: str) -> RunSession:
        """Return the session at a base URL."""
        async with self.lock:
            if url not in self.opened:
                toolbox = open_toolbox(self.folder, named_by(self.task), unsafe_code=self.unsafe_code)
                way = open_session(
                    self.task.models.specs,
                    self.start,
                    toolbox,
                    metric=self.task.metric.name,
                    base_url=url,
                    concurrency=self.task.concurrency,
                )
                self.opened[url] = await self.stack.enter_async_context(way)
            return self.opened[url]

    async def close(self) -> None:
        """Close all sessions."""
        await self.stack.aclose()


@dataclass
class Flow:
    """A workflow as a program."""

    workflow: Workflow
    room: Room

    async def solve(self, example: Example, url: str) -> Solved:
        """Run the workflow on one example."""
        trace = await forward(self.workflow, example, await self.room.session(url), "test")
        return Solved(trace.output, trace.error, trace)

    async def close(self) -> None:
        """Close what the runs opened."""
        await self.room.close()


@dataclass(frozen=True)
class Scorer:
    """The task's metric; what it asks a judge goes to the base URL."""

    room: Room
    url: str

    async def score(self, example: Example, output: Json, trace: Trace | None = None) -> Score:
        """Return the score of an output; a trace is made up for a program that has none."""
        made = trace or Trace(self.room.start, example, (), output)
        return await self.room.metric.score(example, output, made, await self.room.session(self.url))
