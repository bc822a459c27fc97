"""Values in an exported program: what JSON a reply holds, how each type reads it, how a model is shown it."""

# pyright: basic
from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn


class Failed(Exception):
    """The run failed: a refusal, a cut reply, a reply that does not fit."""


class Misfit(Failed):
    """A value that does not fit its type."""


@dataclass(frozen=True)
class Kind:
    """The type of a field: its JSON Schema, its words for a model, how it is read."""

    schema: dict[str, Any]
    words: str
    fit: Callable[[Any], Any]
    as_json: bool = False  # whether NAME=VALUE holds it as JSON


def fields_of(reply: str, gives: dict[str, Kind]) -> dict[str, Any]:
    """Return the fields of a reply, each as its type holds it."""
    found = object_of(reply.strip())
    values: dict[str, Any] = {}
    for field, kind in gives.items():
        if field not in found:
            raise Misfit(f"the field '{field}' is missing")
        try:
            values[field] = kind.fit(found[field])
        except Misfit as misfit:
            raise Misfit(f"the field '{field}': {misfit}") from None
    return values


def object_of(text: str, what: str = "the reply") -> dict[str, Any]:
    """Read one JSON object; text around it is passed over."""
    try:
        found = JSON_TEXT.decode(text)
    except (ValueError, RecursionError):
        found = None
        try:
            if "{" in text:
                found = JSON_TEXT.raw_decode(text[text.find("{") :])[0]
        except (ValueError, RecursionError):
            pass
    if not isinstance(found, dict):
        raise Misfit(f"{what} is not a JSON object")
    if "\\ud" in text.casefold():  # half a character has no UTF-8
        whole = json.dumps(found, ensure_ascii=False).encode("utf-8", "replace")
        return json.loads(whole)
    return found


def refuse(word: str) -> NoReturn:
    raise Misfit(f"{word} is no JSON; write null or a number")


def finite(digits: str) -> float:
    if math.isinf(float(digits)):
        raise Misfit(f"the number {digits[:60]} is too large")
    return float(digits)


JSON_TEXT = json.JSONDecoder(parse_constant=refuse, parse_float=finite)


def as_text(value: Any) -> str:
    """Return a value as a model reads it: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def fit_text(value: Any) -> str:
    if value is None:
        raise Misfit("expected text, got null")
    return as_text(value)


def fit_number(value: Any) -> int | float:
    if isinstance(value, bool) or value is None:
        raise Misfit(f"expected a number, got {shown(value)}")
    if isinstance(value, str):
        try:  # "1,234" is 1234
            value = float(re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", value).strip())
        except ValueError:
            raise Misfit(f"expected a number, got {shown(value)}") from None
    if not isinstance(value, (int, float)) or not abs(value) <= sys.float_info.max:
        raise Misfit(f"expected a finite number, got {shown(value)}")
    return int(value) if abs(value) < 1e15 and float(value).is_integer() else value


def fit_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "yes", "false", "no"):
        return word in ("true", "yes")
    raise Misfit(f"expected true or false, got {shown(value)}")


TEXT = Kind({"type": "string"}, '"..."', fit_text)
NUMBER = Kind({"type": "number"}, "<number>", fit_number)
BOOL = Kind({"type": "boolean"}, "true | false", fit_bool)
JSON = Kind({}, "<json>", lambda value: value, as_json=True)


def choice(*choices: str) -> Kind:
    """Return the type of one of these texts."""

    def fit(value: Any) -> str:
        if isinstance(value, str):
            if value in choices:
                return value
            folded = value.strip().casefold()
            same = [each for each in choices if each.strip().casefold() == folded]
            if len(same) == 1:
                return same[0]
        raise Misfit(f"expected one of {', '.join(choices)}; got {shown(value)}")

    words = " | ".join(json.dumps(each, ensure_ascii=False) for each in choices)
    return Kind({"type": "string", "enum": list(choices)}, words, fit)


def list_of(item: Kind) -> Kind:
    """Return the type of a list of such values."""

    def fit(value: Any) -> list[Any]:
        if not isinstance(value, list):
            raise Misfit(f"expected a list, got {shown(value)}")
        return [item.fit(each) for each in value]

    schema = {"type": "array", "items": item.schema}
    return Kind(schema, f"[{item.words}, ...]", fit, as_json=True)


def json_of(schema: dict[str, Any]) -> Kind:
    """Return the type of a JSON value that is held to a JSON Schema."""

    def fit(value: Any) -> Any:
        hold(value, schema, "")
        return value

    words = f"JSON that fits the schema {json.dumps(schema, sort_keys=True)}"
    return Kind(schema, words if schema else "<json>", fit, as_json=True)


JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "number": (int, float),
    "integer": (int, float),
    "boolean": bool,
    "null": type(None),
}


def hold(value: Any, schema: Any, at: str) -> None:
    """Hold a value to a JSON Schema; `at` is its place within the field."""
    place = f"{at}: " if at else ""
    if schema is False:
        raise Misfit(f"{place}nothing is allowed here, got {shown(value)}")
    if not isinstance(schema, dict):
        return
    rules: dict[str, Any] = schema
    types = rules.get("type", [])
    kinds: list[str] = types if isinstance(types, list) else [types]
    if kinds and not any(is_of(value, kind) for kind in kinds):
        raise Misfit(f"{place}expected {' or '.join(kinds)}, got {shown(value)}")
    if "enum" in rules and not any(equal(value, each) for each in rules["enum"]):
        allowed = ", ".join(map(shown, rules["enum"]))
        raise Misfit(f"{place}expected one of {allowed}; got {shown(value)}")
    if isinstance(value, list) and "items" in rules:
        items: list[Any] = value
        for index, item in enumerate(items):
            hold(item, rules["items"], f"{at}[{index}]")
    if isinstance(value, dict):
        hold_fields(value, rules, at)


def hold_fields(value: dict[str, Any], schema: dict[str, Any], at: str) -> None:
    more = schema.get("additionalProperties", True)
    properties: dict[str, Any] = schema.get("properties", {})
    place = f"{at}: " if at else ""
    for name in schema.get("required", []):
        if name not in value:
            raise Misfit(f"{place}'{name}' is missing")
    for name, item in value.items():
        if name not in properties and more is False:
            names = ", ".join(properties) or "none"
            near = nearest(name, properties)
            raise Misfit(f"{place}'{name}' is not allowed{near} (names: {names})")
        hold(item, properties.get(name, more), f"{at}.{name}" if at else name)


def is_of(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, JSON_TYPES[kind])


def equal(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint to a near miss."""
    names = list(known)
    found = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    found += [each for each in names if each.rpartition(".")[2] == name]
    return f"; did you mean '{found[0]}'?" if found else ""
