"""The task document: what to solve, with which data, metric, models and limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    Strict,
    field_validator,
    model_serializer,
    model_validator,
)

from flowbot.money import Budget, Price
from flowbot.names import nearest
from flowbot.task.data import SPLITS
from flowbot.workflow.fields import FIELD_NAME, FieldType, Json, is_map
from flowbot.workflow.graph import Bounds
from flowbot.workflow.steps import PROMPT_CAP
from flowbot.workflow.tools import ToolSpec
from flowbot.workflow.value import Text, Type, Value, Whole, is_model

Positive = Annotated[float, Strict(), Field(gt=0, allow_inf_nan=False)]
RUN_NAME = re.compile(r"^[\w-]([\w .-]{0,98}[\w-])?\Z")  # it names a folder
METRIC_SETTINGS = {  # whose each one is
    "rubric": ("judge",),
    "scale": ("judge",),
    "tolerance": ("number",),
    "all": ("recall",),
    "most": ("recall",),
    "squad": ("exact", "recall"),
    "bars": ("drop_f1",),
    "mode": ("constraints",),
    "seconds": ("code_tests",),
    "prompt": ("code_tests",),
}
_UNSAID = ("all", "most", "squad", "bars", "mode", "seconds", "prompt")  # only where set: older hashes hold
NonNegative = Annotated[float, Strict(), Field(ge=0, allow_inf_nan=False)]


class PriceSpec(Value):
    """US dollars per million tokens."""

    input: NonNegative
    output: NonNegative
    cached: NonNegative | None = None

    def price(self) -> Price:
        """Return the price as a value."""
        return Price(self.input, self.output, self.cached)


class ModelSpec(Value):
    """One model and how it is asked. `name` is `provider:model`; a bare text in the file is the name alone.

    `timeout` is seconds for one call; `rpm` and `tpm` are requests and tokens per minute; `context` and `slots`
    (parallel calls) are for local models. `headers` never carry FlowBot's keys.
    """

    name: Text
    base_url: Text | None = None
    extra_body: dict[str, Json] = {}
    headers: dict[str, Text] = {}
    reasoning_effort: Text | None = None
    max_tokens: Whole | None = None
    timeout: Positive = 120.0
    rpm: Positive | None = None
    tpm: Positive | None = None
    price: PriceSpec | None = None
    context: Whole = 4096
    slots: Whole = 4
    threads: Whole | None = None

    @field_validator("name")
    @classmethod
    def _has_provider(cls, name: str) -> str:
        if not is_model(name):
            raise ValueError(f"'{name}' must be provider:model, e.g. openai:gpt-4.1-mini or local:qwen2.5-coder-0.5b")
        return name

    @property
    def provider(self) -> str:
        """The part of the name before the colon."""
        return self.name.partition(":")[0]

    @property
    def model(self) -> str:
        """The part of the name behind the colon, as the provider knows it."""
        return self.name.partition(":")[2]


def _spec_from_name(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _plain_spec(spec: ModelSpec) -> Json:
    plain = spec.model_dump(mode="json", exclude_defaults=True)
    return spec.name if set(plain) == {"name"} else plain


ModelRef = Annotated[ModelSpec, BeforeValidator(_spec_from_name), PlainSerializer(_plain_spec)]


class Models(Value):
    """The models by role. `meta` writes gradients and updates, `judge` scores; both default to `task`.

    `also` are further models that a step may be answered by.
    """

    task: ModelRef
    meta: ModelRef | None = None
    judge: ModelRef | None = None
    also: tuple[ModelRef, ...] = ()

    @field_validator("also")
    @classmethod
    def _each_once(cls, also: tuple[ModelSpec, ...]) -> tuple[ModelSpec, ...]:
        names = [spec.name for spec in also]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"names '{twice}' twice")
        return also

    @model_serializer(mode="wrap")
    def _said(self, plain: SerializerFunctionWrapHandler) -> dict[str, Json]:
        return {key: value for key, value in plain(self).items() if value or key != "also"}  # older hashes hold

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The models that are named, by role in the order task, meta, judge, then those of `also`.

        Meta and judge calls have bounds of their own, so a `max_tokens` alone makes no other model of the task's.
        """
        others = (spec for spec in (self.meta, self.judge) if spec is not None)
        roles = (
            self.task,
            *(spec for spec in others if spec.model_copy(update={"max_tokens": self.task.max_tokens}) != self.task),
        )
        return (*roles, *(spec for spec in self.also if spec not in roles))

    def of(self, role: Literal["task", "meta", "judge"]) -> ModelSpec:
        """Return the model of a role."""
        return getattr(self, role) or self.task

    def meta_bound(self, tokens: int) -> int:
        """Return the bound of each meta reply: the recipe's, or that of the meta model where one is named."""
        own = self.meta.max_tokens if self.meta is not None else None
        return min(tokens, own or tokens)


