"""The meter's server: an OpenAI-compatible endpoint with a base URL for each label."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from flowbot.errors import InputError
from flowbot.faces.meter.call import PATHS, Call, UpstreamError
from flowbot.faces.meter.labels import Meter
from flowbot.faces.meter.passage import Passage, Refusal
from flowbot.workflow.fields import is_map

LARGEST = 2**26  # bytes of a body
ALL = "all"  # the label of calls without one
LABEL = re.compile(r"(?!(?:v1|meter)\Z)[A-Za-z0-9._~+@=-]{1,120}\Z")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Desk:
    """The handlers of one meter."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one call of a client."""
        try:
            _refuse_pages(request)
            return await Passage(self._meter, _label(request), await _call(request)).answer(request)
        except Refusal as refused:
            return refused.response()

    async def models(self, request: web.Request) -> web.Response:
        """Answer what models there are."""
        try:
            _refuse_pages(request)
            _label(request)
            listed = await self._meter.upstream.models(request.headers)
        except Refusal as refused:
            return refused.response()
        except UpstreamError as error:
            return Refusal.of(error).response()
        return web.json_response({"object": "list", "data": listed})

    async def spent(self, request: web.Request) -> web.Response:
        """Answer what one label spent."""
        try:
            label = _label(request)
        except Refusal as refused:
            return refused.response()
        bounds = {name: bound for name, bound in vars(self._meter.budget_of(label)).items() if bound is not None}
        return web.json_response({"label": label, "budget": bounds, **self._meter.tally(label).plain()})

    async def all_spent(self, request: web.Request) -> web.Response:
        """Answer what all labels spent."""
        return web.json_response(self._meter.plain())

    async def unknown(self, request: web.Request) -> web.Response:
        """Answer a path that is none."""
        paths = ", ".join(PATHS)
        said = f"there is no {request.method} {request.path} here; the base URL is /LABEL/v1 with {paths} and models"
        return Refusal(404, said, "unknown_path").response()


def application(meter: Meter) -> web.Application:
    """Return the endpoint of a meter."""
    desk = Desk(meter)
    app = web.Application(client_max_size=LARGEST)
    for base in ("/v1", "/{label}/v1"):
        for path in PATHS:
            app.router.add_post(f"{base}/{path}", desk.answer)
        app.router.add_get(f"{base}/models", desk.models)
    app.router.add_get("/meter", desk.all_spent)
    app.router.add_get("/{label}/meter", desk.spent)
    app.router.add_route("*", "/{path:.*}", desk.unknown)
    return app


@asynccontextmanager
async def serving(meter: Meter, port: int = 0, host: str = "127.0.0.1") -> AsyncGenerator[str]:
    """Serve a meter while the block runs, and close it at its end; give the root URL, without a label.

    The base URL of a label is `{root}/{label}/v1`, and `{root}/v1` is that of the label `all`. Port 0 is a free one.
    Raises `InputError` where the address cannot be had.
    """
    runner = web.AppRunner(application(meter), access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port, backlog=1024).start()
        except (OSError, OverflowError) as error:
            raise InputError(f"cannot serve at {host}, port {port}: {error}", mend="choose another --port") from None
        at = runner.addresses[0]
        name = f"[{at[0]}]" if ":" in at[0] else at[0]
        yield f"http://{name}:{at[1]}"
    finally:
        await runner.cleanup()
        await meter.close()


def _label(request: web.Request) -> str:
    label = request.match_info.get("label", ALL)
    if not LABEL.match(label):
        raise Refusal(404, "a label is 1 to 120 letters, digits and . _ ~ + @ = -, not 'v1' or 'meter'", "bad_label")
    return label


def _refuse_pages(request: web.Request) -> None:
    """Refuse what a web page of another site sends: on loopback it would spend the user's money unseen."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).hostname not in LOOPBACK:
        raise Refusal(403, "calls from web pages of other sites are not answered", "foreign_page")


async def _call(request: web.Request) -> Call:
    too_large = Refusal(413, f"the body is larger than {LARGEST // 2**20} MB", "body_too_large")
    if (request.content_length or 0) > LARGEST:
        raise too_large
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    try:
        plain: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}", "bad_json") from None
    if not is_map(plain):
        raise Refusal(400, "the body must be a JSON object", "bad_json")
    return Call(request.path.partition("/v1/")[2], body, plain, request.headers)
