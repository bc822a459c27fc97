"""The connections: bounds on what a client may hold without asking anything."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0  # from the first byte of a request (or the connection) to the end of its headers
HEAD_BYTES = 32 * 1024
CONNECTIONS = 4096
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
LOG = logging.getLogger("flowbot.serve")


class Guarded(HttpToolsProtocol):
    """uvicorn's protocol, which waits for ever for headers: here they must come soon, and not be too many."""

    _heading = True
    _size = 0
    since = 0.0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin; where there are too many connections, the one that has asked nothing for longest is closed."""
        super().connection_made(transport)
        self.since = self.loop.time()
        if len(self.connections) > CONNECTIONS:
            self._make_room()
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; headers that do not end are waited for, but not for long."""
        super().data_received(data)
        if self._heading:
            self._size += len(data)
            if self._size > HEAD_BYTES and not self.transport.is_closing():
                self.transport.write(TOO_LARGE)
                self.transport.close()
            elif self._timer is None:
                self._wait()

    def on_message_begin(self) -> None:
        """Headers begin."""
        super().on_message_begin()
        self._heading, self._size = True, 0

    def on_headers_complete(self) -> None:
        """Headers are whole."""
        self._heading = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().connection_lost(exc)

    def _make_room(self) -> None:
        others: set[Any] = set(self.connections)
        oldest = min((each for each in others if each.is_idle), key=lambda each: each.since, default=self)
        oldest.transport.close()

    @property
    def is_idle(self) -> bool:
        """True where no request is under way."""
        cycle: Any = self.cycle
        return cycle is None or cycle.response_complete

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def _late(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()
