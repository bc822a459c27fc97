"""What a call costs that is in the journal already, against a bare SQLite select and json.loads in the same run.

A run is recorded first, then a new session on the same journal answers it again. Exit code 1 where `session.complete`
takes more than 0.1 ms of CPU a call.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from figures import holds, spread
from problem import MODEL, Fixed, examples, one_call, workers

from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.faces.loop import start_loop
from flowbot.store.journal import SqliteJournal
from flowbot.store.session import Opened, RunSession

BOUND = 0.1  # ms a call


class Silent:
    """A model that must not be asked."""

    async def complete(self, request: Request) -> Reply:
        """Fail."""
        raise EndpointError("a recorded call was sent again")


async def record(path: Path, calls: int) -> list[Request]:
    """Record a run and return its requests."""
    model, heard = Fixed(), list[Request]()
    model.heard = heard.append
    journal = SqliteJournal(path)
    await run(RunSession({MODEL: Opened(model)}, journal), calls)
    journal.close()
    return heard


async def run(session: RunSession, calls: int) -> None:
    """Run and score examples."""
    async for trace in workers(session, 32).evaluate(one_call(), examples(0, calls), ""):
        assert trace.score is not None, trace.error


async def milliseconds(work: Callable[[], Awaitable[None]], calls: int) -> float:
    """Return the CPU time of one call."""
    started = time.process_time()
    await work()
    return 1000 * (time.process_time() - started) / calls


async def measure(path: Path, rounds: int, calls: int) -> list[tuple[float, float, float]]:
    """Return ms a call of (floor, session.complete, forward with score) for each round, each in a fresh session."""
    requests = await record(path, calls)
    keys = [request.key() for request in requests]
    found: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        journal = SqliteJournal(path)
        bare = sqlite3.connect(path)

        async def floor(db: sqlite3.Connection = bare) -> None:
            for key in keys:
                json.loads(db.execute("SELECT value FROM calls WHERE key=?", (key,)).fetchone()[0])

        async def complete(session: RunSession) -> None:
            for request in requests:
                await session.complete(request)

        fresh = [RunSession({MODEL: Opened(Silent())}, journal) for _ in range(2)]
        found.append(
            (
                await milliseconds(floor, calls),
                await milliseconds(lambda s=fresh[0]: complete(s), calls),
                await milliseconds(lambda s=fresh[1]: run(s, calls), calls),
            )
        )
        assert [session.replayed for session in fresh] == [calls, calls]
        bare.close()
        journal.close()
    return found


def show(name: str, values: Sequence[float]) -> None:
    """Print one line."""
    print(f"  {name:32}  {spread(values, 4)} ms a call")


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 rounds of 500 calls rather than 7 of 4,000")
    short = parser.parse_args().short
    rounds, calls = (3, 500) if short else (7, 4000)
    with TemporaryDirectory() as folder:
        found = start_loop(measure(Path(folder) / "journal.sqlite", rounds, calls))
    floor, complete, whole = ([each[at] for each in found] for at in range(3))
    print(f"{rounds} rounds of {calls} recorded calls; CPU, median (min..max)")
    show("bare select and json.loads", floor)
    show("session.complete", complete)
    show("forward and score (two look-ups)", whole)
    print(f"  session.complete / bare           {spread([b / a for a, b in zip(floor, complete, strict=True)], 1)}")
    return 0 if holds("a call from the journal, in ms", median(complete), BOUND, digits=4) else 1


if __name__ == "__main__":
    sys.exit(main())
