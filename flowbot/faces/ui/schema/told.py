"""What goes to the page, and how: as JSON that any text may stand in."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

from flowbot.workflow.fields import is_map, whole

_ENDING = re.compile("[<>&\u2028\u2029]")

T = TypeVar("T", bound=BaseModel)


class Told(BaseModel):
    """A value that goes to the page as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


def json_text(told: BaseModel) -> str:
    """Return what is told as JSON; halves of characters, which have no UTF-8, become `?`."""
    try:
        return told.model_dump_json()
    except PydanticSerializationError:
        return rewritten(told, whole).model_dump_json()


def rewritten(told: T, change: Callable[[str], str]) -> T:
    """Return what is told with every text in it changed, keys of maps too."""
    return type(told).model_validate(_changed(told.model_dump(), change))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_changed(each, change) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return {change(key): _changed(each, change) for key, each in value.items()} if is_map(value) else value


def embedded(told: BaseModel) -> str:
    """Return what is told as JSON that may stand in a script of a page: no text in it can end the script."""
    return _ENDING.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text(told))
