"""Field types: what a step may read and give."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from flowbot.names import nearest

Json = Any  # a value made of dict, list, str, int, float, bool and None only

KINDS = ("text", "number", "bool", "choice", "list", "json")
SPELLINGS = "text, number, bool, choice[a, b], list[TYPE], json"
FIELD_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]{0,63}\Z")
DEEPEST_LIST = 8
DEEPEST_SCHEMA = 40
LARGEST_NUMBER = sys.float_info.max


def is_map(value: object) -> TypeGuard[Mapping[str, Json]]:
    """Tell whether a plain value is a map."""
    return isinstance(value, Mapping)


def is_list(value: object) -> TypeGuard[list[Json] | tuple[Json, ...]]:
    """Tell whether a plain value is a list."""
    return isinstance(value, list | tuple)


class FieldError(ValueError):
    """A field type that cannot be read."""


class Misfit(ValueError):
    """A value that does not fit its field's type; the text says what was expected."""


def refuse_constant(word: str) -> NoReturn:
    """Refuse NaN and Infinity where JSON is read (`parse_constant`)."""
    raise Misfit(f"{word} is no JSON; write null or a number")


def finite_number(digits: str) -> float:
    """Read a number where JSON is read (`parse_float`), and refuse one that is too large to be finite."""
    value = float(digits)
    if math.isinf(value):
        raise Misfit(f"the number {digits[:60]} is too large")
    return value


@dataclass(frozen=True)
class FieldType:
    """The type of one field: closed under `list`, spelled as in a workflow file (`str(type)`)."""

    kind: str
    choices: tuple[str, ...] = ()
    item: FieldType | None = None
    schema: str = ""  # canonical JSON text of a JSON Schema, for `json` only

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"choice[{', '.join(_quoted(choice) for choice in self.choices)}]"
        if self.kind == "list":
            return f"list[{self.item}]"
        return self.kind

    def plain(self) -> Json:
        """Return the form that stands in a file: a string, or `{json: SCHEMA}`."""
        if self.kind == "json" and self.schema:
            return {"json": json.loads(self.schema)}
        return str(self)

    def json_schema(self) -> dict[str, Json]:
        """Return the JSON Schema of a value of this type."""
        match self.kind:
            case "number":
                return {"type": "number"}
            case "bool":
                return {"type": "boolean"}
            case "choice":
                return {"type": "string", "enum": list(self.choices)}
            case "list":
                assert self.item is not None
                return {"type": "array", "items": self.item.json_schema()}
            case "json":
                return json.loads(self.schema) if self.schema else {}
            case _:
                return {"type": "string"}

    def fit(self, value: Json) -> Json:
        """Return `value` as this type holds it, mending harmless differences; raise `Misfit` otherwise.

        Harmless: a number or a bool written as text, a choice in another case or with spaces around it. Of a JSON
        Schema, `type`, `enum`, `properties`, `required`, `additionalProperties` and `items` are held to.
        """
        match self.kind:
            case "text":
                return _fit_text(value)
            case "number":
                return _fit_number(value)
            case "bool":
                return _fit_bool(value)
            case "choice":
                return _fit_choice(value, self.choices)
            case "list":
                return self._fit_list(value)
            case _:
                return _fit_json(value, self.json_schema())

    def _fit_list(self, value: Json) -> Json:
        assert self.item is not None
        if not is_list(value):
            raise Misfit(f"expected a list, got {_shown(value)}")
        return [self.item.fit(item) for item in value]

    @property
    def empty(self) -> Json:
        """What stands where there is no value: an empty text or list, else null."""
        return "" if self.kind == "text" else [] if self.kind == "list" else None

    def accepts(self, other: FieldType) -> bool:
        """Tell whether every value of `other` is a value of this type (or reads as one)."""
        if self.kind in ("json", "text") and (self.kind != "json" or not self.schema):
            return True
        if self.kind == "choice":
            return other.kind == "choice" and set(other.choices) <= set(self.choices)
        if self.kind == "list":
            assert self.item is not None
            return other.kind == "list" and other.item is not None and self.item.accepts(other.item)
        return self == other


TEXT = FieldType("text")
NUMBER = FieldType("number")
BOOL = FieldType("bool")
JSON = FieldType("json")


def choice(*choices: str) -> FieldType:
    """Return the type of a value from a closed set of texts."""
    return FieldType("choice", choices=tuple(choices))


