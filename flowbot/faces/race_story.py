"""What a tested search did, gathered from its events alone: why it failed, what it tried, how each trial came out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flowbot.search.compare import Comparison
from flowbot.search.lab import Outcome

Event = Mapping[str, Any]
GOES_ON = ("iteration", "slate", "race", "decision", "seeds", "step")  # behind these, an end told before is none


@dataclass(frozen=True)
class Cluster:
    """Failures with one cause: the ids of the train examples, and how many edits were tried for them."""

    name: str
    defect: str
    rule: str
    examples: tuple[str, ...] = ()
    attempts: int = 0


@dataclass(frozen=True)
class Iteration:
    """What an iteration read: how many train items failed, who is to blame, and the open clusters, largest first."""

    number: int
    parent: str
    items: int
    failed: int
    blame: tuple[tuple[str, float], ...] = ()
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True)
class Rung:
    """How a child stood against its parent on some items, and whether it went on."""

    items: int
    gain: float
    p_gain: float
    stays: bool


@dataclass(frozen=True)
class Decision:
    """What became of a child that was run on all of validation, against the best so far.

    `decision` is `accepted`, `pooled` (kept beside the best), `rejected`, or `guarded`. `fixed` and `broken` are ids of
    validation examples, `hit` and `missed` those of the train examples that it was predicted to mend.
    """

    decision: str
    why: str
    gain: float
    p_gain: float
    low: float
    high: float
    undecided: bool
    fixed: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    hit: tuple[str, ...] = ()
    missed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Child:
    """An edit that was proposed in an iteration (0: a seed): by whom, for what, at which price, how far it came.

    `paid` has `calls`, `tokens` and `usd` of the proposal. `decision` is None where it left the race before its end.
    """

    id: str
    number: int
    operator: str
    edits: tuple[str, ...] = ()
    hypothesis: str = ""
    clusters: tuple[str, ...] = ()
    flips: tuple[str, ...] = ()
    paid: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rungs: tuple[Rung, ...] = ()
    decision: Decision | None = None

    @property
    def outcome(self) -> str:
        """What became of it, in a word or two."""
        if self.decision is not None:
            word = {"pooled": "kept beside", "guarded": "hurt guarded examples"}.get(
                self.decision.decision, self.decision.decision
            )
            open_one = self.decision.undecided and self.decision.decision in ("pooled", "rejected")
            return f"{word}, undecided" if open_one else word
        if not self.rungs:
            return "not raced"
        last = self.rungs[-1]
        return "race not ended" if last.stays else f"dropped at {last.items} items"


@dataclass(frozen=True)
class Confirmation:
    """How the search ended: `decision` as `Outcome` of the search has it, the finalist's id, start against finalist."""

    decision: str
    why: str
    finalist: str | None = None
    tested: int = 0
    comparison: Comparison | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as plain data."""
        found = self.comparison
        measured = None if found is None else asdict(found) | {"gain": found.gain}
        facts = {"decision": self.decision, "why": self.why, "finalist": self.finalist, "tested": self.tested}
        return facts | {"comparison": measured}


@dataclass(frozen=True)
class Race:
    """A tested search as far as it is told: iterations, children in order, and its end (None: not there yet)."""

    iterations: tuple[Iteration, ...] = ()
    children: tuple[Child, ...] = ()
    seeds: tuple[Child, ...] = ()
    end: Confirmation | None = None

    @property
    def clusters(self) -> tuple[Cluster, ...]:
        """The clusters that were open when the last iteration began."""
        return self.iterations[-1].clusters if self.iterations else ()

    @property
    def accepted(self) -> tuple[Child, ...]:
        """The children that became the best so far, in order."""
        return tuple(each for each in self.children if each.decision and each.decision.decision == "accepted")

    @property
    def raced(self) -> tuple[Child, ...]:
        """The children that were run on anything: the budget may keep some from it."""
        return tuple(each for each in self.children if each.rungs)

    @property
    def decided(self) -> tuple[Child, ...]:
        """The children that were run on all of validation, in order."""
        return tuple(each for each in self.children if each.decision)

    def child(self, candidate: str) -> Child | None:
        """Return what was tried as this candidate."""
        return next((each for each in (*self.children, *self.seeds) if each.id == candidate), None)

    def iteration(self, number: int) -> Iteration | None:
        """Return an iteration by its number."""
        return next((each for each in self.iterations if each.number == number), None)


def tell_race(events: Sequence[Event]) -> Race:
    """Return what events tell of a tested search; an end counts only where nothing was tried after it."""
    iterations: list[Iteration] = []
    end: Confirmation | None = None
    for event in events:
        if event["kind"] in GOES_ON:
            end = None
        if event["kind"] == "iteration":
            iterations.append(_iteration(event))
        elif event["kind"] == "confirmation":
            end = confirmation(event)
    known = {event["id"]: event for event in events if event["kind"] == "candidate"}
    children = tuple(_children(events, known))
    proposed = {child.id for child in children}
    seeds = (
        _child(each, known, 0, facts["operator"])
        for each, facts in known.items()
        if facts.get("operator") and each not in proposed
    )
    return Race(tuple(iterations), children, tuple(seeds), end)


def confirmation(facts: Mapping[str, Any]) -> Confirmation:
    """Return an end from plain data: its event, or its part of a run's last record."""
    found: Mapping[str, Any] = facts.get("comparison") or facts
    measured = Comparison(*(found[name] for name in Comparison.__dataclass_fields__)) if "p_gain" in found else None
    return Confirmation(
        facts["decision"], facts.get("why") or "", facts.get("finalist"), facts.get("tested") or 0, measured
    )


