"""Peers: what a package from outside is given in the arena, and how its threads reach FlowBot's loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from flowbot.bench.arena import Arena
from flowbot.bench.flow import Room, Scorer
from flowbot.engine.forward import forward
from flowbot.engine.ports import EndpointError
from flowbot.engine.trace import Trace
from flowbot.money import Budget, Usage
from flowbot.store.session import RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import ModelSpec
from flowbot.workflow.fields import Json, Misfit, as_text
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import frozen_blocks

T = TypeVar("T")
REACHED = "budget_reached"  # the meter's code, and a part of what it says to people
KEY = "none"  # the meter needs none, and the clients want one
SPARE = 10  # times the runs that the budget pays for: the wall ends a search, this a loop that costs nothing
PROBES = 3  # examples that tell what a run of the program costs
RESENDS = 8  # of a request that OpenAI's client sends again; it heeds the meter's word that this is in vain
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)  # seconds before a request that came at a busy time is sent again
REFUSED = (400, 413, 422)  # statuses that are about one request: the others will be answered
Run = tuple[Trace | None, Score]
Bounds = tuple[float | None, float | None, float | None, float | None]  # calls, tokens, US dollars, seconds
STEPPED = ("call", "tool")  # the kinds of step that a program of calls in order can express


class Wall(Exception):
    """The budget is spent: nothing more will be answered."""


def at_wall(error: BaseException) -> bool:
    """Tell whether an error says that the budget is spent."""
    said = str(error)
    return isinstance(error, Wall) or REACHED in said or ("budget" in said and "is reached" in said)


def package(name: str, **environment: str) -> Any:
    """Import a package when it is first needed, with what it must find in the environment."""
    os.environ.update({"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False", **environment})
    return importlib.import_module(name)


def manner(spec: ModelSpec) -> dict[str, Any]:
    """Return what the task's settings of a model put into every request to it."""
    told = {"reasoning_effort": spec.reasoning_effort, "extra_body": dict(spec.extra_body)}
    return {name: value for name, value in told.items() if value}


def client_of(url: str, spec: ModelSpec) -> Any:
    """Return OpenAI's client for a model at a base URL."""
    client = package("openai").OpenAI(base_url=url, api_key=KEY, max_retries=RESENDS, timeout=spec.timeout)
    if told := manner(spec):
        client.chat.completions.create = partial(client.chat.completions.create, **told)
    return client


def unstepped(workflow: Workflow, name: str) -> str:
    """Say why a workflow is no plain program of calls and tool steps; empty where it is one."""
    if blocks := sorted({step.kind for step in workflow.steps if step.kind not in STEPPED}):
        return f"{name} has no form for steps of the kind {', '.join(blocks)}"
    if workflow.frozen_ids:
        return f"{name} cannot hold a step still (frozen)"
    for call in workflow.calls:
        if frozen_blocks(call.prompt):
            return f"{name} cannot hold a part of a prompt still (frozen, in '{call.id}')"
        if call.model not in (None, workflow.model):
            return f"{name} asks one model, and '{call.id}' names another"
    return ""


def room_of(arena: Arena) -> Room:
    """Return a room for the start's tools and models."""
    return Room(arena.task, arena.folder, arena.start, arena.unsafe_code)


