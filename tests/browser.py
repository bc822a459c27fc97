"""The page in a real browser: Chromium, watched for errors, for dialogs and for requests that leave this machine."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from flowbot.faces.ui.book import Book
from flowbot.faces.ui.desk import Desk
from flowbot.faces.ui.server import STATIC, serving
from flowbot.faces.ui.trials import Trials

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

ROOT = Path(__file__).parent.parent
T = TypeVar("T")
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
NEEDED = "needs Chromium (apt-get install chromium, or python -m playwright install chromium) and Playwright"
FLAGS = (
    "--no-sandbox",  # root in a container has none
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
QUIET = "() => !document.querySelector('[aria-label=Loading]') && document.querySelector('#main,[role=alert]')"
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
WIDTHS = ((1280, 800), (1920, 1080))


@contextmanager
def chromium() -> Generator[Browser]:
    """Start a browser; raise `LookupError` that says what is missing where there is none."""
    try:
        from playwright.sync_api import Error, sync_playwright
    except ImportError:
        raise LookupError(f"{NEEDED} (pip install playwright)") from None
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        except Error as error:
            raise LookupError(f"{NEEDED}: {str(error).splitlines()[0]}") from None
        yield browser
        browser.close()


@dataclass
class Watched:
    """A tab of a browser. `wrong` are errors on its console, dialogs, and requests to other places than `origin`:
    a scheme with a host and a port, or the one file that may be read."""

    page: Page
    origin: str
    wrong: list[str] = field(default_factory=list[str])
    asked: list[Request] = field(default_factory=list["Request"])

    def __post_init__(self) -> None:
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("dialog", self._dialog)
        self.page.on("popup", lambda other: self.wrong.append(f"opened {other.url}"))
        self.page.on("request", self._request)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request) -> None:
        self.asked.append(request)
        own = request.url.partition("#")[0] == self.origin if self.origin.startswith("file:") else False
        if not own and not request.url.startswith((f"{self.origin}/", "data:")):
            self.wrong.append(f"request: {request.url[:200]}")

    def go(self, *place: str) -> None:
        """Go to a view by the parts of its address, and wait until what it asked for is there."""
        address = self.page.url.partition("#")[0]
        parts = [quote(part, safe=",").replace("~", "%7E").replace("%", "~") for part in place]
        self.page.goto(f"{address}#/{'/'.join(parts)}")
        self.wait()

    def wait(self) -> None:
        """Wait until the view is there."""
        self.page.evaluate(DRAWN)  # the address has changed, the view may not have
        self.page.wait_for_function(QUIET)
        self.page.evaluate(DRAWN)

    def sound(self) -> None:
        """Assert that nothing is wrong so far."""
        assert self.wrong == []


@contextmanager
def tab(
    browser: Browser, link: str, width: int = 1280, height: int = 800, scheme: Any = "light", **how: Any
) -> Generator[Watched]:
    """Open a link in a tab of its own, without cookies or memory of others; at the end nothing may be wrong."""
    context: BrowserContext = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce", **how
    )
    context.set_default_timeout(10_000)
    parts = urlsplit(link)
    watched = Watched(context.new_page(), f"{parts.scheme}://{parts.netloc}" if parts.netloc else link)
    try:
        watched.page.goto(link)
        watched.wait()
        yield watched
        watched.sound()
    finally:
        context.close()


def aside(work: Callable[[], T]) -> T:
    """Do work in a thread of its own: where a browser is open, this one has an event loop that runs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


@contextmanager
def shown(path: Path, **rights: Any) -> Generator[str]:
    """Serve the page of a path from another thread, and give its link."""
    links: list[str] = []
    failed: list[BaseException] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def serve() -> None:
        async with serving(Desk(path), Trials(**rights)) as link:
            links.append(link)
            ready.set()
            await over.wait()

    def run() -> None:
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(20)
    try:
        if not failed:
            yield links[0]
    finally:
        if thread.is_alive():
            loop.call_soon_threadsafe(over.set)
        thread.join(20)
    if failed:
        raise failed[0]


LATE = """
import sys, time
from pathlib import Path
from flowbot.models.scripted import World
from tests.kept import kept
answer = World.answer
def late(world, request):
    time.sleep(float(sys.argv[2]))
    return answer(world, request)
World.answer = late
kept(Path(sys.argv[1]), sizes=(8, 8, 4))
"""


@contextmanager
def going(folder: Path, delay: float) -> Generator[subprocess.Popen[bytes]]:
    """Search in a process of its own, whose model takes `delay` seconds a call; it has begun when this yields."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", LATE, str(folder), str(delay)], cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + 30
        while not (folder / "journal.sqlite").exists():
            assert process.poll() is None, "the search ended before it began"
            assert time.monotonic() < deadline, "the search does not begin"
            time.sleep(0.05)
        yield process
    finally:
        process.kill()
        process.wait()


Place = tuple[str, ...]


@dataclass(frozen=True)
class Views:
    """Where the views of a run are: the run in each of its parts, and what of it is opened from there."""

    run: str
    start: str
    best: str
    steps: Sequence[str]
    example: tuple[str, str]
    draw: str

    @classmethod
    def of(cls, folder: Path, run: str) -> Views:
        """Read them from the journal of a run, which the page knows as `run`."""
        book = Book(folder)
        try:
            told = book.run()
            best, start = told.best_id or "", told.start_id or ""
            draw = max(("val", "train"), key=lambda name: sum(name == each.name for each in book.candidate(best).draws))
            example = book.examples(draw, [best], "", False, "", 0, 1).rows[0].id
            steps = [step.id for step in book.candidate(best).flow.steps]
            return cls(run, start, best, steps, (draw, example), draw)
        finally:
            book.close()

    def at(self, *place: str) -> Place:
        """Return a place of the run."""
        return ("run", self.run, *place)

    def all(self) -> list[Place]:
        """Return the place of every view."""
        parts = ("candidates", "failures", "updates", "cost", "about")
        return [
            self.at(),
            *(self.at("part", part) for part in parts),
            self.at("workflow", self.best),
            *(self.at("workflow", self.best, step) for step in self.steps),
            self.at("compare", self.start, self.best),
            self.at("examples", "val"),
            self.at("examples", "train"),
            self.at("examples", *self.example),
            self.at("trace", self.best, self.draw, self.example[1]),
            self.at("try", self.best),
        ]


def built() -> bool:
    """Tell whether the page is built."""
    return (STATIC / "index.html").is_file()


def texts(watched: Watched, selector: str) -> Sequence[str]:
    """Return the texts of all elements that a selector finds."""
    return watched.page.locator(selector).all_inner_texts()
