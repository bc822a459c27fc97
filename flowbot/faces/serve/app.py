"""The application: Starlette's, with the routes of each workflow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.routing import Route

from flowbot.errors import InputError
from flowbot.faces.observe.requests import Requests
from flowbot.faces.observe.spans import open_spans
from flowbot.faces.serve.chat import Chat
from flowbot.faces.serve.counted import Counted
from flowbot.faces.serve.day import day_of
from flowbot.faces.serve.desk import Desk, Opener
from flowbot.faces.serve.gate import Gate
from flowbot.faces.serve.openapi import document, page
from flowbot.faces.serve.refusal import Refusal, written
from flowbot.faces.serve.runs import Runs
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.settings import Settings
from flowbot.faces.serve.slots import Slots
from flowbot.faces.serve.visit import App, Receive, Scope, Send, Visit

RESERVED = frozenset({"run", "batch", "v1", "healthz", "readyz", "metrics", "docs", "openapi.json"})
METRICS = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Endpoint:
    """One route as an ASGI application: a framework's handling of a request would cost as much as a workflow's run."""

    name: str
    handler: Callable[[Visit, Scope], Awaitable[None]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit: Visit = scope["flowbot"]
        visit.facts["route"] = self.name
        await self.handler(visit, scope)


def app_of(openers: Mapping[str, Opener], settings: Settings | None = None, spent: Path | None = None) -> Starlette:
    """Return the application that serves workflows: `app_of({"tickets": lambda: open_workflow(workflow)})`.

    They are opened as its lifespan begins. `spent` is the SQLite file of what a day has cost, needed where the limits
    bound a day. Its `state.service` can be stopped and its desk reloaded. Raises `InputError`.
    """
    settings = settings or Settings()
    for name in openers:
        if name in RESERVED or not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
            raise InputError(f"no workflow can be served as '{name}'", mend="name it: flowbot serve NAME=FILE")
    limits = settings.limits
    day = day_of(limits, spent)
    slots = Slots(limits.concurrency, limits.queue)
    service = Service(Desk(openers, day), settings, slots, Counted(slots, day), day)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        await service.desk.open()
        try:
            yield
        finally:
            await service.desk.close()
            if day is not None:
                day.close()

    app = Gated(routes=_routes(service), lifespan=lifespan)
    app.state.service = service
    return app


class Gated(Starlette):
    """An application with the gate in place of Starlette's own layers: it answers every error itself."""

    def build_middleware_stack(self) -> App:
        """Return what a request goes through before the routes."""
        gate, spans = Gate(self.router, self.state.service), open_spans()
        return gate if spans is None else Requests(gate, spans)


def _routes(service: Service) -> list[Route]:
    """Return the routes, those that are asked most first."""
    chat, names = Chat(service), list(service.desk.openers)
    posts: dict[str, Callable[[Visit], Awaitable[None]]] = {}
    for name in names:
        runs = Runs(service, name)
        for prefix in ("", f"/{name}") if len(names) == 1 else (f"/{name}",):
            posts |= {f"{prefix}/run": runs.run, f"{prefix}/batch": runs.batch}
    posts["/v1/chat/completions"] = chat.completions
    gets: dict[str, Callable[[Visit, Scope], Awaitable[None]]] = {
        "/healthz": _plain(lambda scope: {"status": "ok"}),
        "/readyz": _plain(lambda scope: _ready(service)),
        "/v1/models": _plain(lambda scope: chat.models()),
        "/v1/models/{model}": _plain(lambda scope: chat.model(scope["path_params"]["model"])),
        "/openapi.json": _plain(lambda scope: document(service)),
        "/metrics": lambda visit, scope: visit.answer(200, service.counted.text(), kind=METRICS),
        "/docs": lambda visit, scope: visit.answer(200, page(service), kind=b"text/html; charset=utf-8"),
    }
    made = [Route(path, Endpoint(path, _posted(service, each)), methods=["POST"]) for path, each in posts.items()]
    return made + [Route(path, Endpoint(path, each), methods=["GET"]) for path, each in gets.items()]


def _posted(service: Service, handler: Callable[[Visit], Awaitable[None]]) -> Callable[[Visit, Scope], Awaitable[None]]:
    async def handled(visit: Visit, scope: Scope) -> None:
        service.check()
        await handler(visit)

    return handled


def _plain(told: Callable[[Scope], Any]) -> Callable[[Visit, Scope], Awaitable[None]]:
    async def handled(visit: Visit, scope: Scope) -> None:
        await visit.answer(200, written(told(scope)))

    return handled


def _ready(service: Service) -> dict[str, Any]:
    if service.stopping or not service.desk.ready:
        raise Refusal(503, "not_ready", "the server is stopping or not ready yet", {"Retry-After": "1"})
    return {"status": "ready"}
