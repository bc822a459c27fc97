"""What was measured in a run: its candidates with their means, and the measurements in order, from its events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from flowbot.search.compare import wilson
from flowbot.store.reading import moments, scores_of
from flowbot.workflow.fields import as_text
from flowbot.workflow.graph import Workflow

Event = Mapping[str, Any]


class Kept(Protocol):
    """Where a run's workflows and scores are found by candidate: they are many, and most are never asked for."""

    def workflow(self, candidate: str) -> Workflow: ...

    def scores(self, candidate: str) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class Measured:
    """A candidate with what was measured of it.

    `mean`, `items`, `spread` (standard deviation), `failed` and `cost` are of its latest row on validation; `scores`
    are those of it, by example id.
    """

    id: str
    parent: str | None
    edits: tuple[str, ...]
    hypothesis: str
    kept: Kept = field(repr=False, compare=False)
    mean: float | None = None
    items: int = 0
    spread: float = 0.0
    failed: int = 0
    train_mean: float | None = None
    cost: float | None = None
    why_best: str = ""
    facts: Event = field(default_factory=dict[str, Any], repr=False, compare=False)  # its event

    @property
    def workflow(self) -> Workflow:
        """The workflow."""
        return self.kept.workflow(self.id)

    @property
    def scores(self) -> Mapping[str, float]:
        """The latest scores on validation by example id; empty where there are none."""
        return self.kept.scores(self.id)

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, by its standard error; None where nothing is measured."""
        return None if self.mean is None or not self.items else bounds(self.mean, self.items, self.spread)


@dataclass(frozen=True)
class Point:
    """One measurement, in order: the mean of a `batch` or of `validation`, and the best mean on validation by then.

    `candidate` is who was measured, `holder` who was the best then. `seq` is the place of its event among all, `at` its
    time, `calls` those that were paid for by then (None: not recorded), and `settled` the place of the event that made
    its candidate the best (0: none did).
    """

    kind: str
    value: float
    label: str
    best: float | None
    candidate: str | None = None
    holder: str | None = None
    seq: int = 0
    at: float | None = None
    calls: int | None = None
    settled: int = 0


class Whole:
    """Workflows and scores from events that hold them; each workflow is validated when it is first asked for."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._plain: dict[str, Any] = {}
        self._scores: dict[str, Mapping[str, float]] = {}
        self._made: dict[str, Workflow] = {}
        for event in events:
            if event["kind"] == "candidate":
                self._plain[event["id"]] = event["workflow"]
            elif event["kind"] == "row" and event["split"] == "val":
                self._scores[event["candidate"]] = scores_of(event)

    def workflow(self, candidate: str) -> Workflow:
        if candidate not in self._made:
            self._made[candidate] = Workflow.model_validate(self._plain[candidate])
        return self._made[candidate]

    def scores(self, candidate: str) -> Mapping[str, float]:
        return self._scores.get(candidate, {})


def candidates_of(events: Sequence[Event], kept: Kept) -> tuple[Measured, ...]:
    """Return the candidates in the order in which they became known, each with its latest measurement."""
    found: dict[str, dict[str, Any]] = {}
    for event in events:
        match event["kind"]:
            case "candidate":
                found[event["id"]] = {
                    "id": event["id"],
                    "parent": event.get("parent"),
                    "edits": tuple(as_text(edit) for edit in event.get("edits") or ()),
                    "hypothesis": event.get("hypothesis") or "",
                    "kept": kept,
                    "facts": event,
                }
            case "row" if event["candidate"] in found and event["split"] == "val":
                items, spread = event["items"] if "items" in event else moments(event["scores"])
                facts = {"mean": event["mean"], "failed": event.get("failed") or 0, "cost": event.get("cost")}
                found[event["candidate"]] |= facts | {"items": items, "spread": spread}
            case "row" if event["candidate"] in found:
                found[event["candidate"]]["train_mean"] = event["mean"]
            case "sampled" if event["candidate"] in found:
                found[event["candidate"]]["mean"] = event["mean"]
            case "best" if event["candidate"] in found:
                found[event["candidate"]]["why_best"] = event.get("why") or "best"
            case _:
                pass
    return tuple(Measured(**facts) for facts in found.values())


def bounds(mean: float, items: int, spread: float) -> tuple[float, float]:
    """Return the 95 % interval of a mean over `items`: Wilson's where each scores 0 or 1, else by standard error."""
    if 0.0 <= mean <= 1.0 and abs(spread * spread - mean * (1 - mean)) < 1e-6:
        return wilson(mean, items)
    reach = 1.96 * spread / math.sqrt(items)
    low, high = mean - reach, mean + reach
    return (max(0.0, low), min(1.0, high)) if 0.0 <= mean <= 1.0 and spread <= 0.5 else (low, high)


def points_of(events: Sequence[Event]) -> tuple[Point, ...]:
    """Return the measurements in order; a candidate that becomes the best does so with its row, if just measured."""
    points: list[Point] = []
    best: float | None = None
    holder: str | None = None
    since = 0  # what was measured before is settled
    for seq, event in enumerate(events):
        when: tuple[Any, ...] = (holder, seq, event.get("at"), event.get("calls"))
        if event["kind"] == "step":
            points.append(Point("batch", event["batch_mean"], event["name"], best, None, *when))
        elif event["kind"] == "row" and event["split"] == "val":
            who = event["candidate"]
            points.append(Point("validation", event["mean"], who[:6], best, who, *when))
        elif event["kind"] in ("best", "sampled"):
            best, holder = event["mean"], event["candidate"]
            fresh = [at for at in range(since, len(points)) if points[at].candidate == holder]
            for at in range(fresh[-1] if fresh else max(0, len(points) - 1), len(points)):
                points[at] = replace(points[at], best=best, holder=holder, settled=seq)
            since = len(points)
    return tuple(points)
