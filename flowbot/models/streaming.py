"""Streams of an endpoint: the text is told as it comes, and what came is put together as if it had come at once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, cast

from aiohttp import ClientResponse

from flowbot.models.patience import Fault

Told = Callable[[str], None]
LONGEST_EVENT = 2**20  # bytes


class Heard:
    """Tells text on, and knows whether any was told: what has begun cannot be sent again."""

    def __init__(self, told: Told) -> None:
        self.told, self.begun = told, False

    def __call__(self, text: str) -> None:
        if text:
            self.begun = True
            self.told(text)


def is_stream(response: ClientResponse) -> bool:
    """Tell whether an answer is a stream of events; an endpoint that knows none answers in one piece."""
    return response.status == 200 and response.content_type == "text/event-stream"


async def assembled(response: ClientResponse, heard: Heard) -> bytes:
    """Tell the text of a stream and return the body that would have come without it; raise `Fault` for a cut one."""
    parts: list[str] = []
    refusals: list[str] = []
    usage: Any = None
    finish: Any = None
    async for event in _events(response):
        if event.get("error"):
            return json.dumps(event).encode()
        usage = event.get("usage") or usage
        for choice in _maps(event.get("choices"))[:1]:
            finish = choice.get("finish_reason") or finish
            delta: Any = choice.get("delta")
            said: Mapping[str, Any] = cast(Mapping[str, Any], delta) if isinstance(delta, dict) else {}
            if isinstance(text := said.get("content"), str):
                parts.append(text)
                heard(text)
            if isinstance(text := said.get("refusal"), str):
                refusals.append(text)
    if finish is None:
        raise Fault("broken", "the stream was cut")
    message = {"role": "assistant", "content": "".join(parts), "refusal": "".join(refusals) or None}
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], "usage": usage}).encode()


async def _events(response: ClientResponse) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the JSON objects of a stream of events; raise `Fault` for what is none."""
    rest = b""
    async for piece in response.content.iter_any():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > LONGEST_EVENT:
            raise Fault("broken", "the stream holds an event that does not end")
        for line in lines:
            if (found := _event(line.strip())) is not None:
                yield found
    if (found := _event(rest.strip())) is not None:
        yield found


def _event(line: bytes) -> Mapping[str, Any] | None:
    if not line.startswith(b"data:") or (data := line[5:].strip()) == b"[DONE]":
        return None
    try:
        plain: Any = json.loads(data)
    except (ValueError, RecursionError):
        raise Fault("broken", "the stream holds an event that is not JSON") from None
    return cast(Mapping[str, Any], plain) if isinstance(plain, dict) else None


def _maps(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in cast(list[Any], value) if isinstance(each, dict)] if isinstance(value, list) else []
