"""A server of workflows for tests: on a loopback port, in a thread of its own, with clients that ask it.

with serving(script) as endpoint, served(one_call(), endpoint.url) as site:
    site.post("/run", {"request": "hi"}).json
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from flowbot.faces.api import bind
from flowbot.faces.opened import Flow, open_workflow
from flowbot.faces.serve.app import app_of
from flowbot.faces.serve.desk import Opener
from flowbot.faces.serve.server import bound, server_of
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.settings import Limits, Settings
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import Workflow, build
from tests.metering import Got

MODEL = "openai:m"


def one_call(**more: Any) -> Workflow:
    """Return a workflow of one plain call."""
    step = {"id": "answer", "kind": "call", "reads": ["request"], "gives": {"reply": "text"}, "prompt": "Answer."}
    return build(name="one", model=MODEL, inputs={"request": "text"}, steps=[step | more], output="answer.reply")


def typed() -> Workflow:
    """Return a workflow with an input of each kind and a choice as its output."""
    inputs = {
        "text": "text",
        "number": "number",
        "flag": "bool",
        "team": "choice[a, b]",
        "tags": "list[text]",
        "more": {"json": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
    step = {"id": "sort", "kind": "call", "reads": [*inputs], "gives": {"label": "choice[x, y]"}, "prompt": "Sort."}
    return build(name="typed", model=MODEL, inputs=inputs, steps=[step], output="sort.label")


@dataclass
class Site:
    """A server that runs, and a client of it."""

    port: int
    service: Service
    loop: asyncio.AbstractEventLoop
    token: str = ""
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Got:
        """Send one request on a connection of its own."""
        sent = {"Content-Type": "application/json"} if body is not None else {}
        sent |= {"Authorization": f"Bearer {self.token}"} if self.token else {}
        connection = HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body, {**sent, **self.headers, **(headers or {})})
            answer = connection.getresponse()
            found = {name.lower(): value for name, value in answer.getheaders()}
            return Got(answer.status, found, answer.read())
        finally:
            connection.close()

    def post(self, path: str, plain: Any, headers: Mapping[str, str] | None = None) -> Got:
        """Post JSON."""
        return self.ask("POST", path, json.dumps(plain).encode(), headers)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Got:
        """Get a path."""
        return self.ask("GET", path, None, headers)

    def call(self, work: Any) -> Any:
        """Await something in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(20)

    def raw(self) -> socket.socket:
        """Return a bare connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)


def opener(workflow: Workflow, url: str, specs: list[ModelSpec] | None = None) -> Opener:
    """Return what opens a workflow at an endpoint without patience."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Flow]:
        async with open_workflow(bind(workflow, base_url=url, models=specs or ())) as flow:
            yield flow

    return opened


@contextmanager
def served(
    workflows: Workflow | Mapping[str, Opener],
    url: str = "",
    limits: Limits | None = None,
    *,
    token: str = "",
    spent: Path | None = None,
    specs: list[ModelSpec] | None = None,
    log_content: bool = False,
) -> Generator[Site]:
    """Serve workflows until the block ends."""
    made = {"one": opener(workflows, url, specs)} if isinstance(workflows, Workflow) else workflows
    app = app_of(made, Settings(limits or Limits(), token, log_content), spent)
    listening = bound("127.0.0.1", 0)
    started = threading.Event()
    sites: list[Site] = []
    failures: list[BaseException] = []

    async def main() -> None:
        async with app.router.lifespan_context(app):
            server = server_of(app)
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            await server.begun
            port = listening.getsockname()[1]
            sites.append(Site(port, app.state.service, asyncio.get_running_loop(), token))
            stops.append(lambda: setattr(server, "should_exit", True))
            started.set()
            await serving

    stops: list[Any] = []

    def run() -> None:
        try:
            asyncio.run(main())
        except BaseException as failure:
            failures.append(failure)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="served", daemon=True)
    thread.start()
    started.wait(20)
    if failures:
        listening.close()
        raise failures[0]
    try:
        yield sites[0]
    finally:
        sites[0].loop.call_soon_threadsafe(stops[0])
        thread.join(20)
        listening.close()