Split = Literal["train", "val", "test", "guard"]


class SourceSpec(Value):
    """One source and the shares of the splits that are dealt from it by the task's seed."""

    source: Text
    split: dict[Split, Positive]
    config: Text | None = None
    hf_split: Text | None = None

    @model_validator(mode="after")
    def _shares(self) -> Self:
        if sum(self.split.values()) > 1 + 1e-9:
            raise ValueError(f"the shares sum to {sum(self.split.values()):g}; they must sum to at most 1")
        return self


class NamedSplits(Value):
    """A file (or data set) for each split. `limit` keeps the first N rows of a split; `config` is a data set's.

    `guard` are examples that may not get worse.
    """

    train: Text
    val: Text
    test: Text | None = None
    guard: Text | None = None
    config: Text | None = None
    limit: dict[Split, Whole] = {}


class FolderSpec(Value):
    """A folder with `train.jsonl` and `val.jsonl`, and `test.jsonl` and `guard.jsonl` where they are there."""

    folder: Text
    limit: dict[Split, Whole] = {}


class MetricSpec(Value):
    """The metric by name: a built-in one or `module:function`; the rest are its settings.

    `seconds` are of CPU for one program; `prompt` is the input field whose text a program completes. `most` are the
    documents that count, `squad` compares by SQuAD's normalisation alone, and with `bars` an output may hold
    alternatives as a target does.
    """

    name: Text
    rubric: Text | None = None
    tolerance: NonNegative | None = None
    scale: Whole | None = None
    all: Annotated[bool, Strict()] | None = None
    most: Whole | None = None
    squad: Annotated[bool, Strict()] | None = None
    bars: Annotated[bool, Strict()] | None = None
    mode: Literal["loose_share", "strict_all", "loose_all"] | None = None
    seconds: Annotated[float, Strict(), Field(gt=0, le=1800)] | None = None
    prompt: Text | None = None
    function: Annotated[Any, Field(exclude=True)] = None  # a caller's own function; it never comes from a file

    @field_validator("function")
    @classmethod
    def _callable(cls, function: Any) -> Any:
        if function is not None and not callable(function):
            raise ValueError("a function of your own is given as name: module:function")
        return function

    @model_serializer(mode="wrap")
    def _said(self, plain: SerializerFunctionWrapHandler) -> dict[str, Json]:
        return {key: value for key, value in plain(self).items() if value is not None or key not in _UNSAID}


class RecipeSpec(Value):
    """A search strategy and its settings; which settings there are, the recipe says."""

    name: Text
    settings: dict[str, Json] = {}


class BudgetSpec(Value):
    """Upper bounds over all purposes of a run."""

    usd: Positive | None = None
    calls: Whole | None = None
    tokens: Whole | None = None
    seconds: Positive | None = None

    def budget(self) -> Budget:
        """Return the budget as a value."""
        return Budget(self.usd, self.calls, self.tokens, self.seconds)

    @property
    def words(self) -> str:
        """The bounds in words; empty where there is none."""
        parts = [
            "" if self.usd is None else f"${self.usd:g}",
            "" if self.calls is None else f"{self.calls:,} calls",
            "" if self.tokens is None else f"{self.tokens:,} tokens",
            "" if self.seconds is None else f"{self.seconds:g} s",
        ]
        return ", ".join(filter(None, parts))


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


def _target_form(value: Any) -> Any:
    """Refuse a target that is neither a column nor a map of names to columns."""
    if isinstance(value, str) or value is None:
        return value
    if not is_map(value) or not value or not all(isinstance(each, str) and each for each in value.values()):
        raise ValueError("must be a column, or a map of names to columns, e.g. {tests: test, entry_point: entry_point}")
    for name in value:
        if not FIELD_NAME.match(str(name)):
            raise ValueError(f"the name '{name}' must be letters, digits and _ and not begin with a digit")
    return value


