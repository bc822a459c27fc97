"""What a page shows of a run beside its decisions: examples, scored runs, what was said of them, and the sums.

These tables are written in the group commits of the journal and never compared on a resume: they say what happened, and
decide nothing. Messages are not among them, for `calls` has them: `flowbot.store.replaying` finds them there.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from flowbot.engine.trace import Trace
from flowbot.money import Usage
from flowbot.task.data import Example
from flowbot.workflow.fields import whole
from flowbot.workflow.graph import plain_workflow

Put = Callable[[str, tuple[Any, ...]], None]  # queues a statement with its row for the next group commit

_EXAMPLE = "INSERT OR REPLACE INTO examples VALUES (?,?,?,?)"
_WORKFLOW = "INSERT OR IGNORE INTO workflows VALUES (?,?)"
_TRACE = "INSERT OR REPLACE INTO traces VALUES (?,?,?,?,?,?,?,?,?,?,?)"
_NOTE = "INSERT OR REPLACE INTO notes VALUES (?,?,?,?,?)"
_NOW = "INSERT OR REPLACE INTO now VALUES (?,?,?)"
_TOTAL = "INSERT OR REPLACE INTO totals VALUES (?,?,?,?,?,?,?,?,?)"


def shown_tables(db: sqlite3.Connection) -> None:
    """Make the tables; sums of what an older journal holds are taken once, their models not known."""
    db.execute(
        "CREATE TABLE examples (split TEXT, place INTEGER, id TEXT, value TEXT,"
        " PRIMARY KEY (split, place)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX examples_id ON examples (id)")
    db.execute("CREATE TABLE workflows (id TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE traces (workflow TEXT, draw TEXT, example TEXT, score REAL, failed INTEGER, feedback TEXT,"
        " calls INTEGER, tokens INTEGER, usd REAL, seconds REAL, at REAL,"
        " PRIMARY KEY (workflow, draw, example)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX traces_example ON traces (example, workflow, draw, score)")
    db.execute("CREATE INDEX traces_at ON traces (at)")
    db.execute("ALTER TABLE events ADD COLUMN calls INTEGER")  # that were paid for by then
    db.execute("CREATE INDEX events_kind ON events (kind)")
    db.execute(
        "CREATE TABLE notes (workflow TEXT, example TEXT, kind TEXT, name TEXT, value TEXT,"
        " PRIMARY KEY (workflow, example, kind, name)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX notes_example ON notes (example)")
    db.execute("CREATE TABLE now (key TEXT PRIMARY KEY, value TEXT NOT NULL, at REAL) WITHOUT ROWID")
    db.execute(
        "CREATE TABLE totals (purpose TEXT, model TEXT, calls INTEGER, input INTEGER, output INTEGER, cached INTEGER,"
        " usd REAL, seconds REAL, retries INTEGER, PRIMARY KEY (purpose, model)) WITHOUT ROWID"
    )
    names = ("calls", "input_tokens", "output_tokens", "cached_tokens")
    sums = ", ".join(f"sum(json_extract(value, '$.usage.{name}'))" for name in names)
    usd, seconds = (f"json_extract(value, '$.usage.{name}')" for name in ("usd", "seconds"))
    db.execute(
        f"INSERT INTO totals SELECT purpose, '', {sums}, CASE WHEN count({usd}) = count(*) THEN sum({usd}) END,"
        f" sum({seconds}), sum(json_extract(value, '$.retries'))"
        " FROM calls WHERE json_type(value, '$.usage') = 'object' GROUP BY purpose"
    )


@dataclass
class Shown:
    """Writes what a page shows; without `put` it keeps nothing."""

    put: Put | None = None
    clean: Callable[[str], str] = lambda text: text
    clock: Callable[[], float] = lambda: 0.0
    _workflows: set[str] = field(default_factory=set[str])

    def examples(self, split: str, examples: Iterable[Example]) -> None:
        """Keep examples, as a model may read them."""
        if self.put is None:
            return
        for place, example in enumerate(examples):
            value = self._text({"inputs": dict(example.inputs), "target": example.shown})
            self.put(_EXAMPLE, (split, place, whole(example.id), value))

    def trace(self, trace: Trace, draw: str) -> None:
        """Keep what one run of a workflow on an example came to."""
        if self.put is None:
            return
        workflow = trace.workflow
        if workflow.id not in self._workflows:
            self._workflows.add(workflow.id)
            self.put(_WORKFLOW, (workflow.id, self._text(plain_workflow(workflow))))
        usage, score = trace.usage, trace.score
        said = self.clean(trace.error or (score.feedback if score else ""))
        counts = (usage.calls, usage.tokens, usage.usd, usage.seconds)
        points = score.value if score else None
        self.put(
            _TRACE,
            (workflow.id, draw, whole(trace.example.id), points, int(bool(trace.error)), said, *counts, self.clock()),
        )

    def note(self, workflow: str, example: str, kind: str, name: str, value: Any) -> None:
        """Keep what was said of a run: `kind` is `verdict`, `gradient` or `critique`, `name` the stage it is of."""
        if self.put is not None:
            self.put(_NOTE, (workflow, whole(example), kind, name, self._text(value)))

    def now(self, key: str, value: Any) -> None:
        """Keep how things stand: the stage that a run is in, the process that it is."""
        if self.put is not None:
            self.put(_NOW, (key, self._text(value), self.clock()))

    def _text(self, value: Any) -> str:
        return self.clean(json.dumps(value, ensure_ascii=False, default=str))


@dataclass
class Totals:
    """What was paid by purpose and model. The sums are kept in memory; those that changed go into the next commit."""

    sums: dict[tuple[str, str], tuple[Usage, int]] = field(default_factory=dict[tuple[str, str], tuple[Usage, int]])
    changed: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])

    @classmethod
    def read(cls, db: sqlite3.Connection) -> Totals:
        """Return the sums that a journal holds."""
        rows = db.execute("SELECT purpose, model, calls, input, output, cached, usd, seconds, retries FROM totals")
        return cls({(purpose, model): (Usage(*sums[:6]), sums[6]) for purpose, model, *sums in rows})

    def add(self, purpose: str, model: str, value: Any) -> None:
        """Add a recorded reply; what has no usage costs nothing."""
        if isinstance(value, dict) and "usage" in value:
            used, retries = self.sums.get((purpose, model), (Usage(), 0))
            reply = cast("dict[str, Any]", value)
            self.sums[purpose, model] = used + Usage(**reply["usage"]), retries + reply["retries"]
            self.changed.add((purpose, model))

    def write(self, db: sqlite3.Connection) -> None:
        """Write the sums that changed, within the transaction that is open."""
        for key in self.changed:
            used, retries = self.sums[key]
            tokens = (used.input_tokens, used.output_tokens, used.cached_tokens)
            db.execute(_TOTAL, (*key, used.calls, *tokens, used.usd, used.seconds, retries))
        self.changed.clear()

    @property
    def paid(self) -> Usage:
        """The sum of it all."""
        return sum((used for used, _ in self.sums.values()), Usage())
