"""A run in one line: its state, scores and cost, read from a few rows of its journal."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from platform import node
from typing import Any

from flowbot.faces.story import ENDINGS, WHERE, comparison_told, ledger_told, paired, standing_end
from flowbot.faces.tables import is_fraction
from flowbot.faces.ui.schema import Ended, Gain, RunLine, State
from flowbot.money import Usage
from flowbot.search.compare import Comparison
from flowbot.store.reading import JournalView, Sum, scores_of

FAILED = ("endpoint", "sandbox", "input")
FRESH = 60.0  # seconds since the last sign of life, where a process cannot be looked for
SLACK = 60.0  # seconds by which clocks of files and processes may differ


def line_of(view: JournalView, run: str) -> RunLine:
    """Return a run's line."""
    begun: Mapping[str, Any] = view.first("start") or {}
    told = view.now("run")
    facts: Mapping[str, Any] = told[0] if told else {}
    ends = view.ends()
    end, alive = end_of(view, ends), lives(view)
    first, last = view.first("best"), view.last("best", "sampled")
    paid = sum((usage for _, _, usage, _ in sums_of(view, end)), Usage())
    ended: Ended = end["ended"] if end and end.get("ended") in ENDINGS else "open"
    why = (end.get("why") if end else "") or ""
    told_tables: Mapping[str, Any] = (end or {}).get("tables") or {}
    tables = {split: comparison_told(each) for split, each in told_tables.items() if each}
    if not tables and first and last:
        tables = _so_far(view, first["candidate"], last["candidate"], begun.get("seed") or 0)
    where = next((split for split in WHERE if split in tables), "")
    result = gain_of(tables[where]) if where else None
    start, best = (each["mean"] if each else None for each in (first, last))
    shown = [each for each in (start, best, *((result.old, result.new) if result else ())) if each is not None]
    plain: Mapping[str, Any] = begun.get("workflow") or {}
    task: Mapping[str, Any] = (end or {}).get("task") or {}
    began, latest = began_at(view), last_at(view, ends)
    return RunLine(
        id=run,
        name=task.get("name") or facts.get("name") or plain.get("name") or view.path.parent.name,
        state=_state(ended, alive),
        ended=ended,
        why=why,
        recipe=begun.get("recipe") or "",
        metric=facts.get("metric") or "",
        models=list(facts.get("models") or [each for each in [plain.get("model")] if each]),
        start=start,
        best=best,
        result=result,
        where=where,
        fraction=is_fraction(shown),
        calls=paid.calls,
        tokens=paid.tokens,
        usd=paid.usd,
        seconds=_seconds(ends, end, began if told is None else told[1], time.time() if alive else latest, began),
        candidates=view.counted("candidate"),
        began=began,
        last=latest,
        error=why if ended in FAILED else "",
    )


def _so_far(view: JournalView, start: str, best: str, seed: int) -> Mapping[str, Comparison]:
    """Return start against best on validation by their last rows."""
    old, new = view.last_row(start), view.last_row(best)
    if start == best or old is None or new is None:
        return {}
    return paired(scores_of(old), scores_of(new), seed)


def gain_of(found: Comparison) -> Gain:
    """Return a comparison as the page is told it."""
    return Gain(**asdict(found), gain=found.gain)


def end_of(view: JournalView, ends: list[dict[str, Any]] | None = None) -> dict[str, Any] | None:
    """Return the end of a run: none where it went on after it, or is taken up again by a process that lives."""
    found = standing_end(view.ends() if ends is None else ends, view.last_at() or 0.0)
    told = view.now("run")
    taken_up = found is not None and told is not None and told[1] > found["at"] and lives(view)
    return None if found is None or taken_up else dict(found)


def sums_of(view: JournalView, end: Mapping[str, Any] | None) -> list[Sum]:
    """Return what was paid by purpose and model; of an old journal as its end says it, where it has one."""
    if not view.shown and end and "ledger" in end:
        return [(purpose, "", line.usage, line.retries) for purpose, line in ledger_told(end["ledger"])]
    return view.sums()


def began_at(view: JournalView) -> float | None:
    """Return when a run began: its first event, or, where there is none yet, when its process opened it."""
    told = view.now("run")
    return view.first_at() or (told[1] if told else None)


def last_at(view: JournalView, ends: list[dict[str, Any]]) -> float | None:
    """Return the last sign of life in a journal."""
    stands = [told[1] for key in ("run", "phase") if (told := view.now(key))]
    times = [view.last_at(), view.last_trace_at(), *stands, *(each["at"] for each in ends[-1:])]
    return max((each for each in times if each is not None), default=None)


def lives(view: JournalView) -> bool:
    """Tell whether the process that last opened a run is there, on this machine, and no later one of its number."""
    told = view.now("run")
    if told is None or told[0].get("host") != node() or not isinstance(told[0].get("pid"), int):
        return False
    pid, at = told[0]["pid"], told[1]
    if sys.platform == "win32":  # a signal would end it there
        return time.time() - (last_at(view, []) or 0.0) < FRESH
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is another user's
    return _since(pid) <= at + SLACK


def _since(pid: int) -> float:
    """Return when a process began, 0 where that is not known here."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
        return float(booted.split()[1]) + float(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, StopIteration):
        return 0.0


def _state(ended: str, alive: bool) -> State:
    if ended == "open":
        return "running" if alive else "stopped"
    if ended in FAILED:
        return "failed"
    return "stopped" if ended == "interrupted" else "done"


def _seconds(
    ends: list[dict[str, Any]],
    end: Mapping[str, Any] | None,
    opened: float | None,
    now: float | None,
    began: float | None,
) -> float:
    """Return how long a run has gone on, its earlier stretches included and the time between them left out."""
    before = sum(each.get("seconds") or 0.0 for each in ends)
    if end is not None:
        return before or max(0.0, end["at"] - (began or end["at"]))
    if opened is None or now is None or (ends and opened < ends[-1]["at"]):
        return before
    return before + max(0.0, now - opened)
