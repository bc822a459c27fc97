"""The page's server over doubles of what it reads, and a client that asks it as the page does."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import aiohttp
from yarl import URL

from flowbot.errors import InputError
from flowbot.faces.ui.schema import Home, Phase, Pulse, RunLine, Spent, TryAsk, TryEnd, TryPrice, TryStep
from flowbot.faces.ui.server import serving

LINE: dict[str, Any] = {
    "id": "a/b",
    "name": "routing",
    "state": "running",
    "ended": "open",
    "why": "",
    "recipe": "race",
    "metric": "exact",
    "models": ["vllm:m"],
    "start": 0.25,
    "best": 0.75,
    "result": None,
    "where": "",
    "fraction": True,
    "calls": 3,
    "tokens": 30,
    "usd": 0.5,
    "seconds": 2.0,
    "candidates": 2,
    "began": 1.0,
    "last": 2.0,
    "error": "",
}
PHASE = Phase(name="racing", calls={"task": 10}, at=1.0)
NOTHING = Spent(calls=1, input_tokens=1, output_tokens=1, usd=None, seconds=0.1)


class OneBook:
    """A book whose journal is a table of pulses."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.folder = path.parent
        self.polls = 0
        self.asked: list[tuple[Any, ...]] = []
        self.holds: threading.Event | None = None
        self.began = threading.Event()
        self.threads = self.most = 0

    def pulse(self) -> Pulse:
        self.polls += 1
        (seq,) = self.db.execute("SELECT count(*) FROM events").fetchone()
        return Pulse(line=RunLine(**LINE), seq=seq, phase=PHASE, traces=0)

    def run(self, after: int | None = None) -> RunLine:
        self.asked.append(("run", after))
        self.threads += 1
        self.most = max(self.most, self.threads)
        self.began.set()
        if self.holds is not None:
            assert self.holds.wait(10)
        self.threads -= 1
        return RunLine(**LINE)

    def examples(self, *asked: Any) -> RunLine:
        self.asked.append(asked)
        return RunLine(**LINE)

    def example(self, *asked: str) -> RunLine:
        self.asked.append(asked)
        return RunLine(**LINE)

    def candidate(self, found: str) -> RunLine:
        if found == "broken":
            raise sqlite3.OperationalError("database disk image is malformed")
        if found == "bug":
            raise KeyError("a bug")
        raise InputError(f"there is no candidate '{found}'", mend="take one of the list")


class OneDesk:
    def __init__(self, books: Mapping[str, OneBook]) -> None:
        self.books = books

    def home(self) -> Home:
        return Home(kind="runs", name="runs", version="1", can_try=True)

    def runs(self) -> list[RunLine]:
        return [RunLine(**LINE)]

    def close(self) -> None:
        for book in self.books.values():
            book.db.close()

    def book(self, run: str) -> OneBook:
        if run not in self.books:
            raise InputError("there is no run here", run, "look at the list of runs")
        return self.books[run]


class OneTrial:
    closed = False
    fails = ""

    async def price(self, readers: Any, asked: TryAsk) -> TryPrice:
        return TryPrice(calls=len(asked.inputs), usd=None, models=[], tools=[], problem="")

    async def play(self, readers: Any, asked: TryAsk) -> AsyncGenerator[TryStep | TryEnd]:
        if self.fails == "first":
            raise InputError("q is no number", "inputs")
        try:
            yield TryStep(path="answer", played=None)
            if self.fails == "later":
                raise RuntimeError("lost the sandbox")
            if asked.inputs.get("q") == "wait":
                await asyncio.sleep(60)
            yield TryEnd(output="yes", error="", spent=NOTHING)
        finally:
            self.closed = True


class Page:
    """A client of the server, as the page is one."""

    def __init__(self, link: str, http: aiohttp.ClientSession, books: Mapping[str, OneBook], trial: OneTrial) -> None:
        self.url, query = link.split("/?")
        self.token = parse_qs(query)["token"][0]
        self.key = {"Authorization": f"Bearer {self.token}"}
        self.port = urlsplit(link).port
        self.http, self.books, self.trial = http, books, trial
        self.streams: list[aiohttp.ClientResponse] = []

    async def get(self, path: str, **headers: str) -> tuple[int, Any, Mapping[str, str]]:
        return await self.ask("GET", path, headers=self.key | {k.replace("_", "-"): v for k, v in headers.items()})

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, Any, Mapping[str, str]]:
        async with self.http.request(method, URL(self.url + path, encoded=True), **how) as answer:
            body = await answer.read()
            plain = json.loads(body) if answer.content_type == "application/json" and body else body
            return answer.status, plain, answer.headers

    async def listen(self, path: str = "/api/runs/a%2Fb/live") -> aiohttp.ClientResponse:
        self.streams.append(await self.http.get(URL(self.url + path, encoded=True), headers=self.key))
        return self.streams[-1]


Work = Callable[[Page], Awaitable[None]]


def through(tmp_path: Path, work: Work) -> None:
    """Run a test's coroutine against a server that knows the runs `a/b` and `.`."""
    files = tmp_path / "static"
    (files / "assets").mkdir(parents=True)
    (files / "index.html").write_text("<title>FlowBot</title>")
    (files / "assets" / "index-abc.js").write_text("let a")
    (files / "assets" / "secret.py").write_text("no")
    (tmp_path / "outside.txt").write_text("no")

    async def play() -> None:
        books: dict[str, OneBook] = {}
        for name in ("a/b", "."):
            path = tmp_path / f"journal{len(books)}.sqlite"
            db = sqlite3.connect(path)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("CREATE TABLE events (seq INTEGER)")
            db.close()
            books[name] = OneBook(path)
        trial = OneTrial()
        async with aiohttp.ClientSession() as http:
            async with serving(cast(Any, OneDesk(books)), cast(Any, trial), files=files) as link:
                page = Page(link, http, books, trial)
                await asyncio.wait_for(work(page), 30)
            for answer in page.streams:
                answer.close()

    asyncio.run(play())


async def pulses(answer: aiohttp.ClientResponse, count: int) -> list[Any]:
    """Return the data of the next events of a stream."""
    found: list[Any] = []
    while len(found) < count:
        line = (await asyncio.wait_for(answer.content.readline(), 10)).decode()
        if line.startswith("data: "):
            found.append(json.loads(line[6:]))
    return found


def write(book: OneBook) -> None:
    """Write an event, as the process of the run does."""
    path = book.db.execute("PRAGMA database_list").fetchone()[2]
    db = sqlite3.connect(path)
    with db:
        db.execute("INSERT INTO events VALUES (1)")
    db.close()
