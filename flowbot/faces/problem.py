"""A problem: a task with all that it names read in, and what tells one problem from another."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flowbot import __version__
from flowbot.engine.flat import KINDS
from flowbot.engine.ports import Metric
from flowbot.faces.start import begun
from flowbot.models.catalogue import home
from flowbot.store.files import load_prompts
from flowbot.store.splits import data_hash
from flowbot.task.data import Example
from flowbot.task.task import ANYTIME, Task
from flowbot.tools.metric import load_function, open_metric
from flowbot.tools.search import digest_of, find_corpus
from flowbot.tools.tool import Functions, Trusted
from flowbot.workflow.graph import Workflow, content_hash, rebuild
from flowbot.workflow.tools import FunctionSpec, McpSpec, PythonSpec, SearchSpec, ToolSpec
from flowbot.workflow.value import Value

REACH = {"kind", "function", "command", "url", "tool", "env", "token", "side_effects", "corpus"}  # what trust is about


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
    unsafe_code: bool = False

    @property
    def identity(self) -> str:
        """What names the metric in the journal: its settings and the source of a function of the user's."""
        return metric_identity(self.task, self.metric)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of step that a search may add beside calls and tools; programs only where the task has the tool."""
        chosen: Iterable[str] | None = getattr(self.settings, "kinds", ())
        if chosen is not None:
            return tuple(chosen)
        programs = any(isinstance(spec, PythonSpec) for spec in self.task.tools.values())
        return tuple(kind for kind in KINDS if kind != "code" or programs)

    def hashes(self) -> dict[str, str]:
        """Return what a run is bound to: it refuses to go on under another."""
        task = self.task.model_dump(mode="json", exclude={*ANYTIME, "data", "metric", "recipe", "prompts", "start"})
        models = task["models"]
        for spec in (*models.values(), *models.get("also", ())):
            if isinstance(spec, dict):
                for free in ("base_url", "rpm", "tpm", "timeout", "slots", "threads"):
                    spec.pop(free, None)  # pyright: ignore[reportUnknownMemberType]
        return {f"task's {name}": content_hash(value) for name, value in task.items()} | {
            "data": data_hash(self.splits),
            "metric": self.identity,
            "tools": content_hash(self.code | self.corpora),
            "start": self.start.id,
            "prompts": content_hash(dict(self.prompts)),
            "settings": content_hash([self.task.recipe.name, self.settings.model_dump(mode="json")]),
            "FlowBot version": __version__,
        }

    @property
    def code(self) -> dict[str, str]:
        """What tells the functions apart that the task's tools call, by their names: a caller's own, or in modules."""
        named = [spec.function for spec in self.task.tools.values() if isinstance(spec, FunctionSpec)]
        loaded = {name: load_function(name, self.folder, "tool") for name in named if name not in self.functions}
        return {name: code_of(function) for name, function in {**self.functions, **loaded}.items()}

    @property
    def corpora(self) -> dict[str, str]:
        """The hashes of the corpora that are searched, by their names in the files."""
        trusted = named_by(self.task)
        return {
            spec.corpus: digest_of(find_corpus(spec, self.folder, trusted(spec)), indexes())
            for spec in (*self.task.tools.values(), *self.start.tools.values())
            if isinstance(spec, SearchSpec)
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
    unsafe_code: bool = False,
) -> Problem:
    """Read in what a task names; raise `InputError` for anything that is not there or does not fit.

    `start` and `model` are options and win over the task's.
    """
    from flowbot.search.induce import recipe_settings  # a workflow that is used needs no search

    settings = recipe_settings(task.recipe.name, task.recipe.settings)
    metric = open_metric(task.metric, folder, task.models.of("judge").name)
    first = begun(task, folder, start, model)
    chosen, notes = filled(first.workflow, task), (*notes, *first.notes)
    if chosen.model != task.models.task.name:
        notes = (*notes, f"the start names its own model, {chosen.model}; the task's is {task.models.task.name}")
    prompts = load_prompts(task.prompts, folder)
    return Problem(task, folder, splits, metric, chosen, prompts, settings, notes, functions or {}, unsafe_code)


async def completed(task: Task, folder: Path, functions: Functions) -> tuple[Task, list[str]]:
    """Return a task with what its tools leave out filled in, and notes on it; raise `InputError`.

    MCP servers that it names are started and asked, modules of its functions imported.
    """
    if not task.tools:
        return task, []
    from flowbot.tools.complete import complete_tools

    tools, notes = await complete_tools(task.tools, folder, functions)
    return task.model_copy(update={"tools": tools}), notes


def filled(workflow: Workflow, task: Task) -> Workflow:
    """Return a workflow whose tools have the arguments and descriptions that the task's same tools have.

    Without them a model would not be told how to call the tool; a file that says them itself keeps its own. Raises
    `WorkflowError` where a step does not fit them.
    """
    known = [
        spec for spec in task.tools.values() if isinstance(spec, FunctionSpec | McpSpec) and spec.takes is not None
    ]

    def full(spec: ToolSpec) -> ToolSpec:
        same = next((each for each in known if each.model_dump(include=REACH) == spec.model_dump(include=REACH)), None)
        if same is None or not isinstance(spec, FunctionSpec | McpSpec) or spec.takes is not None:
            return spec
        said = {"arguments": same.arguments, "optional": spec.optional or same.optional}
        return spec.model_copy(update=said | {"description": spec.description or same.description})

    tools = {name: full(spec) for name, spec in workflow.tools.items()}
    return workflow if tools == dict(workflow.tools) else rebuild(workflow, tools=tools)


def named_by(task: Task) -> Trusted:
    """Trust the tools that a task names: it is the user's own program, a workflow file is not (law 9).

    What counts is what a tool reaches, not how it is described.
    """
    named = [spec.model_dump(include=REACH) for spec in task.tools.values()]
    return lambda spec: spec.model_dump(include=REACH) in named


def indexes() -> Path:
    """Return the folder of search indexes: what is in it can be deleted at any time."""
    return home() / "indexes"
