"""What the page is told while a journal is written, half written, and long."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.long_run import LongRun, Size
from flowbot.faces.ui.book import Book
from flowbot.faces.ui.schema.__main__ import json_schema
from flowbot.search.compare import interval
from flowbot.store.journal import SqliteJournal
from flowbot.store.reading import JournalView
from flowbot.workflow.graph import Workflow
from tests.books import CLOSED, FACTS, examples, made, trace
from tests.races import (
    BEST,
    COMPARED,
    FIRST,
    LOST,
    OPENING,
    SEARCH,
    SEED,
    START,
    VALUES,
    ending,
    iteration,
    written,
)


@pytest.mark.slow
def test_what_is_new_of_a_run_is_told_from_any_place(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole", CLOSED).run()
    for since in range(len(CLOSED)):
        folder = tmp_path / str(since)
        known = made(folder, CLOSED[:since]).run()
        assert Book(folder).run(known.seq).points == []
        news = Book(tmp_path / "whole").run(known.seq)
        values = [
            (point.candidate, point.value, point.best) for point in [*known.points[: news.points_from], *news.points]
        ]
        assert values == [(point.candidate, point.value, point.best) for point in whole.points]
        lines = {line.id: line.fate for line in known.candidates} | {line.id: line.fate for line in news.candidates}
        assert lines == {line.id: line.fate for line in whole.candidates}
        assert news.seq == whole.seq


def test_a_book_sees_what_is_written_after_it_was_opened(tmp_path: Path) -> None:
    book = made(tmp_path, OPENING)
    assert book.run().best_id == SEED.id
    journal = SqliteJournal(tmp_path / "journal.sqlite")

    async def go_on() -> None:
        for event in [*OPENING, *SEARCH]:
            await journal.append(event)
        journal.shown.trace(trace(LOST, "v3", 1.0), "val")
        await asyncio.sleep(0)

    asyncio.run(go_on())
    run = book.run()
    assert (run.seq, run.best_id) == (len(OPENING + SEARCH), BEST.id)
    assert next(line.items for line in run.candidates if line.id == LOST.id) == 3
    journal.finish(ending("confirmed", COMPARED))
    assert book.line().state == "done"
    journal.close()


def test_a_run_that_began_anew_in_the_same_file_is_read_anew(tmp_path: Path) -> None:
    book = Book(written(tmp_path, CLOSED).parent)
    assert len(book.run().candidates) == 6
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    with db:
        db.execute("DELETE FROM events")
    db.close()
    assert (book.run().seq, book.run().candidates) == (0, [])


def test_seconds_leave_out_the_time_between_stretches(tmp_path: Path) -> None:
    path = written(tmp_path, CLOSED)
    db = sqlite3.connect(path)
    with db:  # killed at 100 s, taken up at 1000 s, ended at 1050 s; once more from 5000 s on
        db.execute("UPDATE events SET at = CASE WHEN seq < 10 THEN 10.0 * seq ELSE 1000.0 + seq END")
        db.execute("UPDATE events SET at = 5000.0 + seq WHERE seq >= 20")
        end = json.dumps(ending("confirmed", COMPARED) | {"seconds": 50.0})
        db.execute("INSERT INTO ends (value, at) VALUES (?, 1050.0)", (end,))
        db.execute("INSERT INTO now VALUES ('run', '{}', 5000.0)")
    db.close()
    run = Book(tmp_path).run()
    seconds = [point.seconds for point in run.points]
    rows = [number for number, event in enumerate(CLOSED) if event["kind"] == "row"]
    wanted = [10 * at if at < 10 else 90 + at if at < 20 else 90 + 50 + at for at in rows]
    assert seconds == pytest.approx(wanted)
    assert (run.stretches, run.line.state) == (2, "stopped")


def test_a_half_written_journal_opens(tmp_path: Path) -> None:
    """A copy of the files as they are in the middle of a run: what a killed run leaves."""
    (tmp_path / "run").mkdir()
    journal = SqliteJournal(tmp_path / "run" / "journal.sqlite")

    async def half() -> None:
        journal.shown.now("run", FACTS | {"pid": 1, "host": "elsewhere"})
        journal.shown.examples("val", examples("val", 4))
        for event in [*OPENING, *SEARCH[:7]]:
            await journal.append(event)
        journal.shown.trace(trace(FIRST, "v1", 1.0), "val")  # this commit never comes
        shutil.copytree(tmp_path / "run", tmp_path / "killed")

    asyncio.run(half())
    journal.close()
    (tmp_path / "killed" / "journal.sqlite-shm").unlink(missing_ok=True)
    assert (tmp_path / "killed" / "journal.sqlite-wal").stat().st_size
    before = (tmp_path / "killed" / "journal.sqlite").read_bytes()
    book = Book(tmp_path / "killed")
    run = book.run()
    assert (run.line.state, run.best_id, len(run.candidates)) == ("stopped", SEED.id, 4)
    assert book.examples("val").total == 4
    assert book.candidate(FIRST.id).line.fate == "pending"
    assert book.pulse().traces == 0
    book.close()
    assert (tmp_path / "killed" / "journal.sqlite").read_bytes() == before


# ------------------------------------------------------------------ what it costs


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of about 20 MB: 160 candidates, 8,000 runs."""
    folder = tmp_path_factory.mktemp("long")
    LongRun(folder, Size(160, 120, 400, 8, 14)).write()
    return folder


