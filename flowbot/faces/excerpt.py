"""What of a run goes into its report: decided by size, the most telling first; what is left out is said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from flowbot.errors import InputError
from flowbot.faces.ui.playing import trace_of
from flowbot.faces.ui.schema import (
    Candidate,
    CandidateLine,
    ExampleLine,
    ExamplePage,
    ReportData,
    Run,
    Trace,
    embedded,
    rewritten,
)
from flowbot.faces.withheld import withheld

if TYPE_CHECKING:
    from pydantic import BaseModel

    from flowbot.faces.ui.book import Book

SPLITS = ("val", "test")  # whose tables go in
ROWS = 200  # of a table
WHOLE = 40  # candidates at most with their workflows
KINDS = 12  # examples of each kind (fixed, broken, still failing) at most with their traces
LONGEST = 4_000  # characters of a text in a trace
FEW = 300  # candidates in the list, and updates, of a run that is too large otherwise
POINTS = 600  # likewise
SHARES = {"run": 0.4, "candidates": 0.7, "examples": 0.8, "traces": 1.0}  # of the room, each with those before it
TELLING = ("start", "best", "accepted", "undecided", "kept", "seed")  # fates that go first, the others by their gain


@dataclass
class Room:
    """So many bytes, and what is taken of them."""

    size: int
    taken: int = 0

    def take(self, told: BaseModel, share: str) -> bool:
        """Take the room that something needs, if it is there for its kind."""
        needed = len(embedded(told)) + 1
        fits = self.taken + needed <= SHARES[share] * self.size
        self.taken += needed if fits else 0
        return fits


async def excerpt(book: Book, size: int, content: bool = True) -> ReportData:
    """Return what of a run takes at most `size` bytes in a page. Without `content` its texts stay out."""
    run, room = book.run(), Room(size)
    cut, notes = _fitting(run if content else withheld(run), room)
    candidates = _candidates(book, run, room, content)
    examples = _examples(book, run, room, content)
    traces = await _traces(book, run, examples, room) if content else []
    notes = [*run.notes, *notes, *_left_out(run, candidates, examples, traces, content)]
    return ReportData(
        run=cut.model_copy(update={"notes": notes, "content": content}),
        candidates=candidates,
        examples=examples,
        traces=traces,
    )


# ------------------------------------------------------------------ the run


def _fitting(run: Run, room: Room) -> tuple[Run, list[str]]:
    """Return a run that fits: whole, else with short texts, else with a part of its lists, and what was done."""
    if room.take(run, "run"):
        return run, []
    notes = ["Long texts of candidates and updates are cut in this report."]
    lines = [
        each.model_copy(
            update={"hypothesis": _clip(each.hypothesis, 200), "edits": [_clip(edit, 120) for edit in each.edits[:4]]}
        )
        for each in run.candidates
    ]
    updates = [each.model_copy(update={"changed": _clip(each.changed, 300)}) for each in run.updates]
    run = run.model_copy(update={"candidates": lines, "updates": updates})
    if room.take(run, "run"):
        return run, notes
    kept = {each.id for each in _ranked(run)[:FEW]}
    kept |= {parent for each in run.candidates if each.id in kept for parent in _above(run, each)}
    few = [each for each in run.candidates if each.id in kept]
    thin = run.points[:: max(1, -(-len(run.points) // POINTS))]
    clusters = [each.model_copy(update={"examples": each.examples[:20]}) for each in run.clusters[:FEW]]
    small = {"candidates": few, "points": thin, "clusters": clusters, "updates": run.updates[-FEW:]}
    run_cut = run.model_copy(update=small)
    notes += [
        f"The run is too large for a report: it lists {len(few):,} of {len(run.candidates):,} candidates and "
        f"{len(thin):,} of {len(run.points):,} measurements."
    ]
    room.take(run_cut, "run")
    return run_cut, notes


def _above(run: Run, line: CandidateLine) -> Iterator[str]:
    known = {each.id: each for each in run.candidates}
    seen: set[str] = set()
    while line.parent in known and line.parent not in seen:
        seen.add(line.parent)
        line = known[line.parent]
        yield line.id


def _ranked(run: Run) -> list[CandidateLine]:
    """Return the candidates, the most telling first: the ends, the front, those accepted, then by what they changed."""
    first = [run.start_id, run.best_id, run.outcome.finalist if run.outcome else None]
    first += [each.candidate for each in run.front]

    def rank(line: CandidateLine) -> tuple[int, int, float]:
        place = first.index(line.id) if line.id in first else len(first)
        fate = TELLING.index(line.fate) if line.fate in TELLING else len(TELLING)
        return place, fate, -abs(line.gain or 0.0)

    return sorted(run.candidates, key=rank)


def _candidates(book: Book, run: Run, room: Room, content: bool) -> list[Candidate]:
    whole: list[Candidate] = []
    for line in _ranked(run)[:WHOLE]:
        found = book.candidate(line.id)
        found = found if content else withheld(found)
        if room.take(found, "candidates"):
            whole.append(found)
    return whole


# ------------------------------------------------------------------ examples and traces


def _examples(book: Book, run: Run, room: Room, content: bool) -> list[ExamplePage]:
    """Return the tables of start and best, as many rows of them as there is room for."""
    columns = [each for each in dict.fromkeys((run.start_id, run.best_id)) if each]
    found: list[ExamplePage] = []
    for split in [each.name for each in run.splits if each.name in SPLITS and columns]:
        page = book.examples(split, columns, limit=ROWS)
        page = page if content else withheld(page)
        while page.rows and not room.take(page, "examples"):
            page = page.model_copy(update={"rows": page.rows[: len(page.rows) // 2]})
        found += [page] if page.rows else []
    return found


async def _traces(book: Book, run: Run, pages: Sequence[ExamplePage], room: Room) -> list[Trace]:
    """Return runs of start and best on examples that were fixed, broken, or fail in both: some of each, in turn."""
    found: list[Trace] = []
    ends = [each for each in dict.fromkeys((run.start_id, run.best_id)) if each]
    for page in pages:
        for row in _telling(page):
            pair = [await _trace(book, page.split, row.id, end) for end in ends]
            for trace in pair:
                if trace is not None and room.take(trace, "traces"):
                    found.append(trace)
    return found


def _telling(page: ExamplePage) -> Iterator[ExampleLine]:
    """Yield rows that were fixed, broken, and that still fail, one of each in turn."""
    scored = [(row, row.scores[0], row.scores[-1]) for row in page.rows]
    known = [(row, old, new) for row, old, new in scored if old is not None and new is not None]
    groups = (
        [row for row, old, new in known if new > old],
        [row for row, old, new in known if new < old],
        [row for row, old, new in known if new == old < 1],
    )
    for together in zip_longest(*(group[:KINDS] for group in groups)):
        yield from (row for row in together if row is not None)


async def _trace(book: Book, split: str, example: str, workflow: str) -> Trace | None:
    """Return the run that a score in the table is of: at the split's own draw, else the latest; None without steps."""
    try:
        runs = [each for each in book.example(split, example).runs if each.candidate == workflow]
        draws = [each.draw for each in runs if each.score is not None]
        if not draws:
            return None
        trace = await trace_of(book, workflow, split if split in draws else draws[0], example)
    except InputError:
        return None
    return rewritten(trace, _clip) if trace.steps else None