def parse_type(spelled: object) -> FieldType:
    """Read a type as it stands in a file; raise `FieldError` with what is allowed."""
    if isinstance(spelled, FieldType):
        return spelled
    if is_map(spelled):
        return _parse_json_type(spelled)
    if not isinstance(spelled, str):
        raise FieldError(f"a type is a text like {SPELLINGS}; got {_shown(spelled)}")
    text = spelled.strip()
    if text in ("text", "number", "bool", "json"):
        return FieldType(text)
    if text == "list":
        return FieldType("list", item=TEXT)
    if text.startswith("list[") and text.endswith("]"):
        if text.startswith("list[" * (DEEPEST_LIST + 1)):
            raise FieldError(f"lists nest at most {DEEPEST_LIST} deep")
        return FieldType("list", item=parse_type(text[5:-1]))
    if text.startswith("choice[") and text.endswith("]"):
        return _parse_choice(text[7:-1])
    aliases = {"str": "text", "string": "text", "int": "number", "float": "number", "boolean": "bool", "dict": "json"}
    hint = f"; did you mean '{aliases[text]}'?" if text in aliases else nearest(text.lower(), KINDS)
    raise FieldError(f"unknown type '{text}'{hint} (types: {SPELLINGS})")


def _parse_json_type(spelled: Mapping[str, Json]) -> FieldType:
    if set(spelled) != {"json"} or not isinstance(spelled["json"], Mapping):
        raise FieldError("a type given as a mapping must be {json: SCHEMA}")
    _check_schema(spelled["json"], "the schema")
    try:
        return FieldType("json", schema=json.dumps(spelled["json"], sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise FieldError(f"the schema must hold JSON values only: {error}") from None


def _check_schema(schema: Json, where: str, depth: int = 0) -> None:
    """Refuse a JSON Schema in which a key that `fit` holds to has a wrong form; other keys are the model's to read."""
    if isinstance(schema, bool):
        return
    if not is_map(schema):
        raise FieldError(f"{where} must be a map, e.g. {{type: object}}; got {_shown(schema)}")
    if depth > DEEPEST_SCHEMA:
        raise FieldError(f"schemas nest at most {DEEPEST_SCHEMA} deep")
    for name in _several(schema.get("type", [])):
        if not isinstance(name, str) or name not in _JSON_TYPES:
            near = nearest(str(name), _JSON_TYPES)
            raise FieldError(f"{where} has the unknown type {_shown(name)}{near} (types: {', '.join(_JSON_TYPES)})")
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not is_map(properties):
        raise FieldError(f"properties of {where} must be a map of names to schemas; got {_shown(properties)}")
    if not is_list(required) or not all(isinstance(name, str) for name in required):
        raise FieldError(f"required of {where} must be a list of names; got {_shown(required)}")
    if "enum" in schema and not (is_list(schema["enum"]) and schema["enum"]):
        raise FieldError(f"enum of {where} must be a list with at least one value; got {_shown(schema['enum'])}")
    for name, inner in properties.items():
        _check_schema(inner, f"the schema of '{name}'", depth + 1)
    for key in ("items", "additionalProperties"):
        _check_schema(schema.get(key, True), f"{key} of {where}", depth + 1)


def _parse_choice(inner: str) -> FieldType:
    """Read `a, b, "c, with a comma"`."""
    token = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]+))\s*(,|$)')
    choices: list[str] = []
    at = 0
    while at < len(inner):
        found = token.match(inner, at)
        if found is None:
            raise FieldError(f"cannot read the choices '{inner}': write choice[a, b] or choice[\"a, with comma\", b]")
        quoted, bare, comma = found.groups()
        choices.append(_unquoted(quoted) if quoted is not None else bare.strip())
        at = found.end()
        if comma and at >= len(inner.rstrip()):
            raise FieldError(f"the choices '{inner}' end with a comma")
    if not choices or not all(choices):
        raise FieldError("choice[...] needs at least one value, none of them empty")
    if len(set(choices)) != len(choices):
        raise FieldError(f"choice[{inner}] names a value twice")
    return FieldType("choice", choices=tuple(choices))


def _unquoted(quoted: str) -> str:
    try:
        text: str = json.loads(f'"{quoted}"')
        text.encode()
    except UnicodeEncodeError:
        raise FieldError("half a surrogate pair is no text: remove the escape") from None
    except ValueError:
        raise FieldError(f'cannot read the choice "{quoted}": within quotes write \\" and \\\\ as in JSON') from None
    return text


