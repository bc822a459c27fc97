"""The meter: calls pass as they are, are counted by label, and stop at the wall."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from flowbot.faces.api import ainduce
from flowbot.faces.meter import Forward, Meter, Tally, serving, upstream_of, upstream_to
from flowbot.faces.options import Options
from flowbot.models.scripted import World
from flowbot.models.scripted.__main__ import written
from flowbot.models.scripted.server import application
from flowbot.money import Budget, Price, Usage
from flowbot.task.task import ModelSpec
from tests.metering import HI, Client, events, through, upstream
from tests.servers import Answer, Body
from tests.servers import serving as scripted

PRICE = {"m": Price(1e6, 2e6)}  # a dollar a token of input, two of output
KEY = "sk-secret-000001"
TOOLS = [{"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}]
PIECES: list[Body] = [
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "two "}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "words"}, "finish_reason": "stop"}]},
]
COUNTED: Body = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


def told(given: int, made: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}


# ------------------------------------------------------------------ passing on


def test_a_call_passes_as_it_is_and_is_counted() -> None:
    body = b'{"model": "m",  "messages": [{"role": "user", "content": "hi"}], "tools": %s, "odd": 1e2}'
    body %= json.dumps(TOOLS).encode()
    answer = Answer(text=None, calls=[("search", {"query": "x"})], finish="tool_calls", usage=told(11, 5))

    async def work(client: Client) -> None:
        got = await client.ask(body, headers={"X-Own": "1", "Cookie": "c=1"})
        message = got.json["choices"][0]["message"]
        assert message["tool_calls"][0]["function"] == {"name": "search", "arguments": '{"query": "x"}'}
        usage = (await client.tally()).usage
        assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.estimated) == (1, 11, 5, False)
        assert usage.seconds > 0

    with scripted([answer]) as server:
        through(Meter(Forward(server.url)), work)
        [arrived] = server.requests
    assert arrived.body == json.loads(body)
    assert int(arrived.headers["Content-Length"]) == len(body)
    assert (arrived.headers["X-Own"], arrived.path) == ("1", "/v1/chat/completions")
    assert "Cookie" not in arrived.headers


@pytest.mark.parametrize(
    ("path", "body", "reply", "usage"),
    [
        ("completions", {"prompt": "hi"}, {"choices": [{"text": "ho"}], "usage": told(3, 4)}, (3, 4)),
        ("embeddings", {"input": ["hi"]}, {"data": [], "usage": {"prompt_tokens": 5, "total_tokens": 5}}, (5, 0)),
        (
            "responses",
            {"input": "hi"},
            {"error": None, "output": [], "usage": {"input_tokens": 6, "output_tokens": 2, "total_tokens": 8}},
            (6, 2),
        ),
    ],
)
def test_other_paths_are_counted_too(path: str, body: Body, reply: Body, usage: tuple[int, int]) -> None:
    async def work(client: Client) -> None:
        assert (await client.ask({"model": "m", **body}, path=path)).json == reply
        found = (await client.tally()).usage
        assert (found.calls, found.input_tokens, found.output_tokens, found.estimated) == (1, *usage, False)

    with scripted([Answer(body=json.dumps(reply))]) as server:
        through(Meter(Forward(server.url)), work)
        assert server.requests[0].path == f"/v1/{path}"


def test_what_is_not_reported_is_estimated() -> None:
    async def work(client: Client) -> None:
        await client.ask()
        usage = (await client.tally()).usage
        assert usage.estimated
        assert usage.input_tokens >= 1
        assert usage.output_tokens == 4  # a token for each 3 bytes

    with scripted([Answer(text="eleven text", usage=None)]) as server:
        through(Meter(Forward(server.url)), work)


@pytest.mark.parametrize(("key", "sent"), [(KEY, f"Bearer {KEY}"), ("", "Bearer own")])
def test_the_configured_key_wins_over_the_clients(key: str, sent: str) -> None:
    async def work(client: Client) -> None:
        await client.ask(headers={"Authorization": "Bearer own"})

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url, key)), work)
        assert server.requests[0].headers["Authorization"] == sent


@pytest.mark.parametrize("asks", [False, True])
def test_a_stream_passes_and_is_counted_at_its_end(asks: bool) -> None:
    def script(body: Body, index: int) -> Answer:
        assert body["stream_options"] == {"include_usage": True}
        return Answer(body=events(*PIECES, COUNTED), headers=STREAM)

    async def work(client: Client) -> None:
        options = {"stream_options": {"include_usage": True}} if asks else {}
        got = await client.ask({**HI, "stream": True, **options})
        assert got.body == (events(*PIECES, COUNTED) if asks else events(*PIECES))
        usage = (await client.tally()).usage
        assert (usage.calls, usage.input_tokens, usage.output_tokens, usage.estimated) == (1, 7, 2, False)

    with scripted(script) as server:
        through(Meter(Forward(server.url)), work)


def test_the_events_of_a_stream_do_not_wait_for_its_end() -> None:
    async def main() -> None:
        seen = asyncio.Event()

        async def bit_by_bit(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers=STREAM)
            await response.prepare(request)
            await response.write(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"cho')
            await asyncio.wait_for(seen.wait(), 5)
            await response.write(b'ices": []}\r\n\r\ndata: [DONE]\n\n')
            return response

        first = b'data: {"choices": [{"delta": {"content": "a"}}]}\n\n'
        async with (
            upstream(bit_by_bit) as url,
            serving(Meter(Forward(url))) as root,
            aiohttp.ClientSession() as http,
            http.post(f"{root}/v1/chat/completions", json={**HI, "stream": True}) as answer,
        ):
            assert await answer.content.readuntil(b"\n\n") == first
            seen.set()
            assert await answer.read() == b'data: {"choices": []}\r\n\r\ndata: [DONE]\n\n'

    asyncio.run(main())


def test_a_responses_stream_is_counted() -> None:
    done = {"type": "response.completed", "response": {"usage": {"input_tokens": 4, "output_tokens": 3}}}

    async def work(client: Client) -> None:
        body = events({"type": "response.output_text.delta", "delta": "hey"}, done)
        assert (await client.ask({"model": "m", "input": "hi", "stream": True}, path="responses")).body == body
        usage = (await client.tally()).usage
        assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (4, 3, False)

    with scripted(
        [Answer(body=events({"type": "response.output_text.delta", "delta": "hey"}, done), headers=STREAM)]
    ) as server:
        through(Meter(Forward(server.url)), work)
        assert "stream_options" not in server.requests[0].body


# ------------------------------------------------------------------ labels and the wall


def test_a_budget_of_calls_is_exact_under_concurrency() -> None:
    async def work(client: Client) -> None:
        got = await asyncio.gather(*(client.ask() for _ in range(200)))
        assert Counter(each.status for each in got) == {200: 50, 429: 150}
        tally = await client.tally()
        assert (tally.usage.calls, tally.refused) == (50, 150)

    with scripted([Answer(text="ok", latency=0.01)]) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=50)), work)
        assert len(server.requests) == 50


def test_a_call_that_fails_gives_its_place_back() -> None:
    async def work(client: Client) -> None:
        got = await asyncio.gather(*(client.ask() for _ in range(30)))
        assert Counter(each.status for each in got) == {500: 5, 200: 10, 429: 15}

    script = [Answer(status=500, body="{}", latency=0.05)] * 5 + [Answer(text="ok")]
    with scripted(script) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=10)), work)


def test_what_is_refused_says_so() -> None:
    async def work(client: Client) -> None:
        assert (await client.ask(label="race-s0")).status == 200
        got = await client.ask(label="race-s0")
        assert got.status == 429
        assert got.headers["x-should-retry"] == "false"
        assert got.json["error"] == {
            "message": "the budget of 30 usd is reached (24 used) for 'race-s0'; this call may take 24",
            "type": "budget_reached",
            "code": "budget_reached",
            "param": None,
        }

    with scripted([Answer(text="ok", usage=told(8, 8))]) as server:
        through(Meter(Forward(server.url), PRICE, budget=Budget(usd=30)), work)
        assert len(server.requests) == 1


def test_labels_have_walls_of_their_own() -> None:
    async def work(client: Client) -> None:
        meter.bound("b", Budget(calls=2))
        meter.bound("a.test", Budget())
        got = {label: [(await client.ask(label=label)).status for _ in range(3)] for label in ("a", "b", "a.test")}
        assert got == {"a": [200, 429, 429], "b": [200, 200, 429], "a.test": [200, 200, 200]}
        assert meter.labels == ["a", "b", "a.test"]
        meter.bound("a", Budget(calls=2))
        assert (await client.ask()).status == 200
        found = (await client.get("meter")).json
        assert {label: each["calls"] for label, each in found["labels"].items()} == {"a": 2, "b": 2, "a.test": 3}
        assert found["total"]["calls"] == 7
        assert Tally.of(found["labels"]["b"]) == meter.tally("b") == await client.tally("b")
        assert (await client.get("a/meter")).json["budget"] == {"calls": 2}
        assert meter.tally("never") == await client.tally("never") == Tally()

    with scripted(["ok"]) as server:
        meter = Meter(Forward(server.url), budget=Budget(calls=1))
        through(meter, work)


def test_a_shared_wall_holds_for_all_labels() -> None:
    async def work(client: Client) -> None:
        assert [(await client.ask(label=label)).status for label in ("a", "b", "c")] == [200, 200, 429]
        meter.bound("c", Budget(calls=1))
        assert [(await client.ask(label="c")).status for _ in range(2)] == [200, 429]
        assert [meter.tally(label).usage.calls for label in "abc"] == [1, 1, 1]

    with scripted(["ok"]) as server:
        meter = Meter(Forward(server.url), budget=Budget(calls=2), shared=True)
        through(meter, work)


def test_usage_is_told_by_model_and_priced() -> None:
    async def work(client: Client) -> None:
        await client.ask()
        await client.ask({**HI, "model": "unheard-of"})
        tally = await client.tally()
        assert {name: (each.calls, each.usd) for name, each in tally.models.items()} == {
            "m": (1, 7.0),
            "unheard-of": (1, None),
        }
        assert tally.usage.usd is None
        meter.bound("a", Budget(usd=1000))
        assert (await client.ask({**HI, "model": "unheard-of"})).code == "price_unknown"

    with scripted([Answer(text="ok", usage=told(3, 2))]) as server:
        meter = Meter(Forward(server.url), PRICE)
        through(meter, work)
        assert len(server.requests) == 2


def test_latency_is_added_to_answers() -> None:
    async def work(client: Client) -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(client.ask(), client.ask({**HI, "model": "bad"}))
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert (await client.tally()).usage.seconds >= 0.2

    with scripted(lambda body, _: Answer.error(404) if body["model"] == "bad" else "ok") as server:
        through(Meter(Forward(server.url), latency=0.2), work)


# ------------------------------------------------------------------ upstreams by name


def test_a_provider_is_known_by_its_name_and_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "GROQ_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="OPENAI_API_KEY is not set"):
        upstream_of([ModelSpec(name="openai:gpt-4.1-mini")])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    routed = upstream_of([ModelSpec(name="openai:gpt-4.1-mini"), ModelSpec(name="vllm:own", base_url="http://h/v1")])
    assert routed.name == "gpt-4.1-mini at https://api.openai.com/v1; own at http://h/v1"
    assert routed.price("gpt-4.1-mini") == Price(0.4, 1.6, 0.1)
    assert routed.price("own") == Price(0, 0, 0)
    own = upstream_to("https://api.openai.com/v1")
    assert (own.price("gpt-4.1-mini"), own.priced) == (Price(0.4, 1.6, 0.1), True)
    assert (upstream_to("http://127.0.0.1:1/v1").price("gpt-4.1-mini"), KEY in repr(vars(own))) == (None, True)
    assert KEY not in repr(vars(upstream_to("http://127.0.0.1:1/v1")))  # no key to hosts that are not the provider's
    with pytest.raises(ValueError, match="two models have the id 'x'"):
        upstream_of([ModelSpec(name="vllm:x"), ModelSpec(name="ollama:x")])


def test_only_the_models_named_are_answered() -> None:
    async def work(client: Client) -> None:
        assert [each["id"] for each in (await client.get("a/v1/models")).json["data"]] == ["m"]
        assert (await client.ask()).status == 200
        got = await client.ask({**HI, "model": "n"})
        assert (got.status, got.code) == (404, "model_not_found")

    with scripted(["ok"]) as server:
        through(Meter(upstream_of([ModelSpec(name="vllm:m")], server.url)), work)


# ------------------------------------------------------------------ whole programs


@pytest.mark.slow
def test_the_official_client_works() -> None:
    openai = pytest.importorskip("openai")

    async def work(client: Client) -> None:
        async with openai.AsyncOpenAI(base_url=f"{client.root}/sdk/v1", api_key="any") as sdk:
            asked: Any = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
            reply = await sdk.chat.completions.create(**asked)
            assert (reply.choices[0].message.content, reply.usage.total_tokens) == ("two words", 9)
            stream = await sdk.chat.completions.create(**asked, stream=True)
            said = [chunk.choices[0].delta.content async for chunk in stream]
            assert said == ["two ", "words"]
            with pytest.raises(openai.RateLimitError, match="the budget of 2 calls is reached") as caught:
                await sdk.chat.completions.create(**asked)
            assert caught.value.code == "budget_reached"
            tally = await client.tally("sdk")
            assert (tally.usage.calls, tally.refused, tally.usage.tokens) == (2, 1, 18)  # it does not try again

    def script(body: Body, index: int) -> Answer:
        streamed = Answer(body=events(*PIECES, COUNTED), headers=STREAM)
        return streamed if body.get("stream") else Answer(text="two words", usage=told(7, 2))

    with scripted(script) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=2)), work)


@pytest.mark.slow
def test_an_inductions_ledger_is_what_the_meter_counts(tmp_path: Path) -> None:
    async def main() -> None:
        world = World("missing_hop")
        runner = web.AppRunner(application(world), access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            meter = Meter(Forward(f"http://127.0.0.1:{runner.addresses[0][1]}/v1"))
            async with serving(meter) as root:
                task = written(world, tmp_path)
                result = await ainduce(task, options=Options(base_url=f"{root}/race-s0/v1", budget_calls=1500))
            paid, counted = result.ledger.total, meter.tally("race-s0").usage
            assert paid.calls > 100
            assert (counted.calls, counted.input_tokens, counted.output_tokens, counted.estimated) == (
                paid.calls,
                paid.input_tokens,
                paid.output_tokens,
                False,
            )
            assert 0 < counted.seconds < paid.seconds
            assert meter.tally("race-s0").errors == meter.tally("race-s0").gone == 0
            assert sum(meter.tally("race-s0").models.values(), Usage()).calls == paid.calls
        finally:
            await runner.cleanup()

    asyncio.run(main())
