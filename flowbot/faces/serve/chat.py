"""Workflows as models: OpenAI's chat completions and list of models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from flowbot.engine.tasks import end
from flowbot.engine.trace import Trace
from flowbot.faces.serve.desk import Served
from flowbot.faces.serve.refusal import NO_RETRY, Refusal, written
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.visit import Visit
from flowbot.money import Usage
from flowbot.task.data import Example

PING = 10.0  # seconds of silence after which a stream says that it is there
EVENTS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
NOT_FOR_WORKFLOWS = ("tools", "functions", "audio", "response_format")


@dataclass(frozen=True)
class Chat:
    """Answers /v1/models and /v1/chat/completions. The model is the name that a workflow is served under."""

    service: Service
    began: int = field(default_factory=lambda: int(time.time()))

    def models(self) -> dict[str, Any]:
        """Return the list of models."""
        return {"object": "list", "data": [self._model(name) for name in self.service.desk.openers]}

    def model(self, name: str) -> dict[str, Any]:
        """Return one model; raise `Refusal` for one that is not there."""
        return self._model(self._known(name))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.began, "owned_by": "flowbot"}

    def _known(self, name: str) -> str:
        names = self.service.desk.openers
        if name not in names:
            what = f"there is no model '{name[:60]}' (models: {', '.join(names)})"
            raise Refusal(404, "model_not_found", what, param="model")
        return name

    async def completions(self, visit: Visit) -> None:
        """Run the workflow that the body names on its last user message."""
        settings = self.service.settings
        body = await visit.body(settings.limits.body)
        asked = _asked(body)
        served = self.service.desk.named(self._known(asked["model"]))
        visit.facts["workflow"] = served.name
        example = served.contract.from_text(_last_message(asked["messages"]))
        if settings.log_content:
            visit.facts["inputs"] = dict(example.inputs)
        frame = _Frame(f"chatcmpl-{visit.id}", served.name)
        if asked.get("stream"):
            options: Any = asked.get("stream_options") or {}
            await self._streamed(visit, served, example, frame, bool(options.get("include_usage")))
            return
        trace = await visit.while_here(self.service.run(served, example, visit))
        text = served.contract.output_text(trace)
        if settings.log_content:
            visit.facts["output"] = trace.output
        await visit.answer(200, written(frame.whole(text, trace.usage)))

    async def _streamed(self, visit: Visit, served: Served, example: Example, frame: _Frame, usage: bool) -> None:
        """Answer with events. What fails before the first text is an error as of any route, later it is an event."""
        events = _Events(visit)
        served.enter()
        try:
            async with aclosing(self._pieces(visit, served, example)) as pieces:
                await visit.while_here(self._told(pieces, events, frame, usage))
        except Refusal as refusal:
            if not events.begun:
                raise
            visit.facts["error"] = refusal.code
            await events.send({"error": refusal.plain})
        except asyncio.CancelledError:
            if not (visit.stopping and events.begun):
                raise
            visit.facts["error"] = "stopping"
            await events.send({"error": Refusal(503, "stopping", "the server is stopping").plain})
        finally:
            served.leave()
        if events.begun:
            await events.end()

    async def _told(self, pieces: AsyncGenerator[Any], events: _Events, frame: _Frame, usage: bool) -> None:
        async for piece in pieces:
            match piece:
                case None:
                    await events.ping(frame)
                case str():
                    await events.begin(frame)
                    await events.send(frame.chunk({"content": piece}))
                case _:
                    await events.begin(frame)
                    await events.send(frame.chunk({}, "stop"))
                    if usage:
                        await events.send(frame.counted(cast(Trace, piece).usage))
                    await events.done()

    async def _pieces(self, visit: Visit, served: Served, example: Example) -> AsyncGenerator[str | Trace | None]:
        """Yield the output's text bit by bit, None for each silence of `PING`, and the trace at the end."""
        heard: asyncio.Queue[str | None] = asyncio.Queue()
        running = asyncio.create_task(self.service.run(served, example, visit, heard.put_nowait))
        running.add_done_callback(lambda done: heard.put_nowait(None))
        said = ""
        try:
            while True:
                try:
                    async with asyncio.timeout(PING):
                        piece = await heard.get()
                except TimeoutError:
                    yield None
                    continue
                if piece is None:
                    break
                said += piece
                yield piece
            trace = running.result()
            text = served.contract.output_text(trace)
            if self.service.settings.log_content:
                visit.facts["output"] = trace.output
            if not text.startswith(said):
                raise Refusal(502, "endpoint_failed", "what was streamed is not what the run gave", NO_RETRY)
            if len(text) > len(said):
                yield text[len(said) :]
            yield trace
        finally:
            await end([running])


