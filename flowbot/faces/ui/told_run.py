"""A run as the page is told it: from its story, what is behind a place in it or all."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowbot.faces.front import Front
from flowbot.faces.measured import Measured, bounds
from flowbot.faces.measured import Point as Measurement
from flowbot.faces.race_story import Child, Confirmation, Race
from flowbot.faces.story import Event, Story
from flowbot.faces.ui.run_line import gain_of
from flowbot.faces.ui.schema import (
    CandidateLine,
    ClusterLine,
    Fate,
    FrontMember,
    Iteration,
    LedgerLine,
    Move,
    Outcome,
    Point,
    Update,
)
from flowbot.money import PURPOSES
from flowbot.store.reading import Sum

LONGEST = 8_000  # characters of what an update changed
Standing = tuple[int, float, float]  # count, mean and standard deviation of scores on validation


def points(measured: Sequence[Measurement], known: Mapping[str, Measured], clock: Clock) -> list[Point]:
    """Return measurements for the chart, each best with the interval of its candidate's row."""
    return [_point(each, known, clock) for each in measured]


def _point(point: Measurement, known: Mapping[str, Measured], clock: Clock) -> Point:
    holder = known.get(point.holder or "")
    span = bounds(point.best, holder.items, holder.spread) if holder and holder.items and point.best is not None else ()
    low, high = span or (None, None)
    return Point(
        kind="batch" if point.kind == "batch" else "validation",
        label=point.label,
        candidate=point.candidate,
        value=point.value,
        calls=point.calls or 0,
        seconds=clock.at(point.at),
        best=point.best,
        low=low,
        high=high,
    )


class Clock:
    """Seconds of a run by time: the pauses before its later stretches are left out, where it is known when these began.

    `times` are those of its events; `opened` is when its process opened it last.
    """

    def __init__(self, times: Sequence[float], ends: Sequence[Mapping[str, Any]], opened: float | None) -> None:
        self.began = min(times, default=None)
        began = [end["at"] - end["seconds"] for end in ends if end.get("seconds") is not None]
        signs: list[float] = sorted([*times, *(end["at"] for end in ends)])
        self._pauses: list[tuple[float, float]] = []
        starts: list[float] = sorted({*began, *([opened] if opened else [])})
        for start in starts:
            before = bisect_left(signs, start)
            if before:
                self._pauses.append((signs[before - 1], start))

    def at(self, when: float | None) -> float:
        """Return the seconds from the beginning to a time."""
        if when is None or self.began is None:
            return 0.0
        paused = sum(max(0.0, min(when, later) - before) for before, later in self._pauses)
        return round(max(0.0, when - self.began - paused), 3)


class Lines:
    """Says what became of each candidate of a run."""

    def __init__(self, story: Story, events: Sequence[Event], standings: Mapping[str, Standing]) -> None:
        self._story, self._standings = story, standings
        self._start = story.start.id if story.start else None
        self._best = story.best.id if story.best else None
        race = story.race or Race()
        self._children = {child.id: child for child in (*race.seeds, *race.children)}
        self._bests = {event["candidate"]: event for event in events if event["kind"] == "best"}
        self._moves = {each.candidate: each for each in story.moves if each.candidate}
        self._seeds = dict(_seeds(events))

    def line(self, found: Measured) -> CandidateLine:
        """Return a candidate's line."""
        child = self._children.get(found.id)
        fate, said = self._fate(found, child)
        count, mean, spread = self._stands(found)
        low, high = bounds(mean, count, spread) if mean is not None and count else (None, None)
        gain, p_gain = self._gain(found.id, child)
        facts = found.facts
        items = count or (child.rungs[-1].items if child and child.rungs else 0)
        return CandidateLine(
            id=found.id,
            parent=found.parent,
            number=child.number if child else 0,
            operator=facts.get("operator") or "",
            hypothesis=found.hypothesis,
            edits=list(found.edits),
            clusters=[str(each) for each in facts.get("clusters") or ()],
            fate=fate,
            said=said,
            mean=mean,
            low=low,
            high=high,
            items=items,
            cost=found.cost,
            gain=gain,
            p_gain=p_gain,
            failed=found.failed,
            at=facts.get("at"),
        )

    def _stands(self, found: Measured) -> tuple[int, float | None, float]:
        """Return count, mean and deviation on validation: of the whole row, else of the runs that there are."""
        if found.mean is not None:
            return found.items, found.mean, found.spread
        return self._standings.get(found.id, (0, None, 0.0))

    def _fate(self, found: Measured, child: Child | None) -> tuple[Fate, str]:
        """Return what became of a candidate, and in words with the reason."""
        outcome = self._story.outcome
        if found.id == self._best and found.id != self._start:
            words = "the best so far" if self._story.ended == "open" else "the best"
            return "best", f"{words}: {found.why_best}" if found.why_best else words
        if found.id == self._start:
            return "start", "the start" + (", which nothing beat" if self._ended_with_start else "")
        if outcome and outcome.decision == "undecided" and outcome.finalist == found.id:
            return "undecided", f"the finalist, undecided: {outcome.why}"
        if child is not None and child.decision is not None:
            return _decided(child)
        if found.id in self._bests:
            return "accepted", f"was the best: {self._bests[found.id].get('why') or 'measured'}"
        move = self._moves.get(found.id)
        if move is not None:
            return ("accepted" if move.kept else "rejected"), f"{'kept' if move.kept else 'not kept'}: {move.why}"
        if child is not None and not child.number:
            return "seed", self._seeds.get(found.id, "a seed, not raced")
        if child is not None and child.rungs:
            return ("pending" if child.rungs[-1].stays else "dropped"), child.outcome
        if found.mean is not None and self._story.race is None:
            return "rejected", "no better than the best by then"
        return "pending", "not raced" if self._story.race is not None else "not measured"

    @property
    def _ended_with_start(self) -> bool:
        return self._start == self._best and self._story.ended == "done"

    def _gain(self, found: str, child: Child | None) -> tuple[float | None, float | None]:
        """Return the gain and its chance: of the decision, the last rung, the row that made it the best, the move."""
        if child is not None and child.decision is not None:
            return child.decision.gain, child.decision.p_gain
        if child is not None and child.rungs:
            return child.rungs[-1].gain, child.rungs[-1].p_gain
        best = self._bests.get(found, {})
        move = self._moves.get(found)
        return best.get("gain", move.gain if move else None), best.get("p_gain")


