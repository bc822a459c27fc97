"""What serving a workflow costs a request: `flowbot serve` against the same FastAPI route that only sleeps.

A scripted model of 20 ms answers in the server's process; 200 connections ask over loopback, each again as soon as it
has its answer. The floor is a FastAPI route of the same inputs and output (pydantic models), which sleeps 20 ms, under
uvicorn as it comes, without its access log; beside it stands the same route in our own server, whose collector runs
seldom, which says what the rest costs. Then ten times the connections: what is over the limits is shed with 429,
and 2 s later all is as before. Then the server is killed and restarted under load. Exit code 1 where a bound is broken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from figures import holds, spread
from problem import MODEL, REPLY, TEXT, one_call

from flowbot.engine.ports import Reply, Request
from flowbot.faces.loop import start_loop
from flowbot.money import FREE, Usage

CONNECTIONS = 200
LATENCY = 0.02  # seconds
WARM = 1.0  # seconds that do not count
SHARE, TAIL, RESTART = 0.8, 1.3, 2.0
NARROW = 20  # runs at once, and in line, of the server that is asked for more
BODY = json.dumps({"message": TEXT.format(number=1)}).encode()
HEAD = b"POST %b HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
ASK = HEAD % (b"/run", len(BODY)) + BODY


class Scripted:
    """A model in this process that gives the one right reply after a while."""

    async def complete(self, request: Request) -> Reply:
        """Wait and reply."""
        await asyncio.sleep(LATENCY)
        return Reply(REPLY, Usage(1, 180, 8, usd=0.0001), mode="schema")


# ------------------------------------------------------------------ the servers, each in a process of its own


def served(at_once: int = CONNECTIONS, queue: int = CONNECTIONS) -> Any:
    """Return the application that serves the workflow."""
    from flowbot.faces.opened import Flow
    from flowbot.faces.serve.app import app_of
    from flowbot.faces.serve.settings import Limits, Settings
    from flowbot.store.session import Opened

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Flow]:
        yield Flow(one_call(), {MODEL: Opened(Scripted(), FREE)})

    return app_of({"routing": opened}, Settings(Limits(concurrency=at_once, queue=queue)))


def floor() -> Any:
    """Return the same route in FastAPI's own words, which sleeps."""
    from typing import Literal

    from fastapi import FastAPI
    from pydantic import BaseModel, ConfigDict

    class Inputs(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        message: str

    class Spent(BaseModel):
        calls: int
        input_tokens: int
        output_tokens: int
        usd: float | None
        seconds: float

    class Result(BaseModel):
        output: Literal["billing", "delivery", "account", "technical"]
        usage: Spent

    async def run(inputs: Inputs) -> Result:
        await asyncio.sleep(LATENCY)
        spent = Spent(calls=1, input_tokens=180, output_tokens=8, usd=0.0001, seconds=LATENCY)
        return Result(output="billing", usage=spent)

    run.__annotations__ = {"inputs": Inputs, "return": Result}  # they are local
    app = FastAPI()
    app.post("/run")(run)
    return app


def run_server(kind: str, port: int) -> None:
    """Serve until SIGTERM; print the port once requests are answered."""
    import uvicorn

    from flowbot.faces.serve.logs import log_lines
    from flowbot.faces.serve.server import bound, server_of, spare_heap

    app = {"narrow": lambda: served(NARROW, NARROW), "served": served, "floor": floor, "tuned": floor}[kind]()
    listening = bound("127.0.0.1", port)
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # what is logged is written, but not shown
    log_lines()

    async def main() -> None:
        async with app.router.lifespan_context(app):
            if kind == "floor":
                server = uvicorn.Server(uvicorn.Config(app, lifespan="off", access_log=False, log_level="warning"))
            else:
                server = server_of(app)
                spare_heap()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: setattr(server, "should_exit", True))
            asyncio.get_running_loop().call_later(0, lambda: print(listening.getsockname()[1], flush=True))
            await server.serve(sockets=[listening])

    start_loop(main())


