"""Reading in threads: one question of a run at a time, so that a slow one holds up no other run."""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from flowbot.faces.ui.book import Book
    from flowbot.faces.ui.desk import Desk

T = TypeVar("T")
MOST = 4  # questions that are answered at a time


class Readers:
    """Asks a desk and its books, whose connections one thread may use at a time."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="reader")
        self._runs: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._desk = threading.Lock()

    async def ask(self, run: str, question: Callable[[Book], T]) -> T:
        """Return what the book of a run answers. Whoever asks may go away; the question then ends by itself."""
        return await asyncio.shield(asyncio.ensure_future(self._turn(run, question)))

    async def ask_desk(self, question: Callable[[Desk], T]) -> T:
        """Return what the desk answers."""

        def asked() -> T:
            with self._desk:
                return question(self.desk)

        return await asyncio.get_running_loop().run_in_executor(self._pool, asked)

    async def _turn(self, run: str, question: Callable[[Book], T]) -> T:
        async with self._runs[run]:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, run, question)

    def _answer(self, run: str, question: Callable[[Book], T]) -> T:
        with self._desk:
            book = self.desk.book(run)
        return question(book)

    def close(self) -> None:
        """Wait for the questions under way, and close."""
        self._pool.shutdown(cancel_futures=True)
