"""An upstream behind HTTP: bodies pass as they are, and a key goes to its host alone."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any

import aiohttp
from aiohttp import ClientTimeout
from yarl import URL

from flowbot.faces.meter.call import Answer, Call, UpstreamError
from flowbot.faces.meter.stream import asking_usage, asks_usage
from flowbot.models.connection import open_session, proxy_of
from flowbot.models.price import price_of
from flowbot.models.providers import provider_of
from flowbot.models.secrets import MASK, SHORTEST, scrub, url_secrets
from flowbot.money import Price
from flowbot.task.task import ModelSpec
from flowbot.workflow.fields import is_map

LARGE = 2**20  # bytes from which on aiohttp wants a body in pieces
CONNECT = 10.0  # seconds for one connection
HOP = {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer"}
FORM = {"transfer-encoding", "content-length", "content-encoding", "accept-encoding", "expect", "upgrade"}
HOPS = frozenset(HOP | FORM | {"host", "cookie", "set-cookie", "forwarded", "date", "server"})  # what does not go on
KEYS = frozenset({"authorization", "api-key", "x-api-key"})
BROKEN = (aiohttp.ClientError, OSError, asyncio.IncompleteReadError, ValueError)
NAMELESS = ModelSpec(name="vllm:any")  # the provider for an address that belongs to none


class Forward:
    """An OpenAI-compatible base URL. With a key the client's own is dropped; without one it is passed on.

    `auth` are headers instead of a key, `provider` names the row of the table that knows prices. `timeout` is the
    longest silence in seconds. Raises `InputError` for what is no URL. Close it in the loop that used it.
    """

    samples = False

    def __init__(
        self,
        url: str,
        key: str = "",
        *,
        auth: Mapping[str, str] | None = None,
        provider: str = "",
        timeout: float = 600.0,
    ) -> None:
        endpoint = provider_of(NAMELESS, url, {})
        base, mark, query = endpoint.url.partition("?")
        self._base, self._query = base.removesuffix("/chat/completions"), mark + query
        credentials = {name: value for name, value in endpoint.headers.items() if name.lower() in KEYS}
        bearer = {"Authorization": f"Bearer {key}"} if key else {}
        self._auth = {**credentials, **bearer, **(auth or {})}
        self._provider, self._timeout = provider, timeout
        self._prices: dict[str, Price | None] = {}
        self._session: aiohttp.ClientSession | None = None
        self._usage_refused = False
        parts = [part for value in self._auth.values() for part in (value, value.partition(" ")[2])]
        self._secrets = frozenset(part for part in (*parts, *url_secrets(url)) if len(part) >= SHORTEST)

    @property
    def name(self) -> str:
        """The base URL, without credentials and query."""
        return self._base

    @property
    def priced(self) -> bool:
        """Whether the address belongs to a provider whose prices may be known."""
        return bool(self._provider)

    def price(self, model: str) -> Price | None:
        """Return the price of the provider's table; None for an address that belongs to no provider."""
        if not self._provider or not model.strip():
            return None
        if model not in self._prices:
            if len(self._prices) > 1000:
                self._prices.clear()
            self._prices[model] = price_of(ModelSpec(name=f"{self._provider}:{model}"))
        return self._prices[model]

    @asynccontextmanager
    async def send(self, call: Call) -> AsyncGenerator[Answer]:
        """Send a call. A stream is asked to report its usage, unless the endpoint is known to refuse that."""
        asks = asks_usage(call.path, call.plain) and not self._usage_refused
        response = await self._open("POST", call.path, call.headers, asking_usage(call.plain) if asks else call.body)
        try:
            chunks = self._chunks(response)
            if response.status >= 400:
                said = await self._read(response)
                chunks = _once(self._clean(said))
                if asks and (b"stream_options" in said or b"include_usage" in said):
                    self._usage_refused = True
                    response = await self._open("POST", call.path, call.headers, call.body)
                    chunks = self._chunks(response)
            yield Answer(response.status, _passed(response.headers, HOPS), chunks)
        finally:
            response.close()  # ends a call that is still under way

    async def models(self, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the endpoint's own list."""
        response = await self._open("GET", "models", headers, None)
        try:
            said = await self._read(response)
        finally:
            response.close()
        try:
            listed = json.loads(said)["data"]
            return [dict(each) for each in listed if is_map(each)]
        except (ValueError, LookupError, TypeError, RecursionError):
            raise UpstreamError(f"{self.name} lists no models (HTTP {response.status})") from None

    async def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    @cached_property
    def _proxy(self) -> str | None:
        return proxy_of(URL(self._base))

    async def _open(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        session = self._session
        if session is None:
            session = self._session = open_session(URL(self._base), {}, self._timeout, CONNECT)
        data = body if body is None or len(body) < LARGE else io.BytesIO(body)
        sent = _passed(headers, HOPS | KEYS if self._auth else HOPS) | self._auth
        try:
            response = await session.request(
                method,
                URL(f"{self._base}/{path}{self._query}", encoded=True),
                data=data,
                headers=sent,
                allow_redirects=False,
                proxy=self._proxy,
                timeout=ClientTimeout(total=None, sock_connect=CONNECT, sock_read=self._timeout),
            )
        except BROKEN as error:
            raise self._failed(error) from error
        if 300 <= response.status < 400:
            response.close()
            raise UpstreamError(f"{self.name} redirects elsewhere (HTTP {response.status}); give that address instead")
        return response

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        try:
            return await response.read()
        except BROKEN as error:
            raise self._failed(error) from error

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_any():
                yield chunk
        except BROKEN as error:
            raise self._failed(error) from error

    def _clean(self, said: bytes) -> bytes:
        """Take the key out of an error, which some endpoints repeat: the client need not know it."""
        for secret in self._secrets:
            said = said.replace(secret.encode(), MASK.encode())
        return said

    def _failed(self, error: Exception) -> UpstreamError:
        if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ConnectionTimeoutError):
            return UpstreamError(f"{self.name} was silent for {self._timeout:g} seconds", "upstream_timeout", 504)
        reason = re.sub(r"\s+", " ", scrub(str(error), self._secrets))[:200]
        said = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
        if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            return UpstreamError(f"{self.name} cannot be reached ({said})", "upstream_unreachable")
        return UpstreamError(f"the connection to {self.name} broke ({said})", "upstream_broke")


def _passed(headers: Mapping[str, str], dropped: frozenset[str]) -> dict[str, str]:
    """Return the headers that go on: not those of one connection, nor those that it names."""
    named = next((value for name, value in headers.items() if name.lower() == "connection"), "")
    drop = dropped | {each.strip().lower() for each in named.split(",")}
    return {name: value for name, value in headers.items() if name.lower() not in drop}


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
