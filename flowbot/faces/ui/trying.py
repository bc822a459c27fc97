"""Trying a workflow from the page: its price first, then its steps as they run, with the rights of `flowbot run`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbot.engine.forward import forward
from flowbot.engine.ports import EndpointError, SandboxError
from flowbot.engine.tasks import end
from flowbot.engine.trace import StepTrace
from flowbot.errors import InputError
from flowbot.faces.api import as_example
from flowbot.faces.cost import asked, models_of, usage_of
from flowbot.faces.problem import indexes
from flowbot.faces.ui.playing import played, spent_of
from flowbot.faces.ui.schema import TryEnd, TryPrice, TryStep
from flowbot.faces.wiring import open_session, open_toolbox, told
from flowbot.models.secrets import scrub
from flowbot.models.shelf import open_shelf
from flowbot.money import Budget, BudgetReached, Usage
from flowbot.store.files import load_task, load_workflow
from flowbot.store.hearing import Hearing
from flowbot.store.session import DEFAULT_REPLY, RunSession
from flowbot.store.splits import unfolded
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec
from flowbot.tools.tool import Toolbox, nobody
from flowbot.workflow.graph import Workflow


@dataclass(frozen=True)
class Trial:
    """A workflow that may be tried. `folder` is where its paths begin, `models` have settings and prices.

    `trust`, `base_url` and `unsafe_code` mean what they mean for `flowbot run`: without trust no module is imported and
    no server started, whatever a run's task names (law 9).
    """

    workflow: Workflow
    folder: Path
    models: Sequence[ModelSpec] = ()
    trust: bool = False
    base_url: str | None = None
    unsafe_code: bool = False


def trial_of_file(path: Path, **rights: Any) -> Trial:
    """Return a workflow's file as it may be tried; `rights` are the last fields of `Trial`. Raises `InputError`."""
    return Trial(load_workflow(path), path.resolve().parent, **rights)


def trial_of_run(folder: Path, workflow: Workflow, **rights: Any) -> Trial:
    """Return a workflow of a run as it may be tried, its models as in the task beside the journal, where that is."""
    task = folder / "task.yaml"
    models = load_task(task)[0].models.specs if task.is_file() else ()
    return Trial(workflow, folder.resolve(), models, **rights)


def price(trial: Trial, inputs: Mapping[str, Any]) -> TryPrice:
    """Return what trying takes at most; nothing is asked or started. Raises `InputError` for inputs that do not fit.

    Where it cannot be tried, `problem` says why and what to do: a tool that is not trusted, a key that is not there.
    """
    example = _example(trial.workflow, inputs)
    names = sorted({name for call in trial.workflow.calls if (name := call.model or trial.workflow.model)})
    usage, problem = Usage(usd=None), ""
    try:
        usage = _at_most(trial, example)
        open_shelf(models_of(trial.workflow, trial.models), trial.base_url, 1)
        _refuse_untrusted(trial)
    except InputError as error:
        problem = scrub(str(error))
    calls = trial.workflow.worst_calls()
    return TryPrice(calls=calls, usd=usage.usd, models=names, tools=list(trial.workflow.used_tools), problem=problem)


async def play(trial: Trial, inputs: Mapping[str, Any], agreed: bool) -> AsyncGenerator[TryStep | TryEnd]:
    """Yield each step as it begins and ends, then the end of it all. Closing it cancels the calls that are under way.

    Raises `InputError` before the first step: where nobody agreed to the price, inputs do not fit, or it cannot be
    tried. What goes wrong later is in the end. The price is a wall: at it no more is asked.
    """
    if not agreed:
        raise InputError("nobody has agreed to the price of this", mend="ask for the price first, and agree to it")
    example = _example(trial.workflow, inputs)
    toolbox = open_toolbox(trial.folder, lambda spec: trial.trust, unsafe_code=trial.unsafe_code)
    workflow = await told(trial.workflow, toolbox)
    specs, usd = models_of(workflow, trial.models), _at_most(trial, example).usd
    budget = Budget(usd=usd or None, calls=workflow.worst_calls())  # of what is free only the calls are bounded
    async with open_session(specs, workflow, toolbox, base_url=trial.base_url, budget=budget) as session:
        run = _Run(workflow, session)
        running = asyncio.create_task(run.go(example))
        try:
            while True:
                told_of = await run.heard.get()
                yield told_of
                if isinstance(told_of, TryEnd):
                    break
            await running
        finally:
            await end([running])


@dataclass
class _Run:
    """One run of a workflow, told step by step."""

    workflow: Workflow
    session: RunSession
    heard: asyncio.Queue[TryStep | TryEnd] = field(default_factory=asyncio.Queue["TryStep | TryEnd"])
    hearing: Hearing = field(default_factory=Hearing)

    async def go(self, example: Example) -> None:
        """Run, and tell how it ended whatever ends it."""
        began, output, error = time.monotonic(), None, ""
        try:
            session = self.hearing.within(self.session)
            trace = await forward(self.workflow, example, session, watch=self._watch)
            output, error = trace.output, trace.error
        except (EndpointError, SandboxError, InputError) as failed:
            error = str(failed)
        except BudgetReached as reached:
            error = f"it would take more than the price that was agreed to: {reached}"
        except Exception as failed:
            error = f"{type(failed).__name__}: {failed}"
        spent = spent_of(self.session.ledger.total, time.monotonic() - began)
        self.heard.put_nowait(TryEnd(output=output, error=self.session.scrub(error), spent=spent))

    def _watch(self, path: str, done: StepTrace | None) -> None:
        self.hearing.watch(path, done)
        part = None if done is None else played(done, self.workflow, self.hearing.said)
        self.heard.put_nowait(TryStep(path=path, played=part))


def _example(workflow: Workflow, inputs: Mapping[str, Any]) -> Example:
    """Return inputs as an example; lists and JSON may come as text."""
    kinds = {name: kind.kind for name, kind in workflow.inputs.items()}
    values = {name: unfolded(value) if kinds.get(name) in ("list", "json") else value for name, value in inputs.items()}
    return as_example(workflow, values, "input", "inputs")


def _at_most(trial: Trial, example: Example) -> Usage:
    specs = models_of(trial.workflow, trial.models)
    return usage_of(asked(trial.workflow, [example], specs, fewest=False, longest=DEFAULT_REPLY), specs)


def _refuse_untrusted(trial: Trial) -> None:
    """Raise `InputError` for a tool that only trust would open; nothing is opened."""
    if trial.trust:
        return
    closed: Any = object  # no sandbox is started either
    toolbox = Toolbox(trial.folder, indexes(), nobody, {}, closed)
    for name in trial.workflow.used_tools:
        toolbox.open(trial.workflow.tools[name])
