"""The guard of the network in conftest.py: without it, a test could pass for what a server somewhere answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

FAR = "192.0.2.1"  # an address that no machine has (RFC 5737)
NAME = "example.org"


async def stream(host: str) -> None:
    await asyncio.open_connection(host, 9)


async def raw(host: str) -> None:
    with socket.socket() as made:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (host, 9))


async def resolve(host: str) -> None:
    await asyncio.get_running_loop().getaddrinfo(host, 9)


def connect(host: str) -> None:
    with socket.socket() as made:
        made.settimeout(1)
        made.connect((host, 9))


def runner(loop: str) -> asyncio.Runner:
    if loop == "asyncio":
        return asyncio.Runner()
    uvloop: Any = pytest.importorskip("uvloop")
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize(("reach", "host"), [(stream, FAR), (stream, NAME), (raw, FAR), (resolve, NAME)])
def test_loops_reach_no_network(guard: Any, loop: str, reach: Callable[[str], Any], host: str) -> None:
    with runner(loop) as each, pytest.raises(RuntimeError, match="only loopback is allowed"):
        each.run(reach(host))
    assert guard.refused == [host]
    guard.refused.clear()


def test_sockets_reach_no_network(guard: Any) -> None:
    with pytest.raises(RuntimeError, match="only loopback"):
        connect(FAR)
    with pytest.raises(RuntimeError, match="only loopback"):
        socket.create_connection((NAME, 9))
    assert guard.refused == [FAR, NAME]
    guard.refused.clear()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_loopback_is_let_through(guard: Any, loop: str, host: str) -> None:
    with runner(loop) as each, pytest.raises(OSError, match=r"(?i)connect|address"):
        each.run(stream(host))
    assert guard.refused == []
