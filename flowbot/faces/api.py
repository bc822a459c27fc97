"""The public functions: induce, run, evaluate, load, save. Each async one has a plain one beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.faces.importing import holds_workflow
from flowbot.faces.loop import run_now
from flowbot.faces.options import Options
from flowbot.faces.problem import completed, filled, metric_identity, named_by, read_problem
from flowbot.faces.rundir import RunDir
from flowbot.faces.wiring import open_session, open_toolbox, told, workflow_models
from flowbot.money import Ledger
from flowbot.store.files import load_task, load_workflow, read_text, write_text
from flowbot.store.splits import Data, load_splits, splits_of
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.task.task import MetricSpec, ModelSpec, Task
from flowbot.tools.metric import Function, Wrapped, open_metric
from flowbot.tools.tool import Functions, Toolbox
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.document import write_workflow
from flowbot.workflow.fields import Json, Misfit
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.requests import requests

if TYPE_CHECKING:
    from flowbot.faces.induction import Heard, Result

Rows = Iterable[Mapping[str, Json]]


def load(path: str | Path) -> Workflow:
    """Return the workflow in a file; raise `InputError`. Starts no process and imports nothing (law 9)."""
    return load_workflow(Path(path))


def save(workflow: Workflow, path: str | Path) -> None:
    """Write a workflow to a file, whole or not at all; comments of a file that is there already are kept."""
    target = Path(path)
    like = read_text(target, "workflow") if target.exists() else ""
    write_text(target, write_workflow(workflow, like))


def induce(task: str | Path | Task, **how: Any) -> Result:
    """Find the workflow that solves a task; the plain form of `ainduce`, with the same arguments."""
    return run_now(ainduce(task, **how))


async def ainduce(
    task: str | Path | Task,
    *,
    data: Mapping[str, Rows] | None = None,
    run: str | Path | None = None,
    start: Workflow | str | Path | None = None,
    metric: Function | None = None,
    tools: Functions | None = None,
    options: Options | None = None,
    heard: Heard = lambda event: None,
) -> Result:
    """Find the workflow that solves a task, by its recipe and within its budget.

    `task` is a task file or a `Task`; `data` gives rows by split (`train`, `val`, `test`) in place of its files;
    `run` is the folder of the run, which goes on where it was stopped (None: in memory). `start` is a workflow or a
    file of any kind that `import_from` reads, `metric` a function `(example, output) -> float | Score`, both in place
    of the task's; `tools` are Python functions by name, which the workflow may call. `heard` is told of every event.
    Raises `InputError` and `EndpointError`.
    """
    from flowbot.faces.induction import run_induction  # a workflow that is used needs no search

    options = options or Options()
    made, folder = (task, Path.cwd()) if isinstance(task, Task) else load_task(Path(task))
    made = options.over(made)
    functions = {_full_name(function): function for function in (tools or {}).values()}
    made, notes = await completed(_with_functions(made, metric, tools or {}), folder, functions)
    found: Data = splits_of(made, data) if data is not None else load_splits(made, folder)
    begin = Path(start) if isinstance(start, str) else start
    problem = read_problem(
        made,
        folder,
        found.splits,
        start=begin,
        model=options.model,
        notes=(*found.notes, *notes),
        functions=functions,
        unsafe_code=options.unsafe_code,
    )
    file = begin if isinstance(begin, Path) else folder / made.start if made.start and begin is None else None
    like = read_text(file, "workflow") if file and holds_workflow(file) else ""
    rundir = RunDir(Path(run), like, options.content) if run else None
    return await run_induction(problem, rundir, options.base_url, heard, options.content)


def run(workflow: Workflow, /, **inputs: Json) -> Json:
    """Run a workflow on one set of inputs and return its output; the plain form of `arun`."""
    return bind(workflow).run(**inputs)


async def arun(workflow: Workflow, /, **inputs: Json) -> Json:
    """Run a workflow on one set of inputs, given by name, and return its output; see `Bound.arun`."""
    return await bind(workflow).arun(**inputs)


@dataclass(frozen=True)
class Bound:
    """A workflow with what it needs beside its inputs: tools, model settings, an endpoint. Made by `bind`."""

    workflow: Workflow
    how: Mapping[str, Any] = field(default_factory=dict[str, Any])
    toolbox: Callable[[], Toolbox] = open_toolbox

    def run(self, /, **inputs: Json) -> Json:
        """Run on one set of inputs; the plain form of `arun`."""
        return run_now(self.arun(**inputs))

    async def arun(self, /, **inputs: Json) -> Json:
        """Run on one set of inputs, given by name, and return the output.

        Raises `InputError` for inputs that do not fit, `EndpointError`, and `RunFailed` with the failing step's reason.
        """
        example = as_example(self.workflow, inputs, "input")
        async for trace in atraces(self.workflow, [example], **self.how, toolbox=self.toolbox()):
            if trace.error:
                raise RunFailed(trace)
            return trace.output
        raise AssertionError("no trace")


def bind(
    workflow: Workflow,
    *,
    tools: Functions | None = None,
    trust: bool = False,
    models: Sequence[ModelSpec] = (),
    base_url: str | None = None,
    folder: str | Path | None = None,
    unsafe_code: bool = False,
) -> Bound:
    """Return a workflow ready to run with your functions as its tools, or with settings for its models.

    `tools` are the functions given to `induce`, by name; `trust` imports the modules, starts the MCP servers and reads
    the corpora that the file names (law 9); `folder` is where its paths begin (the current one if left out);
    `unsafe_code` runs its programs without a sandbox.
    """
    functions = {_full_name(function): function for function in (tools or {}).values()}
    home = Path.cwd() if folder is None else Path(folder)
    toolbox = partial(open_toolbox, home, lambda spec: trust, functions, unsafe_code)
    return Bound(workflow, {"models": models, "base_url": base_url}, toolbox)


class RunFailed(RuntimeError):
    """A workflow's run failed on its inputs: a refusal, an overflow, a reply that does not fit, a failing tool."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        super().__init__(trace.error)


