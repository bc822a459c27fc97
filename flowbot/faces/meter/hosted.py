"""An upstream in this process: models that FlowBot opened itself answer chat completions."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from flowbot.engine.ports import EndpointError, Message, Reply, Request, ToolWords
from flowbot.errors import InputError
from flowbot.faces.meter.call import Answer, Call, UpstreamError
from flowbot.money import Price
from flowbot.store.session import Opened
from flowbot.workflow.fields import Json, is_list, is_map

REFUSED = ("logprobs", "top_logprobs", "functions", "audio")
MOST_DRAWS = 64
ANY_OBJECT: Mapping[str, Json] = {"type": "object"}
JSON = {"Content-Type": "application/json"}
EVENTS = {"Content-Type": "text/event-stream"}


class Hosted:
    """Opened models by the id that clients write. `close_all` is called at the end, where it is given.

    Heeded are messages, temperature, max_tokens, n, stop, stream, tools, tool_choice `none`, response_format and seed;
    other settings of sampling are not. Equal calls without a seed are different draws of one sequence.
    """

    samples = True

    def __init__(self, models: Mapping[str, Opened], close_all: Callable[[], Awaitable[None]] | None = None) -> None:
        self._models, self._close_all = models, close_all

    @property
    def name(self) -> str:
        """The models' ids."""
        return "in process: " + ", ".join(sorted(self._models))

    def price(self, model: str) -> Price | None:
        """Return the price that the model was opened with."""
        return self._models[model].price if model in self._models else None

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncGenerator[Answer]:
        """Answer a call; what leaves the context early is cancelled in the model."""
        opened = self._models.get(call.model)
        if opened is None:
            raise UpstreamError(f"there is no model '{call.model}' here", "model_not_found", 404)
        if call.path != "chat/completions":
            raise UpstreamError(f"a model in this process answers chat/completions, not {call.path}", "not_here", 404)
        try:
            drawn = draws_of(call)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UpstreamError(f"bad request: {error}", "bad_request", 400) from None
        try:
            async with asyncio.TaskGroup() as group:
                asked = [group.create_task(opened.model.complete(request)) for request in drawn]
        except* (EndpointError, InputError) as failed:
            raise UpstreamError(str(failed.exceptions[0]), "model_failed") from None
        replies = [_cut(task.result(), call.plain.get("stop")) for task in asked]
        overflow = next((each.failure for each in replies if "does not fit into the context" in each.failure), "")
        if overflow:
            raise UpstreamError(overflow, "context_length_exceeded", 400)
        if call.plain.get("stream") is True:
            yield Answer(200, EVENTS, _streamed(call.model, replies))
        else:
            yield Answer(200, JSON, _whole(call.model, replies))

    async def models(self, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the models by their ids."""
        return [{"id": name, "object": "model", "created": 0, "owned_by": "flowbot"} for name in self._models]

    async def close(self) -> None:
        """Close what was opened with them."""
        if self._close_all is not None:
            await self._close_all()


def draws_of(call: Call) -> list[Request]:
    """Return the requests in a body, one for each of its `n` draws; raise ValueError for what cannot be answered."""
    plain = call.plain
    asked = [name for name in REFUSED if plain.get(name)]
    if asked:
        raise ValueError(f"{asked[0]} is not answered by a model in this process; leave it out")
    count = plain.get("n") or 1
    if type(count) is not int or not 1 <= count <= MOST_DRAWS:
        raise ValueError(f"n must be a whole number from 1 to {MOST_DRAWS}")
    bound = plain.get("max_completion_tokens") or plain.get("max_tokens")
    if bound is not None and (type(bound) is not int or bound < 1):
        raise ValueError("max_tokens must be a whole number from 1")
    warmth = plain.get("temperature")
    schema, name = _schema(plain.get("response_format"))
    messages = _messages(plain.get("messages"))
    tools, may_call = _tools(plain, messages)
    seed = plain.get("seed")
    return [
        Request(
            call.model,
            messages,
            schema=schema,
            schema_name=name,
            temperature=1.0 if warmth is None else float(warmth),
            max_tokens=bound,
            draw=f"{call.draws}{call.repeat if seed is None else f'seed {seed}'}/{at}",
            tools=tools,
            may_call=may_call,
        )
        for at in range(count)
    ]


def _messages(given: Any) -> tuple[Message, ...]:
    if not is_list(given) or not given:
        raise ValueError("messages must be a list with at least one message")
    return tuple(_message(each) for each in given)


def _message(given: Json) -> Message:
    if not is_map(given) or not isinstance(given.get("role"), str):
        raise ValueError("each message must be an object with role and content")
    content, role = given.get("content"), given["role"]
    if is_list(content):
        parts = [each.get("text") if is_map(each) and each.get("type") == "text" else None for each in content]
        if not all(isinstance(part, str) for part in parts):
            raise ValueError("content must be a text or a list of parts of the type text")
        content = "\n".join(str(part) for part in parts)
    if not isinstance(content, str | None):
        raise ValueError("content must be a text or a list of parts of the type text")
    message: dict[str, Any] = {"role": "system" if role == "developer" else role, "content": content or ""}
    return message | {name: given[name] for name in ("tool_calls", "tool_call_id") if given.get(name)}


def _schema(asked: Any) -> tuple[Mapping[str, Json] | None, str]:
    if asked is None or (is_map(asked) and asked.get("type") == "text"):
        return None, "reply"
    if is_map(asked) and asked.get("type") == "json_object":
        return ANY_OBJECT, "reply"
    form = asked.get("json_schema") if is_map(asked) else None
    schema = form.get("schema") if is_map(form) else None
    if not is_map(form) or not is_map(schema):
        raise ValueError("response_format must be of the type text, json_object, or json_schema with a schema")
    return schema, str(form.get("name") or "reply")


def _tools(plain: Mapping[str, Any], messages: Sequence[Message]) -> tuple[tuple[ToolWords, ...], bool]:
    """Return the tools, and whether they may be called; those of earlier turns must be known to read these turns."""
    given = [each["function"] for each in plain.get("tools") or ()]
    may_call = bool(given) and plain.get("tool_choice") != "none"
    if not given:
        given = [call["function"] for message in messages for call in message.get("tool_calls", ())]
    found = {each["name"]: ToolWords(each["name"], each.get("description") or "", _arguments(each)) for each in given}
    return tuple(found.values()), may_call


def _arguments(function: Mapping[str, Any]) -> Mapping[str, Json]:
    schema = function.get("parameters")
    return schema if is_map(schema) else ANY_OBJECT


def _cut(reply: Reply, stop: Any) -> Reply:
    """Return a reply as far as the first of its stop words."""
    words: list[Any] = [stop] if isinstance(stop, str) else list(stop or ())
    places = [at for word in words if isinstance(word, str) and word and (at := reply.text.find(word)) >= 0]
    return replace(reply, text=reply.text[: min(places)], failure="") if places else reply


def _end(reply: Reply) -> str:
    if reply.calls:
        return "tool_calls"
    if reply.failure.startswith("the reply was cut"):
        return "length"
    return "content_filter" if reply.failure.startswith("the model refused") else "stop"


def _message_of(reply: Reply) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None if reply.calls else reply.text}
    if reply.calls:
        message["tool_calls"] = [
            {
                "index": at,
                "id": f"call_{secrets.token_hex(6)}",
                "type": "function",
                "function": {"name": each.name, "arguments": each.arguments},
            }
            for at, each in enumerate(reply.calls)
        ]
    return message


def _usage(replies: Sequence[Reply]) -> dict[str, Any]:
    """Return the usage as a provider tells it: the prompt once, and all that was written."""
    first, made = replies[0].usage, sum(each.usage.output_tokens for each in replies)
    return {
        "prompt_tokens": first.input_tokens,
        "completion_tokens": made,
        "total_tokens": first.input_tokens + made,
        "prompt_tokens_details": {"cached_tokens": first.cached_tokens},
    }


async def _whole(model: str, replies: Sequence[Reply]) -> AsyncIterator[bytes]:
    choices = [
        {"index": at, "message": _message_of(reply), "logprobs": None, "finish_reason": _end(reply)}
        for at, reply in enumerate(replies)
    ]
    yield json.dumps({**_head(model, "chat.completion"), "choices": choices, "usage": _usage(replies)}).encode()


async def _streamed(model: str, replies: Sequence[Reply]) -> AsyncIterator[bytes]:
    """Yield all replies as one event, then the usage, then the end."""
    head = _head(model, "chat.completion.chunk")
    choices = [
        {"index": at, "delta": _message_of(reply), "logprobs": None, "finish_reason": _end(reply)}
        for at, reply in enumerate(replies)
    ]
    events: list[dict[str, Any]] = [{"choices": choices}, {"choices": [], "usage": _usage(replies)}]
    for event in events:
        yield b"data: " + json.dumps({**head, **event}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"


def _head(model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "object": kind, "created": int(time.time()), "model": model}
