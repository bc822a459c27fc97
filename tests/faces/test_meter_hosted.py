"""Models in this process behind the meter: they answer chat completions as an endpoint does."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request, ToolCall
from flowbot.faces.meter import Hosted, Meter, upstream_of
from flowbot.models.catalogue import find, model_path
from flowbot.models.pull import pull
from flowbot.money import Budget, Price, Usage
from flowbot.store.session import Opened
from flowbot.task.task import ModelSpec
from tests.metering import HI, Client, Got, through

TOOL = {"type": "function", "function": {"name": "search", "description": "Finds.", "parameters": {"type": "object"}}}
TEAM = {"team": {"type": "string", "enum": ["billing", "tech"]}}
SCHEMA = {"type": "object", "properties": TEAM, "required": ["team"], "additionalProperties": False}
FORM = {"type": "json_schema", "json_schema": {"name": "route", "schema": SCHEMA}}


class Stub:
    """A model that gives one reply and remembers what it was asked."""

    def __init__(self, reply: Reply | Callable[[Request], Reply]) -> None:
        self.reply, self.asked = reply, list[Request]()

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        return self.reply(request) if callable(self.reply) else self.reply


def asked(reply: Any, *bodies: dict[str, Any]) -> tuple[list[Got], list[Request], Meter]:
    stub = Stub(reply)
    meter = Meter(Hosted({"m": Opened(stub, Price(1e6, 1e6))}))

    async def work(client: Client) -> list[Got]:
        return [await client.ask({**HI, **body}) for body in bodies]

    return through(meter, work), stub.asked, meter


def text(said: str, made: int = 2, failure: str = "") -> Reply:
    return Reply(said, Usage(1, 5, made, 3), failure)


def test_a_reply_has_the_form_of_a_completion() -> None:
    [got], [request], meter = asked(text("two words"), {})
    choice = got.json["choices"][0]
    assert (got.text, choice["finish_reason"], got.json["object"]) == ("two words", "stop", "chat.completion")
    assert got.json["usage"]["prompt_tokens_details"] == {"cached_tokens": 3}
    assert (request.messages, request.max_tokens, request.temperature) == (tuple(HI["messages"]), 8, 1.0)
    usage = meter.tally("a").usage
    assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.usd, usage.estimated) == (1, 5, 2, 7.0, False)


def test_what_is_asked_reaches_the_model() -> None:
    content = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": content, "name": "x"}]
    body = {"messages": messages, "temperature": 0, "max_completion_tokens": 3, "response_format": FORM}
    _, requests, _ = asked(text("{}"), body, {"response_format": {"type": "json_object"}}, {"tools": [TOOL]})
    first, free, armed = requests
    assert first.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "a\nb"})
    assert (first.temperature, first.max_tokens, first.schema, first.schema_name) == (0.0, 3, SCHEMA, "route")
    assert free.schema == {"type": "object"}
    assert [(tool.name, tool.description) for tool in armed.tools] == [("search", "Finds.")]
    assert (armed.may_call, first.may_call) == (True, False)


def test_tools_are_called_and_their_turns_come_back() -> None:
    called = {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"q": 1}'}}
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"},
    ]
    reply = Reply("", Usage(1, 5, 2), calls=(ToolCall("search", '{"q": 1}'),))
    got, requests, _ = asked(reply, {"tools": [TOOL]}, {"messages": turns}, {"tools": [TOOL], "tool_choice": "none"})
    choice = got[0].json["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"q": 1}'}
    assert requests[1].messages[1] == {"role": "assistant", "content": "", "tool_calls": [called]}
    assert [(each.tools[0].name, each.may_call) for each in requests[1:]] == [("search", False)] * 2


def test_n_draws_differ_and_repeat_by_seed() -> None:
    def drawn(request: Request) -> Reply:
        return text(request.draw)

    got, requests, meter = asked(drawn, {"n": 3}, {"n": 3}, {"seed": 7}, {"seed": 7})
    said = [[choice["message"]["content"] for choice in each.json["choices"]] for each in got]
    assert len(set(said[0] + said[1])) == 6
    assert said[2] == said[3]
    assert got[0].json["usage"] == {
        "prompt_tokens": 5,
        "completion_tokens": 6,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    assert meter.tally("a").usage.calls == 4
    assert len(requests) == 8


def test_draws_are_those_of_a_sequence_that_labels_may_share() -> None:
    meter = Meter(Hosted({"m": Opened(Stub(lambda request: text(request.draw)))}))
    for label, draws in (("a.s0", "seed 0"), ("b.s0", "seed 0"), ("a.s1", "seed 1")):
        meter.bound(label, Budget(), draws)

    async def work(client: Client) -> list[Got]:
        return [await client.ask(HI, label) for label in ("a.s0", "b.s0", "a.s1") for _ in range(2)]

    said = [got.text for got in through(meter, work)]
    assert said[:2] == said[2:4]
    assert len(set(said)) == 4


@pytest.mark.parametrize(
    ("reply", "stop", "content", "end"),
    [
        (text("one. two. three"), ["three", "."], "one", "stop"),
        (text("one", failure="the reply was cut at 2 tokens"), None, "one", "length"),
        (text("one\ntwo", failure="the reply was cut at 2 tokens"), "\n", "one", "stop"),
        (text("", failure="the reply is empty"), None, "", "stop"),
        (text("", failure="the model refused: no"), None, "", "content_filter"),
    ],
)
def test_how_a_reply_ends(reply: Reply, stop: Any, content: str, end: str) -> None:
    [got], _, _ = asked(reply, {"stop": stop} if stop else {})
    assert (got.text, got.json["choices"][0]["finish_reason"]) == (content, end)


@pytest.mark.parametrize("asks", [False, True])
def test_a_stream_is_one_event_and_the_end(asks: bool) -> None:
    [got], _, meter = asked(text("ho"), {"stream": True, "stream_options": {"include_usage": asks}})
    *found, end = [line.removeprefix("data: ") for line in got.body.decode().split("\n\n") if line]
    plain = [json.loads(each) for each in found]
    assert plain[0]["choices"][0]["delta"]["content"] == "ho"
    assert [each["usage"]["total_tokens"] for each in plain[1:]] == [7] * asks
    assert (end, meter.tally("a").usage.tokens) == ("[DONE]", 7)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"logprobs": True}, "logprobs is not answered"),
    ({"n": 0.5}, "n must be"),
    ({"n": 1000}, "n must be"),
    ({"max_tokens": -1}, "max_tokens must be"),
    ({"messages": []}, "messages must be"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "parts of the type text"),
    ({"messages": ["hi"]}, "each message must be"),
    ({"response_format": {"type": "odd"}}, "response_format must be"),
    ({"response_format": "json"}, "response_format must be"),
    ({"temperature": "hot"}, "could not convert"),
    ({"tools": [{}]}, "function"),
]


@pytest.mark.parametrize(("body", "said"), REFUSED)
def test_what_cannot_be_answered_is_refused(body: dict[str, Any], said: str) -> None:
    [got], requests, meter = asked(text("ok"), body)
    assert (got.status, got.code, requests) == (400, "bad_request", [])
    assert said in got.json["error"]["message"]
    assert (meter.tally("a").errors, meter.tally("a").usage.calls) == (1, 0)


def test_failures_of_the_model_are_told() -> None:
    overflow = text("", failure="the prompt of 9 tokens does not fit into the context of 4 tokens")
    [got], _, _ = asked(overflow, {})
    assert (got.status, got.code) == (400, "context_length_exceeded")

    def fails(request: Request) -> Reply:
        raise EndpointError("the local model is closed")

    [got], _, meter = asked(fails, {})
    assert (got.status, got.code, got.json["error"]["message"]) == (502, "model_failed", "the local model is closed")
    assert meter.tally("a").usage.calls == 0


def test_other_paths_and_models_are_not_here() -> None:
    async def work(client: Client) -> None:
        assert (await client.ask(path="embeddings")).status == 404
        assert (await client.ask({**HI, "model": "n"})).code == "model_not_found"
        assert [each["id"] for each in (await client.get("v1/models")).json["data"]] == ["m"]

    through(Meter(Hosted({"m": Opened(Stub(text("ok")))})), work)


def test_a_client_that_leaves_frees_the_model() -> None:
    ended = asyncio.Event()

    class Slow:
        async def complete(self, request: Request) -> Reply:
            try:
                await asyncio.sleep(30)
            finally:
                ended.set()
            return text("late")

    async def work(client: Client) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask(), 0.2)
        await asyncio.wait_for(ended.wait(), 5)

    through(Meter(Hosted({"m": Opened(Slow())})), work)


@pytest.mark.model
@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra 'local'")
def test_a_local_model_is_an_endpoint(flowbot_home: Path, request: pytest.FixtureRequest) -> None:
    name = "smollm2-135m"
    if not model_path(find(name)).is_file():
        request.getfixturevalue("network")
    asyncio.run(pull(name))

    async def work(client: Client) -> None:
        ask = {"model": name, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 12, "temperature": 0}
        got = await client.ask({**ask, "response_format": FORM})
        assert json.loads(got.text)["team"] in ("billing", "tech")
        assert got.json["usage"]["prompt_tokens"] > 5
        free = await client.ask({**ask, "response_format": {"type": "json_object"}, "max_tokens": 40})
        assert free.text.startswith("{")
        warm = await client.ask({**ask, "n": 4, "temperature": 1.5})
        assert len({choice["message"]["content"] for choice in warm.json["choices"]}) > 1
        usage = (await client.tally()).usage
        assert (usage.calls, usage.usd, usage.estimated) == (3, 0.0, False)

    spec = ModelSpec(name=f"local:{name}", context=512, slots=2, threads=1)
    through(Meter(upstream_of([spec])), work)
