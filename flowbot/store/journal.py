"""The journal: SQLite in WAL mode, the only truth about a run. Replies, tool values, scores and decisions."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.money import Ledger, Usage
from flowbot.store.shown import Shown, Totals, shown_tables

CHECKPOINT = 8000  # pages of 4 KiB in the WAL; the loop waits for the disk at a checkpoint, so they are few

_HALF = re.compile("[\ud800-\udfff]")
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class JournalError(RuntimeError):
    """The journal cannot be written (a full disk), or a resumed run decided otherwise than it did before."""


def _difference(was: str, recorded: str, kind: str, text: str) -> str:
    """Say in a few words where an event differs from the one on record."""
    if was != kind:
        return f"where it was '{was}' and is '{kind}'"
    old, new = json.loads(recorded), json.loads(text)
    key = next((each for each in {**old, **new} if old.get(each) != new.get(each)), "")
    shown = [json.dumps(each.get(key), ensure_ascii=False)[:80] for each in (old, new)]
    return f"'{kind}', in {key}: {shown[0]} on record, now {shown[1]}"


def _first_tables(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")
    db.execute("CREATE TABLE calls (key TEXT PRIMARY KEY, purpose TEXT, value TEXT NOT NULL, at REAL) WITHOUT ROWID")
    db.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, value TEXT NOT NULL, at REAL)")


def _ends_table(db: sqlite3.Connection) -> None:
    db.execute("CREATE TABLE ends (seq INTEGER PRIMARY KEY, value TEXT NOT NULL, at REAL)")


MIGRATIONS: tuple[Callable[[sqlite3.Connection], None], ...] = (_first_tables, _ends_table, shown_tables)


class SqliteJournal:
    """Keeps what was paid for, before it is used; one writer, group commits, many readers.

    `calls` holds replies, tool values and scores by the hash of the logical request; `events` the decisions in order.
    On resume, `append` compares each event with the one recorded in its place and raises `JournalError` where they
    differ: a run that decides otherwise on the same replies is a bug, never a silent change. `shown` takes what a page
    shows beside, which decides nothing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        fresh = not path.exists()
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            if fresh:
                path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT}")
            self._migrate()
        except sqlite3.DatabaseError as error:
            raise InputError(f"cannot open the journal: {error}", str(path), "give another folder with --run") from None
        self.scrub: Callable[[str], str] = lambda text: text
        self.shown = Shown(self._put, lambda text: _stored(self.scrub(text)), time.time)
        self._waiting: list[tuple[str, tuple[Any, ...], asyncio.Future[None] | None]] = []
        self._totals = Totals.read(self._db)
        self._recorded = [
            (kind, value) for kind, value in self._db.execute("SELECT kind, value FROM events ORDER BY seq")
        ]
        self._seq = 0

    def _migrate(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        for number, migrate in enumerate(MIGRATIONS[version:], version + 1):
            self._db.execute("BEGIN")
            migrate(self._db)
            self._db.execute(f"PRAGMA user_version={number}")
            self._db.execute("COMMIT")

    def find(self, key: str) -> Any | None:
        """Return what is recorded under a key, or None."""
        row = self._db.execute("SELECT value FROM calls WHERE key=?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def paid(self) -> Usage:
        """Return what all recorded replies cost."""
        return self._totals.paid

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
        """Write one paid value, that of a `model` where it is a reply; return when it is committed."""
        text = _stored(_compact(value))
        self._totals.add(purpose, model, value)
        await self._write("INSERT OR IGNORE INTO calls VALUES (?,?,?,?)", (key, purpose, text, time.time()))

    async def append(self, event: Mapping[str, Any], free: Collection[str] = ()) -> Mapping[str, Any]:
        """Write one decision, or compare it with the record; `event["kind"]` names it. Return it as it is recorded.

        The keys in `free` may have other values than before: what was decided then holds.
        """
        kind = str(event["kind"])
        seq, self._seq = self._seq, self._seq + 1
        if seq >= len(self._recorded):
            row = (seq, kind, self._text(event), time.time(), self.paid().calls)
            await self._write("INSERT INTO events VALUES (?,?,?,?,?)", row)
            return event
        was, recorded = self._recorded[seq]
        if was == kind and free:
            old = json.loads(recorded)
            event = {**event, **{key: old[key] for key in free if key in old}}
        text = self._text(event)
        if (was, recorded) != (kind, text):
            raise JournalError(
                f"{self.path.parent}: the run went another way than before at event {seq + 1}, "
                f"{_difference(was, recorded, kind, text)}; what it depends on has changed (the code of FlowBot, "
                "of a metric or a tool): start a new run with --run DIR"
            )
        return event

    def _text(self, event: Mapping[str, Any]) -> str:
        """Return an event as it is recorded: without its kind, and without secrets."""
        plain = {key: value for key, value in event.items() if key != "kind"}
        return _stored(self.scrub(json.dumps(plain, ensure_ascii=False, sort_keys=True)))

    @property
    def replaying(self) -> bool:
        """True while what is decided stands in the record already."""
        return self._seq < len(self._recorded)

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Write how this stretch of the run ended; a run that goes on has one such record a stretch."""
        row = (json.dumps(facts, sort_keys=True), time.time())
        try:
            self._db.execute("INSERT INTO ends (value, at) VALUES (?, ?)", row)
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def ends(self) -> list[dict[str, Any]]:
        """Return how each stretch of the run ended, in order."""
        return [json.loads(value) for (value,) in self._db.execute("SELECT value FROM ends ORDER BY seq")]

    async def _write(self, statement: str, row: tuple[Any, ...]) -> None:
        """Join the next group commit: all that is written in one turn of the loop is one transaction."""
        written = asyncio.get_running_loop().create_future()
        self._put(statement, row, written)
        await written

    def _put(self, statement: str, row: tuple[Any, ...], written: asyncio.Future[None] | None = None) -> None:
        """Queue a row for the next group commit; nobody waits for one that is only shown."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._commit)
        self._waiting.append((statement, row, written))

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return  # `close` came first
        failed: JournalError | None = None
        try:
            self._db.execute("BEGIN")
            for statement, row, _ in waiting:
                self._db.execute(statement, row)
            self._totals.write(self._db)
            self._db.execute("COMMIT")
        except Exception as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            failed = self._unwritten(error)
        for _, _, written in waiting:
            if written is None or written.done():
                continue  # nobody waits for it, or whoever did is gone
            if failed is None:
                written.set_result(None)
            else:
                written.set_exception(failed)

    def _unwritten(self, error: Exception) -> JournalError:
        return JournalError(f"cannot write the journal {self.path}: {error}; free some space and go on")

    @property
    def resumed(self) -> bool:
        """True where the run had recorded anything before."""
        return bool(self._recorded)

    def identify(self, hashes: Mapping[str, str]) -> None:
        """Bind the journal to what the run depends on; raise `InputError` naming the difference on a resume."""
        known = dict(self._db.execute("SELECT key, value FROM meta"))
        changed = [name for name in hashes if name in known and known[name] != hashes[name]]
        if changed and self._db.execute("SELECT 1 FROM calls LIMIT 1").fetchone() is None:
            self._start_over()
        elif changed:
            raise InputError(
                f"this run was made with another {', '.join(changed)}",
                str(self.path.parent),
                "start a new run with --run DIR, or put back what was changed",
            )
        try:
            self._db.executemany("INSERT OR IGNORE INTO meta VALUES (?,?)", hashes.items())
        except sqlite3.Error as error:
            raise self._unwritten(error) from error

    def _start_over(self) -> None:
        """Forget a run that has paid for nothing: it may become another."""
        for table in ("meta", "events", "ends", "examples", "workflows", "traces", "notes", "now"):
            self._db.execute(f"DELETE FROM {table}")
        self._recorded = []

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the recorded decisions, in order."""
        for kind, value, at in self._db.execute("SELECT kind, value, at FROM events ORDER BY seq"):
            yield {"kind": kind, "at": at} | json.loads(value)

    def close(self) -> None:
        """Write what is waiting and close."""
        if self._waiting:
            self._commit()
        self._db.close()


def _stored(text: str) -> str:
    """Return JSON text as SQLite takes it: halves of characters, which have no UTF-8, as JSON's own escapes."""
    return _HALF.sub(lambda half: f"\\u{ord(half[0]):04x}", text)


class JournalReader:
    """Reads a journal as it stood when this was opened, and never writes to it, also while a run is writing.

    Raises `InputError` where there is no journal, or one of a version not known here.
    """

    def __init__(self, path: Path) -> None:
        self._db, version = opened_journal(path)
        self._db.execute("BEGIN")
        self._has_ends = version > 1

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the recorded decisions, in order."""
        for kind, value, at in self._db.execute("SELECT kind, value, at FROM events ORDER BY seq"):
            yield {"kind": kind, "at": at} | json.loads(value)

    def ends(self) -> list[dict[str, Any]]:
        """Return how each stretch of the run ended, in order, each with its time `at`."""
        rows = self._db.execute("SELECT value, at FROM ends ORDER BY seq") if self._has_ends else ()
        return [{"at": at} | json.loads(value) for value, at in rows]

    def ledger(self) -> Ledger:
        """Return what the recorded replies cost, by purpose; which of them were repairs is not recorded."""
        return ledger_of(self._db)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def ledger_of(db: sqlite3.Connection) -> Ledger:
    """Return what the recorded replies cost, by purpose; it reads all of them."""
    ledger = Ledger()
    rows = db.execute(
        "SELECT purpose, json_extract(value, '$.usage'), json_extract(value, '$.retries') FROM calls"
        " WHERE json_type(value, '$.usage') = 'object' ORDER BY at"
    )
    for purpose, usage, retries in rows:
        ledger.add(purpose, Usage(**json.loads(usage)), retries=retries or 0)
    return ledger


def opened_journal(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open a journal for reading and return it with its version; raise `InputError` where it is none known here."""
    if not path.is_file():
        raise InputError("there is no journal here", str(path), "name the folder of a run")
    try:
        db = opened_to_read(path)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        names = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")}
    except sqlite3.DatabaseError as error:
        raise InputError(f"cannot read the journal: {error}", str(path), "name the folder of a run") from None
    if version > len(MIGRATIONS) or not {"calls", "events"} <= names:
        db.close()
        raise InputError("this is no journal of a version known here", str(path), "use the FlowBot that wrote it")
    return db, version


def opened_to_read(path: Path) -> sqlite3.Connection:
    """Open for reading; without the shared memory that WAL needs where it cannot be made and no run is on."""
    uri = path.resolve().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True, isolation_level=None, check_same_thread=False)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
        if path.with_name(path.name + "-wal").exists():
            raise
        db = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return db


class MemoryJournal:
    """A journal that lives as long as its process; with `keep=False` nothing is kept, for finished workflows."""

    def __init__(self, keep: bool = True) -> None:
        self.keep = keep
        self.calls: dict[str, Any] = {}
        self.written: list[dict[str, Any]] = []
        self.ended: list[dict[str, Any]] = []
        self.resumed = False
        self.shown = Shown()

    def find(self, key: str) -> Any | None:
        """Return what is recorded under a key, or None."""
        return self.calls.get(key)

    def paid(self) -> Usage:
        """Return what was paid before: nothing."""
        return Usage()

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
        """Keep one value."""
        if self.keep:
            self.calls[key] = value

    async def append(self, event: Mapping[str, Any], free: Collection[str] = ()) -> Mapping[str, Any]:
        """Keep one decision."""
        self.written.append(dict(event))
        return event

    def identify(self, hashes: Mapping[str, str]) -> None:
        """Nothing to compare with."""

    def finish(self, facts: Mapping[str, Any]) -> None:
        """Keep how the run ended."""
        self.ended.append(dict(facts))

    @property
    def replaying(self) -> bool:
        """A journal in memory has no record to go by."""
        return False

    def ends(self) -> list[dict[str, Any]]:
        """Return how the run ended."""
        return self.ended

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the decisions, in order."""
        return iter(self.written)

    def close(self) -> None:
        """Nothing to close."""
