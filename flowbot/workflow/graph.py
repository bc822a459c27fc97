"""A workflow: a typed directed acyclic graph of steps, an immutable value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from flowbot.names import nearest
from flowbot.workflow.fields import FIELD_NAME, FieldType, Json
from flowbot.workflow.steps import MODEL_MEND, Call, Scope, Step, Text, ToolStep, Type, Value, is_model

Path = tuple[str | int, ...]
MAX_STEPS = 40


class WorkflowError(ValueError):
    """A workflow that is not valid: every problem with its path and its mend."""

    def __init__(self, problems: list[tuple[Path, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))


class CalculatorSpec(Value):
    """Arithmetic on one `expression`."""

    kind: Literal["calculator"]

    @property
    def arguments(self) -> dict[str, str] | None:
        """The arguments by name, each with what it is: all of them must be given, and no other."""
        return {"expression": "an arithmetic expression, e.g. (2 + 3) * 4"}

    @property
    def words(self) -> str:
        """What a model is told about the tool."""
        return "; ".join(f"{name}: {what}" for name, what in (self.arguments or {}).items())


class FunctionSpec(Value):
    """A Python function `module:name`; it is imported only where the task names it too, or by `--trust`."""

    kind: Literal["function"]
    function: Text
    description: Text = ""

    @property
    def arguments(self) -> dict[str, str] | None:
        """None: only the function itself knows."""
        return None

    @property
    def words(self) -> str:
        """What a model is told about the tool."""
        return " ".join(self.description.split())


ToolSpec = Annotated[CalculatorSpec | FunctionSpec, Field(discriminator="kind")]


class Workflow(Value):
    """Steps in an order in which each reads only inputs and earlier steps; so it cannot have a cycle.

    Raises `WorkflowError` (inside pydantic's ValidationError) with every problem found.
    """

    flowbot: Literal[1] = 1
    name: Text
    model: Text | None = None
    inputs: dict[str, Type]
    tools: dict[str, ToolSpec] = {}
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    output: Text

    @model_validator(mode="after")
    def _check(self) -> Self:
        problems = list(self._problems())
        if problems:
            raise WorkflowError(problems)
        return self

    def _problems(self) -> Iterator[tuple[Path, str]]:
        if not self.inputs:
            yield ("inputs",), "a workflow needs at least one input, e.g. inputs: {question: text}"
        if self.model is not None and not is_model(self.model):
            yield ("model",), f"names the model '{self.model}': {MODEL_MEND}"
        for name in self.inputs:
            if not FIELD_NAME.match(name):
                yield ("inputs", name), f"the input name '{name}' must be letters, digits and _"
        scope: dict[str, FieldType] = dict(self.inputs)
        seen: set[str] = set(self.inputs)
        places = {f"{step.id}.{name}": index for index, step in enumerate(self.steps) for name in step.gives}
        for index, step in enumerate(self.steps):
            if step.id in seen:
                yield ("steps", index, "id"), f"the id '{step.id}' is taken: give step {index + 1} another"
            seen.add(step.id)
            for path, message in step.problems(scope, self.tools):
                if path[:1] in (("reads",), ("args",)) and places.get(_named(message), index) > index:
                    message += ", but a later step does: move that step up"
                yield ("steps", index, *path), f"step '{step.id}' {message}"
            scope |= {f"{step.id}.{name}": kind for name, kind in step.gives.items()}
        if self.output not in scope or "." not in self.output:
            given = ", ".join(ref for ref in scope if "." in ref)
            near = nearest(self.output, scope)
            yield ("output",), f"the output '{self.output}' is no field of a step{near} (fields: {given})"
        else:
            yield from self._dead()

    def _dead(self) -> Iterator[tuple[Path, str]]:
        live = self.ancestors(self.output.split(".")[0])
        for index, step in enumerate(self.steps):
            if step.id not in live:
                mend = "remove it, or let a step on the way to the output read it"
                yield ("steps", index), f"step '{step.id}' does nothing for the output: {mend}"

    def step(self, step_id: str) -> Call | ToolStep:
        """Return the step with this id; raise KeyError where there is none."""
        return self._by_id[step_id]

    @cached_property
    def _by_id(self) -> dict[str, Call | ToolStep]:
        return {step.id: step for step in self.steps}

    @cached_property
    def upstream(self) -> dict[str, tuple[str, ...]]:
        """For each step, the ids of the steps that it reads."""
        return {step.id: _steps_of(step.sources) for step in self.steps}

    @cached_property
    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For each step, the ids of the steps that read it, in file order."""
        return {
            step.id: tuple(other.id for other in self.steps if step.id in self.upstream[other.id])
            for step in self.steps
        }

    def ancestors(self, step_id: str) -> set[str]:
        """Return the step and all steps that it depends on."""
        found: set[str] = set()
        stack = [step_id]
        while stack:
            here = stack.pop()
            if here not in found and here in self._by_id:
                found.add(here)
                stack.extend(_steps_of(self._by_id[here].sources))
        return found

    @property
    def calls(self) -> tuple[Call, ...]:
        """The LLM calls, in file order."""
        return tuple(step for step in self.steps if isinstance(step, Call))

    @property
    def output_type(self) -> FieldType:
        """The type of what the workflow gives."""
        step_id, _, name = self.output.partition(".")
        return self.step(step_id).gives[name]

    @property
    def prompts(self) -> dict[str, str]:
        """The instruction of each call, by step id: the variables of the inner loop."""
        return {call.id: call.prompt for call in self.calls}

    @cached_property
    def sketch(self) -> dict[str, Json]:
        """The workflow without its prompts and demos: the variable of the outer loop."""
        plain = plain_workflow(self)
        plain["steps"] = [step.skeleton() for step in self.steps]
        return plain

    @cached_property
    def id(self) -> str:
        """A hash of the canonical form (the name is a label and does not count)."""
        plain = plain_workflow(self)
        plain.pop("name")
        return content_hash(plain)

    @cached_property
    def step_ids(self) -> dict[str, str]:
        """For each step a hash of its kind, settings, prompt and the hashes upstream (ids do not count)."""
        hashes: dict[str, str] = {}

        def named(source: str) -> str:
            step_id, dot, name = source.partition(".")
            return f"{hashes[step_id]}.{name}" if dot else source

        for step in self.steps:
            tool = self.tools[step.tool].model_dump(mode="json") if isinstance(step, ToolStep) else None
            model = getattr(step, "model", None) or self.model
            hashes[step.id] = content_hash([step.canonical(named), model, tool])
        return hashes

    def worst_calls(self) -> int:
        """Return the most LLM calls that one example can cost, repairs included."""
        return sum(step.worst_calls() for step in self.steps)

    def with_steps(self, steps: Mapping[str, Mapping[str, Any]]) -> Workflow:
        """Return a copy in which the named steps have the given settings; validated like any workflow."""
        unknown = set(steps) - set(self._by_id)
        if unknown:
            raise KeyError(f"no step {', '.join(sorted(unknown))} in workflow '{self.name}'")
        changed = tuple(_with(step, steps.get(step.id, {})) for step in self.steps)
        return rebuild(self, steps=changed)

    def with_prompts(self, prompts: Mapping[str, str]) -> Workflow:
        """Return a copy with the given instructions in place."""
        return self.with_steps({step_id: {"prompt": prompt} for step_id, prompt in prompts.items()})


def rebuild(workflow: Workflow, **changes: Any) -> Workflow:
    """Return a copy with changed parts, validated anew; raise `WorkflowError`."""
    parts = {name: getattr(workflow, name) for name in Workflow.model_fields}
    return build(**(parts | changes))


def build(**parts: Any) -> Workflow:
    """Make a workflow from its parts; raise `WorkflowError` with every problem."""
    try:
        return Workflow(**parts)
    except ValidationError as error:
        raise WorkflowError([(tuple(each["loc"]), each["msg"]) for each in problems_of(error)]) from None


def problems_of(error: ValidationError) -> list[dict[str, Any]]:
    """Return pydantic's errors as {loc, msg, type}, a `WorkflowError` within unfolded into its problems."""
    found: list[dict[str, Any]] = []
    for each in error.errors():
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, WorkflowError):
            found += [{"loc": path, "msg": message, "type": "workflow"} for path, message in cause.problems]
        else:
            found.append({"loc": each["loc"], "msg": each["msg"].removeprefix("Value error, "), "type": each["type"]})
    return found


