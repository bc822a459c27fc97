"""Signs of life: what a run's journal comes to, sent to every page that follows it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from pydantic import BaseModel

from flowbot.faces.ui.readers import Readers
from flowbot.faces.ui.schema import Pulse, json_text

if TYPE_CHECKING:
    from flowbot.faces.ui.book import Book

POLL = 0.5  # seconds between two looks at a journal
AGAIN = 5.0  # seconds, after which a run is looked at where nothing was written too: its process may be gone
SILENCE = 15.0  # seconds without an event, before a comment says that the stream goes on
COMMENT = b": still here\n\n"


def frame(name: str, value: BaseModel) -> bytes:
    """Return a server-sent event; its data is one line of JSON."""
    return f"event: {name}\ndata: {json_text(value)}\n\n".encode()


class Feed:
    """The pulse of one run, polled for all who follow it. A slow one misses pulses, never the last."""

    def __init__(self, readers: Readers, run: str) -> None:
        self.followers = 0
        self._readers, self._run = readers, run
        self._last: Pulse | None = None
        self._failed: Exception | None = None
        self._number = 0
        self._changed = asyncio.Condition()
        self._version, self._looked = -1, 0.0
        self._polls = asyncio.create_task(self._poll())

    async def frames(self) -> AsyncGenerator[bytes]:
        """Yield the last pulse and each that follows, with comments in a silence.

        Raises what reading raises: `InputError` where there is no journal (any more), errors of SQLite and of files.
        """
        seen = 0
        while True:
            try:
                async with asyncio.timeout(SILENCE), self._changed:
                    await self._changed.wait_for(lambda: self._number > seen or self._failed)  # noqa: B023
            except TimeoutError:
                yield COMMENT
                continue
            if self._failed:
                raise self._failed
            seen = self._number
            assert self._last is not None
            yield frame("pulse", self._last)

    async def close(self) -> None:
        """Stop polling."""
        self._polls.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._polls

    async def _poll(self) -> None:
        while not self._failed:
            try:
                told = await self._readers.ask(self._run, self._look)
            except Exception as error:  # each who follows is told of it
                await self._tell(self._last, error)
                return
            if told is not None and told != self._last:
                await self._tell(told)
            await asyncio.sleep(POLL)

    async def _tell(self, pulse: Pulse | None, failed: Exception | None = None) -> None:
        async with self._changed:
            self._last, self._failed, self._number = pulse, failed, self._number + 1
            self._changed.notify_all()

    def _look(self, book: Book) -> Pulse | None:
        """Return the pulse where something was written since the last look, or where that is long ago."""
        version = book.db.execute("PRAGMA data_version").fetchone()[0]
        now = time.monotonic()
        if version == self._version and now - self._looked < AGAIN:
            return None
        self._version, self._looked = version, now
        return book.pulse()


class Feeds:
    """The feeds of the runs that are followed: one for all who follow the same run."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self._feeds: dict[str, Feed] = {}

    async def follow(self, run: str) -> AsyncGenerator[bytes]:
        """Yield the frames of a run's stream, as long as they are wanted."""
        feed = self._feeds.get(run) or self._feeds.setdefault(run, Feed(self._readers, run))
        feed.followers += 1
        try:
            async with contextlib.aclosing(feed.frames()) as frames:
                async for each in frames:
                    yield each
        finally:
            feed.followers -= 1
            if not feed.followers:
                del self._feeds[run]
                await feed.close()
