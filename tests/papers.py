"""A journal of the recipe `paper`, written by hand: two updates, one move, texts that would be markup, and its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowbot.engine.ports import Reply
from flowbot.money import Usage
from flowbot.workflow.document import read_workflow
from flowbot.workflow.draw import diff
from flowbot.workflow.graph import Workflow, plain_workflow
from tests import races

EVIL = "</script><script>alert('x')</script><!--<script>&lt;\u2028\u2029]]>"
START = read_workflow("""
flowbot: 1
name: routing
inputs: {message: text}
steps:
  - {id: answer, kind: call, reads: [message], gives: {team: text}, prompt: Send it to a team.}
output: answer.team
""")
MIDDLE = START.with_prompts({"answer": "Name the team.\n- rule one"})
BEST = START.with_prompts({"answer": f"Name the team. {EVIL}\n- rule two"})


def scores(*values: float) -> list[list[Any]]:
    """Return scores as a row has them."""
    return [[f"v{index}", value] for index, value in enumerate(values)]


def candidate(
    workflow: Workflow, parent: str | None = None, edits: Sequence[str] = (), why: str = ""
) -> dict[str, Any]:
    """Return the event of a candidate."""
    facts = {"id": workflow.id, "workflow": plain_workflow(workflow), "parent": parent}
    return {"kind": "candidate", **facts, "edits": list(edits), "hypothesis": why}


def row(workflow: Workflow, *values: float) -> dict[str, Any]:
    """Return the event of a row on validation."""
    facts = {"candidate": workflow.id, "split": "val", "mean": sum(values) / len(values), "failed": 0}
    return {"kind": "row", **facts, "scores": scores(*values)}


OPENING: list[dict[str, Any]] = [
    {
        "kind": "start",
        "recipe": "paper",
        "settings": {"batch": 5, "moves": ["demos"], "batches": None},
        "workflow": plain_workflow(START),
        "train": 10,
        "val": 4,
        "seed": 7,
    },
    candidate(START),
    row(START, 0, 0, 1, 0),
    {"kind": "best", "candidate": START.id, "mean": 0.25, "why": "the start"},
]
SEARCH: list[dict[str, Any]] = [
    {
        "kind": "step",
        "name": "batch 1, outer",
        "batch_mean": 0.4,
        "workflow": MIDDLE.id,
        "changed": diff(START, MIDDLE),
    },
    {"kind": "step", "name": "batch 1, inner 1", "batch_mean": 0.6, "workflow": MIDDLE.id, "changed": ""},
    candidate(MIDDLE, START.id, ["textual gradients"], "secret hypothesis"),
    row(MIDDLE, 1, 0, 1, 0),
    {"kind": "best", "candidate": MIDDLE.id, "mean": 0.5, "why": "best after batch 1", "p_gain": 0.9, "gain": 0.25},
    {"kind": "part", "name": "gradients", "candidate": MIDDLE.id, "mean": 0.5},
    {"kind": "move", "name": "output_type", "kept": False, "why": "it does not apply here"},
    candidate(BEST, MIDDLE.id, [EVIL]),
    row(BEST, 1, 1, 0, 1),
    {"kind": "move", "name": "demos", "kept": True, "why": "P = 0.95", "candidate": BEST.id, "gain": 0.25},
    {"kind": "best", "candidate": BEST.id, "mean": 0.75, "why": "move demos", "p_gain": 0.95, "gain": 0.25},
    {"kind": "part", "name": "moves", "candidate": BEST.id, "mean": 0.75},
]
TEST = {"n": 80, "old": 0.125, "new": 0.8125, "gain": 0.6875, "low": 0.575, "high": 0.7875, "p_gain": 1.0}
VAL = {"n": 4, "old": 0.25, "new": 0.75, "gain": 0.5, "low": -0.25, "high": 1.0, "p_gain": 0.9}
LINE = {"purpose": "task", "calls": 12, "repairs": 0, "retries": 2, "input_tokens": 5000, "output_tokens": 60}
END: dict[str, Any] = {
    "ended": "done",
    "why": "",
    "task": {"name": "routing", "description": f"Route it. {EVIL}"},
    "start": START.id,
    "best": BEST.id,
    "best_workflow": plain_workflow(BEST),
    "parts": {"start": 0.25, "gradients": 0.5, "moves": 0.75},
    "tables": {"val": VAL, "test": TEST},
    "ledger": [LINE | {"cached_tokens": 0, "usd": None, "seconds": 3.0, "estimated": True}],
    "notes": [f"a note {EVIL}"],
    "version": "0.1.0",
}


RECORDS = (
    ("task", asdict(Reply("yes", Usage(1, 100, 10, usd=0.002), retries=1))),
    ("task", asdict(Reply("no", Usage(1, 100, 10, usd=0.002)))),
    ("score", {"value": 1.0, "feedback": ""}),
)


def written(folder: Path, events: Sequence[dict[str, Any]], *ends: dict[str, Any], **how: Any) -> Path:
    """Write a journal as `races.written` does; two replies cost money."""
    return races.written(folder, events, *ends, records=RECORDS, **how)
