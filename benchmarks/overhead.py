"""What the whole stack costs a call, against a bare aiohttp client in the same run.

64 calls of 200 ms are in flight over loopback. The stack is all that a run has: workers with a metric, forward,
session, budget, SQLite journal and wire. Exit code 1 where a bound is broken: 3 times the CPU, 1.10 times the wall.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from endpoint import answering
from figures import holds, spread
from problem import MODEL, examples, one_call, workers

from flowbot.engine.chat import schema_of
from flowbot.engine.forward import ask_of
from flowbot.engine.ports import Request
from flowbot.faces.loop import start_loop
from flowbot.models.body import body_of
from flowbot.models.providers import provider_of
from flowbot.models.wire import Wire
from flowbot.money import Budget, Purse
from flowbot.store.journal import SqliteJournal
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import ModelSpec, PriceSpec
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.graph import Workflow

IN_FLIGHT = 64
LATENCY = 0.2  # seconds
RIGHT = Score(1.0, "Right.")
CPU_BOUND, WALL_BOUND = 3.0, 1.10


@dataclass(frozen=True)
class Cost:
    """One round: seconds of CPU of this process and of wall time, a call."""

    cpu: float
    wall: float


async def measured(work: Callable[[], Awaitable[None]], calls: int) -> Cost:
    """Do one round of work and return what a call cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return Cost((time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls)


async def bare(client: aiohttp.ClientSession, url: str, bodies: Iterator[Any]) -> None:
    """Encode, post, read and parse: what no client can do without. As many at once as the stack."""

    async def one_after_another() -> None:
        for body in bodies:
            async with client.post(url, json=body) as response:
                plain = json.loads(await response.read())
            assert plain["choices"][0]["message"]["content"]

    await asyncio.gather(*(one_after_another() for _ in range(IN_FLIGHT)))


async def whole(stack: InProcess, workflow: Workflow, rows: Iterator[Example]) -> None:
    """Run and score examples as a search does."""
    async for trace in stack.evaluate(workflow, rows, ""):
        assert trace.score == RIGHT, trace.error


def body(workflow: Workflow, example: Example, wire: Wire) -> Any:
    """Return the body that the wire sends for an example, so that both clients send the same."""
    call = workflow.calls[0]
    messages = ask_of(call, dict(example.inputs)).messages()
    request = Request(MODEL, messages, schema=schema_of(call.gives), schema_name=call.id, max_tokens=call.max_tokens)
    return json.loads(body_of(wire.spec, request, wire.form))


async def compare(url: str, folder: Path, rounds: int, calls: int) -> list[tuple[Cost, Cost]]:
    """Return (bare, stack) for each round; the first round, in which connections are made, is left out."""
    spec = ModelSpec(name=MODEL, price=PriceSpec(input=0.4, output=1.6))
    wire = Wire(spec, provider_of(spec, url), concurrency=IN_FLIGHT)
    journal = SqliteJournal(folder / "journal.sqlite")
    purse = Purse(Budget(usd=1e6, calls=10**9, tokens=10**12))
    stack = workers(RunSession({MODEL: Opened(wire, wire.price)}, journal, purse), 2 * IN_FLIGHT)
    workflow = one_call()
    headers = dict(wire.endpoint.headers)
    found: list[tuple[Cost, Cost]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as client:
        for number in range(rounds + 1):
            rows = list(examples(number * calls, calls if number else 2 * IN_FLIGHT))
            bodies = [body(workflow, row, wire) for row in rows]
            first = await measured(lambda b=bodies: bare(client, wire.endpoint.url, iter(b)), len(rows))
            second = await measured(lambda r=rows: whole(stack, workflow, iter(r)), len(rows))
            if number:
                found.append((first, second))
    await wire.close()
    journal.close()
    return found


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 rounds of 640 calls rather than 11")
    short = parser.parse_args().short
    rounds, calls = (3 if short else 11), 10 * IN_FLIGHT
    with answering(LATENCY) as url, TemporaryDirectory() as folder:
        found = start_loop(compare(url, Path(folder), rounds, calls))
    print(f"{rounds} rounds of {calls} calls of {LATENCY * 1000:.0f} ms, {IN_FLIGHT} in flight; median (min..max)")
    for name, costs in (("bare aiohttp", [each for each, _ in found]), ("whole stack", [each for _, each in found])):
        cpu, wall = [1000 * each.cpu for each in costs], [1000 * each.wall for each in costs]
        print(f"  {name:12}  CPU {spread(cpu, 3)} ms a call   wall {spread(wall, 3)} ms a call")
    cpu = [stack.cpu / floor.cpu for floor, stack in found]
    wall = [stack.wall / floor.wall for floor, stack in found]
    print(f"  ratio         CPU {spread(cpu, 2)}   wall {spread(wall, 3)}")
    within = [
        holds("the CPU ratio", median(cpu), CPU_BOUND),
        holds("the wall ratio", median(wall), WALL_BOUND, digits=3),
    ]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