def _quoted(text: str) -> str:
    plain = text == text.strip() and not re.search(r'[,"\[\]\\\n]', text)
    return text if plain else json.dumps(text, ensure_ascii=False)


def joined(text: str) -> str:
    """Return text in which the two halves of a surrogate pair that follow each other are the character they stand for.

    A journal and a file give the halves back as this one character, so two halves are never kept. Half alone stays.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    return text


def whole(text: str) -> str:
    """Return text whose characters are whole: half a surrogate pair, which has no UTF-8, becomes `?`."""
    return joined(text).encode("utf-8", "replace").decode()


def as_text(value: Json) -> str:
    """Return a value as a step reads it: text as it is, everything else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return json.dumps(value, ensure_ascii=False)


def _fit_text(value: Json) -> str:
    if value is None:
        raise Misfit("expected text, got null")
    return as_text(value)


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")  # the commas of 1,234,567, not that of 3,5


def _fit_number(value: Json) -> int | float:
    if isinstance(value, bool) or value is None:
        raise Misfit(f"expected a number, got {_shown(value)}")
    if isinstance(value, str):
        try:
            value = float(_THOUSANDS.sub("", value).strip())
        except ValueError:
            raise Misfit(f"expected a number, got {_shown(value)}") from None
    if not isinstance(value, int | float) or not abs(value) <= LARGEST_NUMBER:
        raise Misfit(f"expected a finite number, got {_shown(value)}")
    return int(value) if abs(value) < 1e15 and float(value).is_integer() else value


def _fit_bool(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else value
    if word in ("true", "yes", "false", "no"):
        return word in ("true", "yes")
    raise Misfit(f"expected true or false, got {_shown(value)}")


def _fit_choice(value: Json, choices: tuple[str, ...]) -> str:
    if isinstance(value, str):
        if value in choices:
            return value
        folded = value.strip().casefold()
        same = [each for each in choices if each.strip().casefold() == folded]
        if len(same) == 1:
            return same[0]
    raise Misfit(f"expected one of {', '.join(choices)}; got {_shown(value)}")


_JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": Mapping,
    "array": (list, tuple),
    "string": str,
    "number": (int, float),
    "integer": (int, float),
    "boolean": bool,
    "null": type(None),
}


def _fit_json(value: Json, schema: Json) -> Json:
    """Return a JSON value as it is; raise `Misfit` where it holds what JSON has no form for, or not what was asked."""
    inner: list[Json] = [value]
    while inner:  # by hand: a reply may nest deeper than Python calls
        each = inner.pop()
        if isinstance(each, float) and not abs(each) <= LARGEST_NUMBER:
            raise Misfit(f"expected finite numbers, got {each!r}")
        inner += each.values() if is_map(each) else each if is_list(each) else ()
    _hold(value, schema, "")
    return value


def _hold(value: Json, schema: Json, at: str) -> None:
    """Hold a value to a JSON Schema; `at` is its place within the field."""
    place = f"{at}: " if at else ""
    if schema is False:
        raise Misfit(f"{place}nothing is allowed here, got {_shown(value)}")
    if not is_map(schema):
        return
    kinds = _several(schema.get("type", []))
    if kinds and not any(_is_of(value, kind) for kind in kinds):
        raise Misfit(f"{place}expected {' or '.join(kinds)}, got {_shown(value)}")
    if "enum" in schema and not any(_equal(value, each) for each in schema["enum"]):
        raise Misfit(f"{place}expected one of {', '.join(map(_shown, schema['enum']))}; got {_shown(value)}")
    if is_list(value) and "items" in schema:
        for index, item in enumerate(value):
            _hold(item, schema["items"], f"{at}[{index}]")
    if is_map(value):
        _hold_fields(value, schema, at)


def _hold_fields(value: Mapping[str, Json], schema: Mapping[str, Json], at: str) -> None:
    properties, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    place = f"{at}: " if at else ""
    for name in schema.get("required", []):
        if name not in value:
            raise Misfit(f"{place}'{name}' is missing")
    for name, item in value.items():
        if name not in properties and more is False:
            known = ", ".join(properties) or "none"
            raise Misfit(f"{place}'{name}' is not allowed{nearest(name, properties)} (names: {known})")
        _hold(item, properties.get(name, more), f"{at}.{name}" if at else name)


def _is_of(value: Json, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _JSON_TYPES[kind])


def _equal(value: Json, other: Json) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _several(value: Json) -> list[Json]:
    return list(value) if is_list(value) else [value]


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
