"""Who may ask the page's server: the reader who has its token, from the page itself, and nobody else."""

from __future__ import annotations

import hmac
import socket
from dataclasses import dataclass, field
from ipaddress import ip_address

from aiohttp import web
from multidict import CIMultiDict

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
EVERYWHERE = frozenset({"0.0.0.0", "::"})
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Refusal(Exception):
    """A request that is not answered: an HTTP status, what is wrong, and what to do."""

    def __init__(self, status: int, error: str, mend: str = "") -> None:
        self.status, self.error, self.mend = status, error, mend
        super().__init__(error)


@dataclass(frozen=True)
class Guard:
    """Refuses whatever does not come from the page at `host` and `port`, and, under /api, has not its `token`.

    A page of another site may make a browser send requests here, and may let its own name lead here (DNS rebinding).
    The first have a foreign Origin or Sec-Fetch-Site, the others a foreign Host.
    """

    token: str = field(repr=False)
    host: str
    port: int

    def check(self, request: web.Request) -> None:
        """Raise `Refusal` for a request that is not answered."""
        host = self._host(request)
        api = request.path.startswith("/api/")
        origin = request.headers.get("Origin")
        if origin is not None and origin.lower() != f"http://{host}":
            raise Refusal(403, "requests from pages of other sites are not answered")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site not in ("same-origin", "none") and (api or not _opens_page(request)):
            raise Refusal(403, "requests from pages of other sites are not answered")
        if not api:
            return
        if not self._has_token(request):
            raise Refusal(403, "the token is missing or wrong", "open the link that flowbot ui printed")
        if request.method == "POST" and request.content_type != "application/json":
            raise Refusal(415, "the body must be JSON", "send it with Content-Type: application/json")

    def _host(self, request: web.Request) -> str:
        """Return the Host that a request names; raise `Refusal` where it is not that of this server."""
        named = request.headers.getall("Host", [])
        host = named[0].lower() if len(named) == 1 else ""
        name, _, port = host.rpartition(":") if host.rpartition(":")[2].isdecimal() else (host, "", "80")
        if port == str(self.port) and self._is_known(name):
            return host
        mend = f"use the link that flowbot ui printed; from another machine: ssh -L {self.port}:127.0.0.1:{self.port}"
        raise Refusal(403, "this address is not that of the page", mend)

    def _is_known(self, name: str) -> bool:
        if name in ("127.0.0.1", "localhost", written(self.host).lower()):
            return True
        return self.host in EVERYWHERE and (_is_address(name) or name == socket.gethostname().lower())

    def _has_token(self, request: web.Request) -> bool:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        same = hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self.token.encode())
        return same and scheme.lower() == "bearer"


def written(host: str) -> str:
    """Return an address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def protect(request: web.Request, headers: CIMultiDict[str]) -> None:
    """Add to an answer what keeps a browser from reading it elsewhere, framing it, or loading anything from outside."""
    headers.update(HEADERS)
    if request.path.startswith("/api/"):
        headers["Cache-Control"] = "no-store"


def _opens_page(request: web.Request) -> bool:
    """Tell whether a link that was followed opens the page: it shows nothing without the token."""
    asked = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest"))
    return request.method == "GET" and asked == ("navigate", "document")


def _is_address(name: str) -> bool:
    """Tell an IP address, which no DNS can lead elsewhere, from a name."""
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
