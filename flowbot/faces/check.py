"""A workflow looked at before it is run: what an example can cost, what its tools reach, and whether it fits a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowbot.document import read_document
from flowbot.errors import InputError
from flowbot.faces.cost import LONG, SHORT, TEXT, asked, models_of, unpaid, usage_of
from flowbot.faces.problem import named_by
from flowbot.faces.wiring import IN_SANDBOX
from flowbot.models.price import price_of
from flowbot.money import Usage
from flowbot.store.files import load_workflow, read_text
from flowbot.store.splits import load_splits
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec, Task
from flowbot.tools.search import find_corpus
from flowbot.workflow.graph import Bounds, Workflow, WorkflowError, rebuild
from flowbot.workflow.steps import CodeStep
from flowbot.workflow.tools import FunctionSpec, McpSpec, PythonSpec, SearchSpec, TestsSpec, ToolSpec


@dataclass(frozen=True)
class ToolCheck:
    """A tool that the workflow uses: its kind, what it reaches, and why it needs trust (empty where it does not)."""

    name: str
    kind: str
    needs_trust: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Checked:
    """What there is to say about a valid workflow.

    `low` and `high` are what one example costs, `depth` the most LLM calls one after the other. `tool_calls` and
    `programs` are counts at both ends. `sandbox_for` names what runs programs, `sandbox` the one that is there (empty
    where none is needed or there), `no_sandbox` why there is none. `limits` are the task's.
    """

    workflow: Workflow
    low: Usage
    high: Usage
    depth: int
    tool_calls: tuple[int, int]
    programs: tuple[int, int]
    unpriced: tuple[str, ...]
    assumed: str
    tools: tuple[ToolCheck, ...]
    sandbox_for: tuple[str, ...]
    sandbox: str
    no_sandbox: str
    limits: Bounds | None


def check(path: Path, task: Task | None = None, folder: Path | None = None) -> Checked:
    """Look at a workflow file; raise `InputError` with file and line where it is not valid or does not fit the task.

    No model is asked, no server started and no module imported. With a task (and its folder) its limits hold, its
    models' settings count, and the inputs are as long as those of its data's first examples.
    """
    workflow = load_workflow(path)
    specs: Sequence[ModelSpec] = ()
    examples: Sequence[Example] = ()
    if task is not None:
        workflow = _fitted(workflow, path, task)
        specs = task.models.specs
        examples = _examples(task, folder or Path.cwd())
    models = models_of(workflow, specs)
    low, high = (usage_of(asked(workflow, examples, specs, fewest), specs) for fewest in (True, False))
    fewest, most = unpaid(workflow, True), unpaid(workflow, False)
    needed = tuple(_programs(workflow, task))
    there, why = _sandbox() if needed else ("", "")
    unpriced = [spec.name for spec in models if price_of(spec) is None]
    return Checked(
        workflow,
        low,
        high,
        workflow.worst_depth(),
        (fewest[0], most[0]),
        (fewest[1], most[1]),
        tuple(unpriced if workflow.model or not workflow.calls else [*unpriced, "a call without a model"]),
        _assumed(len(examples)),
        tuple(_tool(workflow, name, task, folder or path.resolve().parent) for name in workflow.used_tools),
        needed,
        there,
        why,
        task.limits if task is not None else None,
    )


def _fitted(workflow: Workflow, path: Path, task: Task) -> Workflow:
    """Return the workflow with the task's model where it names none; raise `InputError` where it does not fit it."""
    document = read_document(read_text(path, "workflow"), str(path))
    if dict(workflow.inputs) != dict(task.inputs):
        theirs, ours = (", ".join(f"{name}: {kind}" for name, kind in each.inputs.items()) for each in (workflow, task))
        raise document.error(("inputs",), f"the inputs ({theirs}) are not the task's ({ours})")
    if not task.output_type.accepts(workflow.output_type):
        what = f"the output '{workflow.output}' is {workflow.output_type}; the task's is {task.output_type}"
        raise document.error(("output",), what)
    try:
        workflow.within(task.limits)
    except WorkflowError as error:
        mend = "or allow more in the task, e.g. limits: {calls: 200, depth: 80}"
        raise document.error(("steps",), str(error), mend) from None
    return workflow if workflow.model else rebuild(workflow, model=task.models.task.name)


def _examples(task: Task, folder: Path) -> Sequence[Example]:
    if task.data is None:
        return ()
    splits = load_splits(task, folder).splits
    return splits.get("train") or splits.get("val") or ()


def _assumed(examples: int) -> str:
    inputs = "inputs as in the task's data" if examples else f"{TEXT} characters an input"
    return f"{inputs}, {TEXT} characters a text in between, replies of {SHORT} to {LONG} tokens or their bound"


def _tool(workflow: Workflow, name: str, task: Task | None, folder: Path) -> ToolCheck:
    spec = workflow.tools[name]
    trusted = task is not None and _named(spec, task)
    needs = missing = ""
    match spec:
        case FunctionSpec():
            needs = f"{spec.function} would be imported"
        case McpSpec():
            needs = f"'{' '.join(spec.command)}' would be started" if spec.command else f"{spec.url} would be asked"
        case SearchSpec():
            try:
                find_corpus(spec, folder, trusted)
            except InputError as error:
                inside = not Path(spec.corpus).is_absolute() and ".." not in Path(spec.corpus).parts
                needs, missing = ("", _one_line(error)) if inside or trusted else (f"it reads {spec.corpus}", "")
        case _:
            pass
    return ToolCheck(name, spec.kind, "" if trusted else needs, missing)


def _named(spec: ToolSpec, task: Task) -> bool:
    """Tell whether a task names a tool, or the whole server that an MCP tool belongs to."""
    if named_by(task)(spec):
        return True
    whole = [each for each in task.tools.values() if isinstance(each, McpSpec) and each.tool is None]
    return isinstance(spec, McpSpec) and any(
        (each.command, each.url, each.env, each.token) == (spec.command, spec.url, spec.env, spec.token)
        for each in whole
    )


def _programs(workflow: Workflow, task: Task | None) -> list[str]:
    """Return what needs the sandbox: steps and tools that run programs, and the task's metric."""
    found = [f"step '{step.id}'" for step in workflow.all_steps if isinstance(step, CodeStep)]
    used: Mapping[str, ToolSpec] = {name: workflow.tools[name] for name in workflow.used_tools}
    found += [f"tool '{name}'" for name, spec in used.items() if isinstance(spec, PythonSpec | TestsSpec)]
    return [*found, *([f"metric '{task.metric.name}'"] if task and task.metric.name in IN_SANDBOX else [])]


def _sandbox() -> tuple[str, str]:
    """Return the name of the sandbox that is here, or why there is none."""
    from flowbot.tools.sandbox.choice import sandbox_name

    try:
        return sandbox_name(), ""
    except InputError as error:
        return "", _one_line(error)


def _one_line(error: InputError) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines())