def _decided(child: Child) -> tuple[Fate, str]:
    found = child.decision
    assert found is not None
    words = child.outcome.replace("kept beside", "kept beside the best")
    fates: dict[str, Fate] = {"accepted": "accepted", "pooled": "kept", "guarded": "guarded"}
    fate = fates.get(found.decision, "undecided" if found.undecided else "rejected")
    return fate, f"{words}: {found.why}" if found.why else words


def _seeds(events: Sequence[Event]) -> Iterator[tuple[str, str]]:
    for event in events:
        if event["kind"] == "seeds":
            for seed in event["means"]:
                kept = seed in event["kept"]
                items = f"{event['items']} items"
                yield seed, f"a seed, kept after {items}" if kept else f"a seed, dropped at {items}"


def touched(events: Sequence[Event]) -> set[str]:
    """Return the ids of the candidates that events speak of."""
    found: set[str] = set()
    for event in events:
        match event["kind"]:
            case "candidate":
                found.add(event["id"])
            case "race" | "slate":
                found |= {each[0] for each in event["children"]}
            case "seeds":
                found |= set(event["means"])
            case "confirmation":
                found |= {event["finalist"]} - {None}
            case _:
                found |= {event["candidate"]} if event.get("candidate") else set()
    return found


def front_members(front: Front) -> list[FrontMember]:
    """Return the front, cheapest first."""
    return [FrontMember(**member.plain()) for member in front.members]


def ledger_lines(sums: Sequence[Sum]) -> list[LedgerLine]:
    """Return what was paid, in the order in which purposes are told."""
    order = {purpose: place for place, purpose in enumerate(PURPOSES)}
    return [
        LedgerLine(
            purpose=purpose,
            model=model,
            calls=usage.calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            usd=usage.usd,
            seconds=round(usage.seconds, 3),
            retries=retries,
        )
        for purpose, model, usage, retries in sorted(sums, key=lambda each: (order.get(each[0], len(order)), each[:2]))
    ]


def clusters(race: Race | None) -> list[ClusterLine]:
    """Return the clusters of all iterations, those that are open first, then those with the most failures."""
    iterations = race.iterations if race else ()
    latest = {each.name: each for iteration in iterations for each in iteration.clusters}
    still = {each.name for each in race.clusters} if race else set[str]()
    counts: dict[str, list[tuple[int, int, int]]] = {name: [] for name in latest}
    for iteration in iterations:
        for each in iteration.clusters:
            counts[each.name].append((iteration.number, len(each.examples), each.attempts))
    found = [
        ClusterLine(
            name=name,
            defect=each.defect,
            rule=each.rule,
            examples=list(each.examples),
            counts=counts[name],
            open=name in still,
        )
        for name, each in latest.items()
    ]
    return sorted(found, key=lambda each: (not each.open, -len(each.examples), each.name))


def iterations(race: Race | None) -> list[Iteration]:
    """Return what each iteration read."""
    return [
        Iteration(
            number=each.number,
            parent=each.parent,
            items=each.items,
            failed=each.failed,
            blame=list(each.blame),
        )
        for each in (race.iterations if race else ())
    ]


def updates(events: Sequence[Event]) -> list[Update]:
    """Return the steps of the gradients that events tell of; what a very long one changed is cut."""
    return [
        Update(
            name=each["name"],
            batch_mean=each["batch_mean"],
            workflow=each["workflow"],
            changed=_cut(each["changed"]),
        )
        for each in events
        if each["kind"] == "step"
    ]


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n... {len(text) - LONGEST} characters more"


def moves(story: Story) -> list[Move]:
    """Return the moves that were tried."""
    return [
        Move(name=each.name, kept=each.kept, why=each.why, candidate=each.candidate, gain=each.gain)
        for each in story.moves
    ]


def outcome_of(found: Confirmation | None) -> Outcome | None:
    """Return how a tested search ended."""
    if found is None:
        return None
    return Outcome(
        decision=found.decision,
        why=found.why,
        finalist=found.finalist,
        tested=found.tested,
        comparison=gain_of(found.comparison) if found.comparison else None,
    )
