"""The start of an induction: a workflow that the user gave, else one call with the task's description."""

from __future__ import annotations

from pathlib import Path

from flowbot.errors import InputError
from flowbot.faces.importing import holds_workflow, imported
from flowbot.faces.importing.call import Imported, Wanted
from flowbot.store.files import load_workflow
from flowbot.store.rows import refuse_half_pairs
from flowbot.task.task import Task
from flowbot.workflow.graph import Workflow, WorkflowError, build, plain_workflow, rebuild


def start_of(task: Task, folder: Path, given: Workflow | Path | None, model: str | None) -> Workflow:
    """Return the start alone; see `begun`."""
    return begun(task, folder, given, model).workflow


def begun(task: Task, folder: Path, given: Workflow | Path | None, model: str | None) -> Imported:
    """Return the start: `given`, else the task's, else the direct call; raise `InputError` where it does not fit.

    A file may also be a prompt, chat messages or a candidate of GEPA; notes tell what was changed. `model` (an option)
    wins over the start's own. Calls without a bound for their replies get the model's, so that the file runs by itself
    as it was measured.
    """
    named = given if given is not None else folder / task.start if task.start else None
    notes: tuple[str, ...] = ()
    if isinstance(named, Path):
        made = _read(named, task, folder)
        start, notes = made.workflow, tuple(f"start: {note}" for note in made.notes)
    else:
        start = direct(task) if named is None else named
    if dict(start.inputs) != dict(task.inputs):
        theirs, ours = (", ".join(f"{name}: {kind}" for name, kind in each.inputs.items()) for each in (start, task))
        raise InputError(f"the start workflow's inputs ({theirs}) are not the task's ({ours})")
    start = bounded(rebuild(start, model=model or start.model or task.models.task.name), task)
    refuse_half_pairs(plain_workflow(start), "the start")
    try:
        return Imported(start.within(task.limits), notes)
    except WorkflowError as error:
        mend = "or allow more in the task, e.g. limits: {calls: 200, depth: 80}"
        raise InputError(f"the start is over the task's limits: {error}", mend=mend) from None


def _read(path: Path, task: Task, folder: Path) -> Imported:
    """Return the start in a file. The texts of a candidate are those of the task's own start, by step."""
    if holds_workflow(path):
        return Imported(load_workflow(path))
    own = folder / task.start if task.start else None
    onto = load_workflow(own) if own is not None and holds_workflow(own) else direct(task)
    wanted = Wanted(task.name, task.inputs, task.output, None, task.tools, task.description)
    return imported(path, wanted, onto, forced=False)


def bounded(workflow: Workflow, task: Task) -> Workflow:
    """Return the workflow with the models' bounds for replies written into calls that have none."""
    specs = {spec.name: spec for spec in task.models.specs}
    bounds = {
        call.id: {"max_tokens": spec.max_tokens}
        for call in workflow.calls
        if call.max_tokens is None and (spec := specs.get(call.model or workflow.model or "")) and spec.max_tokens
    }
    return workflow.with_steps(bounds) if bounds else workflow


def direct(task: Task) -> Workflow:
    """Return the start that a task has by itself: one call with the task's description, and all its tools."""
    names = ("answer", "solve", *(f"answer_{number}" for number in range(2, 99)))
    step_id = next(name for name in names if name not in task.inputs)
    call = {
        "id": step_id,
        "kind": "call",
        "reads": list(task.inputs),
        "gives": dict(task.output),
        "tools": list(task.tools),
        "prompt": task.description,
    }
    return build(
        name=task.name,
        model=task.models.task.name,
        inputs=dict(task.inputs),
        tools=dict(task.tools),
        steps=[call],
        output=f"{step_id}.{task.output_name}",
    )
