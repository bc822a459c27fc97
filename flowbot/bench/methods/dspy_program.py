"""A workflow of calls and tool steps as a DSPy program, and examples and models as DSPy has them."""

from __future__ import annotations

import keyword
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from flowbot.bench.methods.peer import KEY, WAITS, at_wall, manner, package
from flowbot.engine.ports import ToolReply
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec
from flowbot.workflow.fields import FieldType, Json, Misfit, is_list
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import spoken
from flowbot.workflow.steps import Call, Demo, ToolStep
from flowbot.workflow.value import literal, reference

UseTool = Callable[[str, Mapping[str, Json]], ToolReply]  # runs a tool of the workflow, from any thread
TAKEN = frozenset({"signature", "demos", "config", "lm", "prediction", "reasoning", "trajectory", "max_iters", "base"})
REASONING = {"temperature": 1.0, "max_tokens": 32_000}  # what DSPy asks for where a model thinks by itself


@dataclass(frozen=True)
class Names:
    """The names that DSPy's fields have: by reference of the workflow (`input`, `step.field`)."""

    of: Mapping[str, str]
    output: str

    @classmethod
    def in_workflow(cls, workflow: Workflow) -> Names:
        """Name every input and every field of a step: by itself where that is free, else with its step."""
        names: dict[str, str] = {}
        fields = [(step.id, name) for step in workflow.steps for name in step.gives]
        for source, told in [*((name, (name,)) for name in workflow.inputs), *((".".join(f), f) for f in fields)]:
            options = [told[-1], "_".join(told), *(f"{told[-1]}_{number}" for number in range(1, 99))]
            names[source] = next(name for name in options if name not in names.values() and _free(name))
        return cls(names, names[workflow.output])


def _free(name: str) -> bool:
    """Tell whether a name may be that of a field: none of Python's, of DSPy's, or of pydantic's records."""
    taken = keyword.iskeyword(name) or name in TAKEN or name.startswith(("_", "model_"))
    return not taken and not hasattr(package("dspy").Signature, name)


def python_type(kind: FieldType) -> Any:
    """Return the annotation of a field's type."""
    match kind.kind:
        case "number":
            return float
        case "bool":
            return bool
        case "choice":
            return Literal[kind.choices]
        case "list":
            assert kind.item is not None
            return list[python_type(kind.item)]
        case "json":
            form = kind.json_schema().get("type")
            return dict[str, Any] if form == "object" else list[Any] if form == "array" else Any
        case _:
            return str


def predictor(call: Call, workflow: Workflow, names: Names, use: UseTool) -> Any:
    """Return the module of one call: `ReAct` where it may use tools, else `ChainOfThought`, as DSPy's tutorials do."""
    dspy = package("dspy")
    kinds = {f"{step.id}.{name}": kind for step in workflow.steps for name, kind in step.gives.items()}
    kinds.update(workflow.inputs)
    fields: dict[str, Any] = {
        names.of[source]: (python_type(kinds[source]), dspy.InputField()) for source in call.reads
    }
    for name, kind in call.gives.items():
        fields[names.of[f"{call.id}.{name}"]] = (python_type(kind), dspy.OutputField())
    signature = dspy.Signature(fields, spoken(call.prompt))
    if call.tools:
        tools = [tool(name, workflow, use) for name in call.tools]
        made = dspy.ReAct(signature, tools=tools, max_iters=call.max_tool_calls + 1)  # the last one is to finish
    else:
        made = dspy.ChainOfThought(signature)
    settings = {"temperature": call.temperature, "max_tokens": call.max_tokens}
    for each in made.predictors():
        each.config |= {name: value for name, value in settings.items() if value is not None}
        each.demos = [_demo(demo, call, names) for demo in call.demos]
    return made


def _demo(demo: Demo, call: Call, names: Names) -> Any:
    """Return a worked example of a call as DSPy has it."""
    reads = {names.of[source]: value for source, value in demo.reads.items()}
    gives = {names.of[f"{call.id}.{name}"]: value for name, value in demo.gives.items()}
    return package("dspy").Example(**reads, **gives).with_inputs(*reads)


def tool(name: str, workflow: Workflow, use: UseTool) -> Any:
    """Return a tool of the workflow as DSPy's agent knows it."""
    spec = workflow.tools[name]

    def run(**args: Json) -> Json:
        reply = use(name, spec.fit(args))
        return f"error: {reply.failure}" if reply.failure else reply.value

    shape = spec.schema_of_arguments["properties"]
    return package("dspy").Tool(run, name=name, desc=spec.about, args=dict(shape))


def program_of(workflow: Workflow, names: Names, use: UseTool) -> Any:
    """Return the workflow as a DSPy program: the module of its one call, else a chain of modules and tools."""
    if len(workflow.steps) == 1 and isinstance(workflow.steps[0], Call):
        return predictor(workflow.steps[0], workflow, names, use)
    return _chain(workflow, names, use)


