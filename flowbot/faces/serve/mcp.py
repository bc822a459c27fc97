"""Workflows as tools of MCP: over stdio, or over streamable HTTP beside the other routes, by the official SDK."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError

import flowbot
from flowbot.engine.scene import Watch
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace, Trace
from flowbot.faces.serve.day import day_of
from flowbot.faces.serve.desk import Desk, Opener, Served
from flowbot.faces.serve.refusal import Refusal
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.settings import Settings
from flowbot.faces.serve.slots import Slots
from flowbot.faces.serve.visit import Receive, Scope, Send, Visit
from flowbot.task.data import Example
from flowbot.task.task import Task
from flowbot.workflow.graph import Workflow

if TYPE_CHECKING:
    from starlette.applications import Starlette

PATH = "/mcp"
PURE = ("calculator", "bm25", "python", "tests")  # kinds of tool that change nothing outside
SIMPLE = ("call", "tool", "code")  # kinds of step that run once: of a workflow of these their number is known
LONGEST_NAME = 64
LOG = logging.getLogger("flowbot.serve")


class Tools:
    """The tools of a service: one for each workflow, named as the workflow is, or as the user said (`named`).

    Workflows of one name have those of their files.

    `task` describes the workflows that read its inputs.
    """

    def __init__(self, service: Service, named: Collection[str] = (), task: Task | None = None) -> None:
        self.service, self.named, self.task = service, named, task
        self._numbers = itertools.count(1)
        self._runs: set[asyncio.Task[Trace]] = set()

    def server(self) -> Server[Any]:
        """Return the MCP server."""
        return Server("flowbot", version=flowbot.__version__, on_list_tools=self._list, on_call_tool=self._call)

    async def close(self) -> None:
        """End the runs that are under way."""
        await end(self._runs)

    def by_name(self) -> dict[str, Served]:
        """Return the open workflows by the names of their tools."""
        served = self.service.desk.served
        own = {name: name if name in self.named else each.flow.workflow.name for name, each in served.items()}
        many = Counter(fitted(each) for each in own.values())
        found: dict[str, Served] = {}
        for name, each in served.items():
            tool = fitted(own[name])
            wanted = [
                tool if many[tool] == 1 else "",
                fitted(name),
                *(f"{fitted(name)[:60]}-{n}" for n in range(2, 99)),
            ]
            found[next(one for one in wanted if one and one not in found)] = each
        return found

    async def _list(self, context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[self._tool(name, each) for name, each in self.by_name().items()])

    def _tool(self, name: str, served: Served) -> types.Tool:
        workflow, contract = served.flow.workflow, served.contract
        hints = types.ToolAnnotations(read_only_hint=True) if _is_pure(workflow) else None
        output = workflow.output.partition(".")[2]
        gives = {"type": "object", "properties": {output: contract.gives}, "required": [output]}
        return types.Tool(
            name=name,
            title=workflow.name,
            description=self._described(workflow),
            input_schema=contract.takes,
            output_schema=gives,
            annotations=hints,
        )

    def _described(self, workflow: Workflow) -> str:
        reads = ", ".join(f"{name} ({kind})" for name, kind in workflow.inputs.items())
        what = f"Reads {reads}; gives {workflow.output.partition('.')[2]} ({workflow.output_type})."
        task = self.task
        if task is not None and task.description and dict(task.inputs) == dict(workflow.inputs):
            return f"{task.description.strip()}\n\n{what}"
        return f"The workflow '{workflow.name}'. {what}"

    async def _call(self, context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        known = self.by_name()
        if params.name not in known:
            raise MCPError(types.INVALID_PARAMS, f"unknown tool: {params.name[:80]} (tools: {', '.join(known)})")
        served, visit = known[params.name], self._visit(context)
        visit.facts["tool"] = params.name
        try:
            result = await self._answer(served, params.arguments or {}, visit, _Progress(context.session, served))
        except Refusal as refusal:
            visit.facts["error"] = refusal.code
            result = _text(refusal.message, failed=True)
        except Exception as error:
            visit.facts |= {"error": "internal_error", "bug": type(error).__name__}
            result = _text(f"an error of the server's own; its id is {visit.id}", failed=True)
        if context.request is None:  # over HTTP the request is logged
            self._log(visit)
        return result

    async def _answer(self, served: Served, arguments: Any, visit: Visit, told: _Progress) -> types.CallToolResult:
        example = served.contract.example(arguments)
        async with told:
            trace = await self._ran(served, example, visit, told)
        if self.service.settings.log_content:
            visit.facts |= {"inputs": arguments, "output": trace.output}
        result = _text(served.contract.output_text(trace))
        result.structured_content = {served.flow.workflow.output.partition(".")[2]: trace.output}
        return result

    async def _ran(self, served: Served, example: Example, visit: Visit, watch: Watch) -> Trace:
        """Run in a task of its own: the SDK cancels again and again, which would break into the run's own ending."""
        served.enter()  # the task begins later, and a reload may come before it
        run = asyncio.create_task(self.service.run(served, example, visit, watch=watch))
        run.add_done_callback(lambda done: served.leave())
        self._runs.add(run)
        run.add_done_callback(self._ended)
        try:
            return await asyncio.shield(run)
        except asyncio.CancelledError:
            run.cancel()
            raise

    def _ended(self, run: asyncio.Task[Trace]) -> None:
        self._runs.discard(run)
        if not run.cancelled():
            run.exception()  # whoever waited for it may be gone

    def _visit(self, context: Any) -> Visit:
        """Return what is known of the request: over HTTP the gate has made it."""
        scope: Any = getattr(context.request, "scope", {})
        return scope.get("flowbot") or Visit(f"mcp{next(self._numbers)}", time.perf_counter(), _receive, _send, {})

    def _log(self, visit: Visit) -> None:
        facts: dict[str, Any] = {"id": visit.id, "seconds": round(time.perf_counter() - visit.began, 4)}
        if visit.usage.calls:
            facts |= {"calls": visit.usage.calls, "tokens": visit.usage.tokens, "usd": visit.usage.usd}
        LOG.info("call", extra={"facts": facts | visit.facts})