@contextmanager
def server(kind: str, port: int = 0) -> Generator[tuple[int, subprocess.Popen[str]]]:
    """Run a server in another process until the block ends; give its port."""
    command = [sys.executable, __file__, "--serve", kind, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline()), process
        finally:
            process.kill()


# ------------------------------------------------------------------ the clients


@dataclass
class Load:
    """What one load came to: answers by status, and the latencies of the good ones in seconds."""

    statuses: Counter[str] = field(default_factory=Counter[str])
    latencies: list[float] = field(default_factory=list[float])
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses["200"] / self.seconds

    def tail(self, share: float = 0.99) -> float:
        """Return a percentile of the latencies."""
        return sorted(self.latencies)[int(share * (len(self.latencies) - 1))]

    @property
    def errors(self) -> int:
        """Answers that are neither good nor shed."""
        return sum(count for status, count in self.statuses.items() if status not in ("200", "429"))


class Asking(asyncio.Protocol):
    """One connection: asks, reads the answer by its length, and asks again until the time is over."""

    def __init__(self, load: Load, pause: float) -> None:
        self.load, self.pause = load, pause
        self.counted = self.until = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer, self.sent = b"", 0.0
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def begin(self, counted: float, until: float) -> None:
        """Ask from now on; what was asked before `counted` does not count."""
        self.counted, self.until = counted, until
        self.ask()

    def ask(self) -> None:
        """Send the request."""
        self.sent = time.perf_counter()
        if self.sent >= self.until or self.transport.is_closing():
            self.transport.close()
        else:
            self.transport.write(ASK)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        at = self.buffer.find(b"content-length: ") + 16
        if len(self.buffer) < end + 4 + int(self.buffer[at : self.buffer.index(b"\r", at)]):
            return
        status, now = self.buffer[9:12].decode(), time.perf_counter()
        self.buffer = b""
        if self.sent >= self.counted:
            self.load.statuses[status] += 1
            if status == "200":
                self.load.latencies.append(now - self.sent)
        if status == "200":
            self.ask()
        elif self.pause:
            asyncio.get_running_loop().call_later(self.pause, self.ask)
        else:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if time.perf_counter() < self.until:
            self.load.statuses["lost"] += 1
        if not self.done.done():
            self.done.set_result(None)


async def load(port: int, connections: int, seconds: float, pause: float = 0.0) -> Load:
    """Ask by so many connections for so long, after a second to warm up; one that is shed pauses and asks again."""
    made, loop = Load(seconds=seconds), asyncio.get_running_loop()
    clients: list[Asking] = []
    for _ in range(connections):
        try:
            _, client = await loop.create_connection(lambda: Asking(made, pause), "127.0.0.1", port)
            clients.append(client)
        except OSError:
            made.statuses["refused"] += 1
    counted = time.perf_counter() + WARM
    for client in clients:
        client.begin(counted, counted + seconds)
    await asyncio.gather(*(client.done for client in clients))
    return made


# ------------------------------------------------------------------ what is measured


def compared(rounds: int, seconds: float) -> bool:
    """Measure all by turns, and say whether the bounds hold."""
    found: dict[str, list[Load]] = {"floor": [], "served": [], "tuned": []}
    with server("floor") as (plain, _), server("served") as (flow, _), server("tuned") as (tuned, _):
        for _ in range(rounds):
            for kind, port in zip(found, (plain, flow, tuned), strict=True):
                found[kind].append(start_loop(load(port, CONNECTIONS, seconds)))
    for kind in found:
        rates, tails = [each.rate for each in found[kind]], [1000 * each.tail() for each in found[kind]]
        middle = [1000 * each.tail(0.5) for each in found[kind]]
        errors = sum(each.errors for each in found[kind])
        told = f"p50 {spread(middle, 1)} ms   p99 {spread(tails, 1)} ms   errors {errors}"
        print(f"  {kind:7} {spread(rates, 0)} answers a second   {told}")
    pairs = list(zip(found["served"], found["floor"], strict=True))
    share = median(s.rate / t.rate for s, t in zip(found["served"], found["tuned"], strict=True))
    print(f"  {share:.2f} of the throughput of the tuned route")
    within = [
        reaches("the share of the floor's throughput", median(s.rate / f.rate for s, f in pairs), SHARE),
        holds("p99 against the floor's", median(s.tail() / f.tail() for s, f in pairs), TAIL),
        holds("the count of errors", sum(each.errors for each in found["served"]), 0),
    ]
    return all(within)


