"""The server: uvicorn on a bound socket, with signals of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import uvicorn

from flowbot.errors import InputError
from flowbot.faces.serve.protocol import CONNECTIONS, Guarded

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from flowbot.faces.serve.service import Service

BACKLOG = 2048
YOUNG = 20_000  # objects made before a collection: those of the requests in flight, which live, are many
FILES = 2 * CONNECTIONS  # those to models among them
LOG = logging.getLogger("flowbot.serve")


class Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals alone, and tells when it has begun."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen."""
        await super().startup(sockets)
        self.begun.set_result(None)

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take no signals."""
        yield


def bound(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `InputError` where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(f"cannot serve at {host}, port {port}: {error}", mend="choose another --port") from None


def allow_connections() -> None:
    """Let this process hold as many open files as the system allows it: a connection is one."""
    try:
        import resource
    except ImportError:  # Windows has no such bound
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def server_of(app: Starlette) -> Server:
    """Return a server for an application; await its `serve(sockets=[...])`."""
    config = uvicorn.Config(
        app,
        http=Guarded,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=1,
    )
    return Server(config)


def spare_heap() -> None:
    """Leave what is there now out of all later collections, and collect less often: a request leaves no rings."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


async def serve(app: Starlette, listening: socket.socket, grace: float, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what runs within `grace` seconds. SIGHUP reloads.

    `ready` is called once all workflows are open and requests are answered. Raises what opening them raises.
    """
    service: Service = app.state.service
    allow_connections()
    server = server_of(app)
    tasks: set[asyncio.Task[Any]] = set()
    stopping = asyncio.Event()

    def begin(work: Any) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def stop() -> None:
        if stopping.is_set():
            server.force_exit = server.should_exit = True
            return
        stopping.set()
        begin(_stop(service, server, grace))

    async with app.router.lifespan_context(app):
        with _signals({"SIGTERM": stop, "SIGINT": stop, "SIGHUP": lambda: begin(service.desk.reload())}):
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            await asyncio.wait([serving, server.begun], return_when=asyncio.FIRST_COMPLETED)
            if not serving.done():
                spare_heap()
                ready()
            await serving


async def _stop(service: Service, server: Server, grace: float) -> None:
    LOG.info("stopping", extra={"facts": {"running": service.slots.running, "grace": grace}})
    await service.stop(grace)
    server.should_exit = True


@contextlib.contextmanager
def _signals(handlers: dict[str, Callable[[], Any]]) -> Generator[None]:
    """Handle signals while the block runs, where the system has them."""
    loop = asyncio.get_running_loop()
    known = [(getattr(signal, name), handler) for name, handler in handlers.items() if hasattr(signal, name)]
    held: list[int] = []
    for number, handler in known:
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, handler)
            held.append(number)
    try:
        yield
    finally:
        for number in held:
            loop.remove_signal_handler(number)