@dataclass
class Peer:
    """One run of a package: it works in a thread of its own, and asks the loop for scores, tools and what was spent.

    `reached` is set once the budget is spent; `broken` is an error that no package may swallow.
    """

    arena: Arena
    loop: asyncio.AbstractEventLoop
    room: Room
    began: float = field(default_factory=time.monotonic)
    reached: bool = False
    broken: Exception | None = None

    @classmethod
    def of(cls, arena: Arena) -> Peer:
        """Return the run of a package in the loop that runs now."""
        return cls(arena, asyncio.get_running_loop(), room_of(arena))

    async def away(self, work: Callable[[], T]) -> T:
        """Run a package in a thread, with what it prints in `peer.log`; raise what broke, whatever it made of that."""
        try:
            found = await asyncio.to_thread(quiet, self.arena.scratch / "peer.log", work)
        finally:
            await self.room.close()
        if self.broken is not None:
            raise self.broken
        return found

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run work in the loop, from the package's thread."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    @property
    def over(self) -> bool:
        """Whether the search is over: the budget is spent, the time has passed, or something broke."""
        seconds = self.arena.budget.seconds
        late = seconds is not None and time.monotonic() - self.began >= seconds
        self.reached = self.reached or late
        return self.reached or self.broken is not None

    def ended(self, state: Any) -> bool:
        """Tell GEPA when to stop: where the search is over, or a candidate is right on all of validation."""
        return self.over or max(state.program_full_scores_val_set, default=0.0) >= 1.0

    def check(self) -> None:
        """Raise `Wall` where the search is over."""
        if self.over:
            raise Wall(REACHED)

    def failed(self, error: Exception) -> Wall:
        """Take note of a failed request: of the wall, or of an endpoint that will not answer; return what to raise."""
        if at_wall(error):
            self.reached = True
        else:
            self.broken = self.broken or error
        return Wall(str(error))

    def score(self, example: Example, output: Json) -> Score:
        """Return the metric's score of an output, from the package's thread."""
        return self.wait(self._scored(self.arena.score(example, output)))

    async def _scored(self, scoring: Awaitable[Score]) -> Score:
        try:
            return await scoring
        except EndpointError as error:  # a judge that is not answered
            raise self.failed(error) from error

    def fitted(self, example: Example, value: Json) -> tuple[Json, Score]:
        """Return a package's output as the task's type holds it, with its score; a misfit scores 0."""
        try:
            output = self.arena.start.output_type.fit(value)
        except Misfit as misfit:
            return None, Score(0.0, f"The output does not fit: {misfit}.")
        return output, self.score(example, output)

    async def session(self) -> RunSession:
        """Return the session for the search."""
        return await self.room.session(self.arena.url)

    async def forward(self, workflow: Workflow, example: Example) -> Trace:
        """Run a workflow on one example by FlowBot's engine. Raises `Wall`."""
        self.check()
        try:
            return await forward(workflow, example, await self.session(), "peer")
        except EndpointError as error:
            raise self.failed(error) from error

    async def run(self, workflow: Workflow, example: Example) -> tuple[Trace, Score]:
        """Run a workflow on one example and score it, as its trace is; a failed run scores 0. Raises `Wall`."""
        trace = await self.forward(workflow, example)
        if trace.error:
            return trace, Score(0.0, trace.error)
        return trace, await self._scored(Scorer(self.room, self.arena.url).score(example, trace.output, trace))

    async def runs(self, workflow: Workflow, examples: Sequence[Example]) -> list[Run]:
        """Run a workflow on examples, as many at once as the task allows.

        What the budget does not pay for any more has no trace and scores 0: so a workflow that the wall cuts short is
        never overrated, and still wins where it is better even so.
        """
        gate = asyncio.Semaphore(self.arena.task.concurrency)

        async def one(example: Example) -> Run:
            async with gate:
                try:
                    return await self.run(workflow, example)
                except Wall as wall:
                    return None, Score(0.0, str(wall))

        return list(await asyncio.gather(*(one(example) for example in examples)))

    def rollouts(self, run: Callable[[Example], object]) -> int | None:
        """Return how many runs on one example the rest of the budget pays for, by what the first few cost.

        None where nothing bounds them. The budget pays for proposals too: the figure is an upper bound.
        """
        examples = self.arena.val[:PROBES]
        before = self._used()
        with contextlib.suppress(Wall):
            for example in examples:
                run(example)
        return affordable(self.arena.budget, before, self._used(), len(examples))

    def share(self) -> float | None:
        """Return how much of the budget is spent, as a share of the bound that is nearest; None without a bound."""
        bounds = zip(_bounds(self.arena.budget), self._used(), strict=True)
        return max((gone / allowed for allowed, gone in bounds if allowed and gone is not None), default=None)

    def _used(self) -> Bounds:
        """Return what is spent by now of each kind of bound. Time is as if runs came one by one."""
        used = self.wait(_asked(self.arena))
        return used.calls, used.tokens, used.usd, time.monotonic() - self.began

    def sample(self, examples: Sequence[Example], size: int) -> list[Example]:
        """Return a sample of examples in their order, drawn by the seed; all where there are no more."""
        if len(examples) <= size:
            return list(examples)
        kept = set(random.Random(f"{self.arena.seed}|sample").sample(range(len(examples)), size))
        return [example for index, example in enumerate(examples) if index in kept]


async def _asked(arena: Arena) -> Usage:
    return await arena.spent()


def affordable(budget: Budget, before: Bounds, after: Bounds, runs: int) -> int | None:
    """Return how many runs the rest of the budget pays for, where `runs` of them took it from `before` to `after`."""
    found = [
        int((allowed - now) * runs / (now - then))
        for allowed, then, now in zip(_bounds(budget), before, after, strict=True)
        if allowed is not None and then is not None and now is not None and now > then
    ]
    return max(0, min(found)) if found else None


def _bounds(budget: Budget) -> Bounds:
    return budget.calls, budget.tokens, budget.usd, budget.seconds


def expected(example: Example) -> str:
    """Return the value that is expected of an example, as a model may read it."""
    return as_text(example.shown)


def feedback(example: Example, score: Score) -> str:
    """Return what a peer's critic is told of one output: the score, the metric's words, and what was expected."""
    return f"Score: {score.value:g} of 1. {score.feedback}\nExpected: {expected(example)}"


def as_markdown(prompts: Mapping[str, str]) -> str:
    """Return prompts by step as a text to read."""
    return "\n\n".join(f"# {step}\n\n{prompt.strip()}" for step, prompt in prompts.items()) + "\n"


def quiet(log: Path, work: Callable[[], T]) -> T:
    """Run work with what it prints in a file."""
    with open(log, "a", encoding="utf-8") as file, _printing(file):
        return work()


@contextlib.contextmanager
def _printing(file: Any) -> Generator[None]:
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield
