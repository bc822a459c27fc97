"""Wiring: from a task and its data to everything that a run needs, and back to nothing."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from flowbot import __version__
from flowbot.engine.meta import Meta
from flowbot.engine.ports import Metric
from flowbot.errors import InputError
from flowbot.faces.start import start_of
from flowbot.models.secrets import scrub, secrets
from flowbot.models.shelf import Shelf, open_shelf
from flowbot.money import Budget, Purse
from flowbot.search.induce import recipe_settings
from flowbot.search.lab import Lab
from flowbot.store.files import load_prompts
from flowbot.store.journal import MemoryJournal, SqliteJournal
from flowbot.store.session import RunSession, calls_of
from flowbot.store.splits import data_hash
from flowbot.task.data import Example
from flowbot.task.leaks import Leaks
from flowbot.task.task import ANYTIME, ModelSpec, Task
from flowbot.tools.metric import open_metric
from flowbot.tools.tool import open_tool
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.graph import ToolSpec, Workflow, content_hash
from flowbot.workflow.steps import PROMPT_CAP, Value

PROMPT_WORDS = 600  # a rewritten instruction with more is refused (law 10)
Journal = SqliteJournal | MemoryJournal
Trusted = Callable[[ToolSpec], bool]
Functions = Mapping[str, Callable[..., Any]]


@dataclass(frozen=True)
class Problem:
    """A task with all that it names read in: data, metric, start, prompts. `folder` is where its files are."""

    task: Task
    folder: Path
    splits: Mapping[str, Sequence[Example]]
    metric: Metric
    start: Workflow
    prompts: Mapping[str, str]
    settings: Value
    notes: Sequence[str] = ()
    functions: Functions = field(default_factory=dict[str, Callable[..., Any]])

    @property
    def identity(self) -> str:
        """What names the metric in the journal: its settings and the source of a function of the user's."""
        return metric_identity(self.task, self.metric)

    def hashes(self) -> dict[str, str]:
        """Return what a run is bound to: it refuses to go on under another."""
        task = self.task.model_dump(mode="json", exclude={*ANYTIME, "data", "metric", "recipe", "prompts", "start"})
        for spec in task["models"].values():
            if isinstance(spec, dict):
                for free in ("base_url", "rpm", "tpm", "timeout", "slots", "threads"):
                    spec.pop(free, None)  # pyright: ignore[reportUnknownMemberType]
        return {f"task's {name}": content_hash(value) for name, value in task.items()} | {
            "data": data_hash(self.splits),
            "metric": self.identity,
            "tools": content_hash({name: code_of(function) for name, function in self.functions.items()}),
            "start": self.start.id,
            "prompts": content_hash(dict(self.prompts)),
            "settings": content_hash([self.task.recipe.name, self.settings.model_dump(mode="json")]),
            "FlowBot version": __version__,
        }


def metric_identity(task: Task, metric: Metric) -> str:
    """Return a hash of a metric's settings and, for a user's function, of its code."""
    judge = task.models.of("judge").name if task.metric.name == "judge" else ""
    return content_hash([task.metric.model_dump(mode="json"), judge, code_of(getattr(metric, "function", None))])


def code_of(function: Any) -> str:
    """Return what tells one function from another: its source, else its compiled code."""
    inner = getattr(function, "func", function)
    with contextlib.suppress(OSError, TypeError):
        return inspect.getsource(inner)
    code = getattr(inner, "__code__", None)
    return "" if code is None else f"{code.co_code!r} {code.co_consts!r} {code.co_names!r}"


def read_problem(
    task: Task,
    folder: Path,
    splits: Mapping[str, Sequence[Example]],
    *,
    start: Workflow | Path | None = None,
    model: str | None = None,
    notes: Sequence[str] = (),
    functions: Functions | None = None,
) -> Problem:
    """Read in what a task names; raise `InputError` for anything that is not there or does not fit.

    `start` and `model` are options and win over the task's.
    """
    settings = recipe_settings(task.recipe.name, task.recipe.settings)
    metric = open_metric(task.metric, folder, task.models.of("judge").name)
    chosen = start_of(task, folder, start, model)
    if chosen.model != task.models.task.name:
        notes = (*notes, f"the start names its own model, {chosen.model}; the task's is {task.models.task.name}")
    prompts = load_prompts(task.prompts, folder)
    return Problem(task, folder, splits, metric, chosen, prompts, settings, notes, functions or {})


