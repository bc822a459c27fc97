"""The table of examples, a window at a time, and one example with all its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.measured import Kept
from flowbot.faces.story import Story
from flowbot.faces.ui.schema import Example, ExampleLine, ExamplePage, Note, Scored
from flowbot.store.reading import JournalView
from flowbot.workflow.fields import as_text, is_map

BEGINNING = 240  # characters of inputs and of a target in the table
MOST_ROWS = 500  # of one window
MOST_RUNS = 500  # of one example
MOST_COLUMNS = 50


def page_of(
    view: JournalView,
    kept: Kept,
    split: str,
    candidates: Sequence[str],
    sort: str,
    descending: bool,
    find: str,
    offset: int,
    limit: int,
) -> ExamplePage:
    """Return a window of the table; scores of all its rows are looked up, inputs and targets of the window alone."""
    if len(candidates) > MOST_COLUMNS:
        raise InputError(f"{len(candidates)} candidates in one table are too many; at most {MOST_COLUMNS}")
    columns = {each: _column(view, kept, split, each) for each in dict.fromkeys([*candidates, *_sorted_by(sort)])}
    ids = view.example_ids(split, find)
    places = {example: place for place, example in enumerate(view.example_ids(split) if find else ids)}
    if not places:  # an old journal: what its rows name
        known = dict.fromkeys(example for each in columns.values() for example in each) if split == "val" else {}
        places = {example: place for place, example in enumerate(known)}
        ids = [example for example in places if find.lower() in example.lower()]
    if sort:
        ids = _ordered(ids, _values(columns, sort), descending)
    elif descending:
        ids = ids[::-1]
    shown = ids[offset : offset + min(limit, MOST_ROWS)]
    values = view.examples(split, shown)
    return ExamplePage(
        split=split,
        candidates=list(candidates),
        total=len(ids),
        offset=offset,
        rows=[
            ExampleLine(
                id=example,
                place=places[example],
                inputs=_beginning(values.get(example), "inputs"),
                target=_beginning(values.get(example), "target"),
                scores=[columns[each].get(example) for each in candidates],
            )
            for example in shown
        ],
        means=[_mean([columns[each].get(example) for example in ids]) for each in candidates],
    )


def _column(view: JournalView, kept: Kept, split: str, candidate: str) -> Mapping[str, float]:
    """Return a candidate's scores by example: of its single runs, on validation also of its row."""
    found = view.scores(candidate, split)
    return {**kept.scores(candidate), **found} if split == "val" else found


def _sorted_by(sort: str) -> list[str]:
    return [each for each in sort.split("-") if each]


def _values(columns: Mapping[str, Mapping[str, float]], sort: str) -> Mapping[str, float]:
    """Return what to sort by, for each example that has it: a candidate's score, or the first less the second."""
    names = _sorted_by(sort)
    if len(names) > 2:
        raise InputError(f"cannot sort by '{sort}'", mend="name a candidate, or two as A-B")
    if not names:
        return {}
    first, second = columns[names[0]], columns[names[-1]]
    if len(names) == 1:
        return first
    return {each: score - second[each] for each, score in first.items() if each in second}


def _ordered(ids: Sequence[str], values: Mapping[str, float], descending: bool) -> list[str]:
    """Return ids by their values, equals in the order of the data; what has none stands last either way."""
    known = sorted((each for each in ids if each in values), key=values.__getitem__, reverse=descending)
    return [*known, *(each for each in ids if each not in values)]


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [each for each in scores if each is not None]
    return sum(known) / len(known) if known else None


def _beginning(found: tuple[int, Mapping[str, Any]] | None, part: str) -> str:
    """Return the beginning of an example's inputs or target on one line; empty where it is not kept."""
    if found is None:
        return ""
    value = found[1][part]
    if part == "inputs" and is_map(value):
        texts = {name: as_text(each)[: 2 * BEGINNING] for name, each in value.items()}
        text = "; ".join(texts.values() if len(texts) == 1 else (f"{name}: {each}" for name, each in texts.items()))
    else:
        text = as_text(value)[: 2 * BEGINNING]
    line = " ".join(text.split())
    return line if len(line) <= BEGINNING else f"{line[: BEGINNING - 3].rstrip()}..."


def example_of(view: JournalView, story: Story, split: str, example: str) -> Example:
    """Return an example with its newest runs; of an old journal, the scores that its rows have. Raises `InputError`."""
    found = view.examples(split, [example]).get(example)
    runs = [
        Scored(
            candidate=each.workflow,
            draw=each.draw,
            score=each.score,
            failed=bool(each.failed),
            feedback=each.feedback,
            calls=each.calls,
            tokens=each.tokens,
            usd=each.usd,
            seconds=each.seconds,
        )
        for each in view.runs_on(example, MOST_RUNS)
    ]
    if not runs and split == "val":
        runs = _of_rows(story, example)
    if found is None and (not runs or view.splits()):
        raise InputError(f"there is no example '{example}' in {split}", mend="take one that its table lists")
    plain: Mapping[str, Any] = found[1] if found else {"inputs": {}, "target": None}
    notes = [
        Note(kind=kind, name=name, workflow=workflow, words=words)
        for workflow, kind, name, words in view.notes(example)
    ]
    return Example(split=split, id=example, inputs=plain["inputs"], target=plain["target"], runs=runs, notes=notes)


def _of_rows(story: Story, example: str) -> list[Scored]:
    """Return the scores that rows have of an example: what was paid for a single run is not known there."""
    nothing: dict[str, Any] = {"failed": False, "feedback": "", "calls": 0, "tokens": 0, "usd": None, "seconds": 0.0}
    newest = [each for each in reversed(story.candidates) if each.mean is not None][:MOST_RUNS]
    found = ((each.id, each.scores.get(example)) for each in newest)
    return [Scored(candidate=who, draw="val", score=score, **nothing) for who, score in found if score is not None]