class _Progress:
    """Tells a client that asked for it how many steps are done, of how many where that is known beforehand.

    Steps end in the run's own task, and the client is told in this one's: whatever it makes of it, the run goes on.
    """

    def __init__(self, session: Any, served: Served) -> None:
        self.session, self.done = session, 0
        steps = served.flow.workflow.all_steps
        self.total = len(steps) if all(step.kind in SIMPLE for step in steps) else None
        self.ended: asyncio.Queue[str | None] = asyncio.Queue()

    def __call__(self, path: str, trace: StepTrace | None) -> None:
        if trace is not None:
            self.ended.put_nowait(path)

    async def __aenter__(self) -> None:
        self.telling = asyncio.create_task(self._tell())

    async def __aexit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self.ended.put_nowait(None)
            await asyncio.gather(self.telling, return_exceptions=True)
        else:
            await end([self.telling])

    async def _tell(self) -> None:
        while (path := await self.ended.get()) is not None:
            self.done += 1
            await self.session.report_progress(self.done, self.total, path)


def fitted(name: str) -> str:
    """Return a name as MCP clients take it: letters, digits, _ and -."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:LONGEST_NAME]


def _is_pure(workflow: Workflow) -> bool:
    return all(workflow.tools[name].kind in PURE for name in workflow.used_tools)


def _text(text: str, failed: bool = False) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], is_error=failed)


async def _receive() -> Any:
    return {}


async def _send(message: Any) -> None:
    return


class _Uncounted:
    """The counters of a server that nobody asks for any."""

    def run(self, *facts: Any) -> None:
        """Count nothing."""


def service_of(openers: Mapping[str, Opener], settings: Settings, spent: Path | None) -> Service:
    """Return a service without routes; its limits mean what they mean over HTTP. Raises `InputError`."""
    limits = settings.limits
    day, slots = day_of(limits, spent), Slots(limits.concurrency, limits.queue)
    return Service(Desk(openers, day), settings, slots, cast(Any, _Uncounted()), day)


async def serve_stdio(tools: Tools) -> None:
    """Serve on standard input and output until the input ends; whatever else writes there goes to standard error."""
    service, server = tools.service, tools.server()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the SDK's reader sits in a thread that no cancellation ends
    with _aside():
        await service.desk.open()
    try:
        async with stdio_server() as (reading, writing):
            try:
                await server.run(reading, writing, server.create_initialization_options())
            finally:
                sys.stdout.flush()  # while what tools print still goes to standard error
    finally:
        await tools.close()
        await service.desk.close()
        if service.day is not None:
            service.day.close()


@contextlib.contextmanager
def _aside() -> Generator[None]:
    """Send what is written to standard output to standard error, that of processes which begin within too."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()  # what was printed within goes where the rest of it went
        os.dup2(kept, 1)
        os.close(kept)


def add_mcp(app: Starlette, tools: Tools) -> None:
    """Let an application of `app_of` answer at /mcp too, over streamable HTTP, within the same bounds."""
    from starlette.routing import Route

    body = tools.service.settings.limits.body
    manager = StreamableHTTPSessionManager(tools.server(), max_request_body_size=body)
    opened = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncGenerator[Any]:
        async with opened(app) as state:
            try:
                async with manager.run():
                    yield state
            finally:
                await tools.close()

    app.router.lifespan_context = lifespan
    app.router.routes.insert(0, Route(PATH, _Door(tools.service, manager)))


class _Door:
    """The route of MCP. A stream that only waits for messages keeps nobody from stopping."""

    name = PATH

    def __init__(self, service: Service, manager: StreamableHTTPSessionManager) -> None:
        self.service, self.manager = service, manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit: Visit = scope["flowbot"]
        visit.facts["route"] = PATH
        if scope["method"] == "POST":
            self.service.check()
        else:
            self.service.visits.discard(visit)
        await self.manager.handle_request(scope, receive, send)


def named_of(files: Iterable[str]) -> frozenset[str]:
    """Return the names that the user gave: those before `=`."""
    return frozenset(each.partition("=")[0] for each in files if "=" in each)
