"""The page's server: on this machine's loopback, behind a token, for as long as it is wanted."""

from __future__ import annotations

import logging
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from flowbot.errors import InputError
from flowbot.faces.ui.guard import Guard, written
from flowbot.faces.ui.readers import Readers
from flowbot.faces.ui.routes import LARGEST, Answers, add_routes, guarded, protected

if TYPE_CHECKING:
    from flowbot.faces.ui.desk import Desk
    from flowbot.faces.ui.trials import Trials

STATIC = Path(__file__).parent / "static"


@asynccontextmanager
async def serving(
    desk: Desk, trials: Trials, port: int = 0, host: str = "127.0.0.1", files: Path | None = None
) -> AsyncGenerator[str]:
    """Serve the page of a desk while the block runs, and give its link, which holds the token; the desk is closed then.

    Port 0 is a free one. `files` is the folder of what the page is made of, if not the one of the package. Raises
    `InputError` where it is not there, or the address cannot be had.
    """
    files = files or STATIC
    if not (files / "index.html").is_file():
        mend = "build it with `make ui` (Node is needed), or install FlowBot from a package, which holds it"
        raise InputError("the page is not built: index.html is missing", str(files), mend)
    listening = _bound(host, port)
    guard = Guard(secrets.token_urlsafe(32), host, listening.getsockname()[1])
    readers = Readers(desk)
    app = web.Application(client_max_size=LARGEST, middlewares=[guarded(guard)])
    app.on_response_prepare.append(protected)
    add_routes(app, Answers(readers, trials), files)
    runner = web.AppRunner(app, access_log=None, logger=_silent(), shutdown_timeout=0.1, handler_cancellation=True)
    try:
        await runner.setup()
        await web.SockSite(runner, listening).start()
        yield f"http://{_named(host)}:{guard.port}/?token={guard.token}"
    finally:
        await runner.cleanup()
        listening.close()
        readers.close()
        desk.close()


def _silent() -> logging.Logger:
    """Return a logger that says nothing of requests that are no HTTP: such a line may hold the token."""
    logger = logging.Logger(__name__)
    logger.addHandler(logging.NullHandler())
    return logger


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"cannot serve at {host}, port {port}: {error}", mend="choose another --port") from None


def _named(host: str) -> str:
    """Return what a server at an address is called in a link."""
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1" if host == "0.0.0.0" else "[::1]"
    return written(host)
