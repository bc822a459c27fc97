"""The body of a request: one logical request in the words of one endpoint."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal

from flowbot.engine.ports import Message, Request
from flowbot.models.providers import Endpoint, Mode
from flowbot.task.task import ModelSpec

MODES: tuple[Mode, ...] = ("schema", "json", "text")  # from the strongest to the weakest
IN_WORDS = "Answer with one JSON value that fits this JSON Schema, and with nothing else:\n"
NAME_REFUSED = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Form:
    """What one endpoint takes: how JSON is asked for, the name of the length bound, whether temperature is sent."""

    mode: Mode
    cap: Literal["max_tokens", "max_completion_tokens"]
    temperature: bool = True


def form_of(spec: ModelSpec, endpoint: Endpoint) -> Form:
    """Return the form that the table gives for a model.

    A server behind another base URL is asked with `max_tokens`, which the old ones know too: a name that is refused can
    be changed, one that is ignored leaves the reply unbounded.
    """
    provider = endpoint.provider
    refused = provider.no_temperature and re.search(provider.no_temperature, spec.model)
    mode = provider.mode if endpoint.own else "schema"
    return Form(mode, provider.cap if endpoint.own else "max_tokens", not refused)


def body_of(spec: ModelSpec, request: Request, form: Form) -> bytes:
    """Return the JSON body; `extra_body` is merged last, and no seed is sent (providers do not keep it)."""
    plain: dict[str, Any] = {"model": spec.model, "messages": request.messages}
    if form.temperature:
        plain["temperature"] = request.temperature
    cap = request.max_tokens or spec.max_tokens
    if cap is not None:
        plain[form.cap] = cap
    if request.schema is not None:
        if form.mode == "schema":
            name = NAME_REFUSED.sub("_", request.schema_name)[:64]
            schema = {"name": name, "schema": request.schema, "strict": True}
            plain["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            plain["messages"] = _in_words(request)
            if form.mode == "json":
                plain["response_format"] = {"type": "json_object"}
    if spec.reasoning_effort is not None:
        plain["reasoning_effort"] = spec.reasoning_effort
    plain.update(spec.extra_body)
    return json.dumps(plain).encode()


def _in_words(request: Request) -> list[Message]:
    """State the schema at the end of the system message (it is the fixed part), else of the last message."""
    messages = list(request.messages)
    place = 0 if messages[0]["role"] == "system" else -1
    words = IN_WORDS + json.dumps(request.schema, ensure_ascii=False)
    messages[place] = {**messages[place], "content": f"{messages[place]['content']}\n\n{words}"}
    return messages


def estimate(text: str) -> int:
    """Return an upper estimate of a text's tokens: one for each 3 bytes of UTF-8, and at least one."""
    return max(1, -(-len(text.encode("utf-8", "surrogatepass")) // 3))


def input_estimate(request: Request) -> int:
    """Return an upper estimate of a request's tokens: its messages at 8 more each, and its schema."""
    tokens = sum(estimate(message["content"]) + 8 for message in request.messages)
    return tokens if request.schema is None else tokens + estimate(json.dumps(request.schema, ensure_ascii=False))
