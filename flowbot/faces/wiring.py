"""Wiring: from a task and its data to everything that a run needs, and back to nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbot.engine.meta import Meta
from flowbot.engine.ports import Sandbox
from flowbot.errors import InputError
from flowbot.faces.observe.spans import open_spans
from flowbot.faces.problem import Problem, indexes, named_by
from flowbot.models.secrets import scrub, secrets
from flowbot.models.shelf import Shelf, open_shelf
from flowbot.money import Budget, Purse
from flowbot.store.journal import MemoryJournal, SqliteJournal
from flowbot.store.session import RunSession, calls_of
from flowbot.task.leaks import Leaks
from flowbot.task.task import ModelSpec, Task
from flowbot.tools.tool import Functions, Toolbox, Trusted, nobody
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.steps import PROMPT_CAP, CodeStep
from flowbot.workflow.tools import FunctionSpec, McpSpec, PythonSpec, TestsSpec, ToolSpec

if TYPE_CHECKING:
    from flowbot.search.lab import Lab

PROMPT_WORDS = 600  # a rewritten instruction with more is refused (law 10)
Journal = SqliteJournal | MemoryJournal
NO_BOUND = Budget()
IN_SANDBOX = ("code_tests",)  # metrics that run programs


async def told(workflow: Workflow, toolbox: Toolbox) -> Workflow:
    """Return a workflow with what the tools of its calls leave out, asked of those that are trusted or the caller's.

    Raises `InputError`, and `WorkflowError` where a step does not fit them.
    """
    offered = {name for call in workflow.calls for name in call.tools}
    silent: dict[str, ToolSpec] = {}
    for name, spec in workflow.tools.items():
        if name in offered and isinstance(spec, FunctionSpec | McpSpec) and spec.takes is None:
            own = isinstance(spec, FunctionSpec) and spec.function in toolbox.functions
            silent |= {name: spec} if own or toolbox.trusted(spec) else {}
    if not silent:
        return workflow
    from flowbot.tools.complete import complete_tools

    found, _ = await complete_tools(silent, toolbox.folder, toolbox.functions)
    return rebuild(workflow, tools={**workflow.tools, **found})


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
        from flowbot.search.lab import Lab

        problem, task = self.problem, self.problem.task
        train, val, guards = (tuple(problem.splits.get(name, ())) for name in ("train", "val", "guard"))
        allowed = "\n".join([task.description, *problem.start.prompts.values()])
        settings: Any = problem.settings
        meta = Meta(
            self.session,
            task.models.of("meta").name,
            problem.prompts,
            max_tokens=task.models.meta_bound(settings.meta_tokens),
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
            score=lambda trace: self.session.score(problem.metric, problem.identity, trace, "train"),
            guard=prompt_guard(Leaks.of((*train, *val, *guards), allowed)),
            bounds=task.limits,
            kinds=problem.kinds,
            models=_answering(task),
            watched=guards,
            seed=task.seed,
            judge_calls=calls_of(problem.metric),
            test_size=len(problem.splits.get("test", ())),
            clock=lambda: self.seconds,
            heard=heard,
            noted=self.journal.shown.note,
        )


def _answering(task: Task) -> tuple[str, ...]:
    """Return the models that a step may be answered by: the task's, and those named beside it."""
    also: Sequence[ModelSpec] = task.models.also
    return tuple(dict.fromkeys(spec.name for spec in (task.models.task, *also)))


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
    toolbox = open_toolbox(problem.folder, named_by(task), problem.functions, problem.unsafe_code)
    try:
        _check_prices(shelf, budget)
        await prepare(toolbox, problem.start, task.tools.values(), task.metric.name, problem.kinds)
        session = _session(shelf, journal, budget, toolbox)
        session.purse.earlier = journal.paid()
        workers = InProcess(session, 2 * task.concurrency, problem.metric, problem.identity, journal.shown.trace)
        spent = sum(end.get("seconds", 0.0) for end in journal.ends())  # by the run's earlier stretches
        try:
            yield Site(problem, journal, session, workers, time.monotonic() - spent, spent)
        finally:
            await session.drain(0)
    finally:
        await _close(shelf, toolbox)


@contextlib.asynccontextmanager
async def open_session(
    models: Iterable[ModelSpec],
    workflow: Workflow,
    toolbox: Toolbox,
    *,
    metric: str = "",
    base_url: str | None = None,
    concurrency: int = 16,
    budget: Budget = NO_BOUND,
) -> AsyncGenerator[RunSession]:
    """Open a session without a run, for a workflow that is only run or measured; the toolbox is closed at its end."""
    shelf = open_shelf(models, base_url, concurrency)
    try:
        await prepare(toolbox, workflow, (), metric)
        session = _session(shelf, MemoryJournal(keep=False), budget, toolbox)
        try:
            yield session
        finally:
            await session.drain(0)
    finally:
        await _close(shelf, toolbox)


def open_toolbox(
    folder: Path | None = None,
    trusted: Trusted = nobody,
    functions: Functions | None = None,
    unsafe_code: bool = False,
) -> Toolbox:
    """Return the tools of a run; nothing is opened yet. `unsafe_code` runs programs without a sandbox, and says so."""

    def opener() -> Sandbox:
        from flowbot.tools.sandbox import open_sandbox

        sandbox = open_sandbox(unsafe=unsafe_code)
        if sandbox.warning:
            print(f"flowbot: {sandbox.warning}", file=sys.stderr)
        return sandbox

    return Toolbox(folder or Path.cwd(), indexes(), trusted, functions or {}, opener)


async def prepare(
    toolbox: Toolbox, workflow: Workflow, named: Iterable[ToolSpec], metric: str, kinds: Iterable[str] = ()
) -> None:
    """Open what a workflow and a metric need, and the tools that a task names, before anything runs (`InputError`).

    `kinds` are those of the steps that a search may add: where programs are among them, the sandbox must be there.
    """
    used = [workflow.tools[name] for name in workflow.used_tools]
    coded = "code" in kinds or any(isinstance(step, CodeStep) for step in workflow.all_steps)
    programs = coded or metric in IN_SANDBOX
    specs = [*named, *(spec for spec in used if spec not in named)]
    await toolbox.prepare(specs, programs or any(isinstance(spec, PythonSpec | TestsSpec) for spec in specs))


def _session(shelf: Shelf, journal: Journal, budget: Budget, toolbox: Toolbox) -> RunSession:
    endpoints = [getattr(opened.model, "endpoint", None) for opened in shelf.models.values()]
    known = secrets().union(*(endpoint.secrets for endpoint in endpoints if endpoint is not None), toolbox.secrets)
    spans = open_spans(lambda text: scrub(text, known))
    kind = RunSession if spans is None else spans.kind(RunSession)
    return kind(
        shelf.models,
        journal,
        Purse(budget),
        open_tool=toolbox.open,
        open_sandbox=toolbox.sandbox,
        scrub=lambda text: scrub(text, known),
    )


async def _close(shelf: Shelf, toolbox: Toolbox) -> None:
    try:
        await toolbox.close()
    finally:
        await shelf.close()


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
