"""The page's server: who is answered, with what headers, and what is asked of a run."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowbot.faces.ui.guard import HEADERS, Guard
from tests import pages
from tests.pages import Page, Work

KEY = {"Content-Type": "application/json"}


@pytest.fixture
def through(tmp_path: Path) -> Callable[[Work], None]:
    """Run a test's coroutine against a server."""
    return lambda work: pages.through(tmp_path, work)


# ------------------------------------------------------------------ who is answered


def test_the_page_and_its_data_are_answered(through: Any) -> None:
    async def work(page: Page) -> None:
        status, body, headers = await page.ask("GET", "/")
        assert (status, body, headers["Content-Type"]) == (200, b"<title>FlowBot</title>", "text/html; charset=utf-8")
        assert (await page.ask("GET", f"/?token={page.token}"))[0] == 200
        status, body, headers = await page.ask("GET", "/assets/index-abc.js")
        assert (status, body, headers["Content-Type"]) == (200, b"let a", "text/javascript; charset=utf-8")
        assert "immutable" in headers["Cache-Control"]
        assert (await page.get("/api/home"))[1]["name"] == "runs"
        assert (await page.get("/api/runs"))[1][0]["id"] == "a/b"

    through(work)


@pytest.mark.parametrize("path", ["/", "/assets/index-abc.js", "/nothing", "/api/runs", "/api/nothing", "/api/runs/x"])
@pytest.mark.parametrize("key", [True, False])
def test_every_answer_is_closed_to_other_sites(through: Any, path: str, key: bool) -> None:
    async def work(page: Page) -> None:
        _, _, headers = await page.ask("GET", path, headers=page.key if key else {})
        assert {name: headers[name] for name in HEADERS} == HEADERS
        assert "script-src 'self';" in headers["Content-Security-Policy"]
        assert "Access-Control-Allow-Origin" not in headers
        assert (headers.get("Cache-Control") == "no-store") == path.startswith("/api/")

    through(work)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "TOKEN"},
        {"Authorization": "Basic TOKEN"},
        {"Authorization": "Bearer TOKENx"},
        {"Cookie": "token=TOKEN"},
        {"Authorization": "Bearer \udcff"},
    ],
)
@pytest.mark.parametrize("path", ["/api/home", "/api/runs/a%2Fb/live", "/api/runs/a%2Fb", "/api/nothing"])
def test_without_the_token_nothing_is_told(through: Any, headers: dict[str, str], path: str) -> None:
    async def work(page: Page) -> None:
        sent = {name: value.replace("TOKEN", page.token) for name, value in headers.items()}
        status, said, _ = await page.ask("GET", f"{path}?token={page.token}", headers=sent)
        assert (status, said["error"]) == (403, "the token is missing or wrong")
        assert page.token not in json.dumps(said)
        assert page.books["a/b"].asked == []

    through(work)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:PORT", "127.0.0.1", "127.0.0.1:1", "localhost:PORT.x", ""]
)
@pytest.mark.parametrize("path", ["/", "/api/home"])
def test_a_name_that_leads_here_is_not_this_page(through: Any, host: str, path: str) -> None:
    async def work(page: Page) -> None:
        status, said, _ = await page.get(path, Host=host.replace("PORT", str(page.port)))
        assert (status, said["error"]) == (403, "this address is not that of the page")
        assert f"ssh -L {page.port}" in said["mend"]

    through(work)


def test_this_machine_has_two_names(through: Any) -> None:
    async def work(page: Page) -> None:
        for name in ("localhost", "LOCALHOST", "127.0.0.1"):
            assert (await page.get("/api/home", Host=f"{name}:{page.port}"))[0] == 200
        origin = f"http://localhost:{page.port}"
        assert (await page.get("/api/home", Host=f"localhost:{page.port}", Origin=origin))[0] == 200
        assert (await page.get("/api/home", Origin=origin))[0] == 403  # one name's page may not ask the other's

    through(work)


@pytest.mark.parametrize(
    ("headers", "page_too"),
    [
        ({"Origin": "https://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1:1"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),  # another port of this machine
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, False),
    ],
)
def test_other_sites_are_refused(through: Any, headers: dict[str, str], page_too: bool) -> None:
    async def work(page: Page) -> None:
        assert (await page.ask("GET", "/api/home", headers=page.key | headers))[0] == 403
        assert (await page.ask("GET", "/", headers=headers))[0] == (403 if page_too else 200)
        asked = json.dumps({"run": "", "candidate": "", "inputs": {}, "agreed": True})
        assert (await page.ask("POST", "/api/try", data=asked, headers=page.key | KEY | headers))[0] == 403
        assert page.trial.closed is False

    through(work)


