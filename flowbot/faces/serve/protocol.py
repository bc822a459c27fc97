"""The connections: bounds on what a client may hold without asking anything."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flowbot.faces.serve.refusal import Refusal

HEAD_SECONDS = 10.0  # from the first byte of a request (or the connection) to the end of its headers
BODY_SECONDS = 20.0  # from there to the end of its body
SEND_SECONDS = 30.0  # that a client may leave an answer unread, and more for a long one:
SLOWEST = 10_000.0  # bytes a second
HEAD_BYTES = 32 * 1024
CONNECTIONS = 4096


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol, which waits for ever for a request and for its answer to be read: here both have an end."""

    _heading = True
    _whole = False  # the request that came last, with its body
    _size = 0
    _running: Any = None  # the request that is being answered; those behind it wait in the pipeline
    _timer: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None
    since = 0.0  # when it last asked anything

    def connection_made(self, transport: Any) -> None:
        """Begin; where there are too many connections, the one that has asked nothing for longest is cut."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > CONNECTIONS:
            self._make_room()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; what is not whole yet is waited for, but not for long."""
        super().data_received(data)
        if self._heading:
            self._size += len(data)
            if self._size > HEAD_BYTES:
                self._refuse(Refusal(431, "headers_too_large", f"the headers are larger than {HEAD_BYTES} bytes"))
        if self._timer is None and (not self._whole or self.is_idle):
            self._wait()

    def on_message_begin(self) -> None:
        """Headers begin."""
        super().on_message_begin()
        self._heading, self._whole, self._size = True, False, 0

    def on_headers_complete(self) -> None:
        """Headers are whole."""
        self._heading = False
        self._stop_waiting()
        super().on_headers_complete()
        if self._running is None:
            self._running = self.cycle

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._whole = True
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the request that was sent behind the one just answered."""
        self._running = self.pipeline[-1][0] if self.pipeline else None
        self.since = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Wait for the client to read, but not for long."""
        super().pause_writing()
        seconds = SEND_SECONDS + self.transport.get_write_buffer_size() / SLOWEST
        self._unread = self.loop.call_later(seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Enough has been read."""
        if self._unread is not None:
            self._unread.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and with it the request that is being answered: uvicorn tells only the one that came last."""
        self._stop_waiting()
        if self._unread is not None:
            self._unread.cancel()
        if self._running is not None:
            self._running.disconnected = True
            self._running.message_event.set()
        super().connection_lost(exc)

    @property
    def is_idle(self) -> bool:
        """True where no request is under way."""
        return self._running is None

    def _make_room(self) -> None:
        others: set[Any] = set(self.connections)
        free = (each for each in others if each.is_idle or each.transport.is_closing())
        min(free, key=lambda each: each.since, default=self).transport.abort()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS if self._heading or self._whole else BODY_SECONDS, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._heading or self._whole:
            self.transport.close()
        elif self.cycle is self._running and not self.cycle.response_started:
            self._refuse(Refusal(408, "too_slow", f"the body did not come within {BODY_SECONDS:g} seconds"))
        elif self.cycle is self._running or self._running is None:
            self.transport.close()
        else:
            self._wait()  # nothing is read while the request before it is answered

    def _refuse(self, refusal: Refusal) -> None:
        """Answer what never comes to a route, and close."""
        if self.transport.is_closing():
            return
        phrase, body = HTTPStatus(refusal.status).phrase, refusal.body
        head = f"HTTP/1.1 {refusal.status} {phrase}\r\ncontent-type: application/json\r\nconnection: close\r\n"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        self.transport.close()
