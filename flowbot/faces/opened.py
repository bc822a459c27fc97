"""A workflow kept open for many runs: models, tools and sandbox are opened once, each run is paid for by itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flowbot.engine.ports import Reply, Request, Sandbox, Tool
from flowbot.engine.scene import Watch
from flowbot.engine.tasks import end
from flowbot.engine.trace import Trace
from flowbot.faces.api import Bound, as_example, specs_of
from flowbot.faces.observe.spans import Spans, open_spans
from flowbot.faces.wiring import NO_BOUND, open_session, told
from flowbot.money import Budget, BudgetReached, Ledger, Purse, Usage
from flowbot.store.session import Opened, RunSession, estimate_of
from flowbot.task.data import Example
from flowbot.workflow.fields import Json, whole
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call
from flowbot.workflow.tools import ToolSpec

Told = Callable[[str], None]
_ENDS = re.compile(r"[^!-~\ud800-\udbff]")  # a character that no secret has, and no first half of one


class Wall(Protocol):
    """A budget that many runs share: a call's estimate is reserved before it, its cost settled after it.

    `reserve` raises `BudgetReached`; a `Purse` is one.
    """

    def reserve(self, estimate: Usage) -> None: ...

    def settle(self, estimate: Usage, actual: Usage | None) -> None: ...


@dataclass
class Nested(Purse):
    """A run's own purse within a shared one: what is reserved and settled here is there too."""

    shared: Wall | None = None

    @property
    def bounded(self) -> bool:
        """True where anything has to be reserved."""
        given = self.budget
        return not (self.shared is None and given.usd is None and given.calls is None and given.tokens is None)

    def reserve(self, estimate: Usage) -> None:
        """Reserve in both, or in neither."""
        super().reserve(estimate)
        if self.shared is not None:
            try:
                self.shared.reserve(estimate)
            except BaseException:
                super().settle(estimate, None)
                raise

    def settle(self, estimate: Usage, actual: Usage | None) -> None:
        """Settle in both."""
        super().settle(estimate, actual)
        if self.shared is not None:
            self.shared.settle(estimate, actual)


@dataclass(eq=False)
class _Asked:
    """A request in flight, and who else waits for it."""

    request: Request
    waiting: asyncio.Future[Reply | None] | None = None

    async def wait(self) -> Reply | None:
        """Return the reply, None where it came to nothing."""
        if self.waiting is None:
            self.waiting = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self.waiting)

    def end(self, reply: Reply | None) -> None:
        """Tell whoever waits."""
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(reply)


@dataclass
class OneRun(RunSession):
    """The session of one run that nobody resumes: without a journal, and cancelled together with its caller.

    A call that is cancelled in flight may be billed by its provider, so it is counted at its upper estimate. The text
    of the plain call named `telling` is told as it comes.
    """

    bounded: bool = True  # by a budget: something has to be reserved
    telling: str = ""
    tell: Told | None = None
    _asked: list[_Asked] = field(default_factory=list["_Asked"])

    @property
    def in_flight(self) -> int:
        """The count of calls that are sent and not answered yet."""
        return len(self._asked)

    async def complete(self, request: Request) -> Reply:
        """Return the reply to a request, equal ones in flight by one send; raise `EndpointError` or `BudgetReached`."""
        opened = self.models[request.model]
        while True:
            for other in self._asked:
                if other.request == request and (reply := await other.wait()) is not None:
                    return reply
            if not self.bounded:
                return await self._ask(opened, request, None)
            estimate = estimate_of(request, opened)
            try:
                self.purse.reserve(estimate)
            except BudgetReached:
                if not self._asked:
                    raise
                ends = [asyncio.ensure_future(other.wait()) for other in self._asked]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                continue
            return await self._ask(opened, request, estimate)

    async def _ask(self, opened: Opened, request: Request, estimate: Usage | None) -> Reply:
        """Send a request; `estimate` is what was reserved for it, None where nothing had to be."""
        asked, reply, actual = _Asked(request), None, None
        self._asked.append(asked)
        try:
            got = self._clean(await self._reply(opened, request))
            reply, actual = got, got.usage
        except asyncio.CancelledError:
            actual = replace(estimate or estimate_of(request, opened), estimated=True)
            self.ledger.add(request.purpose, actual, repair=request.repair > 0, turn=request.turn > 0)
            raise
        finally:
            self._asked.remove(asked)
            if estimate is not None:
                self.purse.settle(estimate, actual)
            asked.end(reply)
        again, turn = request.repair > 0, request.turn > 0
        self.ledger.add(request.purpose, got.usage, repair=again, retries=got.retries, turn=turn)
        return got

    async def close(self) -> None:
        """End the tools and programs that are under way."""
        if self._shared:
            await end(self._shared.values())

    async def _reply(self, opened: Opened, request: Request) -> Reply:
        if self.tell is None or request.schema_name != self.telling:
            return await opened.model.complete(request)
        model: Any = opened.model
        return await model.stream(request, self.tell)


