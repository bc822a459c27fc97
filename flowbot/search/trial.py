"""The race: children against their parent on the same items, rung by rung, and what becomes of them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowbot.engine.tasks import both, together
from flowbot.money import Usage
from flowbot.search.compare import (
    Comparison,
    chance,
    first_rung,
    flips,
    needed,
    p_loss_below,
    passes,
    pooled,
    rungs,
    stratified,
)
from flowbot.search.findings import Attempt
from flowbot.search.lab import Candidate, Lab, Row, added
from flowbot.search.memory import Memory
from flowbot.search.pool import CHEAPER
from flowbot.search.study import DRAW
from flowbot.search.thrift import sample, saves
from flowbot.workflow.graph import Workflow

FLIPS = 8  # train items on which a child's prediction is checked
LAST_DROP = 0.5
STANDS_OUT, BEHIND = 0.75, 0.35  # of P(gain > 0) within one race


@dataclass(frozen=True)
class Standing:
    """How a child stands after a rung: its comparison with the parent, and whether it goes on."""

    child: Candidate
    comparison: Comparison
    cheaper: bool
    stays: bool
    chance: float  # P(gain > 0), of a cheaper child P(no loss to speak of) where that is more


@dataclass(frozen=True)
class Rungs:
    """Races children on rungs of validation items; takes on what is shown to be better, or cheaper and no worse."""

    memory: Memory

    async def decide(self, lab: Lab, parent: Candidate, children: Sequence[Candidate], number: int) -> None:
        """Race, decide, and learn from how it came out."""
        memory = self.memory
        memory.iterations, memory.quiet = number, memory.quiet + 1
        count, checked = self._affordable(lab, parent, children)
        plan = await lab.plan(f"iteration {number}: race", children=count, checked=checked)
        children = children[: plan["children"]]
        if children:
            for child in children:
                await lab.enter(child)
            memory.tested += len(children)
            alive, hits = await self._raced(lab, parent, children, number, plan.get("checked", FLIPS))
            rows = [await lab.row(child, await lab.mark(child.workflow, lab.val, "val")) for child in alive]
            await self._take(lab, rows, hits, number)
            self._learn(lab, parent, children, rows, hits)
        every = memory.settings.resample
        if every and number % every == 0:
            await self._sample_again(lab)

    def _affordable(self, lab: Lab, parent: Candidate, children: Sequence[Candidate]) -> tuple[int, int]:
        """Return how many children the budget takes through a race, and on how many train items each is checked.

        Half of them run on all items. Where money is short the checks give way first.
        """
        first = first_rung(self.memory.settings.rungs, len(lab.val))
        rest = len(lab.val) - first
        for count in range(len(children), 0, -1):
            some = children[:count]
            last = some[: -(-count // 2)] if rest else some
            for checked in (FLIPS, 0):
                runs = [(child, first) for child in some] + [(child, rest + _checks(child, checked)) for child in last]
                if lab.fits(_expected(lab, parent, runs)):
                    return count, checked
        return len(children[:1]), 0

    async def _raced(
        self, lab: Lab, parent: Candidate, children: Sequence[Candidate], number: int, checked: int
    ) -> tuple[list[Candidate], Mapping[str, Sequence[str]]]:
        """Return the children that got through all rungs, and for each the train items that it was to mend and did."""
        base = self.memory.pool.row(parent.id)
        assert base is not None
        scores = {example.id: score for example, score in zip(lab.val, base.scores, strict=True)}
        by_id = {example.id: example for example in lab.val}
        alive = list(children)
        hits: Mapping[str, Sequence[str]] = {}
        dealt = rungs(scores, self.memory.settings.rungs, f"{lab.seed}|race|{number}")
        for place, ids in enumerate(dealt):
            items = [by_id[each] for each in ids]
            last = place == len(dealt) - 1
            checks = alive if last and checked and place else []  # none of a child that no rung has tried
            runs = [(each, len(lab.unknown(each.workflow, items, "val"))) for each in alive]
            runs += [(each, _checks(each, checked)) for each in checks]
            lab.admit(
                added(lab.runs(count, each.workflow) for each, count in runs),
                f"iteration {number}: race of {len(alive)} on {len(items)} items",
                wanted=_expected(lab, parent, runs),
            )
            marks = together([lab.mark(each.workflow, items, "val") for each in alive])
            found, _ = await both(marks, self._check(lab, checks))  # the next iteration's runs on train begin here
            standings = [
                self._standing(lab, scores, ids, child, [mark.score for mark in each], place, number)
                for child, each in zip(alive, found, strict=True)
            ]
            if not last:
                alive = _better_half(standings, len(children))
            told = [
                [each.child.id, round(each.comparison.gain, 6), round(each.comparison.p_gain, 4), each.child in alive]
                for each in standings
            ]
            await lab.tell("race", number=number, items=len(ids), children=told)
            if last:
                hits = {child.id: self._hits(child) for child in alive if child in checks}
            elif not alive:
                break
        return alive, hits

    def _standing(
        self,
        lab: Lab,
        base: Mapping[str, float],
        ids: Sequence[str],
        child: Candidate,
        new: Sequence[float],
        place: int,
        number: int,
    ) -> Standing:
        """Return how a child stands against the parent on a rung's items, weighted back to all of validation."""
        settings = self.memory.settings
        strata = {each: int(passed) for each, passed in zip(base, passes(list(base.values())), strict=True)}
        shares = {kind: sum(each == kind for each in strata.values()) / len(strata) for kind in (0, 1)}
        old, kinds = [base[each] for each in ids], [strata[each] for each in ids]
        seed = random.Random(f"{lab.seed}|trial|{number}|{child.id}|{place}").randrange(2**31)
        comparison = stratified(old, new, kinds, shares, seed, counted=len(base))
        if not settings.gate:
            return Standing(child, comparison, False, comparison.gain > 0, comparison.p_gain)
        floor = settings.drop[place] if place < len(settings.drop) else LAST_DROP
        cheaper = self._cheaper(lab, child, ids)
        chance_of_it = comparison.p_gain
        if cheaper:
            chance_of_it = max(chance_of_it, p_loss_below(old, new, settings.margin, seed, kinds, shares, len(base)))
        return Standing(child, comparison, cheaper, chance_of_it >= floor, chance_of_it)

    def _cheaper(self, lab: Lab, child: Candidate, ids: Sequence[str]) -> bool:
        """Tell whether a child costs so much less than the incumbent, on the same items, that a tie is enough."""
        known = lab.marks[self.memory.pool.best.candidate.id, "val"]
        mine = lab.marks[child.id, "val"]
        return sum(mine[each].cost for each in ids) <= CHEAPER * sum(known[each].cost for each in ids)

    async def _check(self, lab: Lab, children: Sequence[Candidate]) -> None:
        """Run children on the train items that their edits were made for: predictions hit or missed.

        Where a child is taken on, these runs are the first of the next iteration's.
        """
        by_id = {example.id: example for example in lab.train}
        items = {child.id: [by_id[each] for each in child.flips[:FLIPS] if each in by_id] for child in children}
        found = await together([lab.run(child.workflow, items[child.id], DRAW) for child in children])
        self.memory.keep_runs([trace for traces in found for trace in traces])

    def _hits(self, child: Candidate) -> Sequence[str]:
        runs = self.memory.runs.get(child.id, {})
        return [each for each in child.flips[:FLIPS] if each in runs and runs[each].points >= 1.0]

    async def _take(self, lab: Lab, rows: Sequence[Row], hits: Mapping[str, Sequence[str]], number: int) -> None:
        """Take the best of the children on where it passes, keep others in the pool where they are worth it."""
        pool, settings = self.memory.pool, self.memory.settings
        level = settings.accept or needed(self.memory.tested)
        ids = [example.id for example in lab.val]
        for row in sorted(rows, key=lambda row: (-row.mean, row.cost)):
            best = pool.best
            comparison = lab.compared(best, row)
            better = comparison.p_gain >= level if settings.gate else comparison.gain > 0
            cheaper = not better and await saves(lab, settings, best, row)
            decision, why = "rejected", f"{chance(comparison.p_gain)}, needed {level:g}"
            if (better or cheaper) and (worse := await worse_watched(lab, row.candidate.workflow)):
                decision, why = "guarded", f"gets worse on guard examples: {', '.join(worse)}"
            elif better or cheaper:
                decision, why = "accepted", why if better else f"as good at {row.cost / best.cost:.0%} of the cost"
            elif comparison.p_gain >= LAST_DROP and pool.admits(row):
                decision = "pooled"
            fixed, broken = flips(dict(zip(ids, best.scores, strict=True)), dict(zip(ids, row.scores, strict=True)))
            await lab.tell(
                "decision",
                number=number,
                candidate=row.candidate.id,
                decision=decision,
                why=why,
                gain=comparison.gain,
                p_gain=comparison.p_gain,
                low=comparison.low,
                high=comparison.high,
                undecided=comparison.undecided,
                fixed=list(fixed),
                broken=list(broken),
                hit=list(hits.get(row.candidate.id, ())),
                missed=_missed(row.candidate, hits),
            )
            if decision == "accepted":
                self.memory.quiet = 0
                pool.crown(row)
                await lab.keep(row, f"iteration {number}, {row.candidate.operator}: {why}", comparison)
            elif decision == "pooled":
                pool.put(row)

    def _learn(
        self,
        lab: Lab,
        parent: Candidate,
        children: Sequence[Candidate],
        rows: Sequence[Row],
        hits: Mapping[str, Sequence[str]],
    ) -> None:
        """Note what each child was worth to its operator and its clusters, in runs of the parent."""
        memory = self.memory
        alive = {row.candidate.id: row for row in rows}
        base = memory.pool.row(parent.id) or memory.pool.best
        for child in children:
            row = alive.get(child.id)
            hit = len(hits.get(child.id, ())) / len(child.flips[:FLIPS]) if child.flips else 0.0
            taken = row is not None and memory.pool.row(child.id) is not None
            first = taken and memory.pool.best.candidate.id == child.id
            worth = 1.0 if first else 0.25 * taken + 0.25 * hit * (row is not None)
            spent = sum(mark.cost for mark in lab.marks[child.id, "val"].values()) + lab.cost(child.paid)
            memory.weights.raced(child.operator, worth, spent / base.cost if base.cost else 1.0)
            outcome = "taken on" if first else "no clear gain" if row is not None else "lost the race"
            attempt = Attempt("; ".join(child.edits), child.operator, outcome)
            memory.taxonomy.attempted(child.clusters, attempt)
            if not first:
                memory.failed = [*memory.failed, attempt][-40:]

    async def _sample_again(self, lab: Lab) -> None:
        """Run the incumbent on validation once more: it was chosen for a record that was lucky, too."""
        memory, best = self.memory, self.memory.pool.best
        count = memory.repeats.get(best.candidate.id, 0)
        if count < 0:  # its replies do not change
            return
        draw = sample("val", count + 2)
        workflow = best.candidate.workflow
        lab.admit(lab.runs(len(lab.val), workflow), "the incumbent once more")
        again = [mark.score for mark in await lab.mark(workflow, lab.val, draw)]
        same = again == list(best.scores)
        memory.repeats[best.candidate.id] = -1 if same else count + 1
        if same:
            return
        rows = [list(best.scores)] * (count + 1) + [again]
        row = Row(best.candidate, best.split, tuple(pooled(rows)), best.cost)
        memory.pool.put(row)
        lab.best = row
        await lab.tell("sampled", candidate=best.candidate.id, was=best.mean, mean=row.mean, samples=count + 2)


