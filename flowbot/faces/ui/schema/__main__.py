"""Prints the JSON Schema that the page's types are made from."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import models_json_schema

from flowbot.faces.ui.schema import ANSWERS
from flowbot.workflow.fields import is_list, is_map


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all answers, which the page's types are made from."""
    _, plain = models_json_schema([(each, "serialization") for each in ANSWERS])
    return {"$defs": {name: _older(each) for name, each in sorted(plain["$defs"].items())}}


def _older(schema: Any) -> Any:
    if is_list(schema):
        return [_older(each) for each in schema]
    if not is_map(schema):
        return schema
    made: dict[str, Any] = {
        key: {name: _older(each) for name, each in value.items()}
        if key == "properties" and is_map(value)
        else _older(value)
        for key, value in sorted(schema.items())
        if not (key == "title" and isinstance(value, str))
    }
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    return made


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
