"""What the whole stack costs an LLM call, against a bare aiohttp client in the same run.

64 calls of 200 ms are in flight over loopback. The stack is all that a run has: workers with a metric, forward,
session, budget, SQLite journal and wire. Two workflows: `flat` is one call, `nested` has ten steps (a vote, a map, a
loop and a branch, and two tools that take as long as a call) and makes nine calls an example; the bare client sends the
same bodies in the same order, as many at once. Exit code 1 where a bound is broken: 3 times the CPU, 1.10 times the
wall.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
from endpoint import answering
from figures import holds, spread
from problem import MODEL, PROMPT, Fixed, examples, one_call, workers

from flowbot.engine.forward import forward
from flowbot.engine.ports import ToolReply
from flowbot.faces.loop import start_loop
from flowbot.models.body import body_of
from flowbot.models.providers import provider_of
from flowbot.models.wire import Wire
from flowbot.money import Budget, Purse
from flowbot.store.journal import MemoryJournal, SqliteJournal
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import ModelSpec, PriceSpec
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow, build
from flowbot.workflow.tools import ToolSpec

IN_FLIGHT = 64
LATENCY = 0.2  # seconds
RIGHT = Score(1.0, "Right.")
CPU_BOUND, WALL_BOUND = 3.0, 1.10
TEAM = {"team": "choice[billing, delivery, account, technical]"}
Layers = Sequence[Sequence[Any]]  # one example: the bodies that go out together, one layer after the other


@dataclass(frozen=True)
class Case:
    """A workflow, and how many LLM calls each of its layers makes (0: a tool)."""

    name: str
    workflow: Workflow
    layers: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """One round: seconds of CPU of this process and of wall time, an LLM call."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Slow:
    """A tool that takes as long as a call: it cuts a message into three, or says that a team is not settled yet."""

    function: str
    latency: float

    async def call(self, args: Mapping[str, Json]) -> ToolReply:
        """Wait and answer."""
        await asyncio.sleep(self.latency)
        if self.function == "desk:settled":
            return ToolReply(False)
        return ToolReply([f"{number}. {args['message']}" for number in (1, 2, 3)])


def desk(latency: float) -> Callable[[ToolSpec], Slow]:
    """Return what opens the tools of the desk."""

    def opened(spec: ToolSpec) -> Slow:
        assert spec.kind == "function"
        return Slow(spec.function, latency)

    return opened


def nested() -> Workflow:
    """Return the workflow of ten steps: look, each {one}, pick {sample}, refine {solve, check}, route {answer}."""

    def call(step_id: str, *reads: str) -> dict[str, Any]:
        rest = {"reads": list(reads), "gives": TEAM, "prompt": PROMPT, "max_tokens": 64}
        return {"id": step_id, "kind": "call", **rest}

    def tool(step_id: str, name: str, gives: Mapping[str, str], **args: str) -> dict[str, Any]:
        return {"id": step_id, "kind": "tool", "tool": name, "args": args, "gives": gives}

    turn = [
        call("solve", "message", "each.team", "pick.team", "previous.team"),
        tool("check", "settled", {"ok": "bool"}, team="$solve.team"),
    ]
    arms = {"billing": [call("answer", "message", "refine.team")]}
    handed_on = {"gives": {"team": "refine.team"}}
    many = {"team": f"list[{TEAM['team']}]"}
    return build(
        name="nested",
        model=MODEL,
        inputs={"message": "text"},
        tools={name: {"kind": "function", "function": f"desk:{name}"} for name in ("parts", "settled")},
        steps=[
            tool("look", "parts", {"parts": "list[text]"}, message="$message"),
            {"id": "each", "kind": "map", "over": "look.parts", "gives": many, "body": [call("one", "item")]},
            {"id": "pick", "kind": "vote", "n": 3, "gives": TEAM, "body": [call("sample", "message", "look.parts")]},
            {"id": "refine", "kind": "loop", "max": 2, "until": "check.ok", "gives": TEAM, "body": turn},
            {"id": "route", "kind": "branch", "on": "refine.team", "gives": TEAM, "arms": arms, "else": handed_on},
        ],
        output="route.team",
    )


CASES = (Case("flat", one_call(), (1,)), Case("nested", nested(), (0, 6, 1, 0, 1, 0, 1)))