async def atraces(
    workflow: Workflow,
    examples: Iterable[Example],
    *,
    models: Sequence[ModelSpec] = (),
    base_url: str | None = None,
    concurrency: int = 16,
    toolbox: Toolbox | None = None,
) -> AsyncIterator[Trace]:
    """Yield the traces of a workflow on many examples, in their order, with memory flat in their number.

    `models` gives settings for models that the workflow names. Without a toolbox (which is closed at the end), its
    tools import no module and start no server (law 9).
    """
    specs, toolbox = specs_of(workflow, models), toolbox or open_toolbox()
    workflow = await told(workflow, toolbox)
    async with open_session(specs, workflow, toolbox, base_url=base_url, concurrency=concurrency) as session:
        async for trace in InProcess(session, 2 * concurrency).evaluate(workflow, examples, ""):
            yield trace


@dataclass(frozen=True)
class Evaluation:
    """A workflow's scores on examples, in their order, with the traces behind them and what they cost."""

    workflow: Workflow
    scores: Sequence[float]
    traces: Sequence[Trace]
    ledger: Ledger = field(default_factory=Ledger)

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(self.scores) / len(self.scores)


def evaluate(workflow: Workflow, task: str | Path | Task, **how: Any) -> Evaluation:
    """Score a workflow on a split of a task's data; the plain form of `aevaluate`, with the same arguments."""
    return run_now(aevaluate(workflow, task, **how))


