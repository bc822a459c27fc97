"""What holds for every test: no network but loopback, and property tests that are the same in every run of CI."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("default"), derandomize=True, database=None)
settings.load_profile("ci" if os.environ.get("CI") else "default")


class NetworkRefused(RuntimeError):
    """A test reached for a network beyond loopback."""


class Guard:
    """Refuses every address but loopback, and remembers what it refused: code under test may swallow the error."""

    def __init__(self) -> None:
        self.open = False
        self.refused: list[str] = []

    def check(self, host: object) -> None:
        """Raise `NetworkRefused` for a host that is not this machine."""
        if not self.open and not _is_loopback(host):
            self.refused.append(str(host))
            raise NetworkRefused(f"a test reached for {host}: only loopback is allowed")

    @contextmanager
    def opened(self) -> Generator[None, None, None]:
        """Let the network be reached for a while."""
        self.open = True
        try:
            yield
        finally:
            self.open = False


def _is_loopback(host: object) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(name).partition("%")[0]).is_loopback
    except ValueError:
        return False


def _guard_sockets(guard: Guard, patch: pytest.MonkeyPatch) -> None:
    for name in ("connect", "connect_ex", "sendto"):
        patch.setattr(socket.socket, name, _checked_socket(guard, getattr(socket.socket, name)))
    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
        patch.setattr(socket, name, _checked(guard, getattr(socket, name), 0))


def _guard_uvloop(guard: Guard, patch: pytest.MonkeyPatch) -> None:
    """Guard uvloop too: it reaches the system without Python's socket module."""
    try:
        import uvloop
    except ImportError:
        return
    loop: Any = uvloop.Loop
    patch.setattr(loop, "getaddrinfo", _checked(guard, loop.getaddrinfo, 1))
    patch.setattr(loop, "create_connection", _checked(guard, loop.create_connection, 2))
    patch.setattr(loop, "create_datagram_endpoint", _checked_datagram(guard, loop.create_datagram_endpoint))
    patch.setattr(loop, "sock_connect", _checked_sock(guard, loop.sock_connect))


def _checked(guard: Guard, call: Callable[..., Any], at: int) -> Callable[..., Any]:
    def checked(*args: Any, **named: Any) -> Any:
        guard.check(args[at] if len(args) > at else named.get("host"))
        return call(*args, **named)

    return checked


def _checked_socket(guard: Guard, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(self: socket.socket, *args: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            guard.check(args[-1][0])
        return call(self, *args)

    return checked


def _checked_sock(guard: Guard, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(loop: Any, sock: socket.socket, address: Any) -> Any:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            guard.check(address[0])
        return call(loop, sock, address)

    return checked


def _checked_datagram(guard: Guard, call: Callable[..., Any]) -> Callable[..., Any]:
    def checked(*args: Any, **named: Any) -> Any:
        remote = named.get("remote_addr")
        guard.check(remote[0] if remote else None)
        return call(*args, **named)

    return checked


@pytest.fixture(scope="session")
def guard() -> Generator[Guard, None, None]:
    """The guard of the network, in place for the whole session."""
    made = Guard()
    with pytest.MonkeyPatch.context() as patch:
        _guard_sockets(made, patch)
        _guard_uvloop(made, patch)
        yield made


@pytest.fixture(autouse=True)
def no_network(guard: Guard) -> Generator[None, None, None]:
    """Fail a test that reached for a network, also where the code under test took the refusal for a bad line."""
    guard.refused.clear()
    yield
    refused, guard.refused = guard.refused, []
    if refused:
        pytest.fail(f"the test reached for {', '.join(sorted(set(refused)))}: only loopback is allowed")


@pytest.fixture
def flowbot_home(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared folder of models for tests with the `model` marker; all others leave the environment alone."""
    _needs_marker(request)
    import platformdirs

    home = Path(os.environ.get("FLOWBOT_HOME") or platformdirs.user_cache_path("flowbot"))
    home.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("FLOWBOT_HOME", str(home))
    return home


@pytest.fixture
def network(request: pytest.FixtureRequest, guard: Guard) -> Generator[None, None, None]:
    """The network, for a test with the `model` marker that fetches its model."""
    _needs_marker(request)
    with guard.opened():
        yield


def _needs_marker(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("model") is None:
        pytest.fail(f"the fixture '{request.fixturename}' is for tests with the marker 'model'", pytrace=False)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave out the keys of this machine, let FlowBot's home be empty, and stand in an empty folder."""
    for name in list(os.environ):
        if name.endswith(("_API_KEY", "_BASE_URL")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("FLOWBOT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
