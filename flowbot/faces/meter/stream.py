"""A stream of events on its way to the client: passed on event by event, and read for what it took."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from flowbot.faces.meter.call import text_of
from flowbot.workflow.fields import is_map

ENDS = ("response.completed", "response.incomplete")


def asks_usage(path: str, plain: Mapping[str, Any]) -> bool:
    """Tell whether a call must be made to report its usage: it streams, and does not ask for it by itself."""
    options = plain.get("stream_options")
    asked = is_map(options) and bool(options.get("include_usage"))
    return path in ("chat/completions", "completions") and plain.get("stream") is True and not asked


def asking_usage(plain: Mapping[str, Any]) -> bytes:
    """Return the body with the wish for usage at the stream's end."""
    options = plain.get("stream_options")
    kept = dict(options) if is_map(options) else {}
    return json.dumps({**plain, "stream_options": kept | {"include_usage": True}}).encode()


class Events:
    """Reads a stream while it passes. `hides` keeps the event back that carries the usage and nothing else."""

    def __init__(self, hides: bool) -> None:
        self.usage: Any = None
        self.done = self.failed = False
        self._hides = hides
        self._text: list[str] = []
        self._event: list[bytes] = []
        self._line = b""

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._text)

    def take(self, chunk: bytes) -> bytes:
        """Take a piece of the stream and return the events that it completes."""
        out: list[bytes] = []
        *lines, self._line = (self._line + chunk).split(b"\n")
        for line in lines:
            self._event.append(line + b"\n")
            if not line.strip():
                out += self._ended()
        return b"".join(out)

    def rest(self) -> bytes:
        """Return what the stream left unfinished at its end."""
        self._event.append(self._line)
        self._line = b""
        return b"".join(self._ended())

    def _ended(self) -> list[bytes]:
        event, self._event = self._event, []
        data = b"\n".join(line[5:].strip() for line in event if line.startswith(b"data:"))
        return [] if data and self._heard(data) else event

    def _heard(self, data: bytes) -> bool:
        """Read one event; tell whether it is kept back."""
        if data == b"[DONE]":
            self.done = True
            return False
        try:
            plain: Any = json.loads(data)
        except (ValueError, RecursionError):
            return False
        if not is_map(plain):
            return False
        kind = plain.get("type")
        whole = plain.get("response") if kind in ENDS else None
        self.done = self.done or kind in ENDS
        self.failed = self.failed or bool(plain.get("error")) or kind in ("error", "response.failed")
        usage: Any = whole.get("usage") if is_map(whole) else plain.get("usage")
        if usage:
            self.usage = usage
        if kind is None or str(kind).endswith(".delta"):
            self._text.append(text_of(plain))
        return self._hides and bool(usage) and not plain.get("choices")
