"""A child process: one method searches, then its program is scored on the sealed test.

It is a process of its own so that its CPU time can be told, and no method can harm another.
"""

from __future__ import annotations

import asyncio
import json
import platform
import resource
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp

from flowbot import __version__
from flowbot.bench.arena import Arena, Tuned
from flowbot.bench.flow import Room, Scorer
from flowbot.bench.job import Job, Outcome
from flowbot.bench.methods import installed, open_method
from flowbot.errors import InputError
from flowbot.faces.loop import start_loop
from flowbot.faces.meter import Tally
from flowbot.money import Usage
from flowbot.store.files import read_text, write_text
from flowbot.store.splits import splits_of
from flowbot.task.data import Example
from flowbot.task.task import Task
from flowbot.workflow.document import read_workflow

OUTCOME = "outcome.json"
BEGAN = time.monotonic()


async def work(job: Job) -> Outcome:
    """Run a job: the search first, then the test."""
    task, folder, scratch = Task.model_validate(job.task), Path(job.folder), Path(job.scratch)
    splits = splits_of(task, json.loads(read_text(Path(job.rows), "rows"))).splits
    start, method = read_workflow(job.start), open_method(job.method)
    versions = {name: installed(name) for name in method.packages}
    versions = {"python": platform.python_version(), "flowbot": __version__, **versions}
    room = Room(task, folder, start, job.unsafe_code)
    scorer, tester = Scorer(room, job.url), Scorer(room, job.test_url)

    async with aiohttp.ClientSession() as client:
        arena = Arena(
            task=task,
            folder=folder,
            start=start,
            train=splits["train"],
            val=splits["val"],
            url=job.url,
            model=job.model,
            meta=job.meta,
            seed=job.seed,
            budget=job.budget.budget(),
            scratch=scratch,
            score=scorer.score,
            spent=_asks(client, job.tally),
            done=job.done,
            unsafe_code=job.unsafe_code,
        )
        try:
            if why := method.cannot(arena):
                return Outcome(missing=why, versions=versions)
            tuned = await method.tune(arena)
            wall, cpu = time.monotonic() - BEGAN, cpu_seconds()
            write_text(scratch / f"program{tuned.suffix}", tuned.text)
            scores, failed = await _tested(tuned, splits["test"], job.test_url, tester, task.concurrency)
        finally:
            await room.close()
    ended = time.monotonic() - BEGAN - wall
    return Outcome(
        note=tuned.note,
        scores=scores,
        failed=failed,
        wall=wall,
        cpu=cpu,
        test_wall=ended,
        versions=versions,
    )


async def _tested(
    tuned: Tuned, examples: tuple[Example, ...], url: str, scorer: Scorer, concurrency: int
) -> tuple[dict[str, float], int]:
    """Return the program's scores on the test by example, and how many had no output (they score 0)."""
    gate = asyncio.Semaphore(concurrency)

    async def one(example: Example) -> tuple[float, bool]:
        async with gate:
            solved = await tuned.program.solve(example, url)
            if solved.error:
                return 0.0, True
            return (await scorer.score(example, solved.output, solved.trace)).value, False

    try:
        found = await asyncio.gather(*(one(example) for example in examples))
    finally:
        await tuned.program.close()
    scores = {example.id: value for example, (value, _) in zip(examples, found, strict=True)}
    return scores, sum(failed for _, failed in found)


def _asks(client: aiohttp.ClientSession, address: str) -> Callable[[], Awaitable[Usage]]:
    """Return a function that asks the meter what the search has spent."""

    async def spent() -> Usage:
        async with client.get(address) as answer:
            return Tally.of(await answer.json()).usage

    return spent


def cpu_seconds() -> float:
    """Return the CPU seconds that this process took from its start, with the programs that it ran."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in found)


def main(file: str) -> int:
    """Run the job in a file and write its outcome beside it; what goes wrong is the outcome's `missing`."""
    job = Job.model_validate_json(read_text(Path(file), "job"))
    try:
        outcome = start_loop(work(job))
    except InputError as error:
        outcome = Outcome(missing=str(error))
    except Exception as error:
        traceback.print_exc()
        outcome = Outcome(
            missing=f"it broke: {type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}"
        )
    write_text(Path(job.scratch) / OUTCOME, outcome.model_dump_json())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
