"""GEPA's reflection: an instruction and runs with feedback, from which a new instruction is asked in a fence."""

from __future__ import annotations

import re

from flowbot.engine.ports import Request
from flowbot.models.scripted.dialects.evidence import Heard, Shown, critique, rewritten, run_of
from flowbot.models.scripted.writer import Writer

ASKED = re.compile(
    r"instructions to perform a task for me:\n```\n(.*)\n```\n\nThe following are examples of different task inputs"
    r".*?:\n```\n(.*)\n```\n\nYour task is to write a new instruction",
    re.DOTALL,
)
EXAMPLE = re.compile(r"^# Example \d+\n", re.MULTILINE)
PART = re.compile(r"^## (.+)\n", re.MULTILINE)


def heard(request: Request) -> Heard | None:
    """Return what is asked; None where this is no reflection."""
    asked = ASKED.search(str(request.messages[-1]["content"]))
    if asked is None:
        return None
    instruction, runs = asked[1], runs_in(asked[2])

    def say(writer: Writer) -> str:
        return rewritten(instruction, critique(instruction, runs, writer), writer)

    return Heard("gepa", say, lambda text: f"Here is the new instruction:\n```\n{text}\n```")


def runs_in(text: str) -> list[Shown]:
    """Return the runs in examples written as Markdown."""
    found: list[Shown] = []
    for example in EXAMPLE.split(text)[1:]:
        _, *parts = PART.split(example)
        found.append(run_of(dict(zip(parts[::2], parts[1::2], strict=True))))
    return found