@dataclass
class Site:
    """An open run: journal, models, session and workers. Made by `site`, which closes it."""

    problem: Problem
    journal: Journal
    session: RunSession
    workers: InProcess
    began: float
    spent: float = 0.0

    @property
    def seconds(self) -> float:
        """Seconds that the run has taken, its earlier stretches included."""
        return time.monotonic() - self.began

    def lab(self, heard: Callable[[Mapping[str, Any]], None]) -> Lab:
        """Return the lab for a search: without the test split."""
        problem, task = self.problem, self.problem.task
        train, val = tuple(problem.splits["train"]), tuple(problem.splits["val"])
        settings: Any = problem.settings
        meta = Meta(
            self.session,
            task.models.of("meta").name,
            problem.prompts,
            max_tokens=settings.meta_tokens,
            clip=settings.meta_clip,
            description=task.description,
        )
        return Lab(
            start=problem.start,
            train=train,
            val=val,
            session=self.session,
            stages=self.session,
            workers=self.workers,
            meta=meta,
            journal=self.journal,
            guard=prompt_guard(Leaks.of((*train, *val), task.description)),
            seed=task.seed,
            judge_calls=calls_of(problem.metric),
            test_size=len(problem.splits.get("test", ())),
            clock=lambda: self.seconds,
            heard=heard,
        )


def prompt_guard(leaks: Leaks) -> Callable[[str], str]:
    """Return the check of law 10: bounded length, no training text."""

    def guard(text: str) -> str:
        if not text.strip():
            return "the instruction is empty"
        if len(text.split()) > PROMPT_WORDS or len(text) > PROMPT_CAP:
            return f"the instruction has {len(text.split())} words; at most {PROMPT_WORDS}"
        copied = leaks.find(text)
        return f"the instruction copies an example ('{copied}'): state the rule instead" if copied else ""

    return guard


@contextlib.asynccontextmanager
async def site(problem: Problem, journal: Journal, base_url: str | None, budget: Budget) -> AsyncGenerator[Site]:
    """Open models and session for a problem; close them whatever happens."""
    task = problem.task
    shelf = open_shelf(_specs(task, problem.start), base_url, task.concurrency)
    try:
        _check_prices(shelf, budget)
        session = _session(shelf, journal, budget, problem.folder, named_by(task), problem.functions)
        session.purse.earlier = journal.paid()
        workers = InProcess(session, 2 * task.concurrency, problem.metric, problem.identity)
        spent = sum(end.get("seconds", 0.0) for end in journal.ends())  # by the run's earlier stretches
        try:
            yield Site(problem, journal, session, workers, time.monotonic() - spent, spent)
        finally:
            await session.drain(0)
    finally:
        await shelf.close()


@contextlib.asynccontextmanager
async def open_session(
    models: Iterable[ModelSpec],
    *,
    base_url: str | None = None,
    concurrency: int = 16,
    trusted: Trusted = lambda spec: False,
    functions: Functions | None = None,
    folder: Path | None = None,
) -> AsyncGenerator[RunSession]:
    """Open a session without a run: for workflows that are only run or measured."""
    shelf = open_shelf(models, base_url, concurrency)
    try:
        journal = MemoryJournal(keep=False)
        session = _session(shelf, journal, Budget(), folder or Path.cwd(), trusted, functions or {})
        try:
            yield session
        finally:
            await session.drain(0)
    finally:
        await shelf.close()


def _session(
    shelf: Shelf, journal: Journal, budget: Budget, folder: Path, trusted: Trusted, functions: Functions
) -> RunSession:
    opener = partial(open_tool, folder=folder, trusted=trusted, functions=functions)
    endpoints = [getattr(opened.model, "endpoint", None) for opened in shelf.models.values()]
    known = secrets().union(*(endpoint.secrets for endpoint in endpoints if endpoint is not None))
    return RunSession(shelf.models, journal, Purse(budget), open_tool=opener, scrub=lambda text: scrub(text, known))


def named_by(task: Task) -> Trusted:
    """Trust the tools that a task names: it is the user's own program, a workflow file is not (law 9)."""
    return lambda spec: spec in task.tools.values()


def _specs(task: Task, start: Workflow) -> list[ModelSpec]:
    """Return the models that a run may ask: those of the task and those that the start names."""
    specs = task.models.specs
    known = {spec.name for spec in specs}
    return [*specs, *(ModelSpec(name=name) for name in workflow_models(start) if name not in known)]


def workflow_models(workflow: Workflow) -> list[str]:
    """Return the names of the models that a workflow asks, each once."""
    named = [call.model or workflow.model for call in workflow.calls]
    missing = next((call.id for call, name in zip(workflow.calls, named, strict=True) if not name), None)
    if missing is not None:
        raise InputError(
            f"step '{missing}' has no model", mend="write model: provider:name at the top, or give --model"
        )
    return sorted({name for name in named if name})


def _check_prices(shelf: Shelf, budget: Budget) -> None:
    if budget.usd is None:
        return
    unknown = sorted(name for name, opened in shelf.models.items() if opened.price is None)
    if unknown:
        raise InputError(
            f"a money budget is set, and the price of {', '.join(unknown)} is not known",
            mend="give it in the task, e.g. models: {task: {name: ..., price: {input: 0.4, output: 1.6}}} "
            "(US dollars per million tokens), or bound calls or tokens instead",
        )
