"""The meter's cache: equal calls are answered from it, count all the same, and are kept whole or not at all."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from flowbot.faces.meter import Forward, Meter
from flowbot.money import Price
from tests.metering import HI, Client, events, through
from tests.servers import Answer, Body
from tests.servers import serving as scripted

PRICE = {"m": Price(1e6, 2e6)}  # a dollar a token of input, two of output
KEY = "sk-secret-000001"
PIECES: list[Body] = [{"choices": [{"index": 0, "delta": {"content": "two words"}, "finish_reason": "stop"}]}]
COUNTED: Body = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
STREAM = {"Content-Type": "text/event-stream; charset=utf-8"}


@pytest.mark.parametrize("free", [False, True])
def test_equal_calls_are_answered_from_the_cache_and_count(tmp_path: Path, free: bool) -> None:
    asked = [HI, {**HI, "user": "someone"}, {**HI, "temperature": 0}, {**HI, "temperature": 0}]

    async def work(client: Client) -> list[str]:
        said = [(await client.ask(body)).text for body in asked]
        assert (await client.ask({**HI, "model": "bad"})).status == 500
        return said

    def script(body: Body, index: int) -> Answer:
        return (
            Answer.error(500, KEY)
            if body["model"] == "bad"
            else Answer(text=str(index), usage={"prompt_tokens": 10, "completion_tokens": index + 1})
        )

    with scripted(script) as server:
        first = Meter(Forward(server.url, KEY), PRICE, cache=tmp_path / "kept", cached_free=free)
        # equal calls that are sampled are not one: the second of a label has an answer of its own
        assert through(first, work) == ["0", "1", "2", "2"]
        assert (first.tally("a").cached, len(server.requests)) == (1, 4)
        again = Meter(Forward(server.url, KEY), PRICE, cache=tmp_path / "kept", cached_free=free)
        assert through(again, work) == ["0", "1", "2", "2"]
        assert (again.tally("a").cached, len(server.requests)) == (4, 5)  # what failed is not kept
        other = Meter(Forward(server.url.replace("127.0.0.1", "localhost"), KEY), cache=tmp_path / "kept")
        assert through(other, work) == ["5", "6", "7", "7"]
    counted = (0, 0, 0.0) if free else (4, 49, 58.0)
    usage = again.tally("a").usage
    assert (usage.calls, usage.tokens, usage.usd) == counted
    if not free:
        assert usage.seconds == pytest.approx(first.tally("a").usage.seconds)
    [file] = tmp_path.glob("kept/*.sqlite")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert all(KEY.encode() not in each.read_bytes() for each in tmp_path.glob("kept/*"))


def test_a_stream_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    async def work(client: Client) -> list[bytes]:
        body = {**HI, "stream": True, "temperature": 0}
        return [(await client.ask(body)).body for _ in range(3)]

    unfinished = events(*PIECES).removesuffix(b"data: [DONE]\n\n")
    script = [Answer(body=unfinished, headers=STREAM), Answer(body=events(*PIECES, COUNTED), headers=STREAM)]
    with scripted(script) as server:
        meter = Meter(Forward(server.url), cache=tmp_path)
        assert through(meter, work) == [unfinished, events(*PIECES), events(*PIECES)]
        assert len(server.requests) == 2
    assert sqlite3.connect(tmp_path / "answers.sqlite").execute("SELECT count(*) FROM answers").fetchone() == (1,)
    tally = meter.tally("a")
    assert (tally.cached, tally.usage.calls, tally.usage.estimated) == (1, 3, True)
