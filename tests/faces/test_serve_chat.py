"""Workflows as models: the official openai client, streams, and what a chat may not hold."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Sequence
from typing import Any

import openai
import pytest
from aiohttp import web

from flowbot.workflow.graph import Workflow, build
from tests.metering import events, upstream
from tests.served import MODEL, Site, one_call, served, typed
from tests.servers import Answer, Body, serving

pytestmark = pytest.mark.usefixtures("bare")
TOKEN = "a-token-of-some-length"
CHAT: dict[str, Any] = {"model": "one", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, as the provider wants one."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")


def client(site: Site) -> openai.OpenAI:
    """Return the official client of a site."""
    return openai.OpenAI(base_url=f"{site.url}/v1", api_key=TOKEN, max_retries=0)


def two_calls() -> Workflow:
    """Return a workflow of two calls and two inputs, whose usage is summed."""
    steps = [
        {"id": "draft", "kind": "call", "reads": ["topic", "words"], "gives": {"text": "text"}, "prompt": "Draft."},
        {"id": "label", "kind": "call", "reads": ["draft.text"], "gives": {"ok": "bool"}, "prompt": "Check."},
    ]
    return build(name="two", model=MODEL, inputs={"topic": "text", "words": "number"}, steps=steps, output="label.ok")


def test_the_official_client_lists_and_asks() -> None:
    with serving([Answer(text=" Hello. ")]) as endpoint, served(one_call(), endpoint.url, token=TOKEN) as site:
        asked = client(site)
        assert [model.id for model in asked.models.list()] == ["one"]
        got = asked.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}], temperature=1)
        assert (got.choices[0].message.content, got.choices[0].finish_reason, got.model) == ("Hello.", "stop", "one")
        assert got.usage is not None
        assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens > 0
        parts: Any = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        history: Any = [{"role": "user", "content": "old"}, {"role": "assistant", "content": "x"}]
        asked.chat.completions.create(model="one", messages=[*history, {"role": "user", "content": parts}])
        assert endpoint.requests[-1].prompt == "request:\nab"


def test_several_inputs_are_an_object_and_usage_is_summed() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}

    def script(body: Body, index: int) -> Answer:
        return Answer(json={"ok": True}, usage=usage) if "response_format" in body else Answer(text="d", usage=usage)

    with serving(script) as endpoint, served(two_calls(), endpoint.url, token=TOKEN) as site:
        said = json.dumps({"topic": "tea", "words": 3})
        got = client(site).chat.completions.create(model="one", messages=[{"role": "user", "content": said}])
        assert got.choices[0].message.content == "true"
        assert got.usage is not None
        assert (got.usage.prompt_tokens, got.usage.completion_tokens, got.usage.total_tokens) == (20, 10, 30)
        for bad in ("tea", '{"topic": "tea"}', '{"topic": "tea", "words": "3"}'):
            with pytest.raises(openai.UnprocessableEntityError):
                client(site).chat.completions.create(model="one", messages=[{"role": "user", "content": bad}])
        assert len(endpoint.requests) == 2


def test_errors_are_those_that_the_client_knows() -> None:
    with serving([Answer.error(401, "no")]) as endpoint, served(one_call(), endpoint.url, token=TOKEN) as site:
        asked = client(site)
        with pytest.raises(openai.NotFoundError) as none:
            asked.chat.completions.create(model="two", messages=[{"role": "user", "content": "hi"}])
        assert (none.value.code, none.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.InternalServerError) as failed:
            asked.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}])
        assert failed.value.status_code == 502
        with pytest.raises(openai.InternalServerError):
            asked.chat.completions.create(model="one", messages=[{"role": "user", "content": "hi"}], stream=True)
        with pytest.raises(openai.AuthenticationError):
            openai.OpenAI(base_url=f"{site.url}/v1", api_key="wrong").models.list()


@pytest.mark.parametrize(
    "more",
    [
        {"messages": []},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": ["x"]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        {"n": 2},
        {"stream": "yes"},
        {"stream_options": 3, "stream": True},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"response_format": {"type": "json_object"}},
        {"model": 3},
    ],
)
def test_what_a_chat_may_not_hold(more: dict[str, Any]) -> None:
    with serving([Answer(text="x")]) as endpoint, served(one_call(), endpoint.url) as site:
        got = site.post("/v1/chat/completions", CHAT | more)
        assert (got.status, got.code) == (400, "bad_request")
        assert not endpoint.requests


WORDS = ["  Once", " upon", " a", " time", ", é", "nd.", " "]


def pieces(wait: float = 0.0, cut: bool = False, words: Sequence[str] = WORDS) -> Any:
    """Return an endpoint that streams."""

    async def handler(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        assert body["stream"] is True
        assert body["stream_options"] == {"include_usage": True}
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            piece = {"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]}
            await response.write(b"data: " + json.dumps(piece).encode() + b"\n\n")
            await asyncio.sleep(wait)
        if cut:
            assert request.transport is not None
            request.transport.close()
            return response
        end: Body = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
        usage: Body = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 6, "total_tokens": 13}}
        await response.write(events(end, usage))
        return response

    return handler


class Streaming:
    """An endpoint in a thread of its own that streams by a handler."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler

    def __enter__(self) -> str:
        self.loop = asyncio.new_event_loop()
        self.done = asyncio.Event()
        ready: Any = threading.Event()
        found: list[str] = []

        async def run() -> None:
            async with upstream(self.handler) as url:
                found.append(url)
                ready.set()
                await self.done.wait()

        self.thread = threading.Thread(target=lambda: self.loop.run_until_complete(run()), daemon=True)
        self.thread.start()
        assert ready.wait(5)
        return found[0]

    def __exit__(self, *error: object) -> None:
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(5)
        self.loop.close()