@pytest.mark.slow
def test_no_answer_reads_the_replies_or_scans_the_runs(long: Path) -> None:
    """Work is counted, not time: what SQLite does for each answer, and that no answer looks at `calls`."""
    book = Book(long)
    listed = [line.id for line in book.run().candidates]
    seq, start, late = book.run().seq, listed[0], listed[-1]
    book.close()
    questions: dict[str, tuple[Callable[[Book], Any], int]] = {
        "line": (lambda book: book.line(), 10),
        "run": (lambda book: book.run(), 300),
        "pulse": (lambda book: book.pulse(), 10),
        "candidate": (lambda book: book.candidate(late), 300),
        "examples": (lambda book: book.examples("val", [start, late], late), 30),
        "example": (lambda book: book.example("val", "val3"), 40),
        "trace": (lambda book: book.trace_row(late, "val", "val3"), 2),
    }
    for name, (question, bound) in questions.items():
        fresh, work, asked = Book(long), [0], list[str]()

        def count(work: list[int] = work) -> int:
            work[0] += 1
            return 0

        fresh.db.set_progress_handler(count, 1000)
        fresh.db.set_trace_callback(asked.append)
        question(fresh)
        assert work[0] <= bound, f"{name}: {work[0]},000 steps of SQLite"
        assert not [each for each in asked if "FROM calls" in each], name
        work[0] = 0
        fresh.run(seq - 2)
        work[0] = 0
        fresh.run(seq - 2)
        assert work[0] <= 10, f"what is new after {name}: {work[0]},000 steps"
        fresh.close()


@pytest.mark.slow
def test_workflows_are_validated_when_they_are_asked_for(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = list[int]()
    validate = Workflow.model_validate

    def counting(plain: Any, **named: Any) -> Workflow:
        counted.append(1)
        return validate(plain, **named)

    monkeypatch.setattr(Workflow, "model_validate", counting)
    run = Book(long).run()
    assert len(run.candidates) > 160
    assert len(counted) <= 3 + len(run.front)


def test_a_view_is_never_older_than_its_journal(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING)
    view = JournalView(path)
    with view.snapshot():
        before = view.count()
        db = sqlite3.connect(path)
        with db:
            db.execute("INSERT INTO events VALUES (?, 'plan', '{}', 1.0, 0)", (before,))
        db.close()
        assert view.count() == before
    assert view.count() == before + 1
    assert not view.db.in_transaction
    view.close()


def test_intervals_are_near_those_of_all_scores(tmp_path: Path) -> None:
    line = made(tmp_path).run().candidates[1]
    low, high = interval(VALUES[SEED.id])
    assert line.low == pytest.approx(low, abs=0.02)
    assert line.high == pytest.approx(high, abs=0.02)


def test_the_schema_is_the_same_each_time_and_names_every_answer() -> None:
    plain = json_schema()
    assert list(plain["$defs"]) == sorted(plain["$defs"])
    assert {"Home", "RunLine", "Run", "Candidate", "Flow", "ReportData", "Trace", "Pulse"} <= set(plain["$defs"])
    assert json.dumps(plain) == json.dumps(json_schema())
    assert iteration(1, START)["kind"] == "iteration"
