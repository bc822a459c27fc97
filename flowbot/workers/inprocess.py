"""Examples run in this process, many at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from flowbot.engine.ports import Metric
from flowbot.engine.tasks import end
from flowbot.engine.trace import Trace
from flowbot.store.session import RunSession
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow


@dataclass(frozen=True)
class InProcess:
    """Runs examples with at most `window` of them begun and not yet handed over, so memory stays flat.

    `identity` names the metric in the journal; without a metric traces come unscored. `ran` is told of every run, with
    its draw, as it ends.
    """

    session: RunSession
    window: int = 32
    metric: Metric | None = None
    identity: str = ""
    ran: Callable[[Trace, str], None] = lambda trace, draw: None

    async def evaluate(self, workflow: Workflow, examples: Iterable[Example], draw: str) -> AsyncIterator[Trace]:
        """Yield the traces in the order of the examples, whatever the order in which they finish."""
        going: deque[asyncio.Task[Trace]] = deque()
        try:
            for example in examples:
                if len(going) >= self.window:
                    yield await going.popleft()
                going.append(asyncio.create_task(self._one(workflow, example, draw)))
            while going:
                yield await going.popleft()
        finally:
            await end(going)

    async def _one(self, workflow: Workflow, example: Example, draw: str) -> Trace:
        trace = await self.session.run(workflow, example, draw, self.metric, self.identity)
        self.ran(trace, draw)
        return trace
