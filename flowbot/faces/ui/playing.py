"""A trace as the page shows it: found again in a journal, or of a workflow that is being tried."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flowbot.engine.trace import Message, StepTrace
from flowbot.errors import InputError
from flowbot.faces.ui.schema import Note, Played, Spent, ToolUse, Trace
from flowbot.money import Usage
from flowbot.store.hearing import Hearing
from flowbot.store.replaying import NotRecorded, replayed
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow

if TYPE_CHECKING:
    import sqlite3

    from flowbot.faces.ui.book import Book

OLD = "This run was made before FlowBot kept what its traces are made of: its scores are there, its steps are not."
Said = Mapping[str, Sequence[Message]]


async def trace_of(book: Book, workflow_id: str, draw: str, example_id: str) -> Trace:
    """Return the run of a workflow on an example, found again in the journal: nobody is asked, nothing is written.

    Raises `InputError` for a workflow or an example that the run does not have.
    """
    known = _has_traces(book.db)
    workflow = book.workflow(workflow_id)
    split, example = _example(book.db, example_id, draw) if known else ("", Example(example_id, {}))
    row = _row(book.db, workflow_id, draw, example_id) if known else None
    facts: dict[str, Any] = {
        "workflow": workflow_id,
        "draw": draw,
        "example": example_id,
        "split": split,
        "inputs": dict(example.inputs),
        "target": example.target,
        "score": row["score"] if row else None,
        "feedback": row["feedback"] if row else "",
        "notes": _notes(book.db, workflow_id, example_id) if known else [],
    }
    if not known:
        return _without_steps(facts, OLD, row)
    salts: Mapping[str, str] = book.facts.get("models", {})
    hearing = Hearing()
    try:
        trace = await replayed(book.db, salts, workflow, example, draw, hearing)
    except NotRecorded as missing:
        why = (
            f"The journal does not hold all of this run: {missing}. Something took it out, or another FlowBot wrote it."
            if row
            else f"This example was not run to its end at that stage: {missing}."
        )
        return _without_steps(facts, why, row)
    steps = [played(part, workflow, hearing.said) for part in trace.steps]
    seconds = sum(step.spent.seconds for step in steps)
    spent = spent_of(trace.usage, seconds)
    return Trace(**facts, output=trace.output, error=trace.error, spent=spent, steps=steps, missing="")


def _without_steps(facts: Mapping[str, Any], why: str, row: Mapping[str, Any] | None) -> Trace:
    """Return what is known of a run whose steps are not there; only the sum of its tokens is."""
    usage = Usage(row["calls"], row["tokens"], usd=row["usd"]) if row else Usage()
    spent = spent_of(usage, row["seconds"] if row else 0.0)
    error = facts["feedback"] if row and row["failed"] else ""
    return Trace(**facts, output=None, error=error, spent=spent, steps=[], missing=why)


def played(part: StepTrace, workflow: Workflow, said: Said) -> Played:
    """Return one step's part of the tape as the page shows it; `said` are whole exchanges by path."""
    return Played(
        path=part.path,
        step=part.step,
        kind=workflow.step(part.step).kind,
        reads=dict(part.reads),
        gives=dict(part.gives),
        error=part.error,
        messages=[dict(message) for message in said.get(part.path, part.messages)],
        tools=[
            ToolUse(tool=use.tool, args=dict(use.args), value=use.value, failure=use.failure, seconds=use.seconds)
            for use in part.tools
        ],
        taken=part.taken,
        spent=spent_of(part.usage, part.seconds),
        bodies=[[played(inner, workflow, said) for inner in body.values()] for body in part.bodies],
    )


def spent_of(usage: Usage, seconds: float) -> Spent:
    """Return what something took; `seconds` as they passed, waits and tools included."""
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return Spent(calls=usage.calls, **tokens, usd=usage.usd, seconds=round(seconds, 3))


def _has_traces(db: sqlite3.Connection) -> bool:
    return db.execute("SELECT 1 FROM sqlite_master WHERE type='table' AND name='traces'").fetchone() is not None


def _example(db: sqlite3.Connection, example_id: str, draw: str) -> tuple[str, Example]:
    """Return an example and its split; of several with one id that of the split that was drawn for."""
    rows = db.execute("SELECT split, value FROM examples WHERE id=? ORDER BY split != ?, split", (example_id, draw))
    found = rows.fetchone()
    if found is None:
        raise InputError(f"there is no example '{example_id}' in this run", mend="take one that its table lists")
    plain = json.loads(found[1])
    return found[0], Example(example_id, plain["inputs"], plain["target"])


def _row(db: sqlite3.Connection, workflow: str, draw: str, example: str) -> dict[str, Any] | None:
    names = ("score", "failed", "feedback", "calls", "tokens", "usd", "seconds")
    wanted = "workflow=? AND draw=? AND example=?"
    found = db.execute(f"SELECT {', '.join(names)} FROM traces WHERE {wanted}", (workflow, draw, example)).fetchone()
    return dict(zip(names, found, strict=True)) if found else None


def _notes(db: sqlite3.Connection, workflow: str, example: str) -> list[Note]:
    rows = db.execute("SELECT kind, name, value FROM notes WHERE workflow=? AND example=?", (workflow, example))
    return [Note(kind=kind, name=name, workflow=workflow, words=json.loads(value)) for kind, name, value in rows]
