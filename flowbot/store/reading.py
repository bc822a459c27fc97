"""A journal as a page reads it: by index and in parts, never whole, while another process goes on writing it."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.money import Usage
from flowbot.store.journal import ledger_of, opened_journal

SHOWN = 3  # the version of the journal that has examples, scored runs, notes and sums
LIGHT = (  # an event without what is large and seldom asked for; `start` alone keeps its workflow
    "seq, kind, CASE kind WHEN 'candidate' THEN json_remove(value, '$.workflow') ELSE value END, at"
)
Sum = tuple[str, str, Usage, int]  # purpose, model ("" where it is not known), usage, retries


@dataclass(frozen=True)
class TraceRow:
    """What one run of a workflow on an example came to; `draw` is what it was run for."""

    workflow: str
    draw: str
    example: str
    score: float | None
    failed: int
    feedback: str
    calls: int
    tokens: int
    usd: float | None
    seconds: float
    at: float


_TRACE = "SELECT workflow, draw, example, score, failed, feedback, calls, tokens, usd, seconds, at FROM traces"


class JournalView:
    """Answers from a journal of any version; what an old one does not hold is absent. It never writes.

    Each question sees the journal as it stands when it is asked; those within `snapshot` see the same. Threads may
    share a view, and take turns. Raises `InputError` where there is no journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db, self.version = opened_journal(path)
        self._turn = threading.RLock()
        self._depth = 0
        self._asked: list[float] | None = None
        columns = {row[1] for row in self.db.execute("PRAGMA table_info(events)")}
        calls = "calls" if "calls" in columns else "NULL"
        self._light = f"SELECT {LIGHT}, {calls} FROM events WHERE seq >= ? ORDER BY seq"

    @property
    def shown(self) -> bool:
        """True where the journal has examples, scored runs, notes and sums."""
        return self.version >= SHOWN

    @contextlib.contextmanager
    def snapshot(self) -> Generator[None]:
        """Let all questions within see one state of the journal; keep it short, for it holds up its clean-up.

        Raises `InputError` where the file cannot be read.
        """
        with self._turn:
            self._depth += 1
            try:
                if self._depth == 1:
                    self.db.execute("BEGIN")
                yield
            except sqlite3.DatabaseError as error:
                raise InputError(f"cannot read the journal: {error}", str(self.path)) from None
            finally:
                self._depth -= 1
                if not self._depth and self.db.in_transaction:
                    self.db.execute("COMMIT")

    # ------------------------------------------------------------------ decisions

    def first_at(self) -> float | None:
        """Return the time of the first event."""
        return self._value("SELECT at FROM events WHERE seq=0")

    def count(self) -> int:
        """Return how many events there are."""
        return (self._value("SELECT max(seq) FROM events") or 0) + 1 if self.first_at() is not None else 0

    def events(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the events from one on, light: candidates without workflows, rows with (count, deviation) as `items`.

        Each has its time `at` and `calls`, those that were paid for by then.
        """
        found: list[dict[str, Any]] = []
        for _, kind, value, at, calls in self.db.execute(self._light, (since,)):
            event: dict[str, Any] = {"kind": kind, "at": at, "calls": calls} | json.loads(value)
            if kind == "row":
                event["items"] = moments(event.pop("scores"))
            if calls is None and at is not None:
                event["calls"] = self._calls_by(at)
            found.append(event)
        return found

    def first(self, kind: str) -> dict[str, Any] | None:
        """Return the first event of a kind, whole."""
        return self._event("WHERE kind=? ORDER BY seq LIMIT 1", kind)

    def last(self, *kinds: str) -> dict[str, Any] | None:
        """Return the last event of some kinds, whole."""
        found = [self._event("WHERE kind=? ORDER BY seq DESC LIMIT 1", kind) for kind in kinds]
        return max((each for each in found if each), key=lambda event: event["seq"], default=None)

    def last_row(self, candidate: str) -> dict[str, Any] | None:
        """Return the last row of a candidate on validation, whole."""
        return self._event(
            "WHERE kind='row' AND json_extract(value, '$.candidate')=? AND json_extract(value, '$.split')='val'"
            " ORDER BY seq DESC LIMIT 1",
            candidate,
        )

    def counted(self, kind: str) -> int:
        """Return how many events of a kind there are."""
        return self._value("SELECT count(*) FROM events WHERE kind=?", kind)

    def last_at(self) -> float | None:
        """Return when the last event was written."""
        return self._value("SELECT at FROM events ORDER BY seq DESC LIMIT 1")

    def whole(self, seq: int) -> dict[str, Any]:
        """Return an event as it was written."""
        return json.loads(self._value("SELECT value FROM events WHERE seq=?", seq))

    def ends(self) -> list[dict[str, Any]]:
        """Return how each stretch of the run ended, in order, each with its time `at`."""
        rows = self.db.execute("SELECT value, at FROM ends ORDER BY seq") if self.version > 1 else ()
        return [{"at": at} | json.loads(value) for value, at in rows]

    def meta(self) -> dict[str, str]:
        """Return what the run is bound to, by name."""
        return dict(self.db.execute("SELECT key, value FROM meta"))

    # ------------------------------------------------------------------ how things stand

    def now(self, key: str) -> tuple[dict[str, Any], float] | None:
        """Return how things stand with its time: the `run` with its process, the `phase` it is in."""
        if not self.shown:
            return None
        row = self.db.execute("SELECT value, at FROM now WHERE key=?", (key,)).fetchone()
        return (json.loads(row[0]), row[1]) if row else None

    def sums(self) -> list[Sum]:
        """Return what was paid, by purpose and model; without sums all replies are read, their models unknown."""
        if not self.shown:
            return [(purpose, "", line.usage, line.retries) for purpose, line in ledger_of(self.db)]
        rows = self.db.execute(
            "SELECT purpose, model, calls, input, output, cached, usd, seconds, retries FROM totals ORDER BY 1, 2"
        )
        return [(purpose, model, Usage(*sums[:6]), sums[6]) for purpose, model, *sums in rows]

    def _calls_by(self, at: float) -> int:
        """Return how many replies there were by a time; of a journal whose events do not say it, all are looked at."""
        if self._asked is None:
            rows = self.db.execute("SELECT at FROM calls WHERE json_type(value, '$.usage') = 'object' ORDER BY at")
            self._asked = [when for (when,) in rows]
        return bisect_right(self._asked, at)

    # ------------------------------------------------------------------ examples and runs

    def splits(self) -> dict[str, int]:
        """Return the splits that are kept, with the count of their examples."""
        names = ("train", "val", "guard", "test") if self.shown else ()
        places = {name: self._value("SELECT max(place) FROM examples WHERE split=?", name) for name in names}
        return {name: place + 1 for name, place in places.items() if place is not None}

    def example_ids(self, split: str, find: str = "") -> list[str]:
        """Return the ids of a split's examples in order; with `find` of those whose id or values have that text."""
        if not self.shown:
            return []
        if not find:
            rows = self.db.execute("SELECT id FROM examples WHERE split=? ORDER BY place", (split,))
            return [found for (found,) in rows]
        like = "%" + find.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        rows = self.db.execute(
            "SELECT id FROM examples WHERE split=? AND (id LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM"
            " json_tree(examples.value) WHERE atom LIKE ? ESCAPE '\\')) ORDER BY place",
            (split, like, like),
        )
        return [found for (found,) in rows]

    def examples(self, split: str, ids: Sequence[str]) -> dict[str, tuple[int, dict[str, Any]]]:
        """Return examples by id: (place, {inputs, target}); those that are not kept are absent."""
        found: dict[str, tuple[int, dict[str, Any]]] = {}
        for example in ids if self.shown else ():
            row = self.db.execute(
                "SELECT place, value FROM examples WHERE id=? AND split=?", (example, split)
            ).fetchone()
            if row:
                found[example] = (row[0], json.loads(row[1]))
        return found

    def scores(self, workflow: str, draw: str) -> dict[str, float]:
        """Return a workflow's scores by example: those of a draw, and where it has none the latest of any."""
        if not self.shown:
            return {}
        found: dict[str, tuple[bool, float, float]] = {}
        rows = self.db.execute("SELECT example, draw, score, at FROM traces WHERE workflow=?", (workflow,))
        for example, name, score, at in rows:
            new = (name == draw, at, score)
            if score is not None and new > found.get(example, (False, -math.inf, 0.0)):
                found[example] = new
        return {example: score for example, (_, _, score) in found.items()}

    def standings(self, draw: str, since: float | None = None) -> dict[str, tuple[int, float, float]]:
        """Return (count, mean, standard deviation) of the scores at a draw by workflow, from the index alone.

        With `since`, of those alone that were run from that time on.
        """
        if not self.shown:
            return {}
        sums = "SELECT workflow, count(score), sum(score), sum(score * score) FROM traces"
        if since is None:
            rows = self.db.execute(
                f"{sums} INDEXED BY traces_example WHERE draw=? AND score IS NOT NULL GROUP BY workflow", (draw,)
            )
        else:
            rows = self.db.execute(
                f"{sums} WHERE workflow IN (SELECT workflow FROM traces WHERE at >= ?) AND draw=?"
                " AND score IS NOT NULL GROUP BY workflow",
                (since, draw),
            )
        return {
            workflow: (count, total / count, math.sqrt(max(0.0, squares / count - (total / count) ** 2)))
            for workflow, count, total, squares in rows
        }

    def traces(self) -> int:
        """Return how many runs are kept."""
        return self._value("SELECT count(*) FROM traces") if self.shown else 0

    def last_trace_at(self) -> float | None:
        """Return when the last run ended."""
        return self._value("SELECT max(at) FROM traces") if self.shown else None

    def trace(self, workflow: str, draw: str, example: str) -> TraceRow | None:
        """Return what one run came to."""
        found = self._runs("WHERE workflow=? AND draw=? AND example=?", workflow, draw, example)
        return found[0] if found else None

    def runs_on(self, example: str, most: int) -> list[TraceRow]:
        """Return the runs on an example, newest first."""
        return self._runs("WHERE example=? ORDER BY at DESC, workflow, draw LIMIT ?", example, most)

    def draws(self, workflow: str) -> dict[str, int]:
        """Return the draws that a workflow was run for, with the count of their runs."""
        if not self.shown:
            return {}
        return dict(self.db.execute("SELECT draw, count(*) FROM traces WHERE workflow=? GROUP BY draw", (workflow,)))

    def notes(self, example: str, workflow: str | None = None) -> list[tuple[str, str, str, Any]]:
        """Return what was said of an example's runs: (workflow, kind, stage, words), of one workflow or all."""
        if not self.shown:
            return []
        one = "" if workflow is None else " AND workflow=?"
        rows = self.db.execute(
            f"SELECT workflow, kind, name, value FROM notes WHERE example=?{one} ORDER BY name, kind, workflow",
            (example, *([] if workflow is None else [workflow])),
        )
        return [(who, kind, name, json.loads(value)) for who, kind, name, value in rows]

    def workflow(self, found: str) -> dict[str, Any] | None:
        """Return the plain form of a workflow that was run."""
        value = self._value("SELECT value FROM workflows WHERE id=?", found) if self.shown else None
        return None if value is None else json.loads(value)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    def _value(self, statement: str, *values: Any) -> Any:
        row = self.db.execute(statement, values).fetchone()
        return row[0] if row else None

    def _event(self, where: str, value: str) -> dict[str, Any] | None:
        row = self.db.execute(f"SELECT kind, seq, at, value FROM events {where}", (value,)).fetchone()
        return {"kind": row[0], "seq": row[1], "at": row[2]} | json.loads(row[3]) if row else None

    def _runs(self, where: str, *values: Any) -> list[TraceRow]:
        rows = self.db.execute(f"{_TRACE} {where}", values) if self.shown else ()
        return [TraceRow(*row) for row in rows]


def moments(scores: Sequence[Sequence[Any]]) -> tuple[int, float]:
    """Return the count and the standard deviation of a row's scores, each (example id, score)."""
    values = [score for _, score in scores]
    if not values:
        return 0, 0.0
    mean = sum(values) / len(values)
    return len(values), math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))


def scores_of(event: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of a row's event by example id."""
    return {str(key): value for key, value in event["scores"]}
