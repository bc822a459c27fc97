"""Download: one file of a web server into one file here, going on where an earlier try broke off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    import aiohttp

TRIES = 4
PAUSE = 1.0  # seconds before the second try, doubled for each one after
CONNECT = 5.0  # seconds
FIRST_BYTE = 10.0  # seconds for an answer to begin, of a source that has a stand-in
READ = 60.0  # seconds between two reads
BLOCK = 1 << 18

T = TypeVar("T")


class Unreachable(Exception):
    """A source that does not give the file; the text names its host and what happened, never credentials."""


class _Again(Exception):
    """A failure that another try may mend."""


def host_of(url: str) -> str:
    """Return what may be shown of a URL: its host."""
    return urlsplit(url).hostname or url


def open_session() -> aiohttp.ClientSession:
    """Return a session that heeds the environment's proxies and CA files."""
    import aiohttp

    from flowbot.models.connection import certificates

    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT, sock_read=READ)
    connector = aiohttp.TCPConnector(ssl=certificates())
    return aiohttp.ClientSession(connector=connector, timeout=limits, trust_env=True, auto_decompress=False)


class Download:
    """Fetches over one session; `say` is told in words what happens, `add` the bytes that came (or were dropped)."""

    def __init__(self, session: aiohttp.ClientSession, say: Callable[[str], None], add: Callable[[int], None]) -> None:
        self._session, self._say, self._add = session, say, add

    async def into(self, path: Path, url: str, size: int | None, *, patient: bool = True) -> None:
        """Fetch `url` into `path`, `size` bytes where that is known, appending to what is there already.

        A source that is not `patient` has a stand-in, and is given up when its first answer fails. Raises
        `Unreachable`; what came stays in `path`.
        """
        before = _length(path)

        async def attempt() -> None:
            await self._attempt(path, url, size, READ if patient else FIRST_BYTE)

        await self._again(url, attempt, lambda: patient or _length(path) > before)

    async def locate(self, index: str, distribution: str, version: str) -> tuple[str, str, int | None]:
        """Return URL, SHA-256 and size (where told) of a wheel, from the index's JSON page (PEP 691)."""
        page = f"{index}/{distribution}/"
        files = await self._again(page, lambda: self._files(page), lambda: True)
        try:
            for file in files:
                name: str = file["filename"]
                if name.endswith(".whl") and name.split("-")[1] == version:
                    return urljoin(page, file["url"]), file["hashes"]["sha256"], file.get("size")
        except (KeyError, TypeError, IndexError, AttributeError):
            raise Unreachable(f"{host_of(page)}: the page of {distribution} is not as PEP 691 has it") from None
        raise Unreachable(f"{host_of(page)}: there is no wheel of {distribution} {version}")

    async def _files(self, page: str) -> list[dict[str, Any]]:
        accept = {"Accept": "application/vnd.pypi.simple.v1+json", "Accept-Encoding": "identity"}
        async with self._session.get(page, headers=accept) as response:
            _check(response)
            text = await response.read()
        import json

        try:
            return cast("dict[str, Any]", json.loads(text))["files"]
        except (ValueError, KeyError, TypeError):
            raise Unreachable(f"{host_of(page)}: the index does not answer in JSON (PEP 691)") from None

    async def _again(self, url: str, attempt: Callable[[], Awaitable[T]], hopeful: Callable[[], bool]) -> T:
        """Return what `attempt` gives, trying again after failures that may pass."""
        import aiohttp

        problem = ""
        for count in range(TRIES):
            if count:
                self._say(f"{host_of(url)}: {problem}; trying again")
                await asyncio.sleep(PAUSE * 2 ** (count - 1))
            try:
                return await attempt()
            except TimeoutError:
                problem = "no answer in time"
            except aiohttp.ClientError as failure:
                problem = _in_words(failure)
            except _Again as failure:
                problem = str(failure)
            if not hopeful():
                break
        raise Unreachable(f"{host_of(url)}: {problem}")

    async def _attempt(self, path: Path, url: str, size: int | None, patience: float) -> None:
        have = _length(path)
        if have and have == size:
            return  # all of it came before; its hash is checked by the caller
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        async with asyncio.timeout(patience):
            response = await self._session.get(url, headers=headers)
        async with response:
            if have and response.status == 416:
                if size is None:
                    return  # nothing follows what is there: it may be all, and the caller checks its hash
                self._start_over(path, have)
            _check(response, have)
            if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
                self._start_over(path, have)
            if response.status == 200:
                self._add(-have)
                have = 0
            _check_size(response, have, size)
            await self._keep(response, path, have, size)

    async def _keep(self, response: aiohttp.ClientResponse, path: Path, have: int, size: int | None) -> None:
        """Append the body at `have`."""
        with path.open("ab" if have else "wb") as file:
            async for block in response.content.iter_chunked(BLOCK):
                have += len(block)
                if size is not None and have > size:
                    raise Unreachable(f"{response.url.host}: more than the {size} bytes expected came")
                file.write(block)
                self._add(len(block))
        if size is not None and have < size:
            raise _Again("the file broke off")

    def _start_over(self, path: Path, have: int) -> NoReturn:
        path.unlink()
        self._add(-have)
        raise _Again("the server does not go on where the file broke off")


def _check(response: aiohttp.ClientResponse, have: int = 0) -> None:
    if response.status == 429 or response.status >= 500:
        raise _Again(f"answers with status {response.status}")
    if response.status not in ((200, 206) if have else (200,)):
        raise Unreachable(f"{response.url.host}: answers with status {response.status}")


def _check_size(response: aiohttp.ClientResponse, have: int, size: int | None) -> None:
    length = response.content_length
    if size is not None and length is not None and have + length != size:
        raise Unreachable(f"{response.url.host}: the file there has {have + length} bytes, expected {size}")


def _in_words(failure: Exception) -> str:
    """Return a failure without URLs, which may hold credentials."""
    import aiohttp

    if isinstance(failure, aiohttp.ClientConnectorError):
        return f"cannot be reached ({failure.os_error.strerror or type(failure).__name__})"
    if isinstance(failure, aiohttp.ClientPayloadError):
        return "the file broke off"
    return f"the connection failed ({type(failure).__name__})"


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