def reaches(what: str, value: float, bound: float) -> bool:
    """Print whether a value is at least its bound, and return it."""
    print(f"{'ok' if value >= bound else 'BROKEN'}: {what} is {value:.2f}, the bound is at least {bound:g}")
    return value >= bound


def overloaded(seconds: float) -> bool:
    """Ask by ten times the connections that a server takes; say whether the rest is shed, and all is well after it."""
    with server("narrow") as (port, _):
        before = start_loop(load(port, NARROW * 2, seconds / 2))
        over = start_loop(load(port, NARROW * 20, seconds, pause=0.25))
        after = start_loop(load(port, NARROW * 2, seconds / 2))  # it counts from `WARM` seconds on
    print(f"  before {before.rate:.0f} answers a second, p99 {1000 * before.tail():.0f} ms")
    print(f"  over   {over.rate:.0f} answers a second, p99 {1000 * over.tail():.0f} ms, {dict(over.statuses)}")
    print(f"  after  {after.rate:.0f} answers a second, p99 {1000 * after.tail():.0f} ms")
    within = [
        reaches("the answers that were shed", over.statuses["429"], 1),
        holds("the count of errors under load", over.errors, 0),
        reaches("throughput under ten times the load, of that before", over.rate / before.rate, 0.5),
        reaches("throughput 1 s after it, of that before", after.rate / before.rate, SHARE),
        holds("p99 1 s after it, of that before", after.tail() / before.tail(), TAIL),
        holds("the count of errors after it", after.errors + after.statuses["429"], 0),
    ]
    return all(within)


def restarted(rounds: int) -> bool:
    """Kill a server under load and start it again; say whether it answers soon enough."""
    took: list[float] = []
    for _ in range(rounds):
        with server("served") as (port, process):
            asking = asyncio.Runner()
            asking.run(killed_under_load(port, process))
            began = time.perf_counter()
        with server("served", port) as (again, _):
            while start_loop(answers(again)) != 1:
                time.sleep(0.01)
            took.append(time.perf_counter() - began)
        asking.close()
    print(f"  killed and restarted, it answers after {spread(took, 2)} s")
    return holds("seconds from the kill to an answer", median(took), RESTART)


async def killed_under_load(port: int, process: subprocess.Popen[str]) -> None:
    """Kill the server while it is asked."""
    asking = asyncio.create_task(load(port, CONNECTIONS, 1.0))
    await asyncio.sleep(0.5)
    process.kill()
    await asking


async def answers(port: int) -> int:
    """Return how many good answers one request gets."""
    with suppress(OSError):
        return (await load(port, 1, 0.05)).statuses["200"] and 1
    return 0


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="5 s a load rather than 60 s")
    parser.add_argument("--serve", nargs=2, metavar=("KIND", "PORT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        run_server(chosen.serve[0], int(chosen.serve[1]))
        return 0
    rounds, seconds = (1, 5.0) if chosen.short else (1, 60.0)
    print(f"{CONNECTIONS} connections, {seconds:g} s, a model of {LATENCY * 1000:.0f} ms")
    within = compared(rounds, seconds)
    print(f"{20 * NARROW} connections at a server of {NARROW} runs at once and {NARROW} in line")
    within &= overloaded(seconds if chosen.short else 20.0)
    within &= restarted(3)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
