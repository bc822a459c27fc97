"""Logs: one JSON object a line, by standard logging."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from typing import Any, TextIO

from flowbot.models.secrets import scrub, secrets
from flowbot.workflow.fields import whole

_write = json.JSONEncoder(ensure_ascii=False, default=str).encode
OWN = "flowbot"
LOGGERS = {OWN: logging.INFO, "uvicorn.error": logging.ERROR, "asyncio": logging.ERROR, "mcp": logging.WARNING}


class Lines(logging.Formatter):
    """Writes a record as JSON: when, how grave, what, and its facts. Secrets of the environment are taken out.

    Of what other packages say only the place is written: their words may hold what a client sent.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known = secrets()
        self._second, self._written = 0, ""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        if int(record.created) != self._second:
            self._second = int(record.created)
            self._written = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self._second))
        at = f"{self._written}.{int(record.msecs):03d}Z"
        plain: dict[str, Any] = {"at": at, "level": record.levelname.lower(), "event": record.name}
        if record.name.partition(".")[0] == OWN:
            plain |= {"event": record.getMessage(), **getattr(record, "facts", {})}
        else:
            plain["from"] = f"{record.filename}:{record.lineno}"
        if record.exc_info and record.exc_info[0] is not None:
            plain["bug"] = record.exc_info[0].__name__
        text = _write(plain)
        return whole(scrub(text, self.known))


class Batches(logging.StreamHandler[TextIO]):
    """Writes lines together, a twentieth of a second late: a write for each request would cost as much as its run.

    What is graver than usual is written at once, and so is all where no event loop runs.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        try:
            self._lines.append(self.format(record))
            if record.levelno <= logging.INFO and self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(0.05, self.flush)
            elif record.levelno > logging.INFO:
                self.flush()
        except RuntimeError:
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what was taken."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines = self._lines, []
        if lines:
            self.stream.write("\n".join(lines) + "\n")
        super().flush()


def log_lines(stream: TextIO | None = None, level: int = logging.INFO) -> None:
    """Write the logs of the server to a stream (standard error), as JSON."""
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False  # a line has none of them
    handler = Batches(stream or sys.stderr)
    handler.setFormatter(Lines())
    for name, least in LOGGERS.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level if name == OWN else least)