def plain_workflow(workflow: Workflow) -> dict[str, Json]:
    """Return the canonical plain form: what the YAML file holds, defaults left out."""
    head: dict[str, Json] = {"flowbot": 1, "name": workflow.name}
    if workflow.model:
        head["model"] = workflow.model
    head["inputs"] = {name: kind.plain() for name, kind in workflow.inputs.items()}
    if workflow.tools:
        head["tools"] = {
            name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in workflow.tools.items()
        }
    head["steps"] = [step.plain() for step in workflow.steps]
    head["output"] = workflow.output
    return head


def content_hash(plain: Json) -> str:
    """Return 16 hex digits of the SHA-256 of the canonical JSON: independent of key order."""
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _steps_of(sources: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(source.split(".")[0] for source in sources if "." in source))


def _with(step: Call | ToolStep, settings: Mapping[str, Any]) -> Call | ToolStep:
    if not settings:
        return step
    parts = {name: getattr(step, name) for name in type(step).model_fields}
    return type(step)(**(parts | dict(settings)))


def _named(message: str) -> str:
    found = message.split("'")
    return found[1] if len(found) > 1 else ""


__all__ = ["Call", "Scope", "Step", "ToolStep", "Workflow", "WorkflowError", "build", "content_hash", "rebuild"]