def _chain(workflow: Workflow, names: Names, use: UseTool) -> Any:
    dspy = package("dspy")

    class Chain(dspy.Module):
        """A chain: each step reads what is there, in order; a call asks the language model, a tool is run."""

        def __init__(self) -> None:
            dspy.Module.__init__(self)
            for step in workflow.calls:
                setattr(self, f"{step.id}_call", predictor(step, workflow, names, use))

        def forward(self, **values: Any) -> Any:
            for step in workflow.steps:
                if isinstance(step, ToolStep):
                    values |= run_tool(step, names, values, use)
                elif isinstance(step, Call):
                    read = {names.of[source]: values[names.of[source]] for source in step.reads}
                    found = getattr(self, f"{step.id}_call")(**read)
                    values |= {
                        names.of[f"{step.id}.{name}"]: found[names.of[f"{step.id}.{name}"]] for name in step.gives
                    }
            return dspy.Prediction(**values)

    return Chain()


class ToolFailed(Exception):
    """A tool step failed: the example has no output."""


def run_tool(step: ToolStep, names: Names, values: Mapping[str, Json], use: UseTool) -> dict[str, Json]:
    """Run a tool step and return its field's value by DSPy's name. Raises `ToolFailed`."""
    args = {
        name: literal(value) if (source := reference(value)) is None else values[names.of[source]]
        for name, value in step.args.items()
    }
    reply = use(step.tool, args)
    if reply.failure:
        raise ToolFailed(reply.failure)
    name, kind = next(iter(step.gives.items()))
    try:
        return {names.of[f"{step.id}.{name}"]: kind.fit(reply.value)}
    except Misfit as misfit:
        raise ToolFailed(f"the tool '{step.tool}' gave a value that does not fit '{name}': {misfit}") from None


def label(example: Example, kind: FieldType) -> Json:
    """Return the expected value as an output to show (of alternatives the first); None where it is none."""
    shown = example.shown
    for value in (shown, *(shown[:1] if is_list(shown) else ())):
        if value is None or (kind.kind == "text" and not isinstance(value, str | int | float)):
            continue
        try:
            return kind.fit(value)
        except Misfit:
            continue
    return None


def example_of(example: Example, names: Names, kind: FieldType) -> Any:
    """Return an example as DSPy has it, labelled where its expected value can be an output."""
    inputs = {names.of[name]: value for name, value in example.inputs.items()}
    value = label(example, kind)
    known = {} if value is None else {names.output: value}
    made = package("dspy").Example(**inputs, **known).with_inputs(*inputs)
    made._flowbot = example  # what the metric is asked about; DSPy shows public fields only
    return made


def model(name: str, spec: ModelSpec, url: str, guard: Guard | None = None, **settings: Any) -> Any:
    """Return DSPy's client of a model at a base URL, with the task's settings of it and others.

    With a guard it caches, and stops once the search is over.
    """
    dspy, kinds = package("dspy"), package("dspy.utils.exceptions")
    guard, cached = guard or Guard(), guard is not None

    class Model(dspy.LM):
        """DSPy's own client, but that it sends a refused request again here: not where nothing will be answered."""

        def __call__(self, *args: Any, **options: Any) -> Any:
            sends = 0
            while True:
                guard.check()
                try:
                    return dspy.LM.__call__(self, *args, **options)
                except kinds.LMError as error:
                    again = kinds.is_retryable_lm_error(error) and not at_wall(error)
                    if again and sends < len(WAITS):
                        time.sleep(WAITS[sends])
                        sends += 1
                        continue
                    if at_wall(error) or lasting(error):
                        guard.refused(error)
                    raise

    at: dict[str, Any] = {"api_base": url, "api_key": KEY, "cache": cached, "num_retries": 0}
    at |= {"timeout": spec.timeout, **manner(spec)}
    try:
        return Model(f"openai/{name}", max_tokens=spec.max_tokens, **at, **settings)
    except kinds.LMConfigurationError:
        return Model(f"openai/{name}", **at, **REASONING)


def lasting(error: Exception) -> bool:
    """Tell whether an error of DSPy says that the endpoint does not answer: it was asked for long enough, or refuses
    the key or the model. Other errors are about one request."""
    kinds = package("dspy.utils.exceptions")
    refused = (kinds.LMAuthError, kinds.LMBillingError, kinds.LMUnsupportedModelError)
    return bool(kinds.is_retryable_lm_error(error)) or isinstance(error, refused)


@dataclass(frozen=True)
class Guard:
    """What watches over the requests of a search: `check` raises where it is over, `refused` hears of what is lost."""

    check: Callable[[], None] = lambda: None
    refused: Callable[[Exception], None] = lambda error: None
