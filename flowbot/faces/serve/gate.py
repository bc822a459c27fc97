"""The gate before all routes: ids, the token, one form of error, counters and the log."""

from __future__ import annotations

import asyncio
import hmac
import itertools
import logging
import re
import secrets
import time
import traceback
from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from flowbot.faces.serve.refusal import NO_RETRY, Refusal
from flowbot.faces.serve.service import Service
from flowbot.faces.serve.visit import App, Gone, Receive, Scope, Send, Visit

LOG = logging.getLogger("flowbot.serve")
OPEN = frozenset({"/healthz", "/readyz"})  # what is answered without a token: it tells nothing
LOOPBACK = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?", re.IGNORECASE)
ID = re.compile(rb"[\x21-\x7e]{1,128}")
NOT_THERE = {
    404: ("no_such_path", "there is nothing at this path: /docs says what there is"),
    405: ("method_not_allowed", "this path is not asked by that method: the header Allow says by which"),
}
GONE = 499  # in the log and the counters: the client left before there was an answer


class Gate:
    """ASGI middleware: lets in who may come in, and tells of everyone how it went."""

    def __init__(self, app: App, service: Service) -> None:
        self.app, self.service = app, service
        self.prefix, self.numbers = secrets.token_hex(4), itertools.count(1)
        self.token = service.settings.token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers: dict[bytes, bytes] = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        name = given.decode() if ID.fullmatch(given) else f"{self.prefix}{next(self.numbers):06x}"
        outcome = [0]

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                outcome[0] = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name.encode())]
            await send(message)

        visit = Visit(name, time.perf_counter(), receive, sending, headers, task=asyncio.current_task())
        scope["flowbot"] = visit
        self.service.visits.add(visit)
        try:
            await self._pass(scope, visit, outcome)
        finally:
            self.service.visits.discard(visit)
            del scope["flowbot"]  # it holds the scope too, by what it receives: a ring that waits for the collector
            self._tell(scope, visit, outcome[0] or GONE)

    async def _pass(self, scope: Scope, visit: Visit, outcome: list[int]) -> None:
        """Let a request through; whatever goes wrong ends in an answer where none has begun."""
        try:
            if scope["path"] not in OPEN:
                self._check(scope, visit)
            await self.app(scope, visit.receive, visit.send)
            return
        except Refusal as refused:
            refusal = refused
        except HTTPException as error:  # no such path, or not by this method
            code, what = NOT_THERE.get(error.status_code, ("bad_request", str(error.detail)))
            refusal = Refusal(error.status_code, code, what, error.headers)
        except asyncio.CancelledError:
            if visit.gone:
                return
            if not visit.stopping:
                raise
            refusal = Refusal(503, "stopping", "the server is stopping", {"Connection": "close", **NO_RETRY})
        except Gone:
            return
        except RecursionError:
            refusal = Refusal(422, "inputs_do_not_fit", "the inputs are nested too deep", NO_RETRY)
        except Exception as error:
            visit.facts |= {"bug": type(error).__name__, "at": _place(error)}
            if self.service.settings.log_content:
                visit.facts["reason"] = str(error)
            refusal = Refusal(500, "internal_error", f"an error of the server's own; its id is {visit.id}", NO_RETRY)
        visit.facts["error"] = refusal.code
        if not outcome[0]:
            await visit.answer(refusal.status, refusal.body, refusal.headers)

    def _check(self, scope: Scope, visit: Visit) -> None:
        """Raise `Refusal` for who may not come in."""
        headers = visit.headers
        if self.token:
            scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
            same = hmac.compare_digest(token.strip(), self.token)
            if not same or scheme.lower() != b"bearer":
                told = {"WWW-Authenticate": "Bearer"}
                raise Refusal(401, "bad_token", "the token is missing or wrong: Authorization: Bearer TOKEN", told)
            return
        # Without a token a page of another site could ask by a browser of this machine, or by a name that leads here.
        if not LOOPBACK.fullmatch(headers.get(b"host", b"")):
            raise Refusal(403, "bad_host", "this server answers this machine alone, by 127.0.0.1 or localhost")
        origin = headers.get(b"origin")
        if origin is not None and origin.partition(b"://")[2] != headers[b"host"]:
            raise Refusal(403, "bad_origin", "pages of other sites are not answered")

    def _tell(self, scope: Scope, visit: Visit, status: int) -> None:
        route: str = visit.facts.pop("route", "other")
        seconds = time.perf_counter() - visit.began
        self.service.counted.request(route, status, seconds)
        level = logging.ERROR if status == 500 else logging.DEBUG if route in OPEN else logging.INFO
        if LOG.isEnabledFor(level):
            facts: dict[str, Any] = {"id": visit.id, "method": scope["method"], "route": route, "status": status}
            facts["seconds"] = round(seconds, 4)
            if visit.usage.calls:
                facts |= {"calls": visit.usage.calls, "tokens": visit.usage.tokens, "usd": visit.usage.usd}
            extra = {"facts": facts | visit.facts}
            LOG.handle(
                LOG.makeRecord(LOG.name, level, __file__, 0, "request", (), None, extra=extra)
            )  # quicker than log


def _place(error: BaseException) -> str:
    """Return where an error came from, without its words: they may hold what a client sent."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    return " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