def _clip(text: str, longest: int = LONGEST) -> str:
    """Return a text, cut in the middle where it is long."""
    left = len(text) - longest
    half = longest // 2
    return text if left <= 0 else f"{text[:half]}\n[... {left:,} characters left out]\n{text[-half:]}"


# ------------------------------------------------------------------ what is left out


def _left_out(
    run: Run, candidates: Sequence[Candidate], pages: Sequence[ExamplePage], traces: Sequence[Trace], content: bool
) -> Iterator[str]:
    """Yield what the report leaves out, in words."""
    if not content:
        yield "Prompts, messages, inputs, outputs and feedback were left out of this report on request."
    if len(candidates) < len(run.candidates):
        yield (
            f"{len(candidates):,} of {len(run.candidates):,} candidates are in this report with their workflows: the "
            "start, the best, the front, those accepted, and of the others those that changed most."
        )
    rows = [(page.split, len(page.rows), page.total) for page in pages if len(page.rows) < page.total]
    for split, held, total in rows:
        yield f"{held:,} of {total:,} examples of {split} are in this report."
    if content and pages:
        shown = len({trace.example for trace in traces})
        yield (
            f"The traces of {shown:,} examples are in this report, of the start and the best: some that were fixed, "
            "some that were broken, some that still fail; long texts in them are cut."
        )
    if not content or traces or rows or len(candidates) < len(run.candidates):
        yield "flowbot ui, opened on the run's folder, shows the whole run."
