"""The lab: what a recipe works with. Splits without the test, runs of workflows, stages, and the best so far."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from flowbot.engine.meta import Meta
from flowbot.engine.ports import Journal, Session, Workers
from flowbot.engine.trace import Trace
from flowbot.money import BudgetReached, Ledger, Purse, Usage
from flowbot.search.compare import Comparison, compare
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.graph import Bounds, Workflow, plain_workflow
from flowbot.workflow.requests import length, requests

CHARACTERS = 4  # of a token, or so
KEPT = 0.4  # of each bound, at most, for confirmation and test


@dataclass(frozen=True)
class Candidate:
    """A workflow with its parent, the edits that made it and the hypothesis behind them.

    `operator` proposed it for `clusters` of failures, at the price of `paid`; `flips` are the ids of the train examples
    that it is predicted to mend.
    """

    workflow: Workflow
    parent: str | None = None
    edits: tuple[str, ...] = ()
    hypothesis: str = ""
    operator: str = ""
    clusters: tuple[str, ...] = ()
    flips: tuple[str, ...] = ()
    paid: Usage = Usage()

    @property
    def id(self) -> str:
        """The workflow's content hash."""
        return self.workflow.id


@dataclass(frozen=True)
class Row:
    """A candidate's scores on one split, in the order of its examples; `cost` is the mean of one (see `Lab.cost`)."""

    candidate: Candidate
    split: str
    scores: tuple[float, ...]
    cost: float = 0.0

    @property
    def mean(self) -> float:
        """The mean score."""
        return sum(self.scores) / len(self.scores)

    @property
    def failing(self) -> int:
        """How many examples it does not wholly solve."""
        return sum(score < 1.0 for score in self.scores)


@dataclass(frozen=True)
class Mark:
    """What one run of a workflow on one example came to: its score, its cost (see `Lab.cost`), whether it failed."""

    score: float
    cost: float
    failed: bool = False
    usage: Usage = Usage()


@dataclass(frozen=True)
class Outcome:
    """How a tested search ended. `decision` is `confirmed` (the finalist beat the start on examples that nobody saw),
    `undecided` (it did not, and the start stays), `unconfirmed` (there was nothing to confirm it on), or `start`
    (nothing beat the start). `comparison` is that of start and finalist, `tested` counts the children that were raced.
    """

    decision: str
    why: str
    finalist: Candidate | None = None
    comparison: Comparison | None = None
    tested: int = 0


