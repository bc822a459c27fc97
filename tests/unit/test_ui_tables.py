"""The table of examples, and an example with its runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.long_run import LongRun, Size
from flowbot.errors import InputError
from flowbot.faces.ui.book import Book
from tests.books import made
from tests.races import (
    BEST,
    FIRST,
    LOST,
    OPEN,
    SEED,
    START,
    VALUES,
)


def test_the_table_of_examples(tmp_path: Path) -> None:
    page = made(tmp_path).examples("val")
    assert (page.split, page.candidates, page.total, page.offset) == ("val", [START.id, BEST.id], 4, 0)
    assert [(row.id, row.place, row.inputs, row.target, row.scores) for row in page.rows] == [
        ("v1", 0, "Message 1 of val", "team 1", [0, 1]),
        ("v2", 1, "Message 2 of val", "team 2", [0, 1]),
        ("v3", 2, "Message 3 of val", "team 3", [1, 1]),
        ("v4", 3, "Message 4 of val", "team 4", [0, 1]),
    ]
    assert page.means == [0.25, 1.0]


def test_the_table_sorts_finds_and_shows_a_window(tmp_path: Path) -> None:
    book = made(tmp_path)

    def ids(*args: Any, **named: Any) -> list[str]:
        return [row.id for row in book.examples("val", [START.id, OPEN.id], *args, **named).rows]

    assert ids(OPEN.id) == ["v3", "v1", "v2", "v4"]
    assert ids(OPEN.id, True) == ["v1", "v2", "v4", "v3"]
    assert ids(f"{OPEN.id}-{START.id}") == ["v3", "v1", "v2", "v4"]
    assert ids(LOST.id) == ["v1", "v2", "v3", "v4"]  # what it was not run on stands last
    assert ids(LOST.id, True) == ["v2", "v1", "v3", "v4"]
    assert ids(find="MESSAGE 3") == ["v3"]
    assert ids(find="team 2") == ["v2"]
    assert ids(find="v4") == ["v4"]
    assert ids(find="target") == ids(find="%") == ids(find="_") == []  # no name of a field, and no wildcard
    assert ids(offset=1, limit=2) == ["v2", "v3"]
    assert ids(offset=9) == []
    with pytest.raises(InputError, match="cannot sort by"):
        ids("a-b-c")


def test_an_example_with_its_runs_and_what_was_said(tmp_path: Path) -> None:
    book = made(tmp_path)
    found = book.example("val", "v2")
    assert (found.split, found.id, found.inputs, found.target) == (
        "val",
        "v2",
        {"message": "Message 2 of val"},
        "team 2",
    )
    assert {(run.candidate, run.draw): run.score for run in found.runs} == {
        (each.id, "val"): VALUES[each.id][1] for each in (START, SEED, FIRST, BEST, OPEN)
    } | {(LOST.id, "val"): 1.0}
    said = book.example("train", "t1")
    assert [(run.candidate, run.draw, run.failed) for run in said.runs] == [(FIRST.id, "train", False)]
    assert [(note.kind, note.name, note.workflow, note.words) for note in said.notes] == [
        ("verdict", "iteration 2", FIRST.id, [{"rule": "Say it."}])
    ]
    row = book.trace_row(START.id, "val", "v3")
    assert row is not None
    assert (row.score, row.feedback, row.failed) == (1.0, f"{START.id[:3]} said", 0)
    assert book.trace_row(START.id, "test", "v3") is None
    with pytest.raises(InputError, match="there is no example 'v9' in val"):
        book.example("val", "v9")
    with pytest.raises(InputError, match="there is no example 'v1' in train"):
        book.example("train", "v1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Book:
    """A short journal that a long run would write, with many rows."""
    folder = tmp_path_factory.mktemp("table")
    LongRun(folder, Size(40, 30, 60, 20, 1)).write()
    return Book(folder)


@pytest.mark.slow
@settings(max_examples=60)
@given(data=st.data())
def test_pages_are_windows_of_one_table(table: Book, data: st.DataObject) -> None:
    listed = [line.id for line in table.run().candidates]
    some = data.draw(st.lists(st.sampled_from(listed), min_size=1, max_size=3, unique=True), label="candidates")
    sort = data.draw(st.sampled_from(["", *some, "-".join(some[:2])]), label="sort")
    split, down = data.draw(st.sampled_from(["train", "val"])), data.draw(st.booleans())
    find = data.draw(st.sampled_from(["", "refund", "ORDER late", "rain1", "%", "no such text"]), label="find")
    limit = data.draw(st.integers(1, 70), label="limit")
    whole = table.examples(split, some, sort, down, find, 0, 500)
    pages = [table.examples(split, some, sort, down, find, at, limit) for at in range(0, whole.total + 1, limit)]
    assert [row for page in pages for row in page.rows] == whole.rows
    assert {page.total for page in pages} == {whole.total} == {len(whole.rows)}
    assert all(page.means == whole.means for page in pages)
    everything = {row.id: row for row in table.examples(split, some, limit=500).rows}
    assert len({row.id for row in whole.rows}) == len(whole.rows)
    assert all(everything[row.id] == row for row in whole.rows)
    if not find:
        assert len(whole.rows) == len(everything)
    keys = [_key([row.scores[some.index(name)] for name in sort.split("-") if name]) for row in whole.rows]
    known = [key for key in keys if key is not None]
    assert known == sorted(known, reverse=down)
    assert keys[len(known) :] == [None] * (len(keys) - len(known))


def _key(scores: Sequence[float | None]) -> float | None:
    """Return what a row is sorted by: a score, or the first less the second."""
    known = [score for score in scores if score is not None]
    if not known or len(known) < len(scores):
        return None
    return known[0] - sum(known[1:])
