"""The log of a search, by standard logging: its events in numbers and names, without what models or examples say."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

LOG = logging.getLogger("flowbot.induce")
FACTS = (
    *("number", "candidate", "split", "decision", "mean", "gain", "p_gain", "undecided", "failed", "kept", "items"),
    *("recipe", "train", "val", "seed", "resumed", "what", "examples", "samples"),
)


def facts_of(event: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return what an event says that holds no content: ids, counts, scores, decisions."""
    return {name: event[name] for name in FACTS if isinstance(event.get(name), str | int | float)}


def logged(heard: Callable[[Mapping[str, Any]], None]) -> Callable[[Mapping[str, Any]], None]:
    """Return what hears events: it writes each to the log `flowbot.induce` (INFO) and hands it on."""

    def both(event: Mapping[str, Any]) -> None:
        if LOG.isEnabledFor(logging.INFO):
            LOG.info("%s", line_of(event))
        heard(event)

    return both


def line_of(event: Mapping[str, Any]) -> str:
    """Return an event as a line: its kind, and facts as NAME=VALUE."""
    if event["kind"] == "phase":
        calls = ", ".join(f"{count} {purpose}" for purpose, count in event["calls"].items())
        return f"stage: {event['phase']} ({calls} calls)"
    facts = facts_of(event)
    short = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in facts.items()}
    return " ".join([str(event["kind"]), *(f"{name}={value}" for name, value in short.items())])