class Stages(Protocol):
    """What the lab needs of a session beside answers: the ledger, the purse, and the end of a stage."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def purse(self) -> Purse: ...

    def end_stage(self) -> None: ...


@dataclass
class Lab:
    """Everything a recipe may touch. It has no test split: law 5 holds because there is nothing to read.

    `guard` says what is wrong with a prompt's text (law 10); `score` is the metric, for a trace that was run on train;
    `bounds` hold for every workflow that an edit makes; `kinds` are the kinds of step that a sketch may draw beside
    calls and tool steps; `models` are those that a step may be answered by; `watched` are the examples that may not get
    worse; `judge_calls` are the metric's own calls for one score; `kept_runs` are runs of one workflow that are kept
    back for what ends the search; `clock` gives the seconds of the run; `heard` is told of every event, `noted` of what
    a meta model said of a workflow's runs: (workflow, example, kind, stage, a mapping for each thing said).
    """

    start: Workflow
    train: tuple[Example, ...]
    val: tuple[Example, ...]
    session: Session
    stages: Stages
    workers: Workers
    meta: Meta
    journal: Journal
    guard: Callable[[str], str]
    score: Callable[[Trace], Awaitable[Score]]
    bounds: Bounds = field(default_factory=Bounds)
    kinds: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    watched: tuple[Example, ...] = ()
    seed: int = 0
    judge_calls: int = 0
    test_size: int = 0
    kept_runs: int = 0
    clock: Callable[[], float] = lambda: 0.0
    heard: Callable[[Mapping[str, Any]], None] = lambda event: None
    noted: Callable[[str, str, str, str, Any], None] = lambda workflow, example, kind, stage, words: None
    best: Row | None = None
    first: Row | None = None
    recording: bool = True
    outcome: Outcome | None = None
    front: tuple[Row, ...] = ()
    known: dict[str, Candidate] = field(default_factory=dict[str, Candidate])
    marks: dict[tuple[str, str], dict[str, Mark]] = field(default_factory=dict[tuple[str, str], "dict[str, Mark]"])

    async def tell(self, kind: str, **facts: Any) -> None:
        """Write one event to the journal and show it; what a run does at the wall is shown only: it may go on."""
        event = {"kind": kind, **facts}
        if self.recording:
            await self.journal.append(event)
        self.heard(event)

    def note(self, workflow: str, kind: str, stage: str, said: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """Show what was said of a workflow's runs, each with its example; what is said of one example goes together."""
        words: dict[str, list[Mapping[str, Any]]] = {}
        for example, each in said:
            words.setdefault(example, []).append(each)
        for example, together in words.items():
            self.noted(workflow, example, kind, stage, together)

    async def plan(self, what: str, **sizes: int) -> Mapping[str, int]:
        """Decide on sizes that the budget allows; a run that goes on with another budget keeps those it began with."""
        event: Mapping[str, Any] = {"kind": "plan", "what": what, **sizes}
        if self.recording:
            event = await self.journal.append(event, free=sizes.keys())
        self.heard(event)
        return event

    async def enter(self, candidate: Candidate) -> Candidate:
        """Make a candidate known: it is in the journal before it is run. One that is known stays what it was."""
        if candidate.id in self.known:
            return self.known[candidate.id]
        self.known[candidate.id] = candidate
        await self.tell(
            "candidate",
            id=candidate.id,
            workflow=plain_workflow(candidate.workflow),
            parent=candidate.parent,
            edits=list(candidate.edits),
            hypothesis=candidate.hypothesis,
            **_origin(candidate),
        )
        return candidate

    def admit(self, calls: Mapping[str, int], phase: str, *, last: bool = False, wanted: Usage | None = None) -> None:
        """Begin a stage of so many calls by purpose; raise `BudgetReached` where it does not fit.

        The estimate is what is `wanted`, else goes by what calls of that purpose cost so far. What the end of the
        search needs (`kept_runs`) is kept back, unless this is the `last` stage, and what the test needs: at most 40 %,
        of which the end of the search comes first.
        """
        self.stages.end_stage()
        self.heard({"kind": "phase", "phase": phase, "calls": dict(calls)})
        kept = self._checked(wanted or self.wanted(calls), last)
        purse = self.stages.purse
        purse.held = kept
        bound = purse.budget.seconds
        if bound is not None and self.clock() + self._seconds(kept.calls, bound) >= bound:
            raise BudgetReached("seconds", round(self.clock(), 1), bound)

    def fits(self, wanted: Usage, *, last: bool = False) -> bool:
        """Tell whether a stage that takes so much would be admitted, seconds aside."""
        try:
            self._checked(wanted, last)
        except BudgetReached:
            return False
        return True

    def _checked(self, wanted: Usage, last: bool) -> Usage:
        """Return what is kept back beside a stage; raise `BudgetReached` where the two do not fit."""
        purse = self.stages.purse
        kept = self.kept_back(self.test_size + self.kept_runs)
        if last:  # what the end of the search needs is no longer kept back; the test has the rest of it
            kept = _beyond(kept, self.kept_back(self.kept_runs))
        purse.budget.check(purse.settled, wanted + kept)
        return kept

    def affords(self, usage: Usage, share: float, spent: bool = True) -> bool:
        """Tell whether so much, with what is `spent`, keeps within a share of the money, tokens and calls."""
        budget = self.stages.purse.budget
        used = self.stages.purse.settled if spent else Usage()
        asked = (
            (budget.usd, (used.usd or 0.0) + (usage.usd or 0.0)),
            (budget.calls, used.calls + usage.calls),
            (budget.tokens, used.tokens + usage.tokens),
        )
        return all(bound is None or total <= share * bound for bound, total in asked)

    def admit_test(self, best: Workflow) -> None:
        """Begin the final test of start and best; raise `BudgetReached` where it does not fit as a whole."""
        calls = self.runs(self.test_size, self.start, *([best] if best.id != self.start.id else []))
        self.heard({"kind": "phase", "phase": "test", "calls": calls})
        purse = self.stages.purse
        purse.budget.check(purse.settled, self.wanted(calls))
        purse.held = Usage()

    def wanted(self, calls: Mapping[str, int]) -> Usage:
        """Return what calls by purpose take, by what such calls cost so far."""
        return sum((self._estimate(purpose, count) for purpose, count in calls.items()), Usage())

    def _estimate(self, purpose: str, count: int) -> Usage:
        line = self.stages.ledger.lines.get(purpose)
        if line is None or not line.requests:
            return Usage(calls=count)
        return _times(line.usage, count / line.requests)  # with the repairs and tool turns that they bring

    def kept_back(self, examples: int) -> Usage:
        """Return what running the start and the best on so many examples takes, up to 40 % of each bound."""
        budget = self.stages.purse.budget
        best = self.best.candidate.workflow if self.best else self.start
        need = self.usage_of(self.start, examples) + self.usage_of(best, examples)
        usd = min(need.usd or 0.0, KEPT * budget.usd) if budget.usd else 0.0
        calls = min(need.calls, int(KEPT * budget.calls)) if budget.calls else need.calls
        tokens = min(need.tokens, int(KEPT * budget.tokens)) if budget.tokens else 0
        return Usage(calls=calls if budget.calls or budget.seconds else 0, input_tokens=tokens, usd=usd)

    def _seconds(self, calls: int, bound: float) -> float:
        """Return how long calls take at the pace so far, up to 40 % of the bound."""
        done = self.stages.purse.settled.calls
        return min(KEPT * bound, calls * self.clock() / done) if done else 0.0

    def usage_of(self, workflow: Workflow, count: int) -> Usage:
        """Return what running a workflow on so many examples takes: by its runs on val so far, else by its requests."""
        known = self.marks.get((workflow.id, "val"), {})
        if not known:
            return self.wanted(self.runs(count, workflow))
        total = sum((mark.usage for mark in known.values()), Usage())
        judged = self.wanted({"judge": count * self.judge_calls}) if self.judge_calls else Usage()
        return _times(total, count / len(known)) + judged

    def expected(self, child: Workflow, parent: Workflow, count: int) -> Usage:
        """Return what running a child on so many examples will take: by its own runs, else by its parent's.

        A child of more requests takes more, and one with longer prompts and demos reads more.
        """
        if self.marks.get((child.id, "val")):
            return self.usage_of(child, count)
        usage = self.usage_of(parent, count)
        more = max(1.0, requests(child.steps) / requests(parent.steps))
        longer = max(0, length(child) - length(parent)) / CHARACTERS * count * requests(child.steps)
        return _times(usage, more * (1 + longer / max(1, usage.input_tokens + 4 * usage.output_tokens)))

    def runs(self, count: int, *workflows: Workflow) -> dict[str, int]:
        """Return the requests by purpose of running workflows on so many examples each, at most; scores included."""
        judged = {"judge": count * len(workflows) * self.judge_calls} if self.judge_calls else {}
        return {"task": count * sum(requests(workflow.steps) for workflow in workflows), **judged}

    async def run(self, workflow: Workflow, examples: Sequence[Example], draw: str) -> list[Trace]:
        """Return the scored traces of a workflow on examples, in their order."""
        return [trace async for trace in self.workers.evaluate(workflow, examples, draw)]

    def cost(self, usage: Usage) -> float:
        """Return the price of usage in dollars; where it is not known or nothing, input tokens + 4 x output tokens."""
        return usage.usd or float(usage.input_tokens + 4 * usage.output_tokens)

    def unknown(self, workflow: Workflow, examples: Sequence[Example], draw: str) -> list[Example]:
        """Return the examples that a workflow has no mark on yet, at a draw."""
        known = self.marks.get((workflow.id, draw), {})
        return [example for example in examples if example.id not in known]

    async def mark(self, workflow: Workflow, examples: Sequence[Example], draw: str) -> list[Mark]:
        """Return a workflow's marks on examples, in their order; it is run on those that it has none on yet."""
        known = self.marks.setdefault((workflow.id, draw), {})
        for trace in await self.run(workflow, self.unknown(workflow, examples, draw), draw):
            known[trace.example.id] = Mark(trace.points, self.cost(trace.usage), bool(trace.error), trace.usage)
        return [known[example.id] for example in examples]

    async def measure(self, candidate: Candidate, split: str = "val") -> Row:
        """Return a candidate's row on a split; paid once, whoever asks again."""
        await self.enter(candidate)
        examples = {"train": self.train, "val": self.val}[split]
        left = self.unknown(candidate.workflow, examples, split)
        self.admit(self.runs(len(left), candidate.workflow), f"{split} of {candidate.id[:6]}")
        return await self.row(candidate, await self.mark(candidate.workflow, examples, split), split)

    async def row(self, candidate: Candidate, marks: Sequence[Mark], split: str = "val") -> Row:
        """Return the row that marks on a whole split are, and write it to the journal."""
        examples = {"train": self.train, "val": self.val}[split]
        cost = sum(mark.cost for mark in marks) / len(marks)
        row = Row(candidate, split, tuple(mark.score for mark in marks), cost)
        failed = sum(mark.failed for mark in marks)
        scores = [[example.id, mark.score] for example, mark in zip(examples, marks, strict=True)]
        await self.tell(
            "row", candidate=candidate.id, split=split, mean=row.mean, failed=failed, scores=scores, cost=cost
        )
        return row

    async def keep(self, row: Row, why: str, comparison: Comparison | None = None) -> None:
        """Make a row's candidate the best so far."""
        self.best = row
        self.first = self.first or row
        facts = {"p_gain": comparison.p_gain, "gain": comparison.gain} if comparison else {}
        await self.tell("best", candidate=row.candidate.id, mean=row.mean, why=why, **facts)

    def compared(self, old: Row, new: Row) -> Comparison:
        """Compare two rows on the same examples; the draws come from the run's seed."""
        return compare(old.scores, new.scores, self.seed)


def _origin(candidate: Candidate) -> dict[str, Any]:
    """Return where a candidate comes from, as far as it is said."""
    if not candidate.operator:
        return {}
    paid = candidate.paid
    price = {"calls": paid.calls, "tokens": paid.tokens, "usd": paid.usd}
    return {
        "operator": candidate.operator,
        "clusters": list(candidate.clusters),
        "flips": list(candidate.flips),
        "paid": price,
    }


def added(calls: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return calls by purpose, added up."""
    total: dict[str, int] = {}
    for each in calls:
        for purpose, count in each.items():
            total[purpose] = total.get(purpose, 0) + count
    return total


def _beyond(whole: Usage, part: Usage) -> Usage:
    """Return what of a reserve is left beside a part of it."""
    usd = max(0.0, (whole.usd or 0.0) - (part.usd or 0.0))
    return Usage(max(0, whole.calls - part.calls), max(0, whole.tokens - part.tokens), usd=usd)


def _times(usage: Usage, factor: float) -> Usage:
    usd = None if usage.usd is None else usage.usd * factor
    calls, given, taken = usage.calls * factor, usage.input_tokens * factor, usage.output_tokens * factor
    return Usage(round(calls), round(given), round(taken), usd=usd)
