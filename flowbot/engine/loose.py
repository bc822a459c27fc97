"""Field types of a meta reply, read tolerantly: weak models write one text for a list, and null for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice

from flowbot.workflow.fields import TEXT, FieldType, Json, Misfit, as_text, is_list, is_map

MOST = 40  # entries of a list that are read
_NUMBER = re.compile(r"\d{1,6}")


@dataclass(frozen=True)
class _Said(FieldType):
    """A text; null is the empty one."""

    def fit(self, value: Json) -> str:
        return "" if value is None else as_text(value).strip()


@dataclass(frozen=True)
class _Listed(FieldType):
    """A list of texts without empty ones; one text is a list of one."""

    def fit(self, value: Json) -> list[str]:
        found = value if is_list(value) else [value]
        return [text for each in found[:MOST] if (text := SAID.fit(each))]


@dataclass(frozen=True)
class _Numbered(FieldType):
    """A list of whole numbers, taken from whatever stands there: `[1, "2", "no. 3"]`, `"1, 2"`."""

    def fit(self, value: Json) -> list[int]:
        found = value if is_list(value) else [value]
        texts = [as_text(each) for each in found[: 10 * MOST]]
        return [int(digits) for text in texts for digits in islice(_NUMBER.findall(text), MOST)]


@dataclass(frozen=True)
class _OneOf(FieldType):
    """A choice; a text that names exactly one of them is that one."""

    def fit(self, value: Json) -> str:
        try:
            return super().fit(value)
        except Misfit:
            words = re.findall(r"\w+", as_text(value).casefold())
            named = [each for each in self.choices if each.casefold() in words]
            if len(named) != 1:
                raise
            return named[0]


@dataclass(frozen=True)
class _Records(FieldType):
    """A list of records with these fields; what is no record is passed over, a field that is left out is empty."""

    fields: tuple[tuple[str, FieldType], ...] = field(default=())

    def fit(self, value: Json) -> list[dict[str, Json]]:
        found = [value] if is_map(value) else value if is_list(value) else []
        records = (each for each in found if is_map(each))
        return [{name: kind.fit(each.get(name)) for name, kind in self.fields} for each in islice(records, MOST)]


SAID: FieldType = _Said("text")
LISTED: FieldType = _Listed("list", item=TEXT)
NUMBERED: FieldType = _Numbered("list", item=FieldType("number"))


def one_of(choices: Sequence[str]) -> FieldType:
    """Return the type of one of these texts."""
    return _OneOf("choice", choices=tuple(choices))


def records(**fields: FieldType) -> FieldType:
    """Return the type of a list of records: `fields` are `SAID`, `LISTED` or `NUMBERED`."""
    schema: Json = {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {name: kind.json_schema() for name, kind in fields.items()},
            "required": list(fields),
            "additionalProperties": False,
        },
    }
    return _Records("json", schema=json.dumps(schema), fields=tuple(fields.items()))
