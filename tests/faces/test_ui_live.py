"""The page's streams: a run that is followed, and a workflow that is tried."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import pytest

from flowbot.faces.ui import live
from flowbot.faces.ui.desk import Desk
from flowbot.faces.ui.server import serving
from flowbot.faces.ui.trials import Trials
from tests import pages
from tests.kept import kept
from tests.pages import LINE, OneBook, Page, Work, pulses, write


@pytest.fixture
def through(tmp_path: Path) -> Callable[[Work], None]:
    """Run a test's coroutine against a server."""
    return lambda work: pages.through(tmp_path, work)


# ------------------------------------------------------------------ live


def test_who_follows_a_run_hears_of_what_is_written(through: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL", 0.02)

    async def work(page: Page) -> None:
        book = page.books["a/b"]
        one, two = await page.listen(), await page.listen()
        assert one.headers["Content-Type"] == "text/event-stream"
        assert [(await pulses(each, 1))[0]["seq"] for each in (one, two)] == [0, 0]
        polled = book.polls
        await asyncio.sleep(0.2)
        assert book.polls == polled == 1  # nothing was written: nothing is read, and one poll serves both
        write(book)
        assert [(await pulses(each, 1))[0]["seq"] for each in (one, two)] == [1, 1]
        assert book.polls == 2
        one.close()
        write(book)
        assert (await pulses(two, 1))[0]["seq"] == 2
        two.close()
        await asyncio.sleep(0.2)
        write(book)
        await asyncio.sleep(0.2)
        assert book.polls == 3  # nobody listens
        three = await page.listen()
        assert (await pulses(three, 1))[0]["seq"] == 3
        three.close()

    through(work)


def test_a_silent_stream_says_that_it_goes_on(through: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "SILENCE", 0.05)

    async def work(page: Page) -> None:
        answer = await page.listen()
        await pulses(answer, 1)
        assert await asyncio.wait_for(answer.content.readuntil(b": still here\n"), 5)
        answer.close()

    through(work)


def test_a_process_that_is_gone_is_noticed_though_nothing_is_written(
    through: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "POLL", 0.02)
    monkeypatch.setattr(live, "AGAIN", 0.1)

    async def work(page: Page) -> None:
        answer = await page.listen()
        await pulses(answer, 1)
        monkeypatch.setitem(LINE, "state", "stopped")
        assert (await pulses(answer, 1))[0]["line"]["state"] == "stopped"
        answer.close()

    through(work)


def test_a_run_that_can_no_longer_be_read_ends_the_stream(through: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL", 0.02)

    async def work(page: Page) -> None:
        answer = await page.listen()
        await pulses(answer, 1)
        cast(dict[str, OneBook], page.books).pop("a/b").db.close()
        assert await asyncio.wait_for(answer.content.read(), 5) == b"\n"

    through(work)


def test_the_server_ends_at_once_while_a_page_listens(through: Any) -> None:
    began: list[float] = []

    async def work(page: Page) -> None:
        await pulses(await page.listen(), 1)
        began.append(time.monotonic())

    through(work)
    assert time.monotonic() - began[0] < 2


# ------------------------------------------------------------------ trying


def asking(page: Page, *, kind: str = "application/json", **facts: Any) -> dict[str, Any]:
    plain = {"run": "", "candidate": "", "inputs": {"q": "x"}, "agreed": True} | facts
    return {"data": io.BytesIO(json.dumps(plain).encode()), "headers": page.key | {"Content-Type": kind}}


def test_a_trial_is_priced_and_played(through: Any) -> None:
    async def work(page: Page) -> None:
        assert (await page.ask("POST", "/api/price", **asking(page)))[1]["calls"] == 1
        status, said, headers = await page.ask("POST", "/api/try", **asking(page))
        assert (status, headers["Content-Type"]) == (200, "text/event-stream")
        names = [line[7:] for line in said.decode().splitlines() if line.startswith("event: ")]
        assert names == ["step", "end"]

    through(work)


def test_nothing_is_spent_that_nobody_agreed_to(through: Any) -> None:
    async def work(page: Page) -> None:
        status, said, _ = await page.ask("POST", "/api/try", **asking(page, agreed=False))
        assert (status, "nobody has agreed" in said["error"], page.trial.closed) == (409, True, False)

    through(work)


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"kind": "text/plain"}, 415, "the body must be JSON"),
        ({"kind": "application/x-www-form-urlencoded"}, 415, "the body must be JSON"),
        ({"inputs": "x"}, 400, "inputs: "),
        ({"more": 1}, 400, "more: "),
        ({"inputs": {"q": "x" * 2**20}}, 413, "larger than 1 MB"),
    ],
)
def test_a_wrong_body_is_refused(through: Any, sent: dict[str, Any], status: int, said: str) -> None:
    async def work(page: Page) -> None:
        for path in ("/api/price", "/api/try"):
            found, problem, _ = await page.ask("POST", path, **asking(page, **sent))
            assert (found, said in problem["error"]) == (status, True)

    through(work)


def test_what_breaks_a_trial_off_is_said(through: Any) -> None:
    async def work(page: Page) -> None:
        page.trial.fails = "first"
        assert (await page.ask("POST", "/api/try", **asking(page)))[:2] == (
            400,
            {"error": "inputs: q is no number", "mend": ""},
        )
        page.trial.fails = "later"
        said = (await page.ask("POST", "/api/try", **asking(page)))[1].decode()
        assert json.loads(said.split("event: end\ndata: ")[1])["error"] == "lost the sandbox"

    through(work)


def test_a_reader_that_goes_away_ends_the_trial(through: Any) -> None:
    async def work(page: Page) -> None:
        answer = await page.http.post(f"{page.url}/api/try", **asking(page, inputs={"q": "wait"}))
        await pulses(answer, 1)
        answer.close()
        for _ in range(100):
            await asyncio.sleep(0.02)
            if page.trial.closed:
                return
        raise AssertionError("the trial goes on")

    through(work)


@pytest.mark.slow
def test_traces_of_a_run_are_played_again_for_many_at_once(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", sizes=(8, 8, 4))
    (tmp_path / "index.html").write_text("<title>FlowBot</title>")

    async def work() -> None:
        async with (
            aiohttp.ClientSession() as http,
            serving(Desk(tmp_path), Trials(), files=tmp_path) as link,
        ):
            page = Page(link, http, {}, pages.OneTrial())
            ran = {(trace.workflow.id, draw, trace.example.id): trace for trace, draw in run.ran if draw == "val"}
            asked = [page.get(f"/api/runs/run/traces/{'/'.join(quote(each, safe='') for each in key)}") for key in ran]
            for (status, told, _), trace in zip(await asyncio.gather(*asked), ran.values(), strict=True):
                assert (status, told["missing"], told["output"]) == (200, "", trace.output)
                assert [each["step"] for each in told["steps"]] == [step.path for step in trace.steps]

    asyncio.run(work())
