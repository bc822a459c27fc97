"""The kinds of step, a closed union. A new kind is a class here and one runner in each of `engine/`'s tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict

from flowbot.names import nearest
from flowbot.workflow.fields import FIELD_NAME, FieldType, Json, Misfit, parse_type

STEP_ID = re.compile(r"^[a-z][a-z0-9_]{0,47}\Z")
FIRST_KEYS = ("id", "kind", "tool", "args", "reads", "gives", "model", "temperature", "max_tokens", "frozen")
LAST_KEYS = ("prompt", "demos")
PROMPT_CAP = 20_000  # characters of one instruction

Type = Annotated[FieldType, BeforeValidator(parse_type), PlainSerializer(FieldType.plain)]
Text = Annotated[str, Strict()]
Prompt = Annotated[str, Strict(), AfterValidator(lambda text: text.strip("\n"))]  # its last line break is the file's
Whole = Annotated[int, Strict(), Field(ge=1)]
Flag = Annotated[bool, Strict()]
Scope = Mapping[str, FieldType]  # what may be read at one point: reference -> type


MODEL_MEND = "write provider:model, e.g. openai:gpt-4.1-mini or local:qwen2.5-coder-0.5b"


def is_model(name: str) -> bool:
    """Tell whether a text is `provider:model`."""
    provider, _, model = name.partition(":")
    return bool(provider.strip() and model.strip())


class Value(BaseModel):
    """A frozen record that refuses unknown keys and equals by content."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Demo(Value):
    """One worked example shown to a call: what it read (by reference) and what it should give."""

    reads: dict[str, Json]
    gives: dict[str, Json]


