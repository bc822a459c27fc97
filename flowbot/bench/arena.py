"""The arena: what every method is given alike, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from flowbot.engine.trace import Trace
from flowbot.money import Budget, Usage
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import Task
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.value import Value


@dataclass(frozen=True)
class Solved:
    """A program's output for one example; `error` says why there is none, `trace` has its steps where it has some."""

    output: Json = None
    error: str = ""
    trace: Trace | None = None


class Program(Protocol):
    """What a method found: it solves one example with what a base URL answers, many at once. Never raises for what a
    model says; `close` gives back what it opened."""

    async def solve(self, example: Example, url: str) -> Solved: ...

    async def close(self) -> None: ...


@dataclass(frozen=True)
class Tuned:
    """What a method came back with. `text` is the program to read (a workflow, a prompt, JSON), kept under `suffix`;
    `note` says in words how the search ended where that matters."""

    program: Program
    text: str
    suffix: str = ".yaml"
    note: str = ""


class Done(Value):
    """What another method came to on the same examples: the text of its program, and tokens an example at test time
    as input tokens + 4 x output tokens."""

    text: str
    cost: float


@dataclass(frozen=True)
class Arena:
    """One run of one method: the task, the examples it may see, and the endpoint that counts what it spends.

    `start` is the workflow that all begin from, its model set. `url` is the base URL of an OpenAI-compatible endpoint
    that answers the models `model` and `meta` (the names in the body of a request; any key will do) until the budget
    is spent, and then refuses with 429 and the code `budget_reached`. `score` is the task's metric for an output
    (what it asks a judge is counted too); `spent` asks the meter what has gone so far. `scratch` is a folder of its
    own. `done` has the methods that ran before this one, by name. `unsafe_code` runs programs without a sandbox.
    """

    task: Task
    folder: Path
    start: Workflow
    train: Sequence[Example]
    val: Sequence[Example]
    url: str
    model: str
    meta: str
    seed: int
    budget: Budget
    scratch: Path
    score: Callable[[Example, Json], Awaitable[Score]]
    spent: Callable[[], Awaitable[Usage]]
    done: Mapping[str, Done] = field(default_factory=dict[str, Done])
    unsafe_code: bool = False


class Method(Protocol):
    """A way to get from a task to a program. `packages` are the distributions whose versions belong to the result."""

    name: str
    packages: tuple[str, ...]

    def cannot(self, arena: Arena) -> str:
        """Say why this method cannot express the task; empty where it can."""
        ...

    async def tune(self, arena: Arena) -> Tuned:
        """Search within the budget and return the best that was found, also where the wall came first."""
        ...
