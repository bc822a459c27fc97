"""The one bridge from async to plain code."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run_now(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a new event loop; raise RuntimeError where one is running already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return start_loop(work)
    work.close()
    raise RuntimeError("an event loop is running: await the async form (ainduce, arun, aevaluate)")


def start_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in a new event loop, on uvloop where it installs."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
