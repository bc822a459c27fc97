"""Trying workflows from the page: which one is meant, with which rights."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowbot.faces.ui.readers import Readers
from flowbot.faces.ui.schema import TryAsk, TryEnd, TryPrice, TryStep

if TYPE_CHECKING:
    from pathlib import Path

    from flowbot.faces.ui.desk import Desk
    from flowbot.faces.ui.trying import Trial


@dataclass(frozen=True)
class Trials:
    """Prices and runs what the page asks to try; the fields are the options of `flowbot run`."""

    trust: bool = False
    unsafe_code: bool = False
    base_url: str | None = None

    async def price(self, readers: Readers, asked: TryAsk) -> TryPrice:
        """Return what trying will take at most. Raises `InputError`."""
        from flowbot.faces.ui.trying import price

        trial = await self._trial(readers, asked)
        return await asyncio.to_thread(price, trial, asked.inputs)

    async def play(self, readers: Readers, asked: TryAsk) -> AsyncGenerator[TryStep | TryEnd]:
        """Yield the steps as they run, then the end. Raises `InputError` before the first."""
        from flowbot.faces.ui.trying import play

        trial = await self._trial(readers, asked)
        async with contextlib.aclosing(play(trial, asked.inputs, asked.agreed)) as parts:
            async for part in parts:
                yield part

    async def _trial(self, readers: Readers, asked: TryAsk) -> Trial:
        from flowbot.faces.ui.trying import trial_of_file, trial_of_run

        rights = {"trust": self.trust, "unsafe_code": self.unsafe_code, "base_url": self.base_url}
        if not asked.run:
            return await readers.ask_desk(lambda desk: trial_of_file(_file(desk), **rights))
        return await readers.ask(
            asked.run, lambda book: trial_of_run(book.folder, book.workflow(asked.candidate), **rights)
        )


def _file(desk: Desk) -> Path:
    """Return the file that the page was opened on; raise `InputError` where it was none."""
    assert desk.workflow  # or it raises
    return desk.path
