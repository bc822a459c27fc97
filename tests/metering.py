"""A client of a meter, for tests: it asks one label after the other and gives back what came."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from flowbot.faces.meter import Meter, Tally, serving

T = TypeVar("T")
HI: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 8}


@dataclass(frozen=True)
class Got:
    """One answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body read as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        return self.json["error"]["code"]

    @property
    def text(self) -> str:
        """What the first choice says."""
        return self.json["choices"][0]["message"]["content"]


class Client:
    """Asks a meter at `root`."""

    def __init__(self, root: str, http: aiohttp.ClientSession) -> None:
        self.root, self.http = root, http

    async def ask(
        self,
        body: Any = HI,
        label: str = "a",
        path: str = "chat/completions",
        headers: Mapping[str, str] | None = None,
    ) -> Got:
        """Send one call; a body of bytes goes as it is."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json", **(headers or {})}
        async with self.http.post(f"{self.root}/{label}/v1/{path}", data=io.BytesIO(data), headers=sent) as answer:
            return Got(answer.status, dict(answer.headers), await answer.read())

    async def get(self, path: str) -> Got:
        """Read a path below the root."""
        async with self.http.get(f"{self.root}/{path}") as answer:
            return Got(answer.status, dict(answer.headers), await answer.read())

    async def tally(self, label: str = "a") -> Tally:
        """Return what a label spent, as the meter tells over HTTP."""
        return Tally.of((await self.get(f"{label}/meter")).json)


def through(meter: Meter, work: Callable[[Client], Awaitable[T]]) -> T:
    """Serve a meter while some work asks it."""

    async def main() -> T:
        connector = aiohttp.TCPConnector(limit=0)
        async with serving(meter) as root, aiohttp.ClientSession(connector=connector) as http:
            return await work(Client(root, http))

    return asyncio.run(main())


def events(*plain: Any) -> bytes:
    """Return events of a stream, and its end."""
    return b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in plain) + b"data: [DONE]\n\n"


@asynccontextmanager
async def upstream(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncGenerator[str]:
    """Serve a handler in this loop, for upstreams that answer bit by bit; give its base URL."""
    app = web.Application(client_max_size=2**28)
    app.router.add_route("*", "/v1/{path:.*}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()