def test_the_last_calls_text_streams_as_it_comes() -> None:
    with Streaming(pieces(0.15)) as url, served(one_call(), url, token=TOKEN) as site:
        began, at, said = time.monotonic(), list[float](), list[str]()
        stream = client(site).chat.completions.create(
            model="one",
            messages=[{"role": "user", "content": "hi"}],
            stream=True,
            stream_options={"include_usage": True},
        )
        usage: Any = None
        for chunk in stream:
            usage = chunk.usage or usage
            if chunk.choices and chunk.choices[0].delta.content:
                said.append(chunk.choices[0].delta.content)
                at.append(time.monotonic() - began)
        assert "".join(said) == "Once upon a time, énd."
        assert len(said) >= 4
        assert at[-1] - at[0] > 0.4
        assert usage.total_tokens == 13


def test_a_stream_that_is_cut_is_an_error_and_is_not_asked_again() -> None:
    asked: list[int] = []
    whole = pieces(0.0, cut=True)

    async def handler(request: web.Request) -> web.StreamResponse:
        asked.append(1)
        return await whole(request)

    with Streaming(handler) as url, served(one_call(), url, token=TOKEN) as site:
        stream = client(site).chat.completions.create(
            model="one", messages=[{"role": "user", "content": "hi"}], stream=True
        )
        with pytest.raises(openai.APIError):
            list(stream)
        assert len(asked) == 1


@pytest.mark.parametrize("workflow", [one_call(), typed()], ids=["plain", "typed"])
def test_what_does_not_stream_comes_in_one_piece(workflow: Workflow) -> None:
    good: dict[str, Any] = {"text": "t", "number": 1, "flag": True, "team": "a", "tags": [], "more": {"n": 1}}
    content = "hi" if workflow.name == "one" else json.dumps(good)
    with serving([Answer(text='{"label": "x"}')]) as endpoint, served(workflow, endpoint.url, token=TOKEN) as site:
        stream = client(site).chat.completions.create(
            model="one", messages=[{"role": "user", "content": content}], stream=True
        )
        said = [chunk.choices[0].delta.content for chunk in stream if chunk.choices[0].delta.content]
        assert said == ['{"label": "x"}' if workflow.name == "one" else "x"]
        assert len(endpoint.requests) == 1


def test_an_endpoint_that_refuses_streams_is_asked_without() -> None:
    def script(body: Body, index: int) -> Answer:
        return Answer.error(400, "stream is not supported") if body.get("stream") else Answer(text="whole")

    with serving(script) as endpoint, served(one_call(), endpoint.url, token=TOKEN) as site:
        got = site.post("/v1/chat/completions", CHAT | {"stream": True})
        assert b'"content":"whole"' in got.body
        assert got.body.endswith(b"data: [DONE]\n\n")


def test_a_secret_is_in_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "tok-1234567890"
    monkeypatch.setenv("MY_TOKEN", secret)
    words = ["It is ", secret[:5], secret[5:], " and Bearer", " abcdefgh12345 ", "done"]
    with Streaming(pieces(words=words)) as url, served(one_call(), url) as site:
        got = site.post("/v1/chat/completions", CHAT | {"stream": True}).body.decode()
    assert secret not in got
    deltas = [json.loads(line[6:]) for line in got.splitlines() if line.startswith("data: {")]
    text = "".join(each["choices"][0]["delta"].get("content", "") for each in deltas if each["choices"])
    assert text == "It is *** and Bearer *** done"
