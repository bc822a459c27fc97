"""The story of a run, gathered from its journal alone: what the report and a live page tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from flowbot.faces.front import Front, front_of_rows, front_told
from flowbot.faces.measured import Event, Kept, Measured, Point, Whole, candidates_of, points_of
from flowbot.faces.race_story import Confirmation, Race, confirmation, tell_race
from flowbot.faces.tables import gain_text, interval_text, is_fraction, score_text
from flowbot.money import Ledger, Line, Usage
from flowbot.search.compare import Comparison, compare
from flowbot.search.lab import Candidate, Row
from flowbot.search.pool import front_of
from flowbot.store.journal import JournalReader
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow

WHERE = {
    "test": "on the sealed test",
    "confirm": "on examples kept back from the search",
    "val": "on validation, the test not scored",
}
CONFIRMING = ("race",)  # recipes that test their result on examples kept back
ENDINGS = {
    "done": "The search ran to its end.",
    "budget": "The budget ended the search.",
    "interrupted": "The run was interrupted; it can be taken up again.",
    "endpoint": "The endpoint failed; the run can be taken up again.",
    "sandbox": "The sandbox failed; the run can be taken up again.",
    "input": "A wrong input stopped the run; mend it and take the run up again.",
    "open": "The run has not ended: it is still going, or it was killed and can be taken up again.",
}


@dataclass(frozen=True)
class Update:
    """One step of the gradients: the mean score of its batch before it, and what it changed."""

    name: str
    batch_mean: float
    workflow: str
    changed: str


@dataclass(frozen=True)
class Tried:
    """A move that was tried, whether it was kept, and why."""

    name: str
    kept: bool
    why: str
    candidate: str | None
    gain: float | None


@dataclass(frozen=True)
class Story:
    """All that a run's journal tells. What is not there yet is None or empty; nothing is made up.

    `ended` is a key of `ENDINGS`. `parts` are validation means after each part of the search, in order. `tables` hold
    start against best by split (`val`, `test`), under `confirm` start against finalist. `race` is None for a recipe
    that confirms nothing; `outcome` is how its finalist came out, None where the run has not come that far.
    """

    name: str
    description: str
    ended: str
    why: str
    recipe: str
    settings: Mapping[str, Json]
    seed: int | None
    train: int
    val: int
    start: Workflow | None
    best: Workflow | None
    candidates: tuple[Measured, ...]
    updates: tuple[Update, ...]
    points: tuple[Point, ...]
    moves: tuple[Tried, ...]
    parts: Mapping[str, float]
    tables: Mapping[str, Comparison]
    ledger: Ledger
    notes: tuple[str, ...]
    version: str
    stretches: int
    began: float | None
    last: float | None
    race: Race | None = None
    outcome: Confirmation | None = None
    front: Front = field(default_factory=Front)

    @cached_property
    def known(self) -> Mapping[str, Measured]:
        """The candidates by id."""
        return {each.id: each for each in self.candidates}

    def candidate(self, workflow: Workflow | None) -> Measured | None:
        """Return what was measured of a workflow."""
        return self.known.get(workflow.id) if workflow else None

    @property
    def fraction(self) -> bool:
        """True where all scores lie in [0, 1]."""
        scores = [point.value for point in self.points]
        return is_fraction([*scores, *(mean for table in self.tables.values() for mean in (table.old, table.new))])


def read_story(journal_path: Path) -> Story:
    """Return the story that a journal tells; the journal is opened for reading only. Raises `InputError`."""
    journal = JournalReader(journal_path)
    try:
        events, ends = list(journal.events()), journal.ends()
        current = current_end(events, ends)
        ledger = ledger_told(current["ledger"]) if current and "ledger" in current else journal.ledger()
    finally:
        journal.close()
    return tell_story(events, ends, ledger)


def tell_story(
    events: Sequence[Event],
    ends: Sequence[Event],
    ledger: Ledger,
    kept: Kept | None = None,
    stretches: int | None = None,
) -> Story:
    """Return the story of recorded events; an end counts only if nothing was decided after it.

    With `kept` events may leave out the workflows of candidates and the scores of rows (`items` tells count and
    deviation of those): they are found there. `stretches` says how many there were, where `ends` are not all.
    """
    end: Event = current_end(events, ends) or {}
    begun = _first(events, "start")
    candidates = candidates_of(events, kept or Whole(events))
    known = {each.id: each for each in candidates}
    start = _workflow(begun.get("workflow"))
    best = _workflow(end.get("best_workflow")) or _last_best(events, known)
    task: Event = end.get("task") or {}
    told: Mapping[str, Any] = end.get("tables") or {}
    settled = {split: comparison_told(facts) for split, facts in told.items() if facts}
    race = tell_race(events) if begun.get("recipe") in CONFIRMING else None
    times = [each["at"] for each in (*events, end) if each.get("at") is not None]
    return Story(
        name=task.get("name") or (start.name if start else "run"),
        description=task.get("description") or "",
        ended=end.get("ended") or "open",
        why=end.get("why") or "",
        recipe=begun.get("recipe") or "",
        settings=begun.get("settings") or {},
        seed=begun.get("seed"),
        train=begun.get("train") or 0,
        val=begun.get("val") or 0,
        start=start,
        best=best,
        candidates=candidates,
        updates=tuple(
            Update(each["name"], each["batch_mean"], each["workflow"], each["changed"]) for each in _all(events, "step")
        ),
        points=points_of(events),
        moves=tuple(
            Tried(each["name"], each["kept"], each.get("why") or "", each.get("candidate"), each.get("gain"))
            for each in _all(events, "move")
        ),
        parts=_parts(events, end, known, start),
        tables=settled or _so_far(known, start, best, begun.get("seed") or 0),
        ledger=ledger,
        notes=tuple(end.get("notes") or ()),
        version=end.get("version") or "",
        stretches=len(ends) + (not end) if stretches is None else stretches,
        began=min(times, default=None),
        last=max(times, default=None),
        race=race,
        outcome=race and (confirmation(end["outcome"]) if end.get("outcome") else race.end),
        front=_front_told(end.get("front") or {}, known) or _front(candidates, ledger),
    )


def headline(story: Story) -> tuple[str, str]:
    """Return the result in words: the scores, and where they were measured with the gain and its interval."""
    split = next((name for name in WHERE if name in story.tables), None)
    if split is None:
        start = story.candidate(story.start)
        if start is None or start.mean is None:
            return "no score yet", "nothing has been measured"
        return score_text(start.mean, story.fraction), "is the start on validation; nothing has beaten it yet"
    found, fraction = story.tables[split], story.fraction
    where = "on validation, so far" if split == "val" and story.ended == "open" else WHERE[split]
    decision = story.outcome.decision if story.outcome else ""
    if story.start and story.best and story.start.id == story.best.id:
        stays = "the start stays, the finalist is undecided" if decision == "undecided" else "nothing beat the start"
        return score_text(found.old, fraction), f"{where}: {stays}"
    gain = f"{gain_text(found.gain, fraction)}{' points' * fraction}, 95 % interval {interval_text(found, fraction)}"
    said = "" if story.race is None else f", {decision or 'not confirmed'}"
    return f"{score_text(found.old, fraction)} -> {score_text(found.new, fraction)}", f"{where} ({gain}){said}"


def current_end(events: Sequence[Event], ends: Sequence[Event]) -> Event | None:
    """Return the last end, or None where the run went on after it."""
    return standing_end(ends, max((event["at"] for event in events if event.get("at") is not None), default=0.0))


def standing_end(ends: Sequence[Event], decided: float) -> Event | None:
    """Return the last end, or None where something was decided after it; `decided` is when the last thing was."""
    if not ends:
        return None
    at = ends[-1].get("at")
    return None if at is not None and at < decided else ends[-1]


def _first(events: Iterable[Event], kind: str) -> Event:
    nothing: Event = {}
    return next(_all(events, kind), nothing)


def _all(events: Iterable[Event], kind: str) -> Iterator[Any]:
    return (event for event in events if event["kind"] == kind)


def _workflow(plain: Json | None) -> Workflow | None:
    return Workflow.model_validate(plain) if plain else None


def _last_best(events: Sequence[Event], known: Mapping[str, Measured]) -> Workflow | None:
    named = [event["candidate"] for event in _all(events, "best") if event["candidate"] in known]
    return known[named[-1]].workflow if named else None


def _parts(
    events: Sequence[Event], end: Event, known: Mapping[str, Measured], start: Workflow | None
) -> Mapping[str, float]:
    order = ("start", "gradients", "moves")
    told: dict[str, float] = dict(end.get("parts") or {})
    if not told:
        first = known.get(start.id) if start else None
        told = {"start": first.mean} if first and first.mean is not None else {}
        told |= {event["name"]: event["mean"] for event in _all(events, "part")}
    return {name: told[name] for name in (*order, *sorted(set(told) - set(order))) if name in told}


def _so_far(
    known: Mapping[str, Measured], start: Workflow | None, best: Workflow | None, seed: int
) -> Mapping[str, Comparison]:
    """Return start against best on validation from their rows, where both were measured on the same examples."""
    old, new = (known.get(each.id) if each else None for each in (start, best))
    if old is None or new is None or old.id == new.id:
        return {}
    return paired(old.scores, new.scores, seed)


def paired(before: Mapping[str, float], after: Mapping[str, float], seed: int) -> Mapping[str, Comparison]:
    """Return the comparison on validation of two rows by example id; none where they are of other examples."""
    if not before or list(before) != list(after):
        return {}
    return {"val": _compared(tuple(before.values()), tuple(after.values()), seed)}


@lru_cache(64)
def _compared(old: tuple[float, ...], new: tuple[float, ...], seed: int) -> Comparison:
    return compare(old, new, seed)  # a run that is followed asks for the same again and again


@dataclass(frozen=True)
class _Priced:
    measured: Measured
    mean: float
    cost: float


def _front(candidates: Sequence[Measured], ledger: Ledger) -> Front:
    """Return the front so far, from all rows on validation; of a journal that has no costs, none."""
    priced = [
        _Priced(each, each.mean, each.cost) for each in candidates if each.mean is not None and each.cost is not None
    ]
    rows = [
        Row(Candidate(each.measured.workflow), "val", tuple(each.measured.scores.values()), each.cost)
        for each in front_of(priced)
    ]
    return front_of_rows(rows, ledger)


def _front_told(plain: Mapping[str, Any], known: Mapping[str, Measured]) -> Front:
    """Return the front that an end tells."""
    ids = [each["candidate"] for each in plain.get("members") or ()]
    return front_told(plain, {each: known[each].workflow for each in ids if each in known})


def comparison_told(facts: Mapping[str, Any]) -> Comparison:
    """Return a comparison from plain data."""
    return Comparison(*(facts[name] for name in ("n", "old", "new", "low", "high", "p_gain")))


def ledger_told(rows: Sequence[Mapping[str, Any]]) -> Ledger:
    """Return the ledger from a run's last record."""
    names = ("calls", "input_tokens", "output_tokens", "cached_tokens", "usd", "seconds", "estimated")
    return Ledger(
        {
            row["purpose"]: Line(
                Usage(**{name: row[name] for name in names if name in row}),
                row.get("repairs") or 0,
                row.get("retries") or 0,
                row.get("turns") or 0,  # a journal of before there were tool calls has none
            )
            for row in rows
        }
    )
