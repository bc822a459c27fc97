"""A journal of the recipe `race`, written by hand: a start, a seed, two accepted edits, one undecided, one dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flowbot.engine.ports import Reply
from flowbot.money import Usage
from flowbot.search.compare import compare
from flowbot.store.journal import SqliteJournal
from flowbot.workflow.document import read_workflow
from flowbot.workflow.edits import apply
from flowbot.workflow.graph import Workflow, plain_workflow
from flowbot.workflow.tuning import Bullets

START = read_workflow("""
flowbot: 1
name: routing
model: "vllm:m"
inputs: {message: text}
steps:
  - {id: answer, kind: call, reads: [message], gives: {team: text}, prompt: Send it to a team. Be brief.}
output: answer.team
""")
SEED = read_workflow("""
flowbot: 1
name: routing
model: "vllm:m"
inputs: {message: text}
steps:
  - {id: reason, kind: call, reads: [message], gives: {reasoning: text}, prompt: Send it to a team. Think first.}
  - id: answer
    kind: call
    reads: [message, reason.reasoning]
    gives: {team: text}
    prompt: Give the team. Be brief.
output: answer.team
""")
FIRST = apply(SEED, [Bullets(step="answer", add=("Invoices go to billing.",))])
BEST = apply(FIRST, [Bullets(step="reason", add=("Name the product\n  that is meant.",))]).with_steps(
    {"answer": {"temperature": 0.5}}
)
OPEN = apply(FIRST, [Bullets(step="answer", add=("Guess.",))])
LOST = apply(FIRST, [Bullets(step="answer", add=("Say nothing.",))])
PAID = {"calls": 2, "tokens": 1234, "usd": 0.0125}
CLUSTER = {
    "name": "billing",
    "defect": "prompt",
    "rule": "Say what invoices are.",
    "examples": ["t1", "t2", "t3"],
    "attempts": 1,
}
OTHER = {"name": "hopeless", "defect": "label", "rule": "", "examples": ["t9"], "attempts": 0}
COMPARED: dict[str, Any] = {"n": 20, "old": 0.25, "new": 0.75, "low": 0.3, "high": 0.7, "p_gain": 1.0}
VALUES: Mapping[str, Sequence[float]] = {
    START.id: (0, 0, 1, 0),
    SEED.id: (1, 0, 1, 0),
    FIRST.id: (1, 1, 1, 0),
    BEST.id: (1, 1, 1, 1),
    OPEN.id: (1, 1, 0, 1),
}
COSTS: Mapping[str, float] = {START.id: 0.002, SEED.id: 0.005, FIRST.id: 0.004, BEST.id: 0.0061, OPEN.id: 0.007}


def candidate(workflow: Workflow, parent: Workflow | None = None, edit: str = "", **facts: Any) -> dict[str, Any]:
    """Return the event of a candidate."""
    edits = [edit] if edit else []
    plain = {"id": workflow.id, "workflow": plain_workflow(workflow), "parent": parent.id if parent else None}
    return {"kind": "candidate", **plain, "edits": edits, "hypothesis": "", **facts}


def row(workflow: Workflow, **facts: Any) -> dict[str, Any]:
    """Return the event of a row on validation."""
    values = VALUES[workflow.id]
    scores = [[f"v{place}", value] for place, value in enumerate(values, 1)]
    mean = sum(values) / len(values)
    told = {"candidate": workflow.id, "split": "val", "mean": mean, "failed": 0, "scores": scores}
    return {"kind": "row", **told, "cost": COSTS[workflow.id], **facts}


def best(workflow: Workflow, why: str) -> dict[str, Any]:
    """Return the event of a new best."""
    values = VALUES[workflow.id]
    return {"kind": "best", "candidate": workflow.id, "mean": sum(values) / len(values), "why": why}


def decision(number: int, workflow: Workflow, old: Workflow, word: str, **ids: Sequence[str]) -> dict[str, Any]:
    """Return the event of a decision."""
    found = compare(VALUES[old.id], VALUES[workflow.id])
    numbers = {"gain": found.gain, "p_gain": found.p_gain, "low": found.low, "high": found.high}
    told = {"number": number, "candidate": workflow.id, "decision": word, "why": "measured", **numbers}
    lists = {name: list(ids.get(name, ())) for name in ("fixed", "broken", "hit", "missed")}
    return {"kind": "decision", **told, "undecided": found.undecided, **lists}


def iteration(number: int, parent: Workflow, *clusters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event of an iteration."""
    told = {"number": number, "parent": parent.id, "items": 10, "failed": 4, "blame": [["answer", 0.75]]}
    return {"kind": "iteration", **told, "clusters": list(clusters)}


def raced(number: int, items: int, *children: tuple[Workflow, bool]) -> dict[str, Any]:
    """Return the event of a rung."""
    return {
        "kind": "race",
        "number": number,
        "items": items,
        "children": [[child.id, 0.25 if stays else -0.5, 0.9 if stays else 0.1, stays] for child, stays in children],
    }


