"""A script for `tests.servers` that answers whatever it is asked: a text, or a value that fits the schema asked for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flowbot.models.body import IN_WORDS
from tests.servers import Answer, Body


def fitting(text: str = "P2") -> Callable[[Body, int], Answer]:
    """Return a script that says `text` where plain text or a text field is asked for."""

    def script(body: Body, index: int) -> Answer:
        asked = body.get("response_format")
        if asked is None:
            return Answer(text=text)
        if asked["type"] == "json_object":  # then the schema stands in words
            return Answer(json=_value(json.loads(body["messages"][0]["content"].partition(IN_WORDS)[2]), text))
        return Answer(json=_value(asked["json_schema"]["schema"], text))

    return script


def _value(schema: dict[str, Any], text: str) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _value(each, text) for name, each in schema["properties"].items()}
        case "array":
            return []
        case "number" | "integer":
            return 1
        case "boolean":
            return True
        case _:
            return text