def test_a_page_for_all_machines_is_known_by_addresses_and_not_by_names() -> None:
    guard = Guard("x", "0.0.0.0", 8000)
    known = guard._is_known  # pyright: ignore[reportPrivateUsage]
    assert known("192.168.1.7")
    assert known("[fe80::1]")
    assert known("localhost")
    assert not known("evil.example")
    assert not Guard("x", "192.168.1.7", 8000)._is_known("192.168.1.8")  # pyright: ignore[reportPrivateUsage]
    assert "'x'" not in repr(guard)


# ------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/assets/..%2f..%2foutside.txt",
        "/..%5coutside.txt",
        "/assets/secret.py",
        "//etc/passwd",
        "/index.html%00.js",
        "/assets/",
        "/nothing.js",
    ],
)
def test_no_path_leads_out_of_the_page(through: Any, path: str) -> None:
    async def work(page: Page) -> None:
        status, said, _ = await page.ask("GET", path)
        assert status in (400, 404)
        assert said != b"no"

    through(work)


def test_ids_of_runs_may_hold_slashes_and_the_folder_itself_is_a_tilde(through: Any) -> None:
    async def work(page: Page) -> None:
        assert (await page.get("/api/runs/a%2Fb?after=7"))[0] == 200
        assert page.books["a/b"].asked == [("run", 7)]
        assert (await page.get("/api/runs/~"))[0] == 200
        assert page.books["."].asked == [("run", None)]
        assert (await page.get("/api/runs/a%2Fb/examples/val/x%2Fy%20%25%3F"))[0] == 200
        assert page.books["a/b"].asked[-1] == ("val", "x/y %?")
        assert (await page.get("/api/runs/a%2Fb/examples/val/%7Bx%7D%7B%7By"))[0] == 200
        assert page.books["a/b"].asked[-1] == ("val", "{x}{{y")

    through(work)


def test_halves_of_characters_are_answered_as_question_marks(through: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pages.LINE, "name", "half \ud83d")

    async def work(page: Page) -> None:
        assert (await page.get("/api/runs"))[1][0]["name"] == "half ?"
        assert (await page.get("/api/runs/~"))[1]["name"] == "half ?"
        assert (await pages.pulses(await page.listen(), 1))[0]["line"]["name"] == "half ?"

    through(work)


def test_a_window_of_examples_is_asked_for(through: Any) -> None:
    async def work(page: Page) -> None:
        path = "/api/runs/~/examples"
        await page.get(f"{path}?split=val&candidates=a,b&sort=b&desc=1&find=x%26y&offset=20&limit=9999")
        await page.get(f"{path}?split=train&candidates=&sort=&desc=&find=")
        assert page.books["."].asked == [
            ("val", ["a", "b"], "b", True, "x&y", 20, 500),
            ("train", [], "", False, "", 0, 100),
        ]
        for wrong in ("offset=-1", "limit=x", "offset=1e3", "limit=99999999999999999999", "offset=%C2%B2"):
            status, said, _ = await page.get(f"{path}?split=val&{wrong}")
            assert (status, said["error"].endswith("must be a whole number, 0 or more")) == (400, True)

    through(work)


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/runs/none", 404, "none: there is no run here"),
        ("/api/runs/none/live", 404, "none: there is no run here"),
        ("/api/runs/~/candidates/x", 404, "there is no candidate 'x'"),
        ("/api/runs/~/candidates/broken", 409, "the run cannot be read: database disk image is malformed"),
        ("/api/runs/~/candidates/bug", 500, "KeyError: 'a bug'"),
        ("/api/nothing", 404, "GET /api/nothing: not found"),
        ("/api/try", 405, "GET /api/try: method not allowed"),
        ("/nothing", 404, "there is no such page"),
    ],
)
def test_what_is_wrong_is_said(through: Any, path: str, status: int, said: str) -> None:
    async def work(page: Page) -> None:
        found, problem, _ = await page.get(path)
        assert (found, problem["error"]) == (status, said)
        assert set(problem) == {"error", "mend"}

    through(work)


def test_a_slow_question_holds_up_its_own_run_alone(through: Any) -> None:
    async def work(page: Page) -> None:
        slow = page.books["a/b"]
        slow.holds = threading.Event()
        asked = [asyncio.create_task(page.get("/api/runs/a%2Fb")) for _ in range(8)]
        assert await asyncio.to_thread(slow.began.wait, 10)
        assert (await page.get("/api/runs/~"))[0] == 200
        asked[0].cancel()  # its thread goes on; nobody else may have the book meanwhile
        await asyncio.sleep(0.1)
        slow.holds.set()
        assert [(await each)[0] for each in asked[1:]] == [200] * 7
        assert slow.most == 1

    through(work)