async def worse_watched(lab: Lab, workflow: Workflow) -> list[str]:
    """Return the ids of the guard examples that a workflow does worse on than the start."""
    if not lab.watched:
        return []
    left = [len(lab.unknown(each, lab.watched, "guard")) for each in (lab.start, workflow)]
    lab.admit(added([lab.runs(left[0], lab.start), lab.runs(left[1], workflow)]), "guard examples")
    old, new = [await lab.mark(each, lab.watched, "guard") for each in (lab.start, workflow)]
    return [each.id for each, a, b in zip(lab.watched, old, new, strict=True) if b.score < a.score]


def _better_half(standings: Sequence[Standing], count: int) -> list[Candidate]:
    """Return the children that go on, cheaper ones and the best first, ties to the earlier: half of those that began, a
    third where none stands out, and none that is far behind the first.
    """
    stay = sorted((each for each in standings if each.stays), key=lambda each: (not each.cheaper, -each.chance))
    if not stay:
        return []
    top = max(each.chance for each in stay)
    near = [each for each in stay if each.chance >= top - BEHIND or each.cheaper]
    return [each.child for each in near[: -(-count // (2 if top > STANDS_OUT else 3))]]


def _checks(child: Candidate, most: int) -> int:
    return min(most, len(child.flips))


def _missed(child: Candidate, hits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the train items that a child was to mend and did not; none where that was not looked at."""
    if child.id not in hits:
        return []
    return [each for each in child.flips[:FLIPS] if each not in hits[child.id]]


def _expected(lab: Lab, parent: Candidate, runs: Sequence[tuple[Candidate, int]]) -> Usage:
    return sum((lab.expected(child.workflow, parent.workflow, count) for child, count in runs), Usage())
