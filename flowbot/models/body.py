"""The body of a request: one logical request in the words of one endpoint."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from flowbot.engine.ports import Message, Request, ToolWords
from flowbot.models.providers import Endpoint, Mode, Tools
from flowbot.models.toolwords import read_arguments
from flowbot.task.task import ModelSpec

MODES: tuple[Mode, ...] = ("schema", "json", "text")  # from the strongest to the weakest
TOOLS: tuple[Tools, ...] = ("native", "alone", "words")  # likewise
IN_WORDS = "Answer with one JSON value that fits this JSON Schema, and with nothing else:\n"
NAME_REFUSED = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True)
class Form:
    """What one endpoint takes: how JSON is asked for, the name of the length bound, temperature or none, and tools."""

    mode: Mode
    cap: Literal["max_tokens", "max_completion_tokens"]
    temperature: bool = True
    tools: Tools = "native"


def form_of(spec: ModelSpec, endpoint: Endpoint) -> Form:
    """Return the form that the table gives for a model.

    A server behind another base URL is asked with `max_tokens`, which the old ones know too: a name that is refused can
    be changed, one that is ignored leaves the reply unbounded.
    """
    provider = endpoint.provider
    refused = provider.no_temperature and re.search(provider.no_temperature, spec.model)
    mode = provider.mode if endpoint.own else "schema"
    tools = provider.tools if endpoint.own or provider.local else "native"  # a local one is the same at any address
    return Form(mode, provider.cap if endpoint.own else "max_tokens", not refused, tools)


def body_of(spec: ModelSpec, request: Request, form: Form, streamed: bool = False) -> bytes:
    """Return the JSON body; `extra_body` is merged last, and no seed is sent (providers do not keep it).

    Tools are sent natively: where the form says `words`, the request is put `in_words` before.
    """
    plain: dict[str, Any] = {"model": spec.model, "messages": request.messages}
    if request.tools:
        plain |= _with_tools(request, form)
    if form.temperature:
        plain["temperature"] = request.temperature
    cap = request.max_tokens or spec.max_tokens
    if cap is not None:
        plain[form.cap] = cap
    if request.schema is not None:
        mode: Mode = "text" if form.tools == "alone" and "tools" in plain else form.mode
        if mode == "schema":
            name = NAME_REFUSED.sub("_", request.schema_name)[:64]
            # strict is refused for a choice of forms, as calls in words are
            schema = {"name": name, "schema": request.schema, "strict": "anyOf" not in request.schema}
            plain["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            plain["messages"] = _in_words(plain["messages"], request)
            if mode == "json":
                plain["response_format"] = {"type": "json_object"}
    if spec.reasoning_effort is not None:
        plain["reasoning_effort"] = spec.reasoning_effort
    plain.update(spec.extra_body)
    if streamed:
        plain |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(plain).encode()


def _with_tools(request: Request, form: Form) -> dict[str, Any]:
    """Return the messages and the tools. Where tools come alone, a model that must answer is shown none."""
    plain: dict[str, Any] = {"messages": [_sound(message) for message in request.messages]}
    if request.may_call or form.tools == "native":
        plain["tools"] = [{"type": "function", "function": _function(tool)} for tool in request.tools]
    if not request.may_call and "tools" in plain:
        plain["tool_choice"] = "none"
    return plain


def _function(tool: ToolWords) -> dict[str, Any]:
    described = {"description": tool.description} if tool.description else {}
    return {"name": tool.name, **described, "parameters": tool.schema}


def _sound(message: Message) -> Message:
    """Mend the calls of earlier turns that a model wrote badly: endpoints refuse names and arguments that are none."""
    if not message.get("tool_calls"):
        return message
    calls: list[Any] = []
    for call in message["tool_calls"]:
        name = NAME_REFUSED.sub("_", call["function"]["name"])[:64] or "unknown"
        arguments = json.dumps(read_arguments(call["function"]["arguments"]), ensure_ascii=False)
        calls.append({**call, "function": {"name": name, "arguments": arguments}})
    return {**message, "tool_calls": calls}


def _in_words(given: Sequence[Message], request: Request) -> list[Message]:
    """State the schema at the end of the system message (it is the fixed part), else of the last message."""
    messages = list(given)
    place = 0 if messages[0]["role"] == "system" else -1
    words = IN_WORDS + json.dumps(request.schema, ensure_ascii=False)
    messages[place] = {**messages[place], "content": f"{messages[place]['content']}\n\n{words}"}
    return messages


def estimate(text: str) -> int:
    """Return an upper estimate of a text's tokens: one for each 3 bytes of UTF-8, and at least one."""
    return max(1, -(-len(text.encode("utf-8", "surrogatepass")) // 3))


def input_estimate(request: Request) -> int:
    """Return an upper estimate of a request's tokens: its messages at 8 more each, its schema and its tools."""
    tokens = sum(estimate(message["content"]) + 8 for message in request.messages)
    others: list[Any] = [message["tool_calls"] for message in request.messages if "tool_calls" in message]
    others += [_function(tool) for tool in request.tools]
    others += [] if request.schema is None else [request.schema]
    return tokens + sum(estimate(json.dumps(other, ensure_ascii=False)) for other in others)
