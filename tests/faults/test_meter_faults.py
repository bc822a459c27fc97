"""What goes wrong before, behind and inside the meter: it is told clearly, counted rightly, and leaks no key."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from flowbot.errors import InputError
from flowbot.faces.meter import Forward, Meter, serving
from flowbot.money import Budget, Price, Usage
from tests.metering import HI, Client, events, through, upstream
from tests.servers import Answer, Body
from tests.servers import serving as scripted

KEY = "sk-secret-000001"
STREAM = {"Content-Type": "text/event-stream"}
PIECE: Body = {"choices": [{"index": 0, "delta": {"content": "six char"}}]}


def nowhere() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


# ------------------------------------------------------------------ behind it


def test_an_upstream_that_is_down_is_a_502() -> None:
    url = nowhere()

    async def work(client: Client) -> None:
        for got in (await client.ask(), await client.get("v1/models")):
            assert (got.status, got.code, got.json["error"]["type"]) == (502, "upstream_unreachable", "upstream_error")
            assert got.json["error"]["message"].startswith(f"{url} cannot be reached (ClientConnectorError: ")
            assert "x-should-retry" not in got.headers
        tally = await client.tally()
        assert (tally.errors, tally.usage) == (1, Usage())

    through(Meter(Forward(url, KEY), budget=Budget(calls=1)), work)


def test_an_upstream_that_is_silent_is_a_504() -> None:
    async def work(client: Client) -> None:
        got = await client.ask()
        assert (got.status, got.code) == (504, "upstream_timeout")
        assert got.json["error"]["message"].endswith("was silent for 0.2 seconds")
        assert (await client.tally()).usage.calls == 0

    with scripted([Answer(text="late", latency=5)]) as server:
        through(Meter(Forward(server.url, timeout=0.2)), work)


@pytest.mark.parametrize(
    "answer", [Answer.busy(7), Answer.error(503, "over", retry_after="3"), Answer.error(400, "bad"), Answer.error(401)]
)
def test_errors_pass_through_and_are_not_charged(answer: Answer) -> None:
    async def work(client: Client) -> None:
        got = await client.ask()
        assert (got.status, got.body.decode()) == (answer.status, answer.body)
        assert got.headers.get("Retry-After") == answer.headers.get("retry-after")
        assert (await client.ask()).status == 200
        tally = await client.tally()
        assert (tally.errors, tally.refused, tally.usage.calls) == (1, 0, 1)

    with scripted([answer, "ok"]) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=1)), work)


@pytest.mark.parametrize("body", ['{"error": {"message": "inside", "code": 502}}', "<html>", "[]"])
def test_an_error_with_a_good_status_is_no_answer(body: str, tmp_path: Path) -> None:
    async def work(client: Client) -> None:
        assert (await client.ask()).body == body.encode()
        tally = await client.tally()
        assert (tally.errors, tally.usage.calls) == (1, 0)

    with scripted([Answer(body=body)]) as server:
        for _ in range(2):
            through(Meter(Forward(server.url), cache=tmp_path), work)
        assert len(server.requests) == 2  # nor is it kept


def test_redirects_are_not_followed() -> None:
    async def work(client: Client) -> None:
        got = await client.ask()
        assert (got.status, got.code) == (502, "upstream_failed")
        assert "redirects elsewhere (HTTP 307)" in got.json["error"]["message"]

    with scripted(["stolen"]) as other, scripted([Answer.redirect(f"{other.url}/chat/completions")]) as server:
        through(Meter(Forward(server.url, KEY)), work)
        assert other.requests == []


def test_a_body_that_breaks_off_is_a_502() -> None:
    async def work(client: Client) -> None:
        got = await client.ask()
        assert (got.status, got.code) == (502, "upstream_broke")

    with scripted([Answer(text="cut in the middle", cut=True)]) as server:
        through(Meter(Forward(server.url)), work)


def test_a_stream_that_breaks_off_breaks_for_the_client() -> None:
    async def work(client: Client) -> None:
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.ask({**HI, "stream": True})
        tally = await client.tally()
        assert (tally.errors, tally.usage.calls) == (1, 0)

    with scripted([Answer(body=events(PIECE) * 3, headers=STREAM, cut=True)]) as server:
        through(Meter(Forward(server.url)), work)


def test_an_endpoint_that_refuses_stream_options_is_asked_without() -> None:
    def script(body: Body, index: int) -> Answer:
        if "stream_options" in body:
            return Answer.error(400, "Unrecognized request argument supplied: stream_options")
        return Answer(body=events(PIECE), headers=STREAM)

    async def work(client: Client) -> None:
        for _ in range(2):
            assert (await client.ask({**HI, "stream": True})).body == events(PIECE)
        usage = (await client.tally()).usage
        assert (usage.calls, usage.output_tokens, usage.estimated) == (2, 6, True)

    with scripted(script) as server:
        through(Meter(Forward(server.url)), work)
        assert len(server.requests) == 3


# ------------------------------------------------------------------ before it


@pytest.mark.parametrize("body", [b"{", b"", b"[1]", b"\xff\xfe", b"[" * 100_000, b'"text"'])
def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    async def work(client: Client) -> None:
        got = await client.ask(body)
        assert (got.status, got.code) == (400, "bad_json")
        assert (await client.tally()).usage.calls == 0

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url)), work)
        assert server.requests == []


@pytest.mark.parametrize("odd", [{"model": 7}, {"model": None}, {"max_tokens": "many"}, {"n": -1}, {"messages": 3}])
def test_odd_values_are_the_upstreams_to_judge(odd: Body) -> None:
    async def work(client: Client) -> None:
        assert (await client.ask({**HI, **odd})).status == 200

    with scripted([Answer(text="ok", usage={"prompt_tokens": "x", "completion_tokens": -1})]) as server:
        through(Meter(Forward(server.url)), work)
        assert server.requests[0].body == {**HI, **odd}


@pytest.mark.parametrize("path", ["", "v1", "a/v1/audio/speech", "a/v2/models", "v1/v1/models", "%20/v1/models"])
def test_a_path_that_is_none_is_a_404(path: str) -> None:
    async def work(client: Client) -> None:
        got = await client.get(path)
        assert (got.status, got.code in ("unknown_path", "bad_label")) == (404, True)

    through(Meter(Forward(nowhere())), work)


@pytest.mark.slow
def test_a_large_body_passes_and_a_huge_one_is_refused() -> None:
    def large(size: int) -> bytes:
        return json.dumps({**HI, "messages": [{"role": "user", "content": "x" * size}]}).encode()

    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for at in range(0, len(body), 2**20):
            yield body[at : at + 2**20]

    async def work(client: Client) -> None:
        assert (await client.ask(large(10 * 2**20))).status == 200
        huge = large(100 * 2**20)
        got = await client.ask(huge)
        assert (got.status, got.code) == (413, "body_too_large")
        async with client.http.post(f"{client.root}/v1/chat/completions", data=pieces(huge)) as answer:
            assert answer.status == 413
        assert (await client.tally()).usage.calls == 1

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url)), work)
        assert len(server.requests) == 1
        assert len(server.requests[0].prompt) == 10 * 2**20


@pytest.mark.parametrize(
    ("origin", "status"), [("https://evil.example", 403), ("null", 403), ("http://localhost:3", 200)]
)
def test_web_pages_of_other_sites_spend_nothing(origin: str, status: int) -> None:
    async def work(client: Client) -> None:
        assert (await client.ask(headers={"Origin": origin})).status == status

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url, KEY)), work)


@pytest.mark.parametrize("streams", [False, True])
def test_a_client_that_leaves_ends_its_call_and_pays_by_estimate(streams: bool) -> None:
    async def main() -> None:
        begun, ended = asyncio.Event(), asyncio.Event()

        async def slow(request: web.Request) -> web.StreamResponse:
            try:
                response = web.StreamResponse(headers=STREAM)
                if streams:
                    await response.prepare(request)
                    await response.write(b"data: " + json.dumps(PIECE).encode() + b"\n\n")
                begun.set()
                await asyncio.sleep(30)
                return response
            finally:
                ended.set()

        async with upstream(slow) as url:
            meter = Meter(Forward(url), {"m": Price(1e6, 1e6)}, budget=Budget(calls=1))
            async with serving(meter) as root, aiohttp.ClientSession() as http:
                asking = asyncio.create_task(Client(root, http).ask({**HI, "stream": streams}))
                waiting = asyncio.create_task(Client(root, http).ask())
                await asyncio.wait_for(begun.wait(), 5)
                await asyncio.sleep(0.05)
                asking.cancel()
                await asyncio.wait_for(ended.wait(), 5)
                assert (await waiting).status == 429  # it waited for what the other might have given back
                tally = meter.tally("a")
                assert (tally.gone, tally.refused, tally.errors, tally.usage.calls) == (1, 1, 0, 1)
                assert tally.usage.output_tokens == (3 if streams else 0)
                assert tally.usage.estimated
                assert 0 < tally.usage.input_tokens < 20

    asyncio.run(main())


def test_a_client_that_leaves_at_the_wall_costs_nothing() -> None:
    async def work(client: Client) -> None:
        first = asyncio.create_task(client.ask())
        await asyncio.sleep(0.1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.ask(), 0.1)
        assert (await first).status == 200
        tally = await client.tally()
        assert (tally.usage.calls, tally.gone, tally.refused) == (1, 0, 0)

    with scripted([Answer(text="ok", latency=0.5)]) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=1)), work)
        assert len(server.requests) == 1


# ------------------------------------------------------------------ inside it


def test_no_key_is_told_logged_or_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = [Answer.error(401, f"Incorrect API key provided: {KEY}"), Answer(text="ok", headers={"Set-Cookie": "a=1"})]

    async def work(client: Client) -> list[str]:
        told = [await client.ask(headers={"Authorization": "Bearer own-key-000002"}) for _ in range(3)]
        told += [await client.get("meter"), await client.get("a/meter")]
        assert "***" in told[0].json["error"]["message"]
        return [f"{got.headers} {got.body}" for got in told]

    with scripted(script) as server:
        url = server.url.replace("http://", f"http://user:{KEY}@")
        for forward in (Forward(server.url, KEY), Forward(server.url, auth={"api-key": KEY}), Forward(url)):
            server.requests.clear()
            meter = Meter(forward, cache=tmp_path)
            told = through(meter, work)
            kept = b"".join(each.read_bytes() for each in tmp_path.iterdir())
            for text in (*told, caplog.text, json.dumps(meter.plain()), forward.name, kept.decode("latin-1")):
                assert KEY not in text
                assert "own-key" not in text
            assert not any("Cookie" in each for each in told)
            server.script = [*script]


def test_a_url_with_credentials_sends_them_as_such() -> None:
    async def work(client: Client) -> None:
        await client.ask(headers={"Authorization": "Bearer own"})

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url.replace("http://", "http://user:pass@"))), work)
        assert server.requests[0].headers["Authorization"] == "Basic dXNlcjpwYXNz"


def test_a_cache_that_fails_loses_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def work(client: Client) -> None:
        assert meter.cache is not None
        meter.cache.close()
        assert [(await client.ask()).status for _ in range(3)] == [200, 200, 200]

    with scripted(["ok"]) as server:
        meter = Meter(Forward(server.url), cache=tmp_path)
        through(meter, work)
    assert [record.message.partition(" fails")[0] for record in caplog.records] == [
        f"the cache {tmp_path / 'answers.sqlite'}"
    ]


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_text("these are no answers " * 100)
    with pytest.raises(InputError, match="the cache cannot be opened: file is not a database"):
        Meter(Forward(nowhere()), cache=tmp_path)


def test_a_bug_settles_what_it_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: Any, *given: Any) -> None:
        raise RuntimeError("a bug")

    async def work(client: Client) -> None:
        monkeypatch.setattr("flowbot.faces.meter.passage.Passage._counted", fails)
        assert (await client.ask()).status == 500
        monkeypatch.undo()
        assert (await client.ask()).status == 200

    with scripted(["ok"]) as server:
        through(Meter(Forward(server.url), budget=Budget(calls=1)), work)
