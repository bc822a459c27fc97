"""What the page is told of a run and its candidates, field by field, of whole journals and old ones."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from platform import node

import pytest

from flowbot.errors import InputError
from flowbot.faces.ui.book import Book
from flowbot.faces.ui.flow import flow_of
from flowbot.store.journal import SqliteJournal
from tests import papers
from tests.books import CLOSED, FACTS, Event, made
from tests.races import (
    BEST,
    COMPARED,
    FIRST,
    LOST,
    OPEN,
    OPENING,
    PAID,
    SEARCH,
    SEED,
    START,
    VALUES,
    ending,
    written,
)

# ------------------------------------------------------------------ a run, field by field


def test_the_line_of_a_finished_run(tmp_path: Path) -> None:
    test = COMPARED | {"n": 80, "old": 0.2, "new": 0.7}
    end = ending("confirmed", COMPARED, tables={"confirm": COMPARED, "test": test}, seconds=12.5, why="all through")
    line = made(tmp_path, CLOSED, end).line()
    assert (line.id, line.name, line.state, line.ended, line.why) == ("a/run", "routing", "done", "done", "all through")
    assert (line.recipe, line.metric, line.models) == ("race", "exact", ["vllm:m"])
    assert (line.start, line.best, line.where, line.fraction) == (0.25, 1.0, "test", True)
    assert line.result is not None
    assert (line.result.n, line.result.old, line.result.new, line.result.gain) == (80, 0.2, 0.7, pytest.approx(0.5))
    count = len(CLOSED)
    assert (line.calls, line.tokens, line.usd) == (count, 110 * count, 0.5 * count)
    assert (line.seconds, line.candidates, line.error) == (12.5, 6, "")
    assert line.began is not None
    assert line.last is not None
    assert line.began <= line.last


def test_a_run_that_goes_on(tmp_path: Path) -> None:
    book = made(tmp_path, [*OPENING, *SEARCH], process=os.getpid())
    line, run = book.line(), book.run()
    assert (line.state, line.ended, line.start, line.best, line.where) == ("running", "open", 0.25, 1.0, "val")
    assert line.result is not None
    assert (line.result.n, line.result.gain) == (4, 0.75)
    assert run.line.result == line.result == run.tables["val"]
    assert run.phase is not None
    assert (run.phase.name, run.phase.calls) == ("race", {"task": 40})
    assert run.headline[1].endswith("not confirmed")
    assert [member.candidate for member in run.front] == [START.id, FIRST.id, BEST.id]
    assert run.budget == FACTS["budget"]
    assert (run.description, run.version, run.stretches, run.outcome) == ("Route it.", "9.9", 1, None)
    pulse = book.pulse()
    assert (pulse.line.state, pulse.seq, pulse.phase, pulse.traces) == ("running", len(OPENING + SEARCH), run.phase, 23)


@pytest.mark.parametrize(
    ("events", "end", "process", "state"),
    [
        (CLOSED, ending("confirmed", COMPARED), 0, "done"),
        (CLOSED, ending("confirmed", COMPARED) | {"ended": "budget"}, 0, "done"),
        (CLOSED, ending("confirmed", COMPARED) | {"ended": "interrupted"}, 0, "stopped"),
        (CLOSED, ending("confirmed", COMPARED) | {"ended": "endpoint", "why": "it is down"}, 0, "failed"),
        (CLOSED, ending("confirmed", COMPARED) | {"ended": "sandbox", "why": "it is down"}, 0, "failed"),
        (CLOSED, ending("confirmed", COMPARED) | {"ended": "of another FlowBot"}, 0, "stopped"),
        (CLOSED, None, 0, "stopped"),
        (CLOSED, None, 2**22 + 7, "stopped"),  # no such process
        ([], None, 0, "stopped"),
    ],
)
def test_states(tmp_path: Path, events: Sequence[Event], end: Event | None, process: int, state: str) -> None:
    line = made(tmp_path, events, *([end] if end else []), process=process).line()
    assert line.state == state
    assert line.error == ("it is down" if state == "failed" else "")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_later_process_with_the_number_of_the_run_is_not_the_run(tmp_path: Path) -> None:
    book = made(tmp_path, CLOSED, process=os.getpid())
    book.close()
    db = sqlite3.connect(tmp_path / "journal.sqlite")
    with db:
        db.execute("UPDATE now SET at=1000 WHERE key='run'")
    db.close()
    assert Book(tmp_path).line().state == "stopped"


def test_a_finished_run_that_is_taken_up_again_is_running(tmp_path: Path) -> None:
    end = ending("confirmed", COMPARED)
    made(tmp_path, CLOSED, end, process=os.getpid()).close()
    journal = SqliteJournal(tmp_path / "journal.sqlite")

    async def again() -> None:
        journal.shown.now("run", FACTS | {"pid": os.getpid(), "host": node()})
        await asyncio.sleep(0)

    asyncio.run(again())
    assert Book(tmp_path).line().state == "running"
    journal.close()


def test_the_candidates_and_what_became_of_them(tmp_path: Path) -> None:
    run = made(tmp_path, CLOSED, ending("confirmed", COMPARED)).run()
    found = {line.id: line for line in run.candidates}
    assert [line.id for line in run.candidates] == [START.id, SEED.id, FIRST.id, LOST.id, BEST.id, OPEN.id]
    assert {line.id: line.fate for line in run.candidates} == {
        START.id: "start",
        SEED.id: "accepted",
        FIRST.id: "accepted",
        LOST.id: "dropped",
        BEST.id: "best",
        OPEN.id: "kept",
    }
    assert found[OPEN.id].said == "kept beside the best, undecided: measured"
    assert found[LOST.id].said == "dropped at 2 items"
    assert found[BEST.id].said == "the best: iteration 2, parameter: measured"
    first, lost = found[FIRST.id], found[LOST.id]
    assert (first.parent, first.number, first.operator, first.clusters) == (SEED.id, 1, "bullets", ["billing"])
    assert (first.mean, first.items, first.cost, first.failed) == (0.75, 4, 0.004, 0)
    assert (first.edits, first.hypothesis) == (["add: invoices"], "invoices are not told of")
    assert first.gain == pytest.approx(0.25)
    assert first.low is not None
    assert first.high is not None
    assert first.low < 0.75 < first.high <= 1.0
    assert (lost.mean, lost.items, lost.gain, lost.p_gain) == (0.5, 2, -0.5, 0.1)  # of its single runs
    assert all(line.at for line in run.candidates)


def test_the_points_stand_where_their_calls_were_paid(tmp_path: Path) -> None:
    run = made(tmp_path, CLOSED).run()
    rows = [number for number, event in enumerate(CLOSED, 1) if event["kind"] == "row"]
    assert [point.calls for point in run.points] == rows  # a reply was paid for before each event
    assert [point.candidate for point in run.points] == [START.id, SEED.id, FIRST.id, BEST.id, OPEN.id]
    assert [point.value for point in run.points] == [0.25, 0.5, 0.75, 1.0, 0.75]
    assert [point.best for point in run.points] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert [point.seconds for point in run.points] == sorted(point.seconds for point in run.points)
    assert {point.kind for point in run.points} == {"validation"}
    assert all(point.low is not None and point.low <= (point.best or 0) for point in run.points)


def test_the_rest_of_a_run(tmp_path: Path) -> None:
    end = ending("confirmed", COMPARED, parts={"start": 0.25, "race": 1.0}, notes=["a note"])
    run = made(tmp_path, CLOSED, end).run()
    assert (run.seq, run.start_id, run.best_id, run.stretches) == (len(CLOSED), START.id, BEST.id, 1)
    assert (run.settings, run.seed, run.version, run.content) == ({"iterations": 2}, 0, "0.1.0", True)
    assert run.headline[0] == "25.0 % -> 75.0 %"
    assert run.outcome is not None
    assert (run.outcome.decision, run.outcome.finalist, run.outcome.tested) == ("confirmed", BEST.id, 4)
    assert list(run.tables) == ["confirm"]
    assert run.parts == [("start", 0.25), ("race", 1.0)]
    assert [member.candidate for member in run.front] == [START.id, FIRST.id, BEST.id]
    assert run.dollars
    ledger = run.ledger[0]
    assert (ledger.purpose, ledger.model, ledger.calls, ledger.usd) == ("task", "vllm:m", len(CLOSED), len(CLOSED) / 2)
    assert [(each.name, each.counts, each.open) for each in run.clusters] == [
        ("hopeless", [(1, 1, 0), (2, 1, 0)], True),
        ("billing", [(1, 3, 1)], False),
    ]
    assert [(each.number, each.parent, each.failed, each.blame) for each in run.iterations] == [
        (1, SEED.id, 4, [("answer", 0.75)]),
        (2, FIRST.id, 4, [("answer", 0.75)]),
    ]
    assert [(each.name, each.count) for each in run.splits] == [("train", 3), ("val", 4)]
    assert (run.phase, run.notes) == (None, ["a note"])


def test_a_run_of_the_gradients(tmp_path: Path) -> None:
    run = Book(papers.written(tmp_path, [*papers.OPENING, *papers.SEARCH], papers.END).parent).run()
    assert [(each.name, each.batch_mean) for each in run.updates] == [
        ("batch 1, outer", 0.4),
        ("batch 1, inner 1", 0.6),
    ]
    assert [point.kind for point in run.points] == ["validation", "batch", "batch", "validation", "validation"]
    assert [(each.name, each.kept, each.candidate) for each in run.moves] == [
        ("output_type", False, None),
        ("demos", True, papers.BEST.id),
    ]
    assert [line.fate for line in run.candidates] == ["start", "accepted", "best"]
    assert [line.gain for line in run.candidates] == [None, 0.25, 0.25]


def test_a_candidate(tmp_path: Path) -> None:
    book = made(tmp_path, CLOSED, ending("confirmed", COMPARED))
    found = book.candidate(FIRST.id)
    assert found.line == next(line for line in book.run().candidates if line.id == FIRST.id)
    assert found.flow == flow_of(FIRST)
    assert [(each.id, each.name) for each in found.way] == [
        (START.id, "the start"),
        (SEED.id, "a seed"),
        (FIRST.id, "iteration 1, bullets"),
    ]
    assert [(each.mean, each.fixed, each.broken) for each in found.way] == [
        (0.25, [], []),
        (0.5, ["v1"], []),
        (0.75, ["v2"], []),
    ]
    assert found.way[-1].steps == FIRST.prompts
    assert ("answer", "line", "- Invoices go to billing.", 2) in found.parts
    assert found.decision is not None
    assert (found.decision.decision, found.decision.fixed, found.decision.hit, found.decision.missed) == (
        "accepted",
        ["v2"],
        ["t1"],
        ["t2"],
    )
    assert [(rung.items, rung.stays) for rung in found.rungs] == [(2, True), (4, True)]
    assert (found.flips, found.paid) == (["t1", "t2"], PAID)
    assert [(each.name, each.count) for each in found.draws] == [("train", 1), ("val", 4)]
    with pytest.raises(InputError, match="there is no candidate 'nobody' in this run"):
        book.candidate("nobody")


def test_workflows_are_those_of_the_run(tmp_path: Path) -> None:
    book = made(tmp_path)
    assert book.workflow(BEST.id) == BEST
    assert book.workflow(LOST.id).id == LOST.id
    with pytest.raises(InputError, match="there is no workflow"):
        book.workflow("0" * 16)


# ------------------------------------------------------------------ an old journal


def aged(folder: Path, events: Sequence[Event], *ends: Event) -> Book:
    """Return a book on a journal as version 2 wrote it."""
    path = written(folder, events, *ends)
    db = sqlite3.connect(path)
    with db:
        for table in ("examples", "workflows", "traces", "notes", "now", "totals"):
            db.execute(f"DROP TABLE {table}")
        db.execute("DROP INDEX events_kind")
        db.execute("ALTER TABLE events DROP COLUMN calls")
        db.execute("PRAGMA user_version=2")
    db.close()
    return Book(folder)


def test_an_old_journal_says_what_it_holds(tmp_path: Path) -> None:
    book = aged(tmp_path, CLOSED, ending("confirmed", COMPARED))
    run = book.run()
    assert (run.line.state, run.line.models, run.line.metric, run.line.calls) == ("done", ["vllm:m"], "", 1)
    assert [point.calls for point in run.points] == [1] * 5  # the one reply that stands in it
    assert [line.fate for line in run.candidates] == ["start", "accepted", "accepted", "dropped", "best", "kept"]
    assert [(each.name, each.count) for each in run.splits] == [("val", 4)]
    assert any("older FlowBot" in note for note in run.notes)
    assert (run.budget, run.phase, book.facts, book.pulse().traces) == ({}, None, {}, 0)
    page = book.examples("val")
    assert [(row.id, row.inputs, row.scores) for row in page.rows] == [
        ("v1", "", [0, 1]),
        ("v2", "", [0, 1]),
        ("v3", "", [1, 1]),
        ("v4", "", [0, 1]),
    ]
    assert book.examples("val", find="V3").total == 1
    assert book.examples("train").total == 0
    example = book.example("val", "v1")
    assert {run.candidate: run.score for run in example.runs} == {each: VALUES[each][0] for each in VALUES}
    assert (example.inputs, example.notes) == ({}, [])
    assert book.candidate(BEST.id).way[-1].fixed == ["v4"]
    assert book.trace_row(BEST.id, "val", "v1") is None
    with pytest.raises(InputError, match="no example"):
        book.example("val", "nothing")


def test_an_old_journal_without_an_end_has_a_ledger(tmp_path: Path) -> None:
    run = aged(tmp_path, [*OPENING, *SEARCH]).run()
    assert [(line.purpose, line.model, line.calls, line.usd) for line in run.ledger] == [("task", "", 1, 0.002)]
    assert run.line.state == "stopped"
