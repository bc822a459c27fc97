"""What a workflow takes and gives over HTTP: JSON Schemas from its own fields, and inputs held to them."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any

from flowbot.engine.trace import Trace
from flowbot.faces.serve.refusal import Refusal
from flowbot.faces.traces import plain_usage
from flowbot.task.data import Example
from flowbot.workflow.fields import (
    LARGEST_NUMBER,
    FieldType,
    Json,
    Misfit,
    as_text,
    finite_number,
    is_list,
    is_map,
    refuse_constant,
)
from flowbot.workflow.graph import Workflow

HELD = ("type", "enum", "required")  # of a JSON Schema: what inputs are held to, beside the schemas within
RANGE = {"minimum": -LARGEST_NUMBER, "maximum": LARGEST_NUMBER}


class Contract:
    """The inputs and the output of one workflow."""

    def __init__(self, workflow: Workflow) -> None:
        self.workflow = workflow
        self.inputs = dict(workflow.inputs)

    @cached_property
    def takes(self) -> dict[str, Json]:
        """The JSON Schema of the inputs."""
        return {
            "type": "object",
            "properties": {name: schema_of(kind) for name, kind in self.inputs.items()},
            "required": list(self.inputs),
            "additionalProperties": False,
        }

    @cached_property
    def gives(self) -> dict[str, Json]:
        """The JSON Schema of the output."""
        return {**schema_of(self.workflow.output_type), "title": self.workflow.output.partition(".")[2]}

    def example(self, plain: Any) -> Example:
        """Return inputs as they came as an example; raise `Refusal` for what does not fit the schema."""
        if not isinstance(plain, dict):
            raise self._misfit("the inputs must be a JSON object")
        given: dict[str, Json] = plain  # pyright: ignore[reportUnknownVariableType]
        for name in given:
            if name not in self.inputs:
                raise self._misfit(f"unknown input '{name[:60]}'", name[:60])
        for name, kind in self.inputs.items():
            if name not in given:
                raise self._misfit(f"the input '{name}' is missing", name)
            try:
                hold(kind, given[name])
            except Misfit as misfit:
                raise self._misfit(f"the input '{name}' does not fit: {misfit}", name) from None
        return Example("request", given)

    def from_text(self, text: str) -> Example:
        """Return the inputs that a chat's text holds: that of the one input, or a JSON object with one for each.

        Of one input a text is taken as it is; a number, a bool and a choice as they are written, all else as JSON.
        """
        if len(self.inputs) == 1:
            name, kind = next(iter(self.inputs.items()))
            if kind.kind in ("list", "json"):
                return self.example({name: _read(text, f"the message must be JSON for the input '{name}'")})
            try:
                return Example("request", {name: kind.fit(text)})
            except Misfit as misfit:
                raise self._misfit(f"the message does not fit the input '{name}': {misfit}", "messages") from None
        names = ", ".join(f'"{name}": {kind}' for name, kind in self.inputs.items())
        return self.example(_read(text, f"the last user message must be one JSON object: {{{names}}}"))

    def output_text(self, trace: Trace) -> str:
        """Return the output as a chat's text."""
        return as_text(trace.output)

    def plain(self, trace: Trace) -> dict[str, Json]:
        """Return what came of a run, as `/run` gives it."""
        return {"output": trace.output, "usage": plain_usage(trace.usage)}

    def _misfit(self, what: str, param: str | None = None) -> Refusal:
        wants = ", ".join(f"{name}: {kind}" for name, kind in self.inputs.items())
        return Refusal(422, "inputs_do_not_fit", f"{what}; wanted are {wants}", param=param)


def hold(kind: FieldType, value: Json) -> None:
    """Raise `Misfit` for a value that is not of a type, without the mending that a model's reply gets."""
    match kind.kind:
        case "text" if isinstance(value, str):
            return
        case "bool" if isinstance(value, bool):
            return
        case "number" if (
            isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST_NUMBER
        ):
            return
        case "choice" if isinstance(value, str) and value in kind.choices:
            return
        case "list" if is_list(value):
            assert kind.item is not None
            for item in value:
                hold(kind.item, item)
        case "json":
            kind.fit(value)
        case _:
            raise Misfit(f"expected {kind}")


def schema_of(kind: FieldType) -> dict[str, Json]:
    """Return the JSON Schema of what `hold` lets pass."""
    match kind.kind:
        case "number":
            return {"type": "number", **RANGE}
        case "list":
            assert kind.item is not None
            return {"type": "array", "items": schema_of(kind.item)}
        case "json":
            return _held(kind.json_schema())
        case _:
            return kind.json_schema()


def _held(schema: Json) -> Any:
    """Return a JSON Schema without the keys that nothing is held to."""
    if not is_map(schema):
        return schema
    kept: dict[str, Json] = {key: schema[key] for key in HELD if key in schema}
    kept |= {key: _held(schema[key]) for key in ("items", "additionalProperties") if key in schema}
    inner = schema.get("properties")
    if is_map(inner):
        kept["properties"] = {name: _held(each) for name, each in inner.items()}
    said = schema.get("description")
    return kept | ({"description": said} if isinstance(said, str) else {})


def _read(text: str, wants: str) -> Json:
    try:
        return json.loads(text, parse_constant=refuse_constant, parse_float=finite_number)
    except (ValueError, RecursionError):
        raise Refusal(422, "inputs_do_not_fit", wants, param="messages") from None
