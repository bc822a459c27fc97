"""A progress bar for downloads: a line that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator
from typing import TextIO

Told = Callable[[str, int, int], None]


@contextlib.contextmanager
def bar(quiet: bool, stream: TextIO) -> Generator[Told]:
    """Yield the function that is told `(what, bytes done, bytes in all)`."""
    if quiet:
        yield lambda what, done, total: None
        return
    moving = stream.isatty()
    last = ("", 0.0)

    def tell(what: str, done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        pause = 0.2 if moving else 5.0
        if what == last[0] and now - last[1] < pause and done < total:
            return
        last = (what, now)
        share = done / total if total else 0.0
        text = f"{share:4.0%} {done / 1e6:7.1f} of {total / 1e6:.1f} MB  {what}"
        stream.write(f"\r{text[:100]:<100}" if moving else f"{text}\n")
        stream.flush()

    yield tell
    if moving and last[0]:
        stream.write("\n")
