"""An endpoint's failures are borne or loud, never an example's score; keys go nowhere they do not belong."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.models.patience import Patience, asked_wait
from flowbot.models.providers import provider_of
from flowbot.models.wire import Wire
from flowbot.task.task import ModelSpec
from tests.servers import Answer, Server, serving

QUICK = Patience(
    sends=4,
    busy_sends=5,
    busy_seconds=3,
    unreachable_seconds=0.3,
    connect_seconds=0.1,
    first_wait=0.001,
    longest_wait=0.05,
)
KEY = "sk-secret-000001"
ASKED = Request("openai:gpt-4.1-mini", ({"role": "user", "content": "Hi"},))


async def ask(url: str, patience: Patience = QUICK, times: int = 1, **settings: Any) -> list[Reply]:
    spec = ModelSpec.model_validate({"name": "openai:gpt-4.1-mini", **settings})
    wire = Wire(spec, provider_of(spec, url, {"OPENAI_API_KEY": KEY}), patience=patience)
    try:
        return await asyncio.gather(*(wire.complete(ASKED) for _ in range(times)))
    finally:
        await wire.close()


BROKEN = {
    "500": Answer.error(500),
    "503": Answer.error(503),
    "529": Answer.error(529, "Overloaded"),
    "408": Answer.error(408),
    "409": Answer.error(409),
    "425": Answer.error(425),
    "cut": Answer(text="cut in the middle", cut=True),
    "not JSON": Answer(body="<html>Bad gateway</html>"),
    "not UTF-8": Answer(body=b"\xff\xfe{"),
    "half JSON": Answer(body='{"choices": [{"message"'),
    "no choices": Answer(body='{"choices": []}'),
    "null": Answer(body="null"),
    "deep": Answer(body="[" * 200_000),
    "deep inside": Answer(body='{"error": ' + "[" * 900 + "]" * 900 + "}"),
    "deep error": Answer(status=500, body='{"error":' * 200_000),
    "error inside": Answer(body='{"error": {"message": "upstream failed", "code": 502}}'),
    "finish error": Answer(finish="error"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_passing_failures_are_sent_again(kind: str) -> None:
    with serving([BROKEN[kind], BROKEN[kind], "at last"]) as server:
        [reply] = asyncio.run(ask(server.url))
    assert (reply.text, reply.failure, reply.retries) == ("at last", "", 2)
    assert reply.usage.calls == 1
    bodies = [request.body for request in server.requests]
    assert len(bodies) == 3
    assert all(body == bodies[0] for body in bodies)


@pytest.mark.parametrize("kind", BROKEN)
def test_lasting_failures_are_loud(kind: str) -> None:
    with serving([BROKEN[kind]]) as server:
        with pytest.raises(EndpointError, match=r"gpt-4.1-mini at http://127.0.0.1.*gave up after 4 sends"):
            asyncio.run(ask(server.url))
        assert len(server.requests) == 4


def test_a_slow_endpoint_is_a_failure() -> None:
    with serving([Answer(latency=5), Answer(text="now")]) as server:
        [reply] = asyncio.run(ask(server.url, timeout=0.1))
        assert (reply.text, reply.retries) == ("now", 1)
    with serving([Answer(latency=5)]) as server, pytest.raises(EndpointError, match=r"no whole reply within 0\.05 sec"):
        asyncio.run(ask(server.url, timeout=0.05))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer.error(401, "Incorrect API key provided", "invalid_api_key"), "401: Incorrect.*OPENAI_API_KEY"),
        (Answer.error(403, "forbidden"), "403: forbidden.*OPENAI_API_KEY"),
        (Answer.error(404, "The model `x` does not exist"), "404: The model `x` does not exist"),
        (Answer.error(402, "Insufficient balance"), "402"),
        (Answer.error(400, "bad request " + "x" * 1000), "400: bad request x{280}"),
        (Answer.error(429, "You exceeded your current quota", "insufficient_quota"), "quota"),
        (Answer.error(429, "the budget is reached", x_should_retry="false"), "the budget is reached"),
        (Answer.error(503, "closed for good", x_should_retry="false"), "closed for good"),
        (Answer(status=418, body="a teapot"), "418: a teapot"),
        (Answer(status=404, body=""), "404"),
    ],
)
def test_what_no_send_can_mend_is_loud_at_once(answer: Answer, words: str) -> None:
    with serving([answer]) as server:
        with pytest.raises(EndpointError, match=words) as caught:
            asyncio.run(ask(server.url))
        assert len(server.requests) == 1
        assert len(str(caught.value)) < 600


@pytest.mark.parametrize(("cut", "told"), [("/v1", True), ("", False)])
def test_an_address_without_a_path_that_is_not_found_is_told_of_it(cut: str, told: bool) -> None:
    with serving([Answer(status=404, body="")]) as server, pytest.raises(EndpointError) as caught:
        asyncio.run(ask(server.url.removesuffix(cut)))
    assert ("/v1" in str(caught.value).partition("404")[2]) == told


def test_busy_endpoints_are_waited_for() -> None:
    with serving([Answer.busy(), Answer.busy(), "done"]) as server:
        [reply] = asyncio.run(ask(server.url))
    assert (reply.text, reply.retries) == ("done", 2)


@pytest.mark.parametrize("header", ["Retry-After", "retry-after-ms"])
def test_retry_after_is_honoured_by_all_calls(header: str) -> None:
    busy = replace(Answer.busy(), headers={header: "0.3" if header == "Retry-After" else "300"})

    def script(body: dict[str, Any], index: int) -> Answer:
        return busy if index == 0 else Answer(text="ok", latency=0.01)

    async def main(server: Server) -> None:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        wire = Wire(spec, provider_of(spec, server.url, {}), patience=QUICK)
        first = asyncio.create_task(wire.complete(ASKED))
        await asyncio.sleep(0.1)  # by now the first is refused, and waits
        await asyncio.gather(first, *(wire.complete(ASKED) for _ in range(3)))
        await wire.close()

    with serving(script) as server:
        asyncio.run(main(server))
    began = server.requests[0].at
    assert len(server.requests) == 5
    assert all(request.at - began >= 0.29 for request in server.requests[1:])


def test_a_wait_beyond_patience_is_loud_at_once() -> None:
    started = time.monotonic()
    with serving([Answer.busy(retry_after=3600)]) as server:
        with pytest.raises(EndpointError, match="429: rate limit reached"):
            asyncio.run(ask(server.url))
        assert len(server.requests) == 1
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("wait", ["86400", "inf", "1e400", "nan"])
def test_a_broken_endpoint_that_asks_for_a_long_wait_is_loud_at_once(wait: str) -> None:
    started = time.monotonic()
    with serving([Answer.error(503, "down for the day", retry_after=wait)]) as server:
        with pytest.raises(EndpointError, match="503: down for the day"):
            asyncio.run(ask(server.url))
        assert len(server.requests) == (4 if wait == "nan" else 1)
    assert time.monotonic() - started < 2


def test_broken_sends_end_with_patience() -> None:
    started = time.monotonic()
    with serving([Answer.error(503, retry_after="0.2")]) as server:
        with pytest.raises(EndpointError, match="503"):
            asyncio.run(ask(server.url, replace(QUICK, sends=50, busy_seconds=0.5)))
        assert len(server.requests) <= 3
    assert time.monotonic() - started < 2


def test_busy_without_end_is_loud() -> None:
    with serving([Answer.busy()]) as server:
        with pytest.raises(EndpointError, match="gave up after 5 sends"):
            asyncio.run(ask(server.url))
        assert len(server.requests) == 5


def test_many_calls_get_through_a_narrow_endpoint() -> None:
    def script(body: dict[str, Any], index: int) -> Answer:
        return Answer.busy() if server.in_flight > 2 else Answer(text="ok", latency=0.005)

    with serving(script) as server:
        patient = replace(QUICK, busy_sends=50, busy_seconds=30)
        replies = asyncio.run(ask(server.url, patient, times=40))
    assert [reply.text for reply in replies] == ["ok"] * 40


def test_an_endpoint_that_is_not_there_is_loud_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        port = taken.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(EndpointError, match=rf"cannot be reached .*127.0.0.1', {port}|cannot be reached .*{port}"):
            asyncio.run(ask(f"http://127.0.0.1:{port}/v1"))
        assert time.monotonic() - started < 2


def test_an_endpoint_that_comes_up_late_is_used() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def main() -> list[Reply]:
        asking = asyncio.create_task(ask(f"http://127.0.0.1:{port}/v1", replace(QUICK, unreachable_seconds=10)))
        await asyncio.sleep(0.1)
        with serving(["late"], port=port):
            return await asking

    assert asyncio.run(main())[0].text == "late"


def test_redirects_never_carry_a_key() -> None:
    with serving(["stolen"]) as other:
        target = other.url.replace("://", "://user:password@") + "/chat/completions"
        with serving([Answer.redirect(target)]) as server:
            with pytest.raises(EndpointError, match=r"307: it redirects to http://\*\*\*@127.0.0.1"):
                asyncio.run(ask(server.url))
            assert len(server.requests) == 1
        assert other.requests == []


def test_errors_are_scrubbed() -> None:
    with serving([Answer.error(401, f"the key {KEY} is wrong; Authorization: Bearer other-token-1")]) as server:
        url = server.url.replace("://", "://user:pass-word-1@")
        with pytest.raises(EndpointError) as caught:
            asyncio.run(ask(url))
    text = str(caught.value)
    assert "***" in text
    assert not any(secret in text for secret in (KEY, "other-token-1", "pass-word-1"))


def test_a_base_url_from_a_file_is_asked_without_a_key() -> None:
    with serving([Answer.error(401, "who are you")]) as server:
        spec = ModelSpec(name="openai:gpt-4.1-mini", base_url=server.url)

        async def main() -> None:
            wire = Wire(spec, provider_of(spec, None, {"OPENAI_API_KEY": KEY}), patience=QUICK)
            try:
                await wire.complete(ASKED)
            finally:
                await wire.close()

        with pytest.raises(EndpointError, match=r"no key was sent, since the base URL comes from a file.*--base-url"):
            asyncio.run(main())
        assert KEY not in str(server.requests[0].headers)


def test_netrc_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hidden\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(["ok"]) as server:
        spec = ModelSpec(name="vllm:m", base_url=server.url)

        async def main() -> None:
            wire = Wire(spec, provider_of(spec, None, {}))
            await wire.complete(ASKED)
            await wire.close()

        asyncio.run(main())
        assert "Authorization" not in server.requests[0].headers


def test_a_cancelled_call_frees_its_place() -> None:
    async def main(server: Server) -> Reply:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        wire = Wire(spec, provider_of(spec, server.url, {}), concurrency=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(wire.complete(ASKED), 0.1)
        reply = await asyncio.wait_for(wire.complete(ASKED), 5)
        await wire.close()
        return reply

    with serving([Answer(latency=5), "ok"]) as server:
        assert asyncio.run(main(server)).text == "ok"


def test_waits_that_are_asked_for() -> None:
    assert asked_wait({}) is None
    assert asked_wait({"Retry-After": "2"}) == 2
    assert asked_wait({"Retry-After": "-2"}) == 0
    assert asked_wait({"Retry-After": "soon"}) is None
    assert asked_wait({"Retry-After": "nan"}) is None
    assert asked_wait({"retry-after-ms": "later", "Retry-After": "2"}) == 2
    assert asked_wait({"Retry-After": "Fri, 01 Jan 99999999999 00:00:00 GMT"}) is None
    assert asked_wait({"Retry-After": "2", "retry-after-ms": "150"}) == 0.15
    dated = asked_wait({"Retry-After": formatdate(time.time() + 10, usegmt=True)})
    assert dated is not None
    assert 8 < dated < 11


def test_a_proxy_gets_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(["through the proxy"]) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:pass@127.0.0.1:{proxy.port}")
        [reply] = asyncio.run(ask("http://host.example/v1"))
        assert reply.text == "through the proxy"
        assert proxy.requests[0].headers["Host"] == "host.example"
        assert proxy.requests[0].headers["Proxy-Authorization"].startswith("Basic ")


def test_a_long_wait_for_a_turn_does_not_tire_patience() -> None:
    async def main(server: Server) -> list[Reply]:
        spec = ModelSpec(name="openai:gpt-4.1-mini")
        quick = replace(QUICK, busy_seconds=0.2)
        wire = Wire(spec, provider_of(spec, server.url, {}), concurrency=1, patience=quick)
        replies = await asyncio.gather(*(wire.complete(ASKED) for _ in range(2)))
        await wire.close()
        return replies

    with serving([Answer(latency=0.4), Answer.busy(), "ok"]) as server:
        assert asyncio.run(main(server))[1].text == "ok"
