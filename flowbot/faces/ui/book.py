"""A book: one run's journal, open for reading, with the answers that the page asks of it."""

from __future__ import annotations

import sqlite3
import weakref
from collections import OrderedDict
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.story import Story, headline, tell_story
from flowbot.faces.ui import told_run as told
from flowbot.faces.ui.run_line import end_of, gain_of, line_of, sums_of
from flowbot.faces.ui.schema import Candidate, CandidateLine, Example, ExamplePage, Phase, Pulse, Run, RunLine, Split
from flowbot.faces.ui.told_candidate import candidate_of
from flowbot.faces.ui.told_examples import example_of, page_of
from flowbot.money import Ledger
from flowbot.store.reading import JournalView, TraceRow, scores_of
from flowbot.workflow.graph import Workflow

JOURNAL = "journal.sqlite"
OLD = "an older FlowBot made this run: its examples and its single runs were not kept"
MOST_WORKFLOWS = 64  # held in memory


class Book:
    """Answers about one run; `run` is the id that it has on the page. Threads may share it, and take turns.

    Of the events it keeps the light part in memory and reads those that are new; workflows, scores, examples and runs
    are looked up one by one. Raises `InputError` where there is no journal, or no such candidate or example.
    """

    def __init__(self, folder: Path, run: str = ".") -> None:
        self.folder, self.run_id = folder, run
        self._view = JournalView(folder / JOURNAL)
        self._finally = weakref.finalize(self, self._view.close)  # whoever still asks may finish
        self._forget()

    def _forget(self) -> None:
        self._log: list[dict[str, Any]] = []
        self._first_at: float | None = None
        self._seqs: dict[str, int] = {}  # of candidates
        self._rows: dict[str, int] = {}  # of their last rows on validation
        self._workflows: OrderedDict[str, Workflow] = OrderedDict()
        self._story: tuple[Any, Story] | None = None
        self._standings: tuple[float | None, Mapping[str, told.Standing]] = None, {}

    @property
    def db(self) -> sqlite3.Connection:
        """The connection, for reading."""
        return self._view.db

    @property
    def facts(self) -> Mapping[str, Any]:
        """What a run said of itself as it was opened: name, metric, salts of its models by name, budget, process."""
        with self._view.snapshot():
            found = self._view.now("run")
        return found[0] if found else {}

    def close(self) -> None:
        """Let go of the file."""
        self._finally()

    # ------------------------------------------------------------------ the run

    def line(self) -> RunLine:
        """Return the run in one line."""
        with self._view.snapshot():
            return line_of(self._view, self.run_id)

    def pulse(self) -> Pulse:
        """Return a sign of life."""
        with self._view.snapshot():
            line = line_of(self._view, self.run_id)
            return Pulse(line=line, seq=self._view.count(), phase=self._phase(), traces=self._view.traces())

    def run(self, after: int | None = None) -> Run:
        """Return the run; with `after`, of points, candidates and updates those that events from there on touch."""
        with self._opened() as story:
            since = min(after or 0, len(self._log))
            fresh = self._log[since:]
            end = end_of(self._view) or {}
            told_of = self._view.now("run")
            facts: Mapping[str, Any] = told_of[0] if told_of else {}
            first = _first_point(story, since)
            times = [each["at"] for each in self._log if each["at"] is not None]
            clock = told.Clock(times, self._view.ends(), told_of[1] if told_of else None)
            return Run(
                line=line_of(self._view, self.run_id),
                seq=len(self._log),
                description=story.description or facts.get("description") or "",
                headline=headline(story),
                settings=dict(story.settings),
                budget=dict(facts.get("budget") or {}),
                seed=story.seed,
                version=story.version or self._view.meta().get("FlowBot version", ""),
                stretches=story.stretches,
                start_id=story.start.id if story.start else None,
                best_id=story.best.id if story.best else None,
                tables={split: gain_of(each) for split, each in story.tables.items()},
                outcome=told.outcome_of(story.outcome),
                parts=list(story.parts.items()),
                points=told.points(story.points[first:], story.known, clock),
                candidates=self._lines(story, since),
                front=told.front_members(story.front),
                dollars=story.front.dollars,
                ledger=told.ledger_lines(sums_of(self._view, end)),
                clusters=told.clusters(story.race),
                iterations=told.iterations(story.race),
                updates=told.updates(fresh),
                moves=told.moves(story),
                splits=[Split(name=name, count=count) for name, count in self._splits(story).items()],
                phase=self._phase(),
                notes=[*story.notes, *([] if self._view.shown else [OLD])],
                content=True,
                points_from=first,
                updates_from=sum(each["kind"] == "step" for each in self._log[:since]),
            )

    def _lines(self, story: Story, since: int) -> list[CandidateLine]:
        """Return the lines of the candidates that events from a place on touch, and of those that still may change."""
        lines = told.Lines(story, self._log, self._stands())
        if not since:
            return [lines.line(each) for each in story.candidates]
        wanted = told.touched(self._log[since:])
        wanted |= {each["candidate"] for each in self._log if each["kind"] == "best"}
        found = ((lines.line(each), each.id in wanted) for each in story.candidates)
        return [line for line, named in found if named or line.fate in ("start", "best", "pending", "seed")]

    def _phase(self) -> Phase | None:
        found = self._view.now("phase")
        if found is None or end_of(self._view) is not None:
            return None
        return Phase(name=found[0]["name"], calls=found[0]["calls"], at=found[1])

    def _splits(self, story: Story) -> Mapping[str, int]:
        """Return the splits that are kept; of an old journal validation, as its rows have it."""
        start = story.candidate(story.start)
        return self._view.splits() or ({"val": start.items} if start and start.items else {})

    # ------------------------------------------------------------------ parts of it

    def candidate(self, candidate: str) -> Candidate:
        """Return a candidate with its workflow, the way to it and what became of it."""
        with self._opened() as story:
            found = story.known.get(candidate)
            if found is None:
                raise InputError(f"there is no candidate '{candidate}' in this run", mend="take one that the run lists")
            line = told.Lines(story, self._log, self._stands()).line(found)
            draws = [Split(name=name, count=count) for name, count in sorted(self._view.draws(candidate).items())]
            return candidate_of(story, found, line, draws)

    def workflow(self, candidate: str) -> Workflow:
        """Return a workflow of the run: that of a candidate, or one that was run on the way."""
        if candidate in self._workflows:
            self._workflows.move_to_end(candidate)
            return self._workflows[candidate]
        with self._view.snapshot():
            self._refresh()
            plain = self._view.workflow(candidate)
            if plain is None and candidate in self._seqs:
                plain = self._view.whole(self._seqs[candidate])["workflow"]
        if plain is None:
            raise InputError(f"there is no workflow '{candidate}' in this run", mend="take one that the run lists")
        made = self._workflows[candidate] = Workflow.model_validate(plain)
        while len(self._workflows) > MOST_WORKFLOWS:
            self._workflows.popitem(last=False)
        return made

    def scores(self, candidate: str) -> Mapping[str, float]:
        """Return the scores of a candidate's last row on validation, by example id; empty where it has none."""
        with self._view.snapshot():
            self._refresh()
            return scores_of(self._view.whole(self._rows[candidate])) if candidate in self._rows else {}

    def examples(
        self,
        split: str,
        candidates: Sequence[str] = (),
        sort: str = "",
        descending: bool = False,
        find: str = "",
        offset: int = 0,
        limit: int = 100,
    ) -> ExamplePage:
        """Return a window of the table of examples.

        Without `candidates` those are the start and the best. `sort` is empty (the order of the data), a candidate, or
        two of them as `A-B`: by their difference. `find` is a text in id, inputs or target.
        """
        with self._opened() as story:
            ends = [each.id for each in (story.start, story.best) if each]
            columns = list(dict.fromkeys(candidates or ends))
            return page_of(self._view, self, split, columns, sort, descending, find, offset, limit)

    def example(self, split: str, example: str) -> Example:
        """Return an example with its runs."""
        with self._opened() as story:
            return example_of(self._view, story, split, example)

    def trace_row(self, workflow: str, draw: str, example: str) -> TraceRow | None:
        """Return what one run came to."""
        with self._view.snapshot():
            return self._view.trace(workflow, draw, example)

    # ------------------------------------------------------------------ reading

    @contextmanager
    def _opened(self) -> Generator[Story]:
        """Give the story as the journal tells it now."""
        with self._view.snapshot():
            self._refresh()
            end = end_of(self._view)
            ledger = Ledger()
            for purpose, _, usage, retries in sums_of(self._view, end):
                ledger.add(purpose, usage, retries=retries)
            ends = self._view.ends()
            task = ledger.lines.get("task")
            key = (len(self._log), len(ends), end is None, bool(task and task.usage.usd))
            if self._story is None or self._story[0] != key:
                standing = ends if end is not None else []
                story = tell_story(self._log, standing, ledger, self, stretches=len(ends) + (end is None))
                self._story = key, story
            yield self._story[1]

    def _refresh(self) -> None:
        """Read the events that are new; all of them where the run began anew."""
        first = self._view.first_at()
        if first != self._first_at or self._view.count() < len(self._log):
            self._forget()
            self._first_at = first
        for event in self._view.events(len(self._log)):
            seq = len(self._log)
            if event["kind"] == "candidate":
                self._seqs[event["id"]] = seq
            elif event["kind"] == "row" and event["split"] == "val":
                self._rows[event["candidate"]] = seq
            self._log.append(event)

    def _stands(self) -> Mapping[str, told.Standing]:
        """Return how the workflows stand on validation by their single runs; those with new ones are looked up."""
        latest = self._view.last_trace_at()
        since, known = self._standings
        if latest != since or not known:
            self._standings = latest, {**known, **self._view.standings("val", since)}
        return self._standings[1]


def _first_point(story: Story, since: int) -> int:
    """Return the place of the first point that events from a place on made, or made the best."""
    points = story.points
    behind = next((at for at, each in enumerate(points) if each.seq >= since), len(points))
    return next((at for at, each in enumerate(points[:behind]) if each.settled >= since), behind)