@dataclass(frozen=True)
class _Frame:
    """What all answers to one request have in common."""

    id: str
    model: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, usage: Usage) -> dict[str, Any]:
        """Return an answer in one piece."""
        message = {"role": "assistant", "content": text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        return self._headed("chat.completion") | {"choices": [choice], "usage": _usage(usage)}

    def chunk(self, delta: Mapping[str, Any], finish: str | None = None) -> dict[str, Any]:
        """Return one event of a stream."""
        choice = {"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish}
        return self._headed("chat.completion.chunk") | {"choices": [choice]}

    def counted(self, usage: Usage) -> dict[str, Any]:
        """Return the event that holds the usage."""
        return self._headed("chat.completion.chunk") | {"choices": [], "usage": _usage(usage)}

    def _headed(self, what: str) -> dict[str, Any]:
        return {"id": self.id, "object": what, "created": self.created, "model": self.model}


@dataclass
class _Events:
    """A stream of events to one client."""

    visit: Visit
    begun: bool = False
    spoken: bool = False

    async def begin(self, frame: _Frame) -> None:
        """Send the head, and the event with the role, once."""
        if not self.begun:
            self.begun = True
            await self.visit.send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        if not self.spoken:
            self.spoken = True
            await self.send(frame.chunk({"role": "assistant", "content": ""}))

    async def ping(self, frame: _Frame) -> None:
        """Say that the stream is there, with a comment, which clients pass over."""
        if not self.begun:
            self.begun = True
            await self.visit.send({"type": "http.response.start", "status": 200, "headers": EVENTS})
        await self._piece(b": running\n\n")

    async def send(self, event: Mapping[str, Any]) -> None:
        """Send one event."""
        await self._piece(b"data: " + written(event) + b"\n\n")

    async def done(self) -> None:
        """Send the event that says that all is said."""
        await self._piece(b"data: [DONE]\n\n")

    async def end(self) -> None:
        """End the answer."""
        await self.visit.send({"type": "http.response.body", "body": b""})

    async def _piece(self, piece: bytes) -> None:
        await self.visit.send({"type": "http.response.body", "body": piece, "more_body": True})


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }


def _asked(body: Any) -> dict[str, Any]:
    """Return the body of a completion; raise `Refusal` for what it must not be or hold."""
    if not isinstance(body, dict):
        raise _bad("the body must be a JSON object")
    asked = cast(dict[str, Any], body)
    if not isinstance(asked.get("model"), str):
        raise _bad("name the model, a text", "model")
    messages: Any = asked.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _bad("messages must be a list with at least one message", "messages")
    if not isinstance(asked.get("stream") or False, bool):
        raise _bad("stream must be true or false", "stream")
    options: Any = asked.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _bad("stream_options must be an object", "stream_options")
    if asked.get("n") not in (None, 1):
        raise _bad("a workflow gives one choice: leave n out", "n")
    for name in NOT_FOR_WORKFLOWS:
        if asked.get(name) and asked[name] != {"type": "text"}:
            raise _bad(f"a workflow has its own {name}: leave it out", name)
    return asked


def _last_message(messages: Sequence[Any]) -> str:
    """Return the text of the last user message; raise `Refusal` where there is none."""
    for message in reversed(messages):
        if not isinstance(message, dict):
            raise _bad("each message must be an object with role and content", "messages")
        said = cast(dict[str, Any], message)
        if said.get("role") == "user":
            return _text(said.get("content"))
    raise _bad("messages must hold one of the role user", "messages")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = cast(list[Any], content) if isinstance(content, list) else [None]
    texts: list[str] = []
    for part in parts:
        plain = cast(dict[str, Any], part) if isinstance(part, dict) else {}
        if plain.get("type") != "text" or not isinstance(plain.get("text"), str):
            raise _bad("the content of the last user message must be text, or parts of the type text", "messages")
        texts.append(plain["text"])
    return "".join(texts)


def _bad(what: str, param: str | None = None) -> Refusal:
    return Refusal(400, "bad_request", what, param=param)