def _recipe(value: Any) -> Any:
    if is_map(value) and "settings" not in value and "name" in value:
        return {"name": value["name"], "settings": {key: item for key, item in value.items() if key != "name"}}
    return _named(value)


class Task(Value):
    """What to solve. `target` names the data's column with the expected value (default: the output field).

    It may be a map of names to columns: then an example's target is a map with these names.
    """

    flowbot: Literal[1] = 1
    name: Text
    description: Text
    inputs: dict[str, Type]
    output: dict[str, Type]
    target: Annotated[Text | dict[str, Text] | None, BeforeValidator(_target_form)] = None
    id: Text = "id"
    columns: dict[str, Text] = {}
    metric: Annotated[MetricSpec, BeforeValidator(_named)]
    data: SourceSpec | FolderSpec | NamedSplits | None = None
    tools: dict[str, ToolSpec] = {}
    models: Models
    recipe: Annotated[RecipeSpec, BeforeValidator(_recipe)] = RecipeSpec(name="race")
    start: Text | None = None
    prompts: dict[str, Text] = {}
    budget: BudgetSpec = BudgetSpec()
    limits: Bounds = Bounds()
    concurrency: Whole = 16
    seed: Annotated[int, Strict()] = 0

    @model_validator(mode="before")
    @classmethod
    def _shapes(cls, plain: Any) -> Any:
        return {**plain, "tools": {}} if is_map(plain) and plain.get("tools") == [] else plain

    @field_validator("data", mode="before")
    @classmethod
    def _one_form(cls, data: Any) -> Any:
        """Choose the form of `data` by its keys, so that errors speak of one form only."""
        if not is_map(data):
            raise ValueError(
                "must be a map, e.g. {train: train.jsonl, val: val.jsonl, test: test.jsonl} or {folder: data}"
            )
        forms: dict[str, type[SourceSpec | FolderSpec]] = {"source": SourceSpec, "folder": FolderSpec}
        form = next((form for key, form in forms.items() if key in data), NamedSplits)
        return form.model_validate(data)

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, name: str) -> str:
        if not RUN_NAME.match(name):
            form = "1 to 100 letters, digits, spaces and . _ -, with none of space and . at either end"
            raise ValueError(f"'{name[:120]}' must be {form}: the run's folder is called so")
        return name

    @field_validator("description")
    @classmethod
    def _says_something(cls, description: str) -> str:
        if not description.strip():
            raise ValueError("is blank: say what to do in words; it is the first prompt")
        if len(description) > PROMPT_CAP:
            raise ValueError(f"has {len(description)} characters; at most {PROMPT_CAP}, for it is the first prompt")
        return description

    @field_validator("metric")
    @classmethod
    def _settings_of_the_metric(cls, metric: MetricSpec) -> MetricSpec:
        for key, owners in METRIC_SETTINGS.items():
            if getattr(metric, key) is not None and metric.name not in owners:
                raise ValueError(f"the metric '{metric.name}' has no {key}; '{owners[0]}' has: leave {key} out")
        return metric

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.output) != 1:
            raise ValueError(
                f"output must have exactly one field, e.g. output: {{answer: text}}; got {len(self.output)}"
            )
        for name in (*self.inputs, *self.output):
            if not FIELD_NAME.match(name):
                raise ValueError(f"the field name '{name}' must be letters, digits and _ and not begin with a digit")
        if not self.inputs:
            raise ValueError("inputs must name at least one field, e.g. inputs: {question: text}")
        if self.metric.prompt is not None and self.metric.prompt not in self.inputs:
            raise ValueError(
                f"the metric's prompt '{self.metric.prompt}' is no input{nearest(self.metric.prompt, self.inputs)} "
                f"(inputs: {', '.join(self.inputs)})"
            )
        return self

    @property
    def output_name(self) -> str:
        """The name of the one output field."""
        return next(iter(self.output))

    @property
    def output_type(self) -> FieldType:
        """The type of the one output field."""
        return next(iter(self.output.values()))

    @property
    def target_columns(self) -> str | Mapping[str, str]:
        """The data's column with the expected value, or the columns of its parts by name."""
        return self.target or self.output_name

    def column(self, field: str) -> str:
        """Return the data's column of an input field."""
        return self.columns.get(field, field)


RECIPES = ("paper", "race")
ANYTIME = ("budget", "concurrency")  # what may change between a run and its resumption
__all__ = ["ANYTIME", "RECIPES", "SPLITS", "ModelSpec", "Models", "Task"]