MADE: dict[str, Any] = {"operator": "bullets", "hypothesis": "invoices are not told of", "clusters": ["billing"]}
OPENING: list[dict[str, Any]] = [
    {
        "kind": "start",
        "recipe": "race",
        "settings": {"iterations": 2},
        "workflow": plain_workflow(START),
        "train": 10,
        "val": 4,
        "seed": 0,
    },
    candidate(START),
    row(START),
    best(START, "the start"),
    candidate(SEED, START, "reason, then answer", operator="seed", hypothesis="the shape", paid={"calls": 0}),
    {"kind": "seeds", "items": 4, "means": {SEED.id: 0.5}, "kept": [SEED.id]},
    row(SEED),
    best(SEED, "the best seed: the shape"),
]
SEARCH: list[dict[str, Any]] = [
    iteration(1, SEED, CLUSTER, OTHER),
    {"kind": "slate", "number": 1, "children": [[FIRST.id, "bullets"], [LOST.id, "fix"]]},
    candidate(FIRST, SEED, "add: invoices", flips=["t1", "t2"], paid=PAID, **MADE),
    candidate(LOST, SEED, "add: nothing", operator="fix", paid={"calls": 1, "tokens": 10, "usd": None}),
    raced(1, 2, (FIRST, True), (LOST, False)),
    raced(1, 4, (FIRST, True)),
    row(FIRST),
    decision(1, FIRST, SEED, "accepted", fixed=["v2"], hit=["t1"], missed=["t2"]),
    best(FIRST, "iteration 1, bullets: measured"),
    iteration(2, FIRST, OTHER),
    {"kind": "slate", "number": 2, "children": [[BEST.id, "parameter"], [OPEN.id, "bullets"]]},
    candidate(BEST, FIRST, "the product; temperature 0.5", operator="parameter", paid={"calls": 0, "tokens": 0}),
    candidate(OPEN, FIRST, "guess", operator="bullets", paid=PAID),
    raced(2, 4, (BEST, True), (OPEN, True)),
    row(BEST),
    row(OPEN),
    decision(2, BEST, FIRST, "accepted", fixed=["v4"]),
    best(BEST, "iteration 2, parameter: measured"),
    decision(2, OPEN, BEST, "pooled", broken=["v3"]),
]


def front() -> dict[str, Any]:
    """Return the event of the front."""
    members = [
        {"candidate": each.id, "mean": sum(VALUES[each.id]) / 4, "cost": COSTS[each.id]}
        for each in (START, FIRST, BEST)
    ]
    return {"kind": "front", "members": members}


def confirmation(decision: str, why: str = "measured on fresh examples", **facts: Any) -> dict[str, Any]:
    """Return the event of a confirmation."""
    finalist = None if decision == "start" else BEST.id
    return {"kind": "confirmation", "decision": decision, "why": why, "finalist": finalist, "tested": 4, **facts}


def ending(decision: str, comparison: Mapping[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Return a run's last record."""
    stays = decision in ("undecided", "start")
    chosen = START if stays else BEST
    outcome = confirmation(decision) | {"comparison": dict(comparison) if comparison else None}
    tables = {"val" if decision == "unconfirmed" else "confirm": dict(comparison)} if comparison else {}
    plain: dict[str, Any] = {
        "ended": "done",
        "why": "",
        "task": {"name": "routing", "description": "Route it."},
        "start": START.id,
        "best": chosen.id,
        "best_workflow": plain_workflow(chosen),
        "parts": {"start": 0.25},
        "tables": tables,
        "outcome": {key: value for key, value in outcome.items() if key != "kind"},
        "front": {"dollars": True, "members": []},
        "ledger": [{"purpose": "task", "calls": 1, "input_tokens": 100, "output_tokens": 10, "usd": 0.002}],
        "notes": [],
        "version": "0.1.0",
    }
    return plain | facts


def written(
    folder: Path,
    events: Sequence[Mapping[str, Any]],
    *ends: Mapping[str, Any],
    later: Sequence[Mapping[str, Any]] = (),
    records: Sequence[tuple[str, Any]] = (("task", asdict(Reply("yes", Usage(1, 100, 10, usd=0.002)))),),
) -> Path:
    """Write a journal to a folder: records by purpose (one reply, that cost money), events, ends, later events."""
    path = folder / "journal.sqlite"
    journal = SqliteJournal(path)

    async def fill() -> None:
        for number, (purpose, value) in enumerate(records):
            await journal.record(str(number), purpose, value)
        for event in events:
            await journal.append(event)
        for end in ends:
            journal.finish(end)
        await asyncio.sleep(0.01 if later else 0)
        for event in later:
            await journal.append(event)

    asyncio.run(fill())
    journal.close()
    return path
