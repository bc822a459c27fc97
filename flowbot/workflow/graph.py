"""A workflow: a typed directed acyclic graph of steps, an immutable value."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from flowbot.names import nearest
from flowbot.workflow.blocks import Map, Step
from flowbot.workflow.body import DEEPEST, Block, StepList, depth_of, inside, remade, steps_problems, walk
from flowbot.workflow.fields import FIELD_NAME, FieldType, Json
from flowbot.workflow.steps import Call, ToolStep
from flowbot.workflow.tools import ToolSpec
from flowbot.workflow.value import MODEL_MEND, Path, Problem, Text, Type, Value, Whole, is_model
from flowbot.workflow.wording import worded

MAX_STEPS = 40  # in all, those of bodies counted
MAX_CALLS = 2000  # LLM calls that one example may cost at worst


class WorkflowError(ValueError):
    """A workflow that is not valid: every problem with its path and its mend."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("; ".join(message for _, message in problems))


class Bounds(Value):
    """What one example may cost at worst: LLM calls in all, and calls one after the other."""

    calls: Whole = 100
    depth: Whole = 40


class Workflow(StepList):
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
        problems = [*self._shape_problems()] or [*self._problems()]
        if problems:
            raise WorkflowError(problems)
        return self

    def _shape_problems(self) -> Iterator[Problem]:
        """Yield what must be mended before anything else is looked at: size, and ids that are taken."""
        if len(self.all_steps) > MAX_STEPS:
            yield ("steps",), f"has {len(self.all_steps)} steps, those of bodies counted; at most {MAX_STEPS}"
        if _nesting(self.steps) > DEEPEST:
            yield ("steps",), f"the steps nest deeper than {DEEPEST} bodies: take a block away"
        yield from _taken(self.steps, set(self.inputs), ())

    def _problems(self) -> Iterator[Problem]:
        if not self.inputs:
            yield ("inputs",), "a workflow needs at least one input, e.g. inputs: {question: text}"
        if self.model is not None and not is_model(self.model):
            yield ("model",), f"names the model '{self.model}': {MODEL_MEND}"
        for name in self.inputs:
            if not FIELD_NAME.match(name):
                yield ("inputs", name), f"the input name '{name}' must be letters, digits and _"
        scope: dict[str, FieldType] = dict(self.inputs)
        yield from steps_problems(self.steps, scope, self.tools)
        if self.output not in scope or "." not in self.output:
            given = ", ".join(ref for ref in scope if "." in ref)
            near = inside(self.steps, self.output) or nearest(self.output, scope)
            yield ("output",), f"the output '{self.output}' is no field of a step (fields: {given}){near}"
        else:
            yield from self._dead()
        if self.worst_calls() > MAX_CALLS:
            yield ("steps",), f"the workflow {_too_many(self.worst_calls(), 'for one example', MAX_CALLS)}"

    def _dead(self) -> Iterator[Problem]:
        live = self.ancestors([self.output])
        for index, step in enumerate(self.steps):
            if step.id not in live:
                mend = "remove it, or let a step on the way to the output read it"
                values = {str(value) for each in self.all_steps for value in getattr(each, "args", {}).values()}
                if bare := next((ref for name in step.gives if (ref := f"{step.id}.{name}") in values), ""):
                    mend = f"an argument is the text {bare}, where ${bare} would read it"
                yield ("steps", index), f"step '{step.id}' does nothing for the output: {mend}"

    def within(self, bounds: Bounds) -> Self:
        """Return the workflow itself where it keeps to the bounds; raise `WorkflowError` where it does not."""
        problems: list[Problem] = []
        for what, worst, bound in (
            ("for one example", self.worst_calls(), bounds.calls),
            ("one after the other", self.worst_depth(), bounds.depth),
        ):
            if worst > bound:
                problems.append((("steps",), f"the workflow {_too_many(worst, what, bound)}"))
        if problems:
            raise WorkflowError(problems)
        return self

    @cached_property
    def all_steps(self) -> tuple[Step, ...]:
        """All steps in file order, those of bodies behind the step that they stand in."""
        return tuple(walk(self.steps))

    def step(self, step_id: str) -> Step:
        """Return the step with this id, also from a body; raise KeyError where there is none."""
        return self._known[step_id]

    @cached_property
    def _known(self) -> dict[str, Step]:
        return {step.id: step for step in self.all_steps}

    @property
    def calls(self) -> tuple[Call, ...]:
        """The LLM calls, in file order."""
        return tuple(step for step in self.all_steps if isinstance(step, Call))

    @cached_property
    def frozen_ids(self) -> frozenset[str]:
        """The ids of the steps that no edit may change: those that are frozen, and all that stand in them."""
        return frozenset(inner.id for step in self.all_steps if step.frozen for inner in walk([step]))

    @property
    def output_type(self) -> FieldType:
        """The type of what the workflow gives."""
        step_id, _, name = self.output.partition(".")
        return self.step(step_id).gives[name]

    @property
    def prompts(self) -> dict[str, str]:
        """The instruction of each call, by step id: the variables of the inner loop."""
        return {call.id: call.prompt for call in self.calls}

    @property
    def used_tools(self) -> tuple[str, ...]:
        """The names of the tools that some step uses, each once, in file order."""
        named = [name for step in self.all_steps for name in _tools_of(step)]
        return tuple(dict.fromkeys(named))

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
        _hash_steps(self.steps, hashes, self._settings_of, lambda source: source)
        return hashes

    def _settings_of(self, step: Step) -> Json:
        """Return what a step's behaviour depends on beside itself: the model, and the tools that it uses."""
        tools = [self.tools[name].model_dump(mode="json") for name in _tools_of(step)]
        return [getattr(step, "model", None) or self.model, tools]

    def worst_calls(self) -> int:
        """Return the most LLM calls that one example can cost, repairs and tool turns included."""
        return sum(step.worst_calls() for step in self.steps)

    def worst_depth(self) -> int:
        """Return the most LLM calls that one example can make one after the other."""
        return depth_of(self)

    def with_steps(self, steps: Mapping[str, Mapping[str, Any]]) -> Workflow:
        """Return a copy in which the named steps have the given settings; validated like any workflow."""
        unknown = set(steps) - set(self._known)
        if unknown:
            raise KeyError(f"no step {', '.join(sorted(unknown))} in workflow '{self.name}'")
        return rebuild(self, steps=remade(self.steps, lambda step: step.changed(steps.get(step.id, {}))))

    def with_prompts(self, prompts: Mapping[str, str]) -> Workflow:
        """Return a copy with the given instructions in place."""
        return self.with_steps({step_id: {"prompt": prompt} for step_id, prompt in prompts.items()})

    def _repr_svg_(self) -> str:
        """Return the picture that a notebook shows."""
        from flowbot.workflow.picture import svg  # which draws workflows

        return svg(self)

    def _repr_html_(self) -> str:
        """Return the picture for a page; every text in it is escaped."""
        return f'<div style="overflow-x:auto">{self._repr_svg_()}</div>'

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return what a notebook may choose from; in a terminal it is the outline in words."""
        from flowbot.workflow.draw import outline

        return {"text/plain": outline(self), "text/html": self._repr_html_(), "image/svg+xml": self._repr_svg_()}


def _too_many(worst: int, what: str, bound: int) -> str:
    return f"can make {worst} LLM calls {what}; at most {bound}: take fewer steps, samples, items or turns"


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
    """Return pydantic's errors as {loc, msg, type} in plain words, a `WorkflowError` within unfolded.

    A list that is too short for its entries are wrong is no problem of its own.
    """
    found: list[dict[str, Any]] = []
    errors = error.errors()
    for each in errors:
        loc = each["loc"]
        if each["type"] == "too_short" and any(o is not each and o["loc"][: len(loc)] == loc for o in errors):
            continue
        cause = each.get("ctx", {}).get("error")
        if isinstance(cause, WorkflowError):
            found += [{"loc": path, "msg": message, "type": "workflow"} for path, message in cause.problems]
        else:
            found.append({"loc": loc, "msg": worded(each), "type": each["type"]})
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


def _hash_steps(
    steps: Sequence[Step], hashes: dict[str, str], settings: Callable[[Step], Json], outside: Callable[[str], str]
) -> None:
    """Add the hashes of steps, those of bodies too; `outside` names what no step gives."""

    def named(source: str) -> str:
        step_id, dot, name = source.partition(".")
        return f"{hashes[step_id]}.{name}" if dot and step_id in hashes else outside(source)

    for step in steps:
        bodies: list[Json] = []
        if isinstance(step, Block):
            within = _item_of(step, named, outside)
            for key, body in sorted(step.bodies.items()):
                _hash_steps(body.steps, hashes, settings, within)
                ends = {name: named(source) for name in step.gives if (source := body.source(name))}
                needs = sorted(named(source) for source in step.needed(body))
                bodies.append([key, ends, needs, [hashes[inner.id] for inner in body.steps]])
            _hash_steps(step.judges, hashes, settings, outside)
            bodies += [hashes[judge.id] for judge in step.judges]
        hashes[step.id] = content_hash([step.canonical(named), settings(step), bodies])


def _item_of(block: Block, named: Callable[[str], str], outside: Callable[[str], str]) -> Callable[[str], str]:
    if not isinstance(block, Map):
        return outside
    item = f"item of {named(block.over)}"
    return lambda source: item if source == "item" else outside(source)


def _tools_of(step: Step) -> tuple[str, ...]:
    if isinstance(step, Call):
        return step.tools
    return (tool,) if (tool := getattr(step, "tool", None)) else ()


def _nesting(steps: Sequence[Step]) -> int:
    """Return how deep bodies nest, without recursion into what is too deep anyway."""
    depth, level = 0, list(steps)
    while level and depth <= DEEPEST:
        level = [
            inner for step in level if isinstance(step, Block) for body in step.bodies.values() for inner in body.steps
        ]
        depth += bool(level)
    return depth


def _taken(steps: Sequence[Step], seen: set[str], at: Path) -> Iterator[Problem]:
    """Yield each id that another step or an input has already."""
    for index, step in enumerate(steps):
        here = (*at, "steps", index)
        if step.id in seen:
            yield (*here, "id"), f"the id '{step.id}' is taken: give this step another"
        seen.add(step.id)
        if isinstance(step, Block):
            for key, body in step.bodies.items():
                yield from _taken(body.steps, seen, (*here, *step.place(key)))
            for judge in step.judges:
                if judge.id in seen:
                    yield (*here, "judge", "id"), f"the id '{judge.id}' is taken: give the judge another"
                seen.add(judge.id)


__all__ = [
    "Bounds",
    "Call",
    "Step",
    "ToolStep",
    "Workflow",
    "WorkflowError",
    "build",
    "content_hash",
    "rebuild",
]
