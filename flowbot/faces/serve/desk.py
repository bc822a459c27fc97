"""The workflows that are served: each open under its name, and replaced while requests go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from flowbot.engine.tasks import end
from flowbot.faces.opened import Flow, Wall
from flowbot.faces.serve.contract import Contract
from flowbot.faces.serve.refusal import Refusal
from flowbot.models.secrets import scrub

Opener = Callable[[], AbstractAsyncContextManager[Flow]]
LOG = logging.getLogger("flowbot.serve")


@dataclass(eq=False)
class Served:
    """One open workflow, with its users; closed when it is retired and the last of them has gone."""

    name: str
    flow: Flow
    contract: Contract
    users: int = 0
    retired: asyncio.Event = field(default_factory=asyncio.Event)
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self) -> None:
        """Begin a use."""
        self.users += 1

    def leave(self) -> None:
        """End a use."""
        self.users -= 1
        if not self.users and self.retired.is_set():
            self.idle.set()


class Desk:
    """Opens workflows by name. Each is opened, used and closed in a task of its own, as MCP servers ask for."""

    def __init__(self, openers: Mapping[str, Opener], shared: Wall | None = None) -> None:
        self.openers, self.shared = dict(openers), shared
        self.served: dict[str, Served] = {}
        self._holders: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()

    @property
    def ready(self) -> bool:
        """True once all are open."""
        return len(self.served) == len(self.openers)

    def named(self, name: str) -> Served:
        """Return the open workflow of a name; raise `Refusal` where it is not open yet."""
        try:
            return self.served[name]
        except KeyError:
            raise Refusal(503, "not_ready", "the workflow is not open", {"Retry-After": "1"}) from None

    async def open(self) -> None:
        """Open all; raise what the first one that cannot be opened raises."""
        try:
            for name in self.openers:
                self.served[name] = await self._opened(name)
        except BaseException:
            await self.close()
            raise

    async def reload(self) -> dict[str, str]:
        """Open all anew; one that cannot be opened stays as it was. Return the errors by name, and log them."""
        errors: dict[str, str] = {}
        async with self._reloading:
            for name in self.openers:
                try:
                    fresh = await self._opened(name)
                except Exception as error:
                    errors[name] = scrub(str(error))
                    facts = {"workflow": name, "error": errors[name]}
                    LOG.error("not reloaded: the old one goes on", extra={"facts": facts})
                    continue
                old, self.served[name] = self.served.get(name), fresh
                LOG.warning("reloaded", extra={"facts": {"workflow": name, "id": fresh.flow.workflow.id}})
                if old is not None:
                    _retire(old)
        return errors

    async def close(self) -> None:
        """Close all; what still runs is cut off."""
        self.served.clear()
        await end(self._holders)

    async def _opened(self, name: str) -> Served:
        ready: asyncio.Future[Served] = asyncio.get_running_loop().create_future()
        holder = asyncio.create_task(self._hold(name, ready))
        self._holders.add(holder)
        holder.add_done_callback(self._holders.discard)
        await asyncio.wait([holder, ready], return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            holder.result()
        return ready.result()

    async def _hold(self, name: str, ready: asyncio.Future[Served]) -> None:
        async with self.openers[name]() as flow:
            if self.shared is not None:
                flow.shared = self.shared
            served = Served(name, flow, Contract(flow.workflow))
            ready.set_result(served)
            await served.idle.wait()


def _retire(served: Served) -> None:
    served.retired.set()
    if not served.users:
        served.idle.set()
