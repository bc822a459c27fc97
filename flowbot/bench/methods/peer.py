"""Peers: what a package from outside is given in the arena, and how its threads reach FlowBot's loop."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import random
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from flowbot.bench.arena import Arena
from flowbot.bench.flow import Room
from flowbot.engine.forward import forward
from flowbot.engine.ports import EndpointError
from flowbot.engine.trace import Trace
from flowbot.models.wire import Wire
from flowbot.money import Usage
from flowbot.store.session import RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json, Misfit, as_text
from flowbot.workflow.graph import Workflow

T = TypeVar("T")
REACHED = "budget_reached"  # the meter's code, and a part of what it says to people
KEY = "none"  # the meter needs none, and the clients want one
SPARE = 10  # times the runs that the budget pays for: the wall ends a search, this a loop that costs nothing
PROBES = 3  # examples that tell what a run of the program costs
SENDS = 4  # of one request that is refused as one too many: what the peers' own clients do
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


def unstepped(workflow: Workflow, name: str) -> str:
    """Say why a workflow is no plain program of calls and tool steps; empty where it is one."""
    if blocks := sorted({step.kind for step in workflow.steps if step.kind not in STEPPED}):
        return f"{name} has no form for steps of the kind {', '.join(blocks)}"
    return f"{name} cannot hold a step still (frozen)" if workflow.frozen_ids else ""


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
        return cls(arena, asyncio.get_running_loop(), Room(arena.task, arena.folder, arena.start))

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
        return self.wait(self._scored(example, output))

    async def _scored(self, example: Example, output: Json) -> Score:
        try:
            return await self.arena.score(example, output)
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
        """Return the session for the search. It sends a refused request again as often as the peers' clients do."""
        session = await self.room.session(self.arena.url)
        for opened in session.models.values():
            if isinstance(opened.model, Wire):
                opened.model.patience = replace(opened.model.patience, busy_sends=SENDS)
        return session

    async def run(self, workflow: Workflow, example: Example) -> tuple[Trace, Score]:
        """Run a workflow on one example by FlowBot's engine; a failed run scores 0. Raises `Wall`."""
        self.check()
        try:
            trace = await forward(workflow, example, await self.session(), "peer")
        except EndpointError as error:
            raise self.failed(error) from error
        score = Score(0.0, trace.error) if trace.error else await self._scored(example, trace.output)
        return trace, score

    async def runs(self, workflow: Workflow, examples: Sequence[Example]) -> list[tuple[Trace, Score]]:
        """Run a workflow on examples, as many at once as the task allows. Raises `Wall`."""
        gate = asyncio.Semaphore(self.arena.task.concurrency)

        async def one(example: Example) -> tuple[Trace, Score]:
            async with gate:
                return await self.run(workflow, example)

        found = await asyncio.gather(*(one(example) for example in examples), return_exceptions=True)
        for each in found:
            if isinstance(each, BaseException):
                raise each
        return [each for each in found if not isinstance(each, BaseException)]

    def rollouts(self, run: Callable[[Example], object]) -> int | None:
        """Return how many runs on one example the rest of the budget pays for, by what the first few cost.

        None where nothing bounds them. The budget pays for proposals too: the figure is an upper bound.
        """
        examples = self.arena.val[:PROBES]
        before = self.wait(_asked(self.arena))
        with contextlib.suppress(Wall):
            for example in examples:
                run(example)
        return affordable(self.arena, before, self.wait(_asked(self.arena)), len(examples))

    def sample(self, examples: Sequence[Example], size: int) -> list[Example]:
        """Return a sample of examples in their order, drawn by the seed; all where there are no more."""
        if len(examples) <= size:
            return list(examples)
        kept = set(random.Random(f"{self.arena.seed}|sample").sample(range(len(examples)), size))
        return [example for index, example in enumerate(examples) if index in kept]


async def _asked(arena: Arena) -> Usage:
    return await arena.spent()


def affordable(arena: Arena, before: Usage, after: Usage, runs: int) -> int | None:
    """Return how many runs the rest of the budget pays for, where `runs` of them took it from `before` to `after`."""
    budget = arena.budget
    bounds = (
        (budget.calls, before.calls, after.calls),
        (budget.tokens, before.tokens, after.tokens),
        (budget.usd, before.usd, after.usd),
    )
    found = [
        int((allowed - now) * runs / (now - then))
        for allowed, then, now in bounds
        if allowed is not None and then is not None and now is not None and now > then
    ]
    return max(0, min(found)) if found else None


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
def _printing(file: Any) -> Iterator[None]:
    with contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        yield
