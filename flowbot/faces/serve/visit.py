"""One request on its way: who it is for the log, what its body holds, and whether its client is still there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flowbot.faces.serve.refusal import Refusal
from flowbot.money import Usage
from flowbot.workflow.fields import finite_number, refuse_constant

T = TypeVar("T")
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
NOTICED = 0.05  # seconds after which it is watched whether a client leaves: a watch costs as much as a short run
JSON = (b"content-type", b"application/json")
_decoder = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite_number)


class Gone(Exception):
    """The client has left; nobody waits for an answer."""


@dataclass(eq=False)
class Visit:
    """What is known of a request: for its answer and for the log (`facts`)."""

    id: str
    began: float
    receive: Receive
    send: Send
    headers: Mapping[bytes, bytes]
    facts: dict[str, Any] = field(default_factory=dict[str, Any])
    usage: Usage = Usage()
    task: asyncio.Task[Any] | None = None
    stopping: bool = False  # the server ends it, and says so
    gone: bool = False  # its client has left

    async def body(self, largest: int) -> Any:
        """Return the JSON of the body; raise `Refusal` for one that is none or too large, and `Gone`."""
        kind = self.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if kind != b"application/json":
            raise Refusal(415, "not_json", "send JSON with the header Content-Type: application/json")
        told = self.headers.get(b"content-length", b"")
        if told.isdigit() and int(told) > largest:
            raise _too_large(largest)
        message = await self.receive()
        raw: bytes = message.get("body", b"")
        if message.get("more_body"):
            raw = await self._rest(raw, largest)
        elif message["type"] != "http.request":
            raise Gone
        if len(raw) > largest:
            raise _too_large(largest)
        try:
            return _decoder.decode(raw.decode())
        except (ValueError, RecursionError) as error:
            said = str(error) if len(str(error)) < 100 else "it cannot be read"
            raise Refusal(400, "broken_json", f"the body is no JSON in UTF-8: {said}") from None

    async def _rest(self, raw: bytes, largest: int) -> bytes:
        parts, size = [raw], len(raw)
        while size <= largest:
            message = await self.receive()
            if message["type"] != "http.request":
                raise Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body"):
                break
        return b"".join(parts)

    async def while_here(self, work: Awaitable[T]) -> T:
        """Await work; cancel it and raise `Gone` where the client leaves before it is done. The body has been read."""
        task = asyncio.current_task()
        assert task is not None

        def left(watched: asyncio.Future[Any]) -> None:
            if not watched.cancelled():
                self.gone = True
                task.cancel()

        def watch() -> None:
            watcher.append(asyncio.ensure_future(self.receive()))
            watcher[0].add_done_callback(left)

        watcher: list[asyncio.Future[Any]] = []
        timer = asyncio.get_running_loop().call_later(NOTICED, watch)
        try:
            return await work
        except asyncio.CancelledError:
            if self.gone:
                task.uncancel()
                raise Gone from None
            raise
        finally:
            timer.cancel()
            for watched in watcher:
                watched.remove_done_callback(left)
                watched.cancel()

    async def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None, kind: bytes = JSON[1]
    ) -> None:
        """Send a whole answer."""
        told = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if headers:
            told += [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": told})
        await self.send({"type": "http.response.body", "body": body})


def _too_large(largest: int) -> Refusal:
    closing = {"Connection": "close"}
    return Refusal(413, "body_too_large", f"the body is larger than the {largest} bytes that are allowed", closing)
