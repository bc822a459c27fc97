"""What the meter costs a call: the same calls through it and direct, by a bare aiohttp client in the same run.

64 calls of 200 ms are in flight over loopback, then one call at a time of no latency. The meter runs in the client's
process, so that its CPU is all that is added: a wall of money, a price, and a label for each eighth call. Exit code 1
where a bound is broken: 5 times the CPU of the client alone, 1.10 times the wall at 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import aiohttp
from endpoint import answering
from figures import holds, spread

from flowbot.faces.loop import start_loop
from flowbot.faces.meter import Forward, Meter, serving
from flowbot.money import Budget, Price

IN_FLIGHT = 64
LATENCY = 0.2  # seconds
LABELS = 8
CPU_BOUND, WALL_BOUND = 5.0, 1.10
PROMPT = "Which team should handle this message: billing, delivery, account or technical? " * 8
BODY: dict[str, Any] = {"model": "fixed", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 64}


@dataclass(frozen=True)
class Cost:
    """One round: seconds of CPU of this process and of wall time, a call."""

    cpu: float
    wall: float


async def asked(client: aiohttp.ClientSession, bases: Sequence[str], calls: int, at_once: int) -> Cost:
    """Encode, post, read and parse so many calls, and return what one cost."""
    left = iter(range(calls))

    async def one_after_another() -> None:
        for number in left:
            async with client.post(f"{bases[number % len(bases)]}/chat/completions", json=BODY) as answer:
                plain = json.loads(await answer.read())
            assert plain["usage"]["total_tokens"] == 188

    wall, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return Cost((time.process_time() - cpu) / calls, (time.perf_counter() - wall) / calls)


async def compared(url: str, rounds: int, calls: int, at_once: int) -> list[tuple[Cost, Cost]]:
    """Return (direct, through the meter) for each round; the first, in which connections are made, is left out."""
    meter = Meter(Forward(url, "sk-any-key"), {"fixed": Price(0.4, 1.6)}, budget=Budget(usd=1e6))
    found: list[tuple[Cost, Cost]] = []
    connector = aiohttp.TCPConnector(limit=0)
    async with serving(meter) as root, aiohttp.ClientSession(connector=connector) as client:
        labels = [f"{root}/run-{number}/v1" for number in range(LABELS)]
        for _ in range(rounds + 1):
            direct = await asked(client, [url], calls, at_once)
            found.append((direct, await asked(client, labels, calls, at_once)))
    assert sum(meter.tally(label).usage.calls for label in meter.labels) == calls * (rounds + 1)
    return found[1:]


def shown(found: Sequence[tuple[Cost, Cost]]) -> tuple[float, float]:
    """Print what was found and return the ratios of CPU and wall."""
    for name, costs in (("direct", [each for each, _ in found]), ("metered", [each for _, each in found])):
        cpu, wall = [1000 * each.cpu for each in costs], [1000 * each.wall for each in costs]
        print(f"  {name:8}  CPU {spread(cpu, 3)} ms a call   wall {spread(wall, 3)} ms a call")
    cpu = [through.cpu / direct.cpu for direct, through in found]
    wall = [through.wall / direct.wall for direct, through in found]
    print(f"  ratio     CPU {spread(cpu, 2)}   wall {spread(wall, 3)}")
    return median(cpu), median(wall)


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="3 rounds rather than 11")
    rounds = 3 if parser.parse_args().short else 11
    with answering(LATENCY) as url:
        found = start_loop(compared(url, rounds, 10 * IN_FLIGHT, IN_FLIGHT))
    print(f"{rounds} rounds of {10 * IN_FLIGHT} calls of {LATENCY * 1000:.0f} ms, {IN_FLIGHT} in flight")
    cpu, wall = shown(found)
    with answering(0.0) as url:
        found = start_loop(compared(url, rounds, 500, 1))
    print(f"{rounds} rounds of 500 calls of no latency, one at a time")
    shown(found)
    within = [holds("the CPU ratio", cpu, CPU_BOUND), holds("the wall ratio", wall, WALL_BOUND, digits=3)]
    return 0 if all(within) else 1


if __name__ == "__main__":
    sys.exit(main())
