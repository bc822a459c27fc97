"""Field types in an exported program: the source of their values, and their annotations."""

from __future__ import annotations

from flowbot.faces.export.literals import Node, call, quoted, value
from flowbot.workflow.fields import FieldType

_PLAIN = {"text": "TEXT", "number": "NUMBER", "bool": "BOOL"}
_PYTHON = {"text": "str", "number": "float", "bool": "bool", "choice": "str", "json": "Any"}
LONGEST = 50  # characters of an annotation


def source_of(kind: FieldType) -> Node:
    """Return the source of a type."""
    if kind.kind == "choice":
        return call("choice", *map(quoted, kind.choices))
    if kind.kind == "list":
        assert kind.item is not None
        return call("list_of", source_of(kind.item))
    if kind.kind == "json":
        return call("json_of", value(kind.json_schema())) if kind.schema else "JSON"
    return _PLAIN[kind.kind]


def annotation(kind: FieldType) -> str:
    """Return the annotation of a value of a type."""
    if kind.kind == "list":
        assert kind.item is not None
        return f"list[{annotation(kind.item)}]"
    return _PYTHON[kind.kind]


def annotation_of(kinds: list[FieldType]) -> str:
    """Return the annotation of what a step gives: one value, or a tuple of several."""
    found = [annotation(kind) for kind in kinds]
    made = found[0] if len(found) == 1 else f"tuple[{', '.join(found)}]"
    return made if len(made) <= LONGEST else "Any" if len(found) == 1 else "tuple[Any, ...]"
