"""FlowBot: give it examples, a metric and a model; it finds the LLM workflow that solves the task."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowbot.engine.ports import EndpointError as EndpointError
    from flowbot.engine.trace import Trace as Trace
    from flowbot.errors import InputError as InputError
    from flowbot.faces.api import Evaluation as Evaluation
    from flowbot.faces.api import RunFailed as RunFailed
    from flowbot.faces.api import aevaluate as aevaluate
    from flowbot.faces.api import ainduce as ainduce
    from flowbot.faces.api import arun as arun
    from flowbot.faces.api import bind as bind
    from flowbot.faces.api import evaluate as evaluate
    from flowbot.faces.api import induce as induce
    from flowbot.faces.api import load as load
    from flowbot.faces.api import run as run
    from flowbot.faces.api import save as save
    from flowbot.faces.export import export as export
    from flowbot.faces.importing import import_from as import_from
    from flowbot.faces.induction import Result as Result
    from flowbot.faces.opened import Flow as Flow
    from flowbot.faces.opened import open_workflow as open_workflow
    from flowbot.faces.options import Options as Options
    from flowbot.money import Budget as Budget
    from flowbot.money import BudgetReached as BudgetReached
    from flowbot.money import Purse as Purse
    from flowbot.task.data import Example as Example
    from flowbot.task.metrics import Score as Score
    from flowbot.task.task import ModelSpec as ModelSpec
    from flowbot.task.task import Task as Task
    from flowbot.workflow.graph import Workflow as Workflow
    from flowbot.workflow.graph import WorkflowError as WorkflowError

__version__ = "0.1.0"

_HOMES = {
    "Budget": "flowbot.money",
    "BudgetReached": "flowbot.money",
    "EndpointError": "flowbot.engine.ports",
    "Evaluation": "flowbot.faces.api",
    "Example": "flowbot.task.data",
    "Flow": "flowbot.faces.opened",
    "InputError": "flowbot.errors",
    "ModelSpec": "flowbot.task.task",
    "Options": "flowbot.faces.options",
    "Purse": "flowbot.money",
    "Result": "flowbot.faces.induction",
    "RunFailed": "flowbot.faces.api",
    "Score": "flowbot.task.metrics",
    "Task": "flowbot.task.task",
    "Trace": "flowbot.engine.trace",
    "Workflow": "flowbot.workflow.graph",
    "WorkflowError": "flowbot.workflow.graph",
    "aevaluate": "flowbot.faces.api",
    "ainduce": "flowbot.faces.api",
    "arun": "flowbot.faces.api",
    "bind": "flowbot.faces.api",
    "evaluate": "flowbot.faces.api",
    "export": "flowbot.faces.export",
    "import_from": "flowbot.faces.importing",
    "induce": "flowbot.faces.api",
    "load": "flowbot.faces.api",
    "open_workflow": "flowbot.faces.opened",
    "run": "flowbot.faces.api",
    "save": "flowbot.faces.api",
}
__all__ = [*sorted(_HOMES), "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import flowbot` is light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'flowbot' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
