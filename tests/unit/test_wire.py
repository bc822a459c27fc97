"""The wire: what is sent, what is read, and which answers are an example's failure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.models.patience import Patience
from flowbot.models.providers import provider_of
from flowbot.models.wire import Wire
from flowbot.task.task import ModelSpec
from tests.servers import Answer, Script, Server, serving

QUICK = Patience(sends=3, first_wait=0.001, longest_wait=0.002)
ASKED = Request("openai:gpt-4.1-mini", ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}
TYPED = replace(ASKED, schema=SCHEMA, schema_name="verdict")


def asking(
    script: Script, requests: Sequence[Request] = (ASKED,), mode: Any = None, **settings: Any
) -> tuple[list[Reply], Server, Wire]:
    """Ask a server one request after the other; return the replies, the server and the wire."""
    spec = ModelSpec.model_validate({"name": "openai:gpt-4.1-mini", **settings})

    async def main(server: Server) -> tuple[list[Reply], Wire]:
        wire = Wire(spec, provider_of(spec, server.url, {"OPENAI_API_KEY": "sk-test-0001"}), patience=QUICK)
        if mode is not None:
            wire.mode = mode
        try:
            return [await wire.complete(request) for request in requests], wire
        finally:
            await wire.close()

    with serving(script) as server:
        replies, wire = asyncio.run(main(server))
    return replies, server, wire


def test_a_plain_request_and_its_reply() -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 400}}
    [reply], server, _ = asking([Answer(text="Hello", usage=usage)])
    [asked] = server.requests
    assert asked.body == {"model": "gpt-4.1-mini", "messages": list(ASKED.messages), "temperature": 0.0}
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == "Bearer sk-test-0001"
    assert (reply.text, reply.failure, reply.mode, reply.retries) == ("Hello", "", "text", 0)
    used = reply.usage
    assert (used.calls, used.input_tokens, used.output_tokens, used.cached_tokens) == (1, 1000, 10, 400)
    assert used.usd == pytest.approx((600 * 0.4 + 400 * 0.1 + 10 * 1.6) / 1e6)
    assert used.seconds > 0
    assert not used.estimated


def test_settings_reach_the_body_and_extra_body_is_last() -> None:
    _, server, _ = asking(
        ["ok"],
        [replace(ASKED, temperature=0.7)],
        max_tokens=50,
        reasoning_effort="low",
        headers={"X-Title": "t", "Authorization": "Bearer other"},
        extra_body={"top_p": 0.5, "temperature": 0.1},
    )
    body = server.requests[0].body
    assert body["max_tokens"] == 50  # another server than OpenAI's own
    assert body["reasoning_effort"] == "low"
    assert (body["top_p"], body["temperature"]) == (0.5, 0.1)
    assert "seed" not in body
    assert server.requests[0].headers["X-Title"] == "t"
    assert server.requests[0].headers["Authorization"] == "Bearer sk-test-0001"
    _, server, _ = asking(["ok"], [replace(ASKED, max_tokens=7)], max_tokens=50)
    assert server.requests[0].body["max_tokens"] == 7


def test_models_that_refuse_temperature_get_none() -> None:
    _, server, _ = asking(["ok"], name="openai:o3-mini")
    assert "temperature" not in server.requests[0].body


def test_large_and_odd_messages_arrive_whole() -> None:
    text = "ä\u2028\U0001f600\x00" + "x" * 3_000_000
    _, server, _ = asking(["ok"], [replace(ASKED, messages=({"role": "user", "content": text},))])
    assert server.requests[0].prompt == text


def test_a_schema_is_sent_strictly() -> None:
    [reply], server, _ = asking([Answer(json={"a": "b"})], [TYPED])
    wanted = {"name": "verdict", "schema": SCHEMA, "strict": True}
    assert server.requests[0].body["response_format"] == {"type": "json_schema", "json_schema": wanted}
    assert (json.loads(reply.text), reply.mode) == ({"a": "b"}, "schema")


def test_refused_schemas_lower_the_mode_at_once_and_for_good() -> None:
    def script(body: dict[str, Any], index: int) -> Answer:
        kind = body.get("response_format", {}).get("type")
        return Answer(json={"a": "b"}) if kind is None else Answer.refused_schema(kind)

    replies, server, wire = asking(script, [TYPED, TYPED, ASKED])
    assert [reply.mode for reply in replies] == ["text", "text", "text"]
    assert [reply.retries for reply in replies] == [2, 0, 0]
    assert wire.mode == "text"
    kinds = [request.body.get("response_format", {}).get("type") for request in server.requests]
    assert kinds == ["json_schema", "json_object", None, None, None]
    for request in server.requests[1:4]:
        assert json.dumps(SCHEMA) in request.body["messages"][0]["content"]
        assert request.body["messages"][0]["content"].startswith("Be brief.\n\n")
        assert request.body["messages"][1]["content"] == "Hi"
    assert server.requests[4].body["messages"] == list(ASKED.messages)


def test_the_mode_can_be_restored() -> None:
    [reply], server, _ = asking(["{}"], [replace(TYPED, messages=({"role": "user", "content": "Hi"},))], mode="json")
    assert reply.mode == "json"
    assert server.requests[0].body["response_format"] == {"type": "json_object"}
    assert server.requests[0].prompt.startswith("Hi\n\n")


def test_refusals_of_one_round_lower_the_mode_once() -> None:
    def script(body: dict[str, Any], index: int) -> Answer:
        refused = body["response_format"]["type"] == "json_schema"
        return replace(Answer.refused_schema(), latency=0.02) if refused else Answer(json={"a": "b"})

    async def main(server: Server) -> list[Reply]:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        wire = Wire(spec, provider_of(spec, server.url, {}), patience=QUICK)
        replies = await asyncio.gather(*(wire.complete(TYPED) for _ in range(8)))
        await wire.close()
        return replies

    with serving(script) as server:
        assert {reply.mode for reply in asyncio.run(main(server))} == {"json"}


def test_a_late_refusal_takes_nothing_back() -> None:
    late = replace(Answer.error(400, "`temperature` is deprecated for this model."), latency=0.05)

    async def main(server: Server) -> Wire:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        wire = Wire(spec, provider_of(spec, server.url, {}), patience=QUICK)
        await asyncio.gather(wire.complete(TYPED), wire.complete(TYPED))
        await wire.close()
        return wire

    with serving([Answer.refused_schema(), late, "{}"]) as server:
        wire = asyncio.run(main(server))
    assert (wire.mode, wire.form.temperature) == ("json", False)


@pytest.mark.parametrize(
    ("message", "before", "after"),
    [
        (
            "Unsupported value: 'temperature' does not support 0. Only the default (1) value is supported.",
            "temperature",
            None,
        ),
        ("`temperature` is deprecated for this model.", "temperature", None),
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "max_tokens",
            "max_completion_tokens",
        ),
    ],
)
def test_a_refused_parameter_is_changed_and_the_mode_is_kept(message: str, before: str, after: str | None) -> None:
    def script(body: dict[str, Any], index: int) -> Answer:
        return Answer.error(400, message, "unsupported_value") if before in body else Answer(json={"a": "b"})

    replies, server, wire = asking(script, [TYPED, TYPED], max_tokens=9)
    assert len(server.requests) == 3
    assert [reply.mode for reply in replies] == ["schema", "schema"]
    assert wire.mode == "schema"
    if after:
        assert server.requests[-1].body[after] == 9


def test_forms_that_are_all_refused_end() -> None:
    def script(body: dict[str, Any], index: int) -> Answer:
        cap = "max_tokens" if "max_tokens" in body else "max_completion_tokens"
        return Answer.error(400, f"Unsupported parameter: '{cap}'")

    with pytest.raises(EndpointError, match="Unsupported parameter"):
        asking(script, max_tokens=9)


@pytest.mark.parametrize(
    ("answer", "failure", "text"),
    [
        (Answer(text="half a sen", finish="length"), r"the reply was cut at \d+ tokens \(max_tokens\)", "half a sen"),
        (Answer(text=None, finish="length"), r"the reply was cut at \d+ tokens", ""),
        (Answer(text="", finish="content_filter"), "the model refused: its content filter", ""),
        (Answer(text=None, refusal="I cannot."), "the model refused: I cannot.", ""),
        (Answer(text=" \n"), "the reply is empty", " \n"),
        (Answer(text=None, finish=None), "the reply is empty", ""),
        (
            Answer.error(400, "This model's maximum context length is 8192 tokens.", "context_length_exceeded"),
            "the prompt is longer than the model's context",
            "",
        ),
        (Answer.error(400, "prompt is too long: 210000 tokens > 200000 maximum"), "longer than", ""),
        (Answer.error(400, "request exceeds the available context size, try increasing it"), "longer than", ""),
        (Answer.error(413, "Request too large"), "longer than", ""),
        (Answer.error(400, "The response was filtered", "content_filter"), "the model refused: The response was", ""),
        (Answer.error(403, "Your input was flagged by moderation"), "the model refused: Your input", ""),
    ],
)
def test_an_examples_failures_are_data(answer: Answer, failure: str, text: str) -> None:
    import re

    for request in (ASKED, TYPED):
        [reply], server, wire = asking([answer], [request])
        assert re.match(f".*{failure}", reply.failure)
        assert reply.text == text
        assert reply.usage.calls == 1
        assert reply.usage.input_tokens > 0
        assert len(server.requests) == 1
        assert wire.mode == "schema"


def test_content_may_come_in_parts() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "Yes"}]
    body = json.dumps({"choices": [{"message": {"content": parts}, "finish_reason": "stop"}]})
    [reply], _, _ = asking([Answer(body=body)])
    assert (reply.text, reply.failure) == ("Yes", "")


def test_a_providers_own_check_gives_its_draft_back() -> None:
    error = {"error": {"message": "Failed to validate JSON", "code": "json_validate_failed", "failed_generation": "{a"}}
    [reply], server, wire = asking([Answer(status=400, body=json.dumps(error))], [TYPED])
    assert (reply.text, reply.failure, wire.mode) == ("{a", "", "schema")
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "usage", [None, {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": "many"}, {"completion_tokens": 3}]
)
def test_missing_usage_is_estimated_upwards(usage: dict[str, Any] | None) -> None:
    [reply], _, _ = asking([Answer(text="Hello you", usage=usage)])
    assert reply.usage.estimated
    assert reply.usage.input_tokens == (3 + 8) + (1 + 8)
    assert reply.usage.output_tokens == 3
    assert reply.usage.usd


@pytest.mark.parametrize("count", [10**400, -5, 1e300, float("inf"), float("nan"), True, "many", [[]]])
def test_counts_that_cannot_be_are_as_missing(count: Any) -> None:
    usage = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": count}
    details = {"prompt_tokens_details": {"cached_tokens": count}}
    [reply], _, _ = asking([Answer(text="Hello", usage=usage | details)])
    [plain], _, _ = asking([Answer(text="Hello", usage=None)])
    assert replace(reply.usage, seconds=0) == replace(plain.usage, seconds=0)


def test_reasoning_that_only_the_total_tells_is_counted() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115}
    [reply], _, _ = asking([Answer(text="Hello", usage=usage)])
    assert reply.usage.output_tokens == 105
    assert not reply.usage.estimated


def test_money_is_unknown_where_the_price_is() -> None:
    [reply], _, _ = asking(["ok"], name="openai:no-such-model")
    assert reply.usage.usd is None


def test_calls_share_connections_and_the_limit_holds() -> None:
    async def main(server: Server) -> list[Reply]:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        wire = Wire(spec, provider_of(spec, server.url, {}), concurrency=4)
        asked = [replace(ASKED, messages=({"role": "user", "content": str(n)},)) for n in range(20)]
        replies = await asyncio.gather(*(wire.complete(request) for request in asked))
        await wire.close()
        await wire.close()
        return replies

    with serving(lambda body, index: Answer(text=body["messages"][0]["content"], latency=0.01)) as server:
        replies = asyncio.run(main(server))
    assert [reply.text for reply in replies] == [str(n) for n in range(20)]
    assert server.most_in_flight == 4
