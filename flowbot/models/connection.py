"""The connection to an endpoint: certificates and proxies of the environment, and no key beyond its target."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from ipaddress import ip_address

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from yarl import URL

from flowbot.errors import InputError

CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def open_session(url: URL, headers: Mapping[str, str], timeout: float, connect: float) -> ClientSession:
    """Open a session for one endpoint; call it in the running loop and close it there. Times are seconds.

    It keeps no cookies and reads no netrc: nothing is sent that is not in `headers`.
    """
    context: ssl.SSLContext | bool = certificates() if url.scheme == "https" else True
    return ClientSession(
        connector=TCPConnector(limit=0, ssl=context),
        headers=headers,
        timeout=ClientTimeout(total=timeout, connect=connect),
        cookie_jar=DummyCookieJar(),
    )


def certificates(environ: Mapping[str, str] | None = None) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and those that the environment names.

    Raises `InputError` where a variable names a file that cannot be read.
    """
    environ = os.environ if environ is None else environ
    context = ssl.create_default_context()
    for name in CERTIFICATES:
        place = environ.get(name)
        if place:
            try:
                if os.path.isdir(place):
                    context.load_verify_locations(capath=place)
                else:
                    context.load_verify_locations(cafile=place)
            except OSError as error:  # ssl.SSLError is one too
                raise InputError(f"{name} names no readable certificates: {place} ({error})") from error
    return context


def proxy_of(url: URL) -> str | None:
    """Return the proxy that the environment sets for a URL; one's own machine is never asked through a proxy.

    It is read once an endpoint: aiohttp's `trust_env` reads it, and netrc, again in a thread for every request.
    """
    from urllib.request import getproxies, proxy_bypass

    host = url.host or ""
    if _is_loopback(host) or proxy_bypass(host):
        return None
    proxies = getproxies()
    proxy = proxies.get(url.scheme) or proxies.get("all") or ""
    return proxy if proxy.startswith(("http://", "https://")) else None


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
