"""The log: one JSON object a line, whoever writes, and no content."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Generator

import pytest

from flowbot.faces.serve.logs import LOGGERS, log_lines


@pytest.fixture
def log() -> Generator[io.StringIO]:
    loggers = [logging.getLogger(name) for name in LOGGERS]
    kept = [(each, list(each.handlers), each.propagate, each.level) for each in loggers]
    stream = io.StringIO()
    log_lines(stream)
    yield stream
    for each, handlers, propagate, level in kept:
        each.handlers, each.propagate = handlers, propagate
        each.setLevel(level)


def test_others_lines_are_json_and_without_their_words(log: io.StringIO) -> None:
    try:
        raise ValueError("my invoice")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved\nfuture: my invoice")
    logging.getLogger("mcp.server").warning("cannot read %s", "my invoice")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(each["level"], each["event"], each.get("bug")) for each in lines] == [
        ("error", "asyncio", "ValueError"),
        ("warning", "mcp.server", None),
    ]
    assert all(each["from"].startswith("test_serve_logs.py:") for each in lines)
    assert "invoice" not in log.getvalue()


def test_our_own_lines_hold_their_facts(log: io.StringIO) -> None:
    logging.getLogger("flowbot.serve").warning("reloaded", extra={"facts": {"workflow": "one"}})
    [line] = [json.loads(line) for line in log.getvalue().splitlines()]
    assert (line["event"], line["workflow"]) == ("reloaded", "one")
    assert "from" not in line