def confirmation_of(outcome: Outcome) -> Confirmation:
    """Return an end as a search gave it."""
    finalist = outcome.finalist.id if outcome.finalist else None
    return Confirmation(outcome.decision, outcome.why, finalist, outcome.tested, outcome.comparison)


def _iteration(event: Event) -> Iteration:
    clusters = tuple(
        Cluster(each["name"], each["defect"], each["rule"], tuple(each["examples"]), each["attempts"])
        for each in event["clusters"]
    )
    blame = tuple((step, share) for step, share in event["blame"])
    return Iteration(event["number"], event["parent"], event["items"], event["failed"], blame, clusters)


def _children(events: Sequence[Event], known: Mapping[str, Event]) -> Iterator[Child]:
    """Yield the children in the order of their slates, with all that other events say of them."""
    decided = {event["candidate"]: _decision(event) for event in events if event["kind"] == "decision"}
    rungs: dict[str, list[Rung]] = {}
    for event in events:
        if event["kind"] == "race":
            for candidate, gain, p_gain, stays in event["children"]:
                rungs.setdefault(candidate, []).append(Rung(event["items"], gain, p_gain, stays))
    for event in events:
        for candidate, operator in event["children"] if event["kind"] == "slate" else ():
            child = _child(candidate, known, event["number"], operator)
            yield replace(child, rungs=tuple(rungs.get(candidate, ())), decision=decided.get(candidate))


def _child(candidate: str, known: Mapping[str, Event], number: int, operator: str) -> Child:
    """Return what the candidate's own event says; the budget may end a search before there is one."""
    facts: Event = known.get(candidate, {})
    told: dict[str, Any] = {name: tuple(map(str, facts.get(name) or ())) for name in ("edits", "clusters", "flips")}
    told |= {name: facts[name] for name in ("hypothesis", "paid") if facts.get(name)}
    return Child(candidate, number, operator, **told)


def _decision(event: Event) -> Decision:
    facts: dict[str, Any] = {name: value for name, value in event.items() if name in Decision.__dataclass_fields__}
    facts |= {name: tuple(facts.get(name) or ()) for name in ("fixed", "broken", "hit", "missed")}
    return Decision(**facts)