async def aevaluate(
    workflow: Workflow,
    task: str | Path | Task,
    *,
    split: str = "val",
    data: Mapping[str, Rows] | None = None,
    metric: Function | None = None,
    tools: Functions | None = None,
    options: Options | None = None,
    heard: Heard = lambda event: None,
) -> Evaluation:
    """Score a workflow on one split of a task's data with its metric (or a function of yours).

    `heard` is told of the session and the stage, for a view of it. Raises `InputError` and `EndpointError`.
    """
    options = options or Options()
    made, folder = (task, Path.cwd()) if isinstance(task, Task) else load_task(Path(task))
    functions = {_full_name(function): function for function in (tools or {}).values()}
    made, _ = await completed(_with_functions(options.over(made), metric, tools or {}), folder, functions)
    found = splits_of(made, data) if data is not None else load_splits(made, folder)
    if split not in found.splits:
        raise InputError(f"there is no split '{split}' (splits: {', '.join(found.splits)})", "--split")
    if dict(workflow.inputs) != dict(made.inputs):
        theirs, ours = (", ".join(f"{name}: {kind}" for name, kind in each.inputs.items()) for each in (workflow, made))
        raise InputError(f"the workflow's inputs ({theirs}) are not the task's ({ours})")
    if not workflow.model or options.model:
        workflow = rebuild(workflow, model=made.models.task.name)
    workflow = filled(workflow, made)
    judge = made.models.of("judge")
    opened = open_metric(made.metric, folder, judge.name)
    toolbox = open_toolbox(folder, named_by(made), functions, options.unsafe_code)
    async with open_session(
        specs_of(workflow, made.models.specs, [judge.name] if made.metric.name == "judge" else []),
        workflow,
        toolbox,
        metric=made.metric.name,
        base_url=options.base_url,
        concurrency=made.concurrency,
    ) as session:
        heard({"kind": "open", "state": session, "resumed": False})
        calls = {"task": len(found.splits[split]) * requests(workflow.steps)}
        heard({"kind": "phase", "phase": f"{workflow.name} on {split}", "calls": calls})
        workers = InProcess(session, 2 * made.concurrency, opened, metric_identity(made, opened))
        traces = [trace async for trace in workers.evaluate(workflow, found.splits[split], split)]
        scores = [trace.points for trace in traces]
        return Evaluation(workflow, scores, traces, session.ledger)


def as_example(workflow: Workflow, inputs: Mapping[str, Json], example_id: str, where: str = "") -> Example:
    """Return inputs as an example of a workflow; raise `InputError` for what is missing, unknown or does not fit."""
    unknown = [name for name in inputs if name not in workflow.inputs]
    missing = [name for name in workflow.inputs if name not in inputs]
    if unknown or missing:
        wants = ", ".join(f"{name}: {kind}" for name, kind in workflow.inputs.items())
        what = f"unknown input '{unknown[0]}'" if unknown else f"the input '{missing[0]}' is missing"
        raise InputError(f"{what}; the workflow '{workflow.name}' reads {wants}", where)
    try:
        return Example(example_id, {name: kind.fit(inputs[name]) for name, kind in workflow.inputs.items()})
    except Misfit as misfit:
        raise InputError(f"an input does not fit: {misfit}", where) from None


def _with_functions(task: Task, metric: Function | None, tools: Functions) -> Task:
    """Return the task with a caller's own metric and tools in it."""
    changes: dict[str, Any] = {}
    if metric is not None:
        changes["metric"] = MetricSpec(name=_full_name(metric), function=metric)
    if tools:
        if len({_full_name(function) for function in tools.values()}) < len(tools):
            raise InputError("two tools are functions of one name", "tools", "define each with a name of its own")
        specs = {name: {"kind": "function", "function": _full_name(function)} for name, function in tools.items()}
        added = Task.model_validate(
            task.model_dump(mode="json", exclude_defaults=True) | {"flowbot": 1, "tools": specs}
        ).tools
        changes["tools"] = {**task.tools, **added}
    return task.model_copy(update=changes) if changes else task


def specs_of(workflow: Workflow, known: Sequence[ModelSpec], also: Sequence[str] = ()) -> list[ModelSpec]:
    """Return settings for the models that a workflow asks, and `also` asks: the known ones, else by the name alone."""
    wanted = sorted({*workflow_models(workflow), *also})
    named = [spec for spec in known if spec.name in wanted]
    unknown = set(wanted) - {spec.name for spec in named}
    return [*named, *(ModelSpec(name=name) for name in sorted(unknown))]


def _full_name(function: Callable[..., Any]) -> str:
    kind = type(function)
    return f"{getattr(function, '__module__', kind.__module__)}:{getattr(function, '__qualname__', kind.__qualname__)}"


__all__ = [
    "Bound",
    "Evaluation",
    "RunFailed",
    "Score",
    "Wrapped",
    "aevaluate",
    "ainduce",
    "arun",
    "bind",
    "evaluate",
    "induce",
    "load",
    "run",
    "save",
]
