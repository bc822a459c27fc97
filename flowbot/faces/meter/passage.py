"""One call's passage through the meter: reserved, answered from the cache or by the upstream, counted, settled."""

from __future__ import annotations

import asyncio
import json
import math
import time
from dataclasses import replace
from typing import Any

from aiohttp import web

from flowbot.faces.meter.call import Answer, Call, UpstreamError, text_of
from flowbot.faces.meter.kept import Kept
from flowbot.faces.meter.labels import Meter
from flowbot.faces.meter.stream import Events, asks_usage
from flowbot.money import BudgetReached, Usage
from flowbot.workflow.fields import is_map


class Refusal(Exception):
    """An answer of the meter itself, as OpenAI words its errors."""

    def __init__(self, status: int, message: str, code: str, kind: str = "invalid_request_error") -> None:
        self.status, self.message, self.code, self.kind = status, message, code, kind
        super().__init__(message)

    @classmethod
    def of(cls, error: UpstreamError) -> Refusal:
        """Return what a client is told of an upstream that failed."""
        own = error.status in (400, 404)
        return cls(error.status, error.message, error.code, "invalid_request_error" if own else "upstream_error")

    def response(self) -> web.Response:
        """Return it as an answer; where a second try cannot help, it says so."""
        error = {"message": self.message, "type": self.kind, "code": self.code, "param": None}
        headers = {} if self.status >= 500 else {"x-should-retry": "false"}
        return web.json_response({"error": error}, status=self.status, headers=headers)


class Passage:
    """One call of one label."""

    def __init__(self, meter: Meter, label: str, call: Call) -> None:
        self._meter, self._label = meter, label
        self._account = meter.account(label)
        self._call = meter.numbered(label, call)
        self._price = meter.price(call.model)
        self._usage: Usage | None = None  # None: not answered
        self._started = 0.0  # 0: not sent
        self._events: Events | None = None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer the client; raise `Refusal`."""
        account, wall, estimate = self._account, self._account.wall, self._call.estimate(self._price)
        if self._price is None and wall.purse.budget.usd is not None:
            said = f"the price of '{self._call.model}' is not known, so money cannot be bounded; give it with --price"
            raise Refusal(400, said, "price_unknown")
        try:
            await wall.reserve(estimate)
        except BudgetReached as reached:
            account.count(refused=1)
            raise _refused(reached, estimate, self._label) from None
        try:
            return await self._pass(request)
        except (asyncio.CancelledError, ConnectionResetError):
            self._left()
            raise
        except UpstreamError as error:
            account.count(errors=1)
            raise Refusal.of(error) from error
        finally:
            wall.settle(estimate, self._usage)
            if self._usage is not None:
                account.book(self._call.model, self._usage)

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        cache, call = self._meter.cache, self._call
        key = call.key(self._meter.upstream.name) if cache else ""
        kept = cache.find(key) if cache else None
        if kept is not None:
            return await self._again(kept)
        self._started = time.perf_counter()
        async with self._meter.upstream.send(call) as answer:
            if answer.streams:
                return await self._stream(request, answer, key)
            body = b"".join([chunk async for chunk in answer.chunks])
        usage = self._counted(answer, body)
        if usage is None:
            self._account.count(errors=1)
        else:
            self._keep(key, answer, body, usage)
            await self._late(usage)
        return web.Response(status=answer.status, body=body, headers=answer.headers)

    async def _again(self, kept: Kept) -> web.Response:
        """Answer what was kept."""
        self._account.count(cached=1)
        if self._meter.cached_free:
            await asyncio.sleep(self._meter.latency)
        else:
            await self._late(kept.at(self._price))
        return web.Response(body=kept.body, headers={"Content-Type": kept.kind})

    async def _stream(self, request: web.Request, answer: Answer, key: str) -> web.StreamResponse:
        """Pass a stream on, event by event; one that breaks is broken for the client too."""
        events = self._events = Events(asks_usage(self._call.path, self._call.plain))
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        await asyncio.sleep(self._meter.latency)
        await response.prepare(request)
        passed: list[bytes] = []
        try:
            async for chunk in answer.chunks:
                await _write(response, events.take(chunk), passed if key else None)
        except UpstreamError:
            self._account.count(errors=1)
            if request.transport is not None:
                request.transport.abort()
            return response
        last = events.rest()
        if events.failed:
            self._account.count(errors=1)
        else:
            usage = self._call.usage(events.usage, events.text, self._price, time.perf_counter() - self._started)
            self._usage = usage
            if events.done:
                own = replace(usage, seconds=max(0.0, usage.seconds - self._meter.latency))
                self._keep(key, answer, b"".join([*passed, last]), own)
        await _write(response, last, None)
        await response.write_eof()
        return response

    def _counted(self, answer: Answer, body: bytes) -> Usage | None:
        """Return what an answer took; None where it is an error, also one with a good status."""
        if not 200 <= answer.status < 300:
            return None
        try:
            plain: Any = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not is_map(plain) or plain.get("error"):
            return None
        said = text_of(plain.get("choices") or plain.get("output"))
        return self._call.usage(plain.get("usage"), said, self._price, time.perf_counter() - self._started)

    def _keep(self, key: str, answer: Answer, body: bytes, usage: Usage) -> None:
        if self._meter.cache is not None and answer.status == 200:
            kind = next((value for name, value in answer.headers.items() if name.lower() == "content-type"), "")
            self._meter.cache.keep(key, Kept(kind, body, usage))

    async def _late(self, usage: Usage) -> None:
        """Book an answer, and hold it back for the latency that is asked for."""
        self._usage = replace(usage, seconds=usage.seconds + self._meter.latency)
        if self._meter.latency:
            await asyncio.sleep(self._meter.latency)

    def _left(self) -> None:
        """Book a call whose client is gone: its provider bills the prompt, and what was written so far."""
        if not self._started or self._usage is not None or (self._events and self._events.failed):
            return
        events = self._events or Events(False)
        reported = events.usage or ({} if events.text else {"completion_tokens": 0})
        self._usage = self._call.usage(reported, events.text, self._price, time.perf_counter() - self._started)
        self._account.count(gone=int(not events.done))


async def _write(response: web.StreamResponse, data: bytes, passed: list[bytes] | None) -> None:
    if data:
        if passed is not None:
            passed.append(data)
        await response.write(data)


def _refused(reached: BudgetReached, estimate: Usage, label: str) -> Refusal:
    wanted = getattr(estimate, reached.limit)
    used = "an unknown sum" if math.isinf(reached.used) else f"{reached.used:.6g}"
    said = f"the budget of {reached.allowed:g} {reached.limit} is reached ({used} used) for '{label}'"
    more = f"; this call may take {wanted:.4g}" if wanted and reached.used < reached.allowed else ""
    return Refusal(429, said + more, "budget_reached", "budget_reached")
