"""The journal: committed before it is used, bound to its run, loud where it cannot be written or decides otherwise."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import Reply
from flowbot.errors import InputError
from flowbot.money import Usage
from flowbot.store import journal as journals
from flowbot.store.journal import JournalError, JournalReader, SqliteJournal
from flowbot.task.data import Example

Work = Callable[[SqliteJournal], Coroutine[Any, Any, None]]


def during(path: Path, work: Work) -> None:
    """Do work with a journal and close it."""
    made = SqliteJournal(path)
    try:
        asyncio.run(work(made))
    finally:
        made.close()


def committed(path: Path, table: str = "calls") -> int:
    """Count what another connection sees."""
    db = sqlite3.connect(path)
    try:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        db.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def test_what_is_recorded_is_found_again_also_by_the_next_process(path: Path) -> None:
    value = {"text": "é \ud83d 😀", "n": 1.5, "deep": [None, {"a": True}]}

    async def work(journal: SqliteJournal) -> None:
        assert journal.find("k") is None
        await journal.record("k", "task", value)
        assert journal.find("k") == value

    async def look(journal: SqliteJournal) -> None:
        assert journal.find("k") == value
        await journal.record("k", "task", "another")
        assert journal.find("k") == value

    during(path, work)
    during(path, look)


def test_record_returns_when_it_is_committed(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        for n in range(3):
            await journal.record(str(n), "task", n)
            assert committed(path) == n + 1

    during(path, work)


def test_what_is_written_at_once_is_one_commit(path: Path) -> None:
    commits: list[str] = []

    async def work(journal: SqliteJournal) -> None:
        journal._db.set_trace_callback(commits.append)  # pyright: ignore[reportPrivateUsage]
        await asyncio.gather(*(journal.record(str(n), "task", n) for n in range(200)))
        assert committed(path) == 200

    during(path, work)
    assert sum(statement == "COMMIT" for statement in commits) == 1


def test_a_cancelled_writer_takes_nobody_with_it(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        first = asyncio.ensure_future(journal.record("a", "task", 1))
        second = asyncio.ensure_future(journal.record("b", "task", 2))
        await asyncio.sleep(0)
        first.cancel()
        await second
        await journal.record("c", "task", 3)
        assert [journal.find(key) for key in "abc"] == [1, 2, 3]

    during(path, work)


def test_closing_writes_what_is_waiting(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        going = asyncio.ensure_future(journal.record("a", "task", 1))
        await asyncio.sleep(0)
        journal.close()
        await going

    made = SqliteJournal(path)
    asyncio.run(work(made))
    assert committed(path) == 1


def test_events_are_kept_in_order_and_compared_on_resume(path: Path) -> None:
    events = [{"kind": "start", "seed": 1, "a": "é"}, {"kind": "best", "mean": 0.5}, {"kind": "start", "seed": 2}]

    async def work(journal: SqliteJournal) -> None:
        for event in events:
            await journal.append(event)

    for resumed in (False, True):
        made = SqliteJournal(path)
        assert made.resumed == resumed
        asyncio.run(work(made))
        assert [{k: v for k, v in each.items() if k != "at"} for each in made.events()] == events
        made.close()
    assert committed(path, "events") == 3


@pytest.mark.parametrize("other", [{"kind": "best", "mean": 0.25}, {"kind": "row", "mean": 0.5}, {"kind": "best"}])
def test_a_run_that_decides_otherwise_is_an_error(path: Path, other: dict[str, Any]) -> None:
    async def first(journal: SqliteJournal) -> None:
        await journal.append({"kind": "start"})
        await journal.append({"kind": "best", "mean": 0.5})

    async def second(journal: SqliteJournal) -> None:
        await journal.append({"kind": "start"})
        with pytest.raises(JournalError, match=r"another way than before at event 2"):
            await journal.append(other)

    during(path, first)
    during(path, second)
    assert committed(path, "events") == 2


def test_a_run_goes_on_behind_its_record(path: Path) -> None:
    async def more(journal: SqliteJournal, count: int) -> None:
        for n in range(count):
            await journal.append({"kind": "row", "n": n})

    for count in (2, 5, 3):
        during(path, lambda journal, count=count: more(journal, count))
    assert committed(path, "events") == 5


def test_a_free_key_holds_what_was_decided_first(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        plan = {"kind": "plan", "what": "seeds", "seeds": 3}
        assert (await journal.append(plan, free=["seeds"]))["seeds"] == 3
        assert not journal.replaying

    async def again(journal: SqliteJournal) -> None:
        assert journal.replaying
        plan = {"kind": "plan", "what": "seeds", "seeds": 7}
        assert (await journal.append(plan, free=["seeds"]))["seeds"] == 3
        assert not journal.replaying

    async def otherwise(journal: SqliteJournal) -> None:
        with pytest.raises(JournalError, match="'plan', in what"):
            await journal.append({"kind": "plan", "what": "race", "seeds": 3}, free=["seeds"])

    for each in (work, again, otherwise):
        during(path, each)


def test_a_run_is_bound_to_what_it_depends_on(path: Path) -> None:
    made = SqliteJournal(path)
    made.identify({"task": "a", "data": "b", "prompts": "c"})
    asyncio.run(made.record("key", "task", {"text": "paid"}))
    made.identify({"task": "a", "data": "b", "prompts": "c"})
    with pytest.raises(InputError, match="made with another data, prompts") as error:
        made.identify({"task": "a", "data": "x", "prompts": "y"})
    assert error.value.where == str(path.parent)
    assert "--run" in error.value.mend
    made.identify({"task": "a", "data": "b", "prompts": "c"})
    made.close()


def test_a_run_that_has_paid_for_nothing_may_become_another(path: Path) -> None:
    made = SqliteJournal(path)
    made.identify({"task": "a"})
    asyncio.run(made.append({"kind": "start", "seed": 1}))
    made.finish({"ended": "endpoint"})
    made.close()
    again = SqliteJournal(path)
    again.identify({"task": "other"})
    asyncio.run(again.append({"kind": "start", "seed": 2}))
    assert [event["seed"] for event in again.events()] == [2]
    assert again.ends() == []
    again.close()


def test_ends_of_all_stretches_are_kept(path: Path) -> None:
    for n in range(3):
        made = SqliteJournal(path)
        made.finish({"ended": f"stretch {n}"})
        assert [end["ended"] for end in made.ends()] == [f"stretch {each}" for each in range(n + 1)]
        made.close()
    reader = JournalReader(path)
    assert [end["ended"] for end in reader.ends()] == ["stretch 0", "stretch 1", "stretch 2"]
    reader.close()


def test_the_first_version_is_migrated_with_what_it_holds(path: Path) -> None:
    db = sqlite3.connect(path)
    journals.MIGRATIONS[0](db)
    db.execute("INSERT INTO calls VALUES ('k', 'task', '7', 0)")
    db.execute("PRAGMA user_version=1")
    db.commit()
    db.close()
    made = SqliteJournal(path)
    assert made.find("k") == 7
    made.finish({"ended": "done"})
    assert len(made.ends()) == 1
    made.close()
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA user_version").fetchone()[0] == len(journals.MIGRATIONS)
    db.close()


def test_a_full_disk_is_loud_and_nothing_is_half_written(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        await journal.record("small", "task", "x")
        db: sqlite3.Connection = journal._db  # pyright: ignore[reportPrivateUsage]
        full = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={full}")
        writing = [journal.record(str(n), "task", "x" * 100_000) for n in range(3)]
        found = await asyncio.gather(*writing, journal.append({"kind": "row"}), return_exceptions=True)
        assert all(isinstance(each, JournalError) for each in found)
        assert "free some space" in str(found[0])
        assert [journal.find(key) for key in ("small", "0", "1")] == ["x", None, None]
        with pytest.raises(JournalError):
            journal.finish({"ended": "x" * 100_000})
        with pytest.raises(JournalError):
            journal.identify({"task": "x" * 100_000})
        db.execute("PRAGMA max_page_count=100000")
        await journal.record("0", "task", "fits")
        assert journal.find("0") == "fits"

    during(path, work)
    assert committed(path) == 2


def test_a_value_that_cannot_be_stored_is_an_error_and_no_hang(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        with pytest.raises(JournalError):
            await asyncio.wait_for(journal.record("\ud800", "task", 1), 5)
        await journal.record("k", "task", 1)
        assert journal.find("k") == 1

    during(path, work)


def test_half_a_character_in_an_id_is_no_error(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        journal.shown.examples("val", [Example("\ud83d", {"question": "\ud83d"}, None)])
        journal.shown.note("w", "\ud83d", "verdict", "first", [])
        await journal.record("k", "task", 1)
        assert journal.find("k") == 1

    during(path, work)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id FROM examples").fetchall() == db.execute("SELECT example FROM notes").fetchall()


def test_it_is_for_its_owner_only(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        await journal.record("k", "task", 1)
        for each in path.parent.iterdir():
            assert stat.S_IMODE(each.stat().st_mode) == 0o600

    during(path, work)


def test_what_is_no_journal_is_refused(path: Path) -> None:
    path.write_text("this is no database, and it is long enough to be looked at" * 100)
    with pytest.raises(InputError, match="cannot open the journal"):
        SqliteJournal(path)


def test_events_are_scrubbed_before_they_are_compared(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        journal.scrub = lambda text: text.replace("sk-1", "***")
        await journal.append({"kind": "note", "text": "key sk-1"})

    during(path, work)
    during(path, work)
    assert b"sk-1" not in path.read_bytes()


def test_a_reader_counts_what_was_paid(path: Path) -> None:
    async def work(journal: SqliteJournal) -> None:
        for n in range(3):
            await journal.record(str(n), "task", asdict(Reply("x", Usage(1, 10, 5, usd=0.5), retries=n)))
        await journal.record("judge", "judge", asdict(Reply("x", Usage(1, 1, 1, usd=None))))
        await journal.record("score", "score", {"value": 1.0, "feedback": "Right."})

    during(path, work)
    reader = JournalReader(path)
    lines = dict(reader.ledger())
    reader.close()
    assert lines["task"].usage == Usage(3, 30, 15, usd=1.5)
    assert lines["task"].retries == 3
    assert lines["judge"].usage.usd is None
    assert set(lines) == {"task", "judge"}