@dataclass
class Flow:
    """A workflow with its models, tools and sandbox open; awaited for each run. Made by `open_workflow`."""

    workflow: Workflow
    models: Mapping[str, Opened]
    open_tool: Callable[[ToolSpec], Tool] | None = None
    open_sandbox: Callable[[], Sandbox] | None = None
    scrub: Callable[[str], str] = lambda text: text
    shared: Wall | None = None
    spans: Spans | None = None
    closed: bool = False
    _tools: dict[str, Tool] = field(default_factory=dict[str, Tool])

    async def __call__(self, inputs: Mapping[str, Json], **how: Any) -> Trace:
        """Run on one set of inputs, by name; the rest is that of `run`. Raises `InputError` for what does not fit."""
        return await self.run(as_example(self.workflow, inputs, "input"), **how)

    async def run(
        self,
        example: Example,
        *,
        budget: Budget = NO_BOUND,
        watch: Watch | None = None,
        tell: Told | None = None,
        ledger: Ledger | None = None,
    ) -> Trace:
        """Return the trace of one run; what goes wrong in it is its `error`.

        `budget` bounds this run (`seconds` too), `watch` is told of its steps, `tell` of the output's text as it comes,
        where it `streams`. What is paid for is in `ledger` also where this raises `BudgetReached`, `EndpointError`,
        `SandboxError` or `TimeoutError`, or is cancelled: its calls are cancelled then, and counted.
        """
        if self.closed:
            raise RuntimeError(f"the workflow '{self.workflow.name}' is closed")
        session = self._session(budget, ledger or Ledger(), tell)
        try:
            if budget.seconds is None:
                return await session.run(self.workflow, example, watch=watch)
            async with asyncio.timeout(budget.seconds):
                return await session.run(self.workflow, example, watch=watch)
        finally:
            await session.close()

    @property
    def streams(self) -> str:
        """The id of the one plain call whose text is the output as it comes; empty where there is none."""
        step = self.workflow.step(self.workflow.output.partition(".")[0])
        if not isinstance(step, Call) or step.plain_field is None or step.tools:
            return ""
        model = self.models.get(step.model or self.workflow.model or "")
        return step.id if model is not None and hasattr(model.model, "stream") else ""

    def _session(self, budget: Budget, ledger: Ledger, tell: Told | None) -> OneRun:
        telling = self.streams if tell is not None else ""
        purse = Nested(budget, shared=self.shared)
        kind = OneRun if self.spans is None else self.spans.kind(OneRun)
        return kind(
            self.models,
            _NOTHING,
            purse,
            ledger,
            open_tool=self._opened_tool if self.open_tool is not None else None,
            open_sandbox=self.open_sandbox,
            scrub=self.scrub,
            bounded=purse.bounded,
            telling=telling,
            tell=Settled(tell, self.scrub) if tell is not None and telling else None,
        )

    def _opened_tool(self, spec: ToolSpec) -> Tool:
        """Return a tool, opened once for all runs."""
        what = spec.model_dump_json()
        if what not in self._tools:
            assert self.open_tool is not None
            self._tools[what] = self.open_tool(spec)
        return self._tools[what]


class Settled:
    """Tells text as it will stand in the output: without space around it, and no secret in it, whole or in halves.

    A word of the characters that a secret may have is held back until it ends.
    """

    def __init__(self, tell: Told, scrub: Callable[[str], str]) -> None:
        self.tell, self.scrub = tell, scrub
        self.before, self.held = "", ""

    def __call__(self, text: str) -> None:
        self.held += text
        ends = [found.end() for found in _ENDS.finditer(text)][-1:]
        if not ends:
            return
        ready = self.held[: len(self.held) - len(text) + ends[0]].rstrip()
        if ready and not self.before:
            begin = len(ready) - len(ready.lstrip())
            self.held, ready = self.held[begin:], ready[begin:]
        if not ready:
            return
        self.held = self.held[len(ready) :]
        known, now = self.scrub(self.before), self.scrub(self.before + ready)
        self.before = (self.before + ready)[-64:]
        if now.startswith(known):
            self.tell(whole(now[len(known) :]))


class _NoRecord:
    """The record of runs that nobody resumes: empty."""

    def find(self, key: str) -> Any | None:
        return None

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
        return


_NOTHING = _NoRecord()


@contextlib.asynccontextmanager
async def open_workflow(
    workflow: Workflow | Bound, *, concurrency: int = 64, shared: Wall | None = None
) -> AsyncGenerator[Flow]:
    """Keep a workflow open while the block runs: `trace = await flow({"request": text}, budget=Budget(usd=0.01))`.

    What it needs beside its inputs (tools, trust, settings of models) is given by `bind`. Many runs may be awaited at
    once, in the event loop that is running; at most `concurrency` calls are in flight at a model. `shared` is a budget
    for all runs together, e.g. `Purse(Budget(usd=5))`. Raises `InputError` for what is not there.
    """
    bound = workflow if isinstance(workflow, Bound) else Bound(workflow)
    toolbox = bound.toolbox()
    made = await told(bound.workflow, toolbox)
    specs, base_url = specs_of(made, bound.how.get("models", ())), bound.how.get("base_url")
    async with open_session(specs, made, toolbox, base_url=base_url, concurrency=concurrency) as opened:
        spans = open_spans(opened.scrub)
        flow = Flow(made, opened.models, opened.open_tool, opened.open_sandbox, opened.scrub, shared, spans)
        try:
            yield flow
        finally:
            flow.closed = True