class StepBase(Value):
    """What every kind has: an id, typed fields that it gives, and the references that it reads."""

    id: Text
    gives: dict[str, Type]
    frozen: Flag = False

    @property
    def sources(self) -> tuple[str, ...]:
        """The references read, in order: `input` or `step.field`."""
        raise NotImplementedError

    def worst_calls(self) -> int:
        """Return the most LLM calls that one run of this step can make, repairs included."""
        raise NotImplementedError

    def plain(self) -> dict[str, Json]:
        """Return the form that stands in a file, its keys in reading order, defaults left out."""
        dumped = self.model_dump(mode="json", exclude_defaults=True) | self.model_dump(include={"kind"})
        middle = [key for key in dumped if key not in FIRST_KEYS + LAST_KEYS]
        return {key: dumped[key] for key in (*FIRST_KEYS, *middle, *LAST_KEYS) if key in dumped}

    def skeleton(self) -> dict[str, Json]:
        """Return the step without what belongs to its prompt: its part of the sketch."""
        return {key: value for key, value in self.plain().items() if key not in LAST_KEYS}

    def canonical(self, named: Callable[[str], str]) -> Json:
        """Return what the step's hash is made of: no id, each reference replaced by `named(reference)`."""
        raise NotImplementedError

    def problems(
        self,
        scope: Scope,
        tools: Mapping[str, Any],
    ) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield what is wrong with this step, as (path inside the step, message with the mend)."""
        if not STEP_ID.match(self.id):
            yield ("id",), f"the id '{self.id}' must be lower case letters, digits and _ and begin with a letter"
        if not self.gives:
            yield ("gives",), "a step must give at least one field, e.g. gives: {answer: text}"
        for name in self.gives:
            if not FIELD_NAME.match(name):
                yield ("gives", name), f"the field name '{name}' must be letters, digits and _"
        for at, source in self._placed_sources():
            if source not in scope:
                yield at, f"reads '{source}', which nothing before it gives{nearest(source, scope)}"

    def _placed_sources(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for index, source in enumerate(self.sources):
            yield ("reads", index), source


class Call(StepBase):
    """One LLM call: an instruction, what it reads, what it gives."""

    kind: Literal["call"] = "call"
    reads: tuple[Text, ...]
    prompt: Prompt
    demos: tuple[Demo, ...] = ()
    model: Text | None = None
    temperature: Annotated[float, Strict(), Field(ge=0, le=2)] = 0.0
    max_tokens: Whole | None = None

    @property
    def sources(self) -> tuple[str, ...]:
        return self.reads

    @property
    def plain_field(self) -> str | None:
        """The one `text` field of a call that answers in plain text, else None (it answers in JSON)."""
        names = list(self.gives)
        return names[0] if len(names) == 1 and self.gives[names[0]].kind == "text" else None

    def worst_calls(self) -> int:
        return 1 if self.plain_field else 2  # a typed reply that does not fit gets one repair request

    def plain(self) -> dict[str, Json]:
        demos = [demo.model_dump(mode="json") for demo in self.demos]
        return super().plain() | ({"demos": demos} if demos else {})

    def canonical(self, named: Callable[[str], str]) -> Json:
        plain = {key: value for key, value in self.plain().items() if key != "id"}
        demos = [[[demo.reads[source] for source in self.reads], demo.gives] for demo in self.demos]
        return plain | {"reads": [named(source) for source in self.reads], "demos": demos}

    def problems(self, scope: Scope, tools: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems(scope, tools)
        if not self.reads:
            yield ("reads",), "a call must read at least one input or field of an earlier step"
        if len(set(self.reads)) != len(self.reads):
            yield ("reads",), "reads the same thing twice: name each reference once"
        if not self.prompt.strip():
            yield ("prompt",), "the prompt is empty: say what the call should do"
        if len(self.prompt) > PROMPT_CAP:
            yield ("prompt",), f"the prompt has {len(self.prompt)} characters; at most {PROMPT_CAP}"
        if self.model is not None and not is_model(self.model):
            yield ("model",), f"names the model '{self.model}': {MODEL_MEND}"
        for index, demo in enumerate(self.demos):
            for message in self._demo_problems(demo):
                yield ("demos", index), message

    def _demo_problems(self, demo: Demo) -> Iterator[str]:
        if set(demo.reads) != set(self.reads):
            yield f"a demo must show what the step reads: {', '.join(self.reads)}"
        if set(demo.gives) != set(self.gives):
            yield f"a demo must show what the step gives: {', '.join(self.gives)}"
        for name in set(demo.gives) & set(self.gives):
            try:
                self.gives[name].fit(demo.gives[name])
            except Misfit as misfit:
                yield f"the demo's field '{name}' does not fit: {misfit}"


class ToolStep(StepBase):
    """One call of a named tool. An argument that begins with `$` is a reference; `$$` is a literal dollar."""

    kind: Literal["tool"] = "tool"
    tool: Text
    args: dict[str, Json] = {}

    @property
    def sources(self) -> tuple[str, ...]:
        found = (reference(value) for value in self.args.values())
        return tuple(dict.fromkeys(source for source in found if source is not None))

    def worst_calls(self) -> int:
        return 0

    def canonical(self, named: Callable[[str], str]) -> Json:
        plain = {key: value for key, value in self.plain().items() if key != "id"}
        sources = {name: reference(value) for name, value in self.args.items()}
        args = {name: named(source) if (source := sources[name]) else [value] for name, value in self.args.items()}
        return plain | {"args": args}

    def _placed_sources(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        for name, value in self.args.items():
            source = reference(value)
            if source is not None:
                yield ("args", name), source

    def problems(self, scope: Scope, tools: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], str]]:
        yield from super().problems(scope, tools)
        if self.tool not in tools:
            known = ", ".join(tools) or "none is named under tools:"
            yield ("tool",), f"uses the tool '{self.tool}', which is not declared{nearest(self.tool, tools)} ({known})"
        else:
            yield from self._argument_problems(tools[self.tool].arguments)
        if len(self.gives) > 1:
            yield ("gives",), "a tool step gives exactly one field"

    def _argument_problems(self, arguments: Mapping[str, str] | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Hold the arguments to those that the tool takes; None where only the tool itself knows them."""
        if arguments is None:
            return
        takes = f"the tool '{self.tool}' takes exactly: {', '.join(arguments)}"
        for name in self.args:
            if name not in arguments:
                yield ("args", name), f"has the argument '{name}'{nearest(name, arguments)}: {takes}"
        for name in arguments:
            if name not in self.args:
                yield ("args",), f"lacks the argument '{name}': {takes}"


Step = Annotated[Call | ToolStep, Field(discriminator="kind")]


def reference(value: Json) -> str | None:
    """Return the reference that an argument is, or None if it is a literal."""
    if isinstance(value, str) and value.startswith("$") and not value.startswith("$$"):
        return value[1:]
    return None


def literal(value: Json) -> Json:
    """Return a literal argument as the tool gets it (`$$5` is `$5`)."""
    return value[1:] if isinstance(value, str) and value.startswith("$$") else value