async def measured(work: Callable[[], Awaitable[None]], calls: int) -> Cost:
    """Do one round of work and return what an LLM call cost."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return Cost((time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls)


async def bare(client: aiohttp.ClientSession, url: str, rows: Iterable[Layers]) -> None:
    """Encode, post, read and parse: what no client can do without. As many at once as the stack."""
    waiting, places = iter(rows), asyncio.Semaphore(IN_FLIGHT)

    async def send(body: Any) -> None:
        async with places, client.post(url, json=body) as response:
            plain = json.loads(await response.read())
        assert plain["choices"][0]["message"]["content"]

    async def one_after_another() -> None:
        for layers in waiting:
            for bodies in layers:
                if len(bodies) == 1:
                    await send(bodies[0])
                else:
                    await asyncio.gather(*map(send, bodies)) if bodies else await asyncio.sleep(LATENCY)

    await asyncio.gather(*(one_after_another() for _ in range(2 * IN_FLIGHT)))


async def whole(stack: InProcess, workflow: Workflow, rows: Iterable[Example]) -> None:
    """Run and score examples as a search does."""
    async for trace in stack.evaluate(workflow, rows, ""):
        assert trace.score == RIGHT, trace.error


async def layers(case: Case, example: Example, wire: Wire) -> Layers:
    """Return the bodies that the wire sends for an example, so that both clients send the same."""
    heard: list[Any] = []
    model = Fixed()
    model.heard = lambda request: heard.append(json.loads(body_of(wire.spec, request, wire.form)))
    session = RunSession({MODEL: Opened(model)}, MemoryJournal(), open_tool=desk(0.0))
    await forward(case.workflow, example, session)
    assert len(heard) == sum(case.layers)
    said = iter(heard)
    return [[next(said) for _ in range(count)] for count in case.layers]


async def compare(case: Case, url: str, folder: Path, rounds: int, calls: int) -> list[tuple[Cost, Cost]]:
    """Return (bare, stack) for each round; the first round, in which connections are made, is left out."""
    spec = ModelSpec(name=MODEL, price=PriceSpec(input=0.4, output=1.6))
    wire = Wire(spec, provider_of(spec, url), concurrency=IN_FLIGHT)
    journal = SqliteJournal(folder / f"{case.name}.sqlite")
    purse = Purse(Budget(usd=1e6, calls=10**9, tokens=10**12))
    session = RunSession({MODEL: Opened(wire, wire.price)}, journal, purse, open_tool=desk(LATENCY))
    stack = workers(session, 2 * IN_FLIGHT, journal.shown.trace)
    headers = dict(wire.endpoint.headers)
    count = calls // sum(case.layers)
    found: list[tuple[Cost, Cost]] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers) as client:
        for number in range(rounds + 1):
            rows = list(examples(number * count, count if number else 2 * IN_FLIGHT))
            plans = [await layers(case, row, wire) for row in rows]
            made = sum(case.layers) * len(rows)
            first = await measured(lambda p=plans: bare(client, wire.endpoint.url, p), made)
            second = await measured(lambda r=rows: whole(stack, case.workflow, r), made)
            if number:
                found.append((first, second))
    await wire.close()
    journal.close()
    return found


def shown(case: Case, found: Sequence[tuple[Cost, Cost]]) -> Iterator[bool]:
    """Print what was found, and yield whether each bound holds."""
    for name, costs in (("bare aiohttp", [each for each, _ in found]), ("whole stack", [each for _, each in found])):
        cpu, wall = [1000 * each.cpu for each in costs], [1000 * each.wall for each in costs]
        print(f"  {name:12}  CPU {spread(cpu, 3)} ms a call   wall {spread(wall, 3)} ms a call")
    cpu = [stack.cpu / floor.cpu for floor, stack in found]
    wall = [stack.wall / floor.wall for floor, stack in found]
    print(f"  ratio         CPU {spread(cpu, 2)}   wall {spread(wall, 3)}")
    yield holds(f"the CPU ratio of {case.name}", median(cpu), CPU_BOUND)
    yield holds(f"the wall ratio of {case.name}", median(wall), WALL_BOUND, digits=3)


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 rounds rather than 11")
    parser.add_argument("--case", choices=[case.name for case in CASES], help="one workflow only")
    chosen = parser.parse_args()
    rounds, within = 3 if chosen.short else 11, list[bool]()
    for case in CASES:
        if chosen.case in (None, case.name):
            calls = (10 if case.name == "flat" else 20) * IN_FLIGHT
            with answering(LATENCY) as url, TemporaryDirectory() as folder:
                found = start_loop(compare(case, url, Path(folder), rounds, calls))
            print(f"{case.name}: {rounds} rounds of {calls} calls of {LATENCY * 1000:.0f} ms, {IN_FLIGHT} in flight")
            within += shown(case, found)
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
