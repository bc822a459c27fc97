"""A journal of the recipe `race` as a run writes it, with what is shown beside its events, and its book."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from platform import node
from typing import Any

from flowbot.engine.ports import Reply
from flowbot.engine.trace import Trace
from flowbot.faces.ui.book import Book
from flowbot.money import Usage
from flowbot.store.journal import SqliteJournal
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.graph import Workflow
from tests.races import (
    BEST,
    COMPARED,
    FIRST,
    LOST,
    OPEN,
    OPENING,
    SEARCH,
    SEED,
    START,
    VALUES,
    confirmation,
    front,
)

CLOSED = [*OPENING, *SEARCH, front(), confirmation("confirmed", **COMPARED)]
FACTS: dict[str, Any] = {
    "name": "routing",
    "description": "Route it.",
    "metric": "exact",
    "models": {"vllm:m": "salt"},
    "budget": {"usd": 2.0, "calls": None, "tokens": None, "seconds": None},
}
Event = Mapping[str, Any]


def examples(split: str, count: int) -> list[Example]:
    """Return examples whose ids begin with the letter of their split."""
    texts = {f"{split[0]}{n}": (f"Message {n} of {split}", f"team {n}") for n in range(1, count + 1)}
    return [Example(name, {"message": text}, target) for name, (text, target) in texts.items()]


def trace(workflow: Workflow, example: str, score: float, said: str = "") -> Trace:
    """Return a run of a workflow on an example, without its steps."""
    return Trace(workflow, Example(example, {}), (), "out", "", Score(score, said))


def made(folder: Path, events: Sequence[Event] = CLOSED, *ends: Event, process: int | None = None) -> Book:
    """Write a journal as a run writes it: a reply and what is shown beside each event, and return its book."""
    folder.mkdir(parents=True, exist_ok=True)
    journal = SqliteJournal(folder / "journal.sqlite")

    async def fill() -> None:
        journal.identify({"start": START.id, "FlowBot version": "9.9"})
        host = node() if process else "elsewhere"
        journal.shown.now("run", FACTS | {"pid": process or 1, "host": host})
        for split, count in (("train", 3), ("val", 4)):
            journal.shown.examples(split, examples(split, count))
        for number, event in enumerate(events):
            await journal.record(f"reply {number}", "task", asdict(Reply("yes", Usage(1, 100, 10, usd=0.5))), "vllm:m")
            await journal.append(event)
        for workflow in (START, SEED, FIRST, BEST, OPEN):
            for place, score in enumerate(VALUES[workflow.id], 1):
                journal.shown.trace(trace(workflow, f"v{place}", score, f"{workflow.id[:3]} said"), "val")
        journal.shown.trace(trace(LOST, "v1", 0.0), "val")
        journal.shown.trace(trace(LOST, "v2", 1.0), "val")
        journal.shown.trace(trace(FIRST, "t1", 1.0), "train")
        journal.shown.note(FIRST.id, "t1", "verdict", "iteration 2", [{"rule": "Say it."}])
        journal.shown.now("phase", {"name": "race", "calls": {"task": 40}})
        await asyncio.sleep(0)
        for end in ends:
            journal.finish(end)

    asyncio.run(fill())
    journal.close()
    return Book(folder, "a/run")
