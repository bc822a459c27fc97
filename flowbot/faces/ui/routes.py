"""The addresses of the page: what each of them asks, and how it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from pydantic import BaseModel, ValidationError

from flowbot.errors import InputError
from flowbot.faces.ui.guard import Guard, Refusal, protect
from flowbot.faces.ui.live import Feeds, frame
from flowbot.faces.ui.readers import Readers
from flowbot.faces.ui.schema import Problem, Spent, TryAsk, TryEnd, json_text
from flowbot.faces.ui.trials import Trials
from flowbot.models.secrets import scrub

LARGEST = 2**20  # bytes of a body
MOST = 500  # examples in an answer
HERE = "~"  # in an address, the run "." that the page was opened on: browsers take "." out of addresses
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}


class Answers:
    """The handlers of one page."""

    def __init__(self, readers: Readers, trials: Trials) -> None:
        self._readers, self._trials = readers, trials
        self._feeds = Feeds(readers)

    async def home(self, request: web.Request) -> web.Response:
        """Answer what the page was opened on."""
        return _json(_plain(await self._readers.ask_desk(lambda desk: desk.home())))

    async def runs(self, request: web.Request) -> web.Response:
        """Answer the list of runs."""
        return _json(await self._readers.ask_desk(lambda desk: _all(desk.runs())))

    async def flow(self, request: web.Request) -> web.Response:
        """Answer the workflow that the page was opened on."""
        return _json(await self._readers.ask_desk(lambda desk: _plain(desk.flow())))

    async def run(self, request: web.Request) -> web.Response:
        """Answer a run, or what of it is behind an event."""
        after = _number(request, "after") if "after" in request.query else None
        return await self._of_run(request, lambda book: book.run(after))

    async def candidate(self, request: web.Request) -> web.Response:
        """Answer one candidate."""
        return await self._of_run(request, lambda book: book.candidate(request.match_info["id"]))

    async def examples(self, request: web.Request) -> web.Response:
        """Answer a window of the table of examples."""
        asked = request.query
        candidates = [each for each in asked.get("candidates", "").split(",") if each]
        split, sort, find = (asked.get(name, "") for name in ("split", "sort", "find"))
        down = asked.get("desc", "") in ("1", "true")
        offset, limit = _number(request, "offset"), min(MOST, _number(request, "limit", 100))
        return await self._of_run(
            request, lambda book: book.examples(split, candidates, sort, down, find, offset, limit)
        )

    async def example(self, request: web.Request) -> web.Response:
        """Answer one example with all its runs."""
        split, example = request.match_info["split"], request.match_info["id"]
        return await self._of_run(request, lambda book: book.example(split, example))

    async def trace(self, request: web.Request) -> web.Response:
        """Answer one trace: it is played again from the journal, in the thread that reads."""
        from flowbot.faces.ui.playing import trace_of

        names = [request.match_info[name] for name in ("workflow", "draw", "example")]
        return await self._of_run(request, lambda book: asyncio.run(trace_of(book, *names)))

    async def live(self, request: web.Request) -> web.StreamResponse:
        """Answer signs of life, as long as the page listens."""
        return await _stream(request, self._feeds.follow(_run(request)))

    async def price(self, request: web.Request) -> web.Response:
        """Answer what trying a workflow can take."""
        return _json(_plain(await self._trials.price(self._readers, await _asked(request))))

    async def attempt(self, request: web.Request) -> web.StreamResponse:
        """Answer the steps of a workflow as they run; it ends with the page."""
        asked = await _asked(request)
        if not asked.agreed:
            raise Refusal(409, "trying may cost money, and nobody has agreed to it", "ask /api/price first")
        return await _stream(request, _told(self._trials.play(self._readers, asked)))

    async def _of_run(self, request: web.Request, question: Callable[[Any], BaseModel]) -> web.Response:
        return _json(await self._readers.ask(_run(request), lambda book: _plain(question(book))))


def add_routes(app: web.Application, answers: Answers, files: Path) -> None:
    """Add the addresses of the page, and the files that it is made of."""
    of_run = "/api/runs/{run:[^/]+}"  # without a pattern of ours aiohttp takes no braces
    for path, handler in (
        ("/api/home", answers.home),
        ("/api/runs", answers.runs),
        ("/api/flow", answers.flow),
        (of_run, answers.run),
        (f"{of_run}/candidates/{{id:[^/]+}}", answers.candidate),
        (f"{of_run}/examples", answers.examples),
        (f"{of_run}/examples/{{split:[^/]+}}/{{id:[^/]+}}", answers.example),
        (f"{of_run}/traces/{{workflow:[^/]+}}/{{draw:[^/]+}}/{{example:[^/]+}}", answers.trace),
        (f"{of_run}/live", answers.live),
    ):
        app.router.add_get(path, handler, allow_head=False)
    app.router.add_post("/api/price", answers.price)
    app.router.add_post("/api/try", answers.attempt)
    known = {path.relative_to(files).as_posix(): path for path in files.rglob("*") if path.suffix in KINDS}

    async def file(request: web.Request) -> web.FileResponse:
        """Answer a file of the page: one of those that were there at the start, so that no path leads elsewhere."""
        path = known.get(request.match_info["name"] or "index.html")
        if path is None:
            raise Refusal(404, "there is no such page")
        kept = "max-age=31536000, immutable" if path.parent.name == "assets" else "no-cache"
        return web.FileResponse(path, headers={"Content-Type": KINDS[path.suffix], "Cache-Control": kept})

    app.router.add_get("/{name:(?!api/).*}", file)


def guarded(guard: Guard) -> Middleware:
    """Return what every request passes: the guard first, and errors in the words of the page at the end."""

    @web.middleware
    async def passed(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            guard.check(request)
            return await handler(request)
        except web.HTTPException as error:
            return _problem(error.status, f"{request.method} {request.path}: {error.reason.lower()}")
        except Exception as error:
            return _refused(request, error)

    return passed


async def protected(request: web.Request, response: web.StreamResponse) -> None:
    """Add the headers that every answer has."""
    protect(request, response.headers)


def _refused(request: web.Request, error: Exception) -> web.Response:
    if isinstance(error, Refusal):
        return _problem(error.status, error.error, error.mend)
    if isinstance(error, InputError):
        said = f"{error.where}: {error.what}" if error.where else error.what
        return _problem(400 if request.method == "POST" else 404, said, error.mend)
    if isinstance(error, sqlite3.Error | OSError):
        return _problem(409, f"the run cannot be read: {error}", "try again; where that does not help, see its folder")
    logging.getLogger(__name__).error("an error of FlowBot's own, in %s", request.path, exc_info=error)
    return _problem(500, f"{type(error).__name__}: {error}", "this is an error of FlowBot's own: please report it")


def _problem(status: int, error: str, mend: str = "") -> web.Response:
    return _json(_plain(Problem(error=scrub(error), mend=scrub(mend))), status)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json", charset="utf-8")


def _plain(value: BaseModel) -> bytes:
    return json_text(value).encode()


def _all(values: Iterable[BaseModel]) -> bytes:
    return b"[" + b",".join(map(_plain, values)) + b"]"


def _run(request: web.Request) -> str:
    run = request.match_info["run"]
    return "." if run == HERE else run


def _number(request: web.Request, name: str, otherwise: int = 0) -> int:
    """Return a number of the query that is not negative; raise `Refusal` where it is none."""
    text = request.query.get(name, "") or str(otherwise)
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Refusal(400, f"'{name}' must be a whole number, 0 or more")
    return int(text)


async def _asked(request: web.Request) -> TryAsk:
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise Refusal(413, f"the inputs are larger than {LARGEST // 2**20} MB") from None
    try:
        return TryAsk.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise Refusal(400, f"{where}: {first['msg']}" if where else first["msg"]) from None


async def _told(parts: AsyncGenerator[BaseModel]) -> AsyncGenerator[bytes]:
    """Yield the frames of a trial; what breaks it off once it began is its end."""
    begun = False
    async with contextlib.aclosing(parts):
        try:
            async for part in parts:
                yield frame("end" if isinstance(part, TryEnd) else "step", part)
                begun = True
        except Exception as error:
            if not begun:
                raise
            nothing = Spent(calls=0, input_tokens=0, output_tokens=0, usd=None, seconds=0)
            yield frame("end", TryEnd(output=None, error=scrub(str(error) or type(error).__name__), spent=nothing))


async def _stream(request: web.Request, frames: AsyncGenerator[bytes]) -> web.StreamResponse:
    """Send events as they come. What goes wrong before the first is an answer of its own; later it ends the stream."""
    async with contextlib.aclosing(frames):
        first = await anext(frames)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            await response.prepare(request)
            await response.write(first)
            async for each in frames:
                await response.write(each)
        except (InputError, sqlite3.Error, OSError):
            pass  # the journal or the reader has gone
    return response
