"""The last word: one finalist against the start, on examples that no meta call and no race has seen."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowbot.engine.tasks import together
from flowbot.money import BudgetReached, Usage
from flowbot.search.compare import Comparison, chance, compare
from flowbot.search.lab import Lab, Outcome, Row
from flowbot.search.memory import Memory, RaceSettings
from flowbot.search.pool import CHEAPER
from flowbot.search.thrift import as_good
from flowbot.search.trial import worse_watched
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow

SHARE = 1 / 3  # of train and val, each
PART = 0.2  # of the budget, for confirmation
PROBE, SHORTEST = 12, 24  # items of validation: looked at first and always kept; kept where a fifth of the budget pays
GROWTH, ROW = 1.5, 0.12  # a workflow comes to cost so many times the start; a row may take this part of the budget
LEAST, FEWEST = 20, 8  # examples that the budget must pay for, or none is kept; with which the last word may be spoken


def hold_back(lab: Lab, settings: RaceSettings) -> dict[str, tuple[Example, ...]]:
    """Take a third of train and of val, at most so many examples, out of the lab by its seed; none of a small task.

    Return them by split.
    """
    total = len(lab.train) + len(lab.val)
    if total < settings.confirm_least or not settings.confirm_items:
        return {}
    share = min(SHARE, settings.confirm_items / total)
    held: dict[str, tuple[Example, ...]] = {}
    for split in ("train", "val"):
        examples: tuple[Example, ...] = getattr(lab, split)
        count = round(share * len(examples))
        taken = set(random.Random(f"{lab.seed}|confirm|{split}").sample(range(len(examples)), count))
        held[split] = tuple(each for place, each in enumerate(examples) if place in taken)
        setattr(lab, split, tuple(each for place, each in enumerate(examples) if place not in taken))
    return held


def shuffled(lab: Lab, held: Mapping[str, Sequence[Example]]) -> tuple[Example, ...]:
    """Return the examples held back in the order in which they are used."""
    deck = [each for examples in held.values() for each in examples]
    random.Random(f"{lab.seed}|confirm").shuffle(deck)
    return tuple(deck)


async def probe(lab: Lab) -> None:
    """Run the start on a few items of validation, to know what a run costs."""
    few = lab.val[:PROBE]
    lab.admit(lab.runs(len(few), lab.start), f"the start on {len(few)} items")
    await lab.mark(lab.start, few, "val")


async def shorten(lab: Lab) -> None:
    """Leave out of validation what a small budget cannot pay for again and again.

    At least 24 items stay where a fifth of the budget pays for the start on them, else at least 12.
    """
    count = len(lab.val)
    while count > SHORTEST and not lab.affords(lab.usage_of(lab.start, round(GROWTH * count)), ROW, spent=False):
        count = max(SHORTEST, count * 9 // 10)
    while count > PROBE and not lab.affords(lab.usage_of(lab.start, count), PART, spent=False):
        count = max(PROBE, count * 9 // 10)
    plan = await lab.plan("validation", examples=count)
    lab.val = lab.val[: plan["examples"]]


async def size_up(lab: Lab, memory: Memory) -> None:
    """Keep as many of the examples held back as a fifth of the budget pays for, once it is known what a run costs.

    Where those are too few to confirm anything, all go back: the search has more use for them, and for the calls.
    """
    count = len(memory.confirm)
    while count > LEAST and not lab.affords(lab.usage_of(lab.start, 2 * count), PART, spent=False):
        count = max(LEAST, count * 9 // 10)
    if not lab.affords(lab.usage_of(lab.start, 2 * count), PART, spent=False):
        count = 0
    plan = await lab.plan("confirmation", examples=count)
    if not plan["examples"]:
        lab.train += tuple(memory.held.get("train", ()))
        lab.val += tuple(memory.held.get("val", ()))
    memory.confirm = memory.confirm[: plan["examples"]]
    lab.kept_runs = len(memory.confirm)


@dataclass(frozen=True)
class Confirmed:
    """Returns the finalist where it beats the start at the level set, or is cheaper and no worse; else the start."""

    memory: Memory

    async def close(self, lab: Lab, ended: str) -> None:
        """Choose one finalist by validation alone, confirm it, and say how it came out."""
        memory = self.memory
        if lab.best is None:
            return  # the wall came before the start was measured
        lab.front = memory.pool.front()
        await lab.tell(
            "front", members=[{"candidate": row.candidate.id, "mean": row.mean, "cost": row.cost} for row in lab.front]
        )
        start = memory.pool.start
        finalist = await self._finalist(lab)
        if finalist.candidate.id == start.candidate.id:
            await self._end(
                lab, start, Outcome("start", "nothing was found that beats the start", tested=memory.tested)
            )
        elif not memory.confirm:
            few = "there are too few examples, or calls, to keep some for confirmation"
            none = "no examples were to be kept for confirmation"
            why = f"{few if memory.settings.confirm_items else none}: the gain is that of validation"
            outcome = Outcome("unconfirmed", why, finalist.candidate, lab.compared(start, finalist), memory.tested)
            await self._end(lab, finalist, outcome)
        else:
            await self._confirm(lab, start, finalist)

    async def _finalist(self, lab: Lab) -> Row:
        """Return the first workflow by preference that does no worse on the guard examples."""
        settings = self.memory.settings
        for row in self.memory.pool.ranked(settings.prefer, settings.margin):
            if row.candidate.id == self.memory.pool.start.candidate.id:
                return row
            try:
                if not await worse_watched(lab, row.candidate.workflow):
                    return row
            except BudgetReached:
                lab.recording = False  # a raised budget may find that it keeps them
                continue
        return self.memory.pool.start

    async def _confirm(self, lab: Lab, start: Row, finalist: Row) -> None:
        memory, settings = self.memory, self.memory.settings
        pair = [start.candidate.workflow, finalist.candidate.workflow]
        left = _left(lab, pair, len(memory.confirm))
        if not lab.fits(_usage(lab, pair, left), last=True):
            lab.recording = False  # a raised budget goes on from here
        plan = await lab.plan("last examples", examples=left)
        memory.confirm = memory.confirm[: plan["examples"]]
        calls, wanted = lab.runs(len(memory.confirm), *pair), _usage(lab, pair, len(memory.confirm))
        try:
            lab.admit(calls, f"confirmation on {len(memory.confirm)} examples", last=True, wanted=wanted)
            old, new = await together([lab.mark(each, memory.confirm, "confirm") for each in pair])
        except BudgetReached as reached:
            lab.recording = False
            why = f"the finalist was not confirmed: {reached}"
            await self._end(lab, start, Outcome("undecided", why, finalist.candidate, None, memory.tested))
            raise
        before, after = [mark.score for mark in old], [mark.score for mark in new]
        comparison = compare(before, after, lab.seed)
        share = sum(mark.cost for mark in new) / (sum(mark.cost for mark in old) or 1.0)
        cheaper = share <= CHEAPER and comparison.p_gain < settings.confirm
        if cheaper:
            cheaper = await self._as_good(lab, start, finalist)
        decision, why = _decision(comparison, settings.confirm, share if cheaper else None)
        row = finalist if decision == "confirmed" else start
        await self._end(lab, row, Outcome(decision, why, finalist.candidate, comparison, memory.tested))

    async def _as_good(self, lab: Lab, start: Row, finalist: Row) -> bool:
        """Tell whether a finalist that costs less is as good as the start; no where the budget ends first."""
        pair = start.candidate.workflow, finalist.candidate.workflow
        try:
            return await as_good(lab, self.memory.settings, *pair, self.memory.confirm, "confirm")
        except BudgetReached:
            lab.recording = False
            return False

    async def _end(self, lab: Lab, row: Row, outcome: Outcome) -> None:
        lab.outcome = outcome
        found = outcome.comparison
        facts = (
            {} if found is None else {key: getattr(found, key) for key in ("n", "old", "new", "low", "high", "p_gain")}
        )
        finalist = outcome.finalist.id if outcome.finalist else None
        await lab.tell(
            "confirmation",
            decision=outcome.decision,
            why=outcome.why,
            finalist=finalist,
            tested=outcome.tested,
            **facts,
        )
        if lab.best is None or lab.best.candidate.id != row.candidate.id:
            await lab.keep(row, f"{outcome.decision}: {outcome.why}")


def _left(lab: Lab, pair: Sequence[Workflow], count: int) -> int:
    """Return how many of the examples held back the rest of the budget pays for, at least a few."""
    while count > FEWEST and not lab.fits(_usage(lab, pair, count), last=True):
        count = max(FEWEST, count * 9 // 10)
    return count


def _usage(lab: Lab, pair: Sequence[Workflow], count: int) -> Usage:
    return sum((lab.usage_of(each, count) for each in pair), Usage())


def _decision(comparison: Comparison, level: float, cheaper: float | None) -> tuple[str, str]:
    """Return what a comparison on fresh examples decides, and why; `cheaper` is the share of the cost, if no worse."""
    said = f"{chance(comparison.p_gain)} on {comparison.n} examples that the search had not seen"
    if comparison.p_gain >= level:
        return "confirmed", said
    if cheaper is not None:
        return "confirmed", f"as good as the start at {cheaper:.0%} of its cost ({said})"
    return "undecided", f"{said}, {level:g} needed"
