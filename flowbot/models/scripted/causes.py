"""Why a run failed, read off what it shows: the truth of which a meta model's verdict is right with some chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from flowbot.models.scripted.orders import NONE, OUTPUT, Notes, Trade, notes_in
from flowbot.models.scripted.reading import Run
from flowbot.models.scripted.trades import CARRY, FIRM, HEEDED, STAGES, TRAP, Conventions, Lookup, Parts

SLIP = "Nothing is missing: the model slips now and then."
WRONG_LABEL = "The expected marks contradict those of other orders like it."
WHOLE = "Notes must be handed on whole, as text."
FEWER = "Do the work in more steps, for one call keeps only so many rules"
NO_TRAP = "Not every order carries the same mark: no step may say so."
HOP = "Search again for the port that the first document names."
REGISTER = "Look the firm up in the register: the archive is out of date."
TURNS = "Let the rounds go on until all parts are done: allow more turns."
PARTS = "Do one part in each step: there are too few steps for all parts."


@dataclass(frozen=True)
class Cause:
    """What a failure comes from: the step to blame, the kind of defect, the rule, what the step should have given."""

    step: str
    defect: str
    rule: str
    should: str = ""


def cause_of(trade: Trade, order: str, expected: Sequence[str], parts: Sequence[Run]) -> Cause:
    """Return the cause of a failure, as the runs of steps show it; the first step that went wrong is to blame."""
    right = trade.right(order)
    last = parts[-1].id if parts else ""
    if tuple(expected) != right:
        return Cause(last, "label", WRONG_LABEL)
    match trade:
        case Conventions():
            found = _of_conventions(trade, order, parts)
        case Lookup():
            found = _of_lookup(trade, order, parts)
        case Parts():
            found = _of_parts(trade, order, parts)
        case _:
            found = None
    return found or Cause(last, "capability", SLIP)


def _lost(trade: Trade, order: str, run: Run) -> Cause | None:
    """Return the cause where a call had the order before it and hands on what cannot hold the notes."""
    before = notes_in(run.all_read)
    lost = run.kind.startswith("call") and before is not None and OUTPUT not in run.gave and "ok" not in run.gave
    if not lost or not run.gave or notes_in(run.all_gave) is not None:
        return None
    right = Notes(order)
    for _ in range(len(before.done) + 1 if before else 1):
        right = _right_after(trade, right)
    return Cause(run.id, "parameter", WHOLE, right.text)


def _right_after(trade: Trade, notes: Notes) -> Notes:
    """Return right notes with the next thing done."""
    if isinstance(trade, Conventions) and len(notes.done) < len(STAGES):
        stage = STAGES[len(notes.done)]
        concerned = trade.concerned(notes.order)
        return notes.and_then(stage, [trade.all[number].mark for number in trade.of(stage) if number in concerned])
    return notes


def _of_conventions(trade: Conventions, order: str, parts: Sequence[Run]) -> Cause | None:
    slip: Cause | None = None
    calls = [run for run in parts if run.kind.startswith("call")]
    for run in calls:
        if TRAP.search(run.instruction):
            return Cause(run.id, "prompt", NO_TRAP)
    for run in calls:
        if lost := _lost(trade, order, run):
            return lost
        before = notes_in(run.all_read)
        if before is None or ("ok" in run.gave and OUTPUT not in run.gave):
            continue
        done, gave = len(before.done), notes_in(run.all_gave)
        stages = STAGES[done:] if OUTPUT in run.gave else STAGES[done : len(gave.done)] if gave else ()
        cause = _missing(trade, order, run, stages)
        if cause is not None and cause.defect != "capability":
            return cause
        slip = slip or cause
    return slip


def _missing(trade: Conventions, order: str, run: Run, stages: Sequence[str]) -> Cause | None:
    """Return the cause where a call did these stages and a convention that concerns the order was not kept."""
    right = Notes(order)
    for _ in range(STAGES.index(stages[-1]) + 1 if stages else 0):
        right = _right_after(trade, right)
    given = run.gave.get(OUTPUT)
    should = json.dumps(list(trade.right(order))) if given is not None else right.text
    after = notes_in(run.all_gave)
    found = dict(after.done) if after else {}
    heeded = trade.heed(run.instruction, ())
    kept = heeded.stated[: HEEDED[min(3, max(1, len(stages)))]]
    full = len(kept) >= HEEDED[min(3, max(1, len(stages)))]
    slip: Cause | None = None
    for stage in stages:
        has = given if given is not None else found.get(stage, "")
        for number in trade.of(stage):
            if number not in trade.concerned(order) or trade.all[number].mark in has:
                continue
            if number in kept:
                slip = Cause(run.id, "capability", SLIP, should)
            elif full:
                return Cause(run.id, "structure", f"{FEWER}: {trade.all[number].line}", should)
            else:
                return Cause(run.id, "prompt", trade.all[number].line, should)
        if given is None and found.get(stage, NONE) != dict(right.done).get(stage):
            slip = slip or Cause(run.id, "capability", SLIP, should)
    return slip


def _of_lookup(trade: Lookup, order: str, parts: Sequence[Run]) -> Cause | None:
    for run in parts:
        if "archive" in run.kind.split() or run.called.startswith("archive"):
            return Cause(run.id, "tool", REGISTER)
    for run in parts:
        if lost := _lost(trade, order, run):
            return lost
    firm = FIRM.search(order)
    said = dict(CARRY.findall("\n".join(run.all_gave + run.all_read for run in parts)))
    mark = trade.right(order)
    if firm and mark and mark[0] not in said.values():
        searched = [run for run in parts if run.kind.startswith("tool") or run.called]
        return Cause((searched or list(parts))[-1].id, "structure", HOP)
    return None


def _of_parts(trade: Parts, order: str, parts: Sequence[Run]) -> Cause | None:
    right = trade.right(order)
    for run in parts:
        if lost := _lost(trade, order, run):
            return lost
        after = notes_in(run.all_gave)
        if after is not None and after.marks != right[: len(after.done)]:
            return Cause(run.id, "capability", SLIP)
    given = next((run.gave[OUTPUT] for run in reversed(parts) if OUTPUT in run.gave), "")
    if sum(mark in given for mark in right) >= len(right) or not parts:
        return None
    loops = [run for run in parts if run.kind.startswith("loop")]
    return Cause(loops[0].id, "parameter", TURNS) if loops else Cause(parts[-1].id, "structure", PARTS)
