"""How `race` begins: with the start, and with other workflows raced on the same items where that one is a trap."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from flowbot.engine.tasks import together
from flowbot.search.compare import compare, needed
from flowbot.search.confirm import probe, shorten, size_up
from flowbot.search.findings import Findings
from flowbot.search.lab import Candidate, Lab, added
from flowbot.search.memory import Memory
from flowbot.search.operators import OPERATORS
from flowbot.search.pool import Pool
from flowbot.search.shapes import free_sketch, shapes
from flowbot.search.thrift import saves
from flowbot.workflow.requests import requests

TOLD = ("output_type", "demos")  # operators that need nothing but train, each on top of those before it
SMOKE = 2  # items that a seed must get through
SURVIVE = (4, 2)  # seeds that go on after each rung, beside the start
FEW, DROP = 24, (0.25, 0.5)  # a seed below this P(gain > 0) on so few items, or on more, does not go on
TRAP = 0.1  # a start that scores less on validation is no place to begin from
PART = 1 / 3  # of the budget, for the seeds


@dataclass(frozen=True)
class Raced:
    """Plants the start and, once, up to seven other workflows: smoke-tested, raced on two rungs, the last two on all.

    They are raced before the first iteration where the start is a trap, else after the first that brought nothing new:
    edits of a fair start gain as much for less, until they do not.
    """

    memory: Memory

    async def plant(self, lab: Lab, number: int) -> None:
        """Measure the start, once; race the other seeds when it is time, and make the best one the incumbent."""
        memory = self.memory
        if number == 1:
            await self._start(lab)
        trap = memory.pool.start.mean < TRAP
        others = await self._told(lab) if number == 1 else []
        if not memory.planted and (trap or memory.quiet):
            memory.planted = True
            others += await self._others(lab)
        for seed in await self._race(lab, others[: memory.settings.seeds - 1]):
            row, best = await lab.measure(seed), memory.pool.best
            comparison = lab.compared(best, row)
            better = comparison.p_gain >= (memory.settings.accept or needed(memory.tested + len(others)))
            memory.pool.put(row)
            if better or await saves(lab, memory.settings, best, row):
                memory.quiet = 0
                memory.pool.crown(row)
                await lab.keep(row, f"the best seed: {seed.hypothesis}", comparison)

    async def _start(self, lab: Lab) -> None:
        start = await lab.enter(Candidate(lab.start))
        await probe(lab)
        await size_up(lab, self.memory)
        await shorten(lab)
        row = await lab.measure(start)
        await lab.keep(row, "the start")
        self.memory.pool = Pool(row, row, [row])

    async def _told(self, lab: Lab) -> list[Candidate]:
        """Return the seeds of train; none where a budget reaches for `patience` iterations: they try that and more."""
        settings = self.memory.settings
        usual = settings.patience * (settings.traces + settings.slate * len(lab.val) // 2)
        plan = await lab.plan("seeds of train", first=int(not lab.fits(lab.usage_of(lab.start, usual))))
        return await seeds_of_train(lab, self.memory) if plan["first"] else []

    async def _others(self, lab: Lab) -> list[Candidate]:
        """Return the seeds beside the start that run: shapes, and one free sketch where a meta model can draw."""
        made = shapes(lab) if self.memory.settings.structure else []
        made.sort(key=lambda seed: requests(seed.workflow.steps))  # where not all can be paid for, the cheap ones run
        if self.memory.settings.structure and "resketch" in (self.memory.settings.operators or ("resketch",)):
            lab.admit({"workflow_update": 1, "prompt_init": 3}, "a free sketch")
            sketch = await free_sketch(lab, 0)
            made += [sketch] if sketch is not None else []
        known = {lab.start.id}
        found: list[Candidate] = []
        for seed in made:
            if seed.id not in known:
                known.add(seed.id)
                found.append(seed)
        return found

    async def _race(self, lab: Lab, others: Sequence[Candidate]) -> list[Candidate]:
        """Return the two seeds that do best beside the start; seeds and items shrink to a third of the budget."""
        if not others:
            return []
        deck = list(lab.val)
        random.Random(f"{lab.seed}|seeds").shuffle(deck)
        sizes = self.memory.settings.seed_items
        plan = await lab.plan("smoke test", **_fitting(lab, others, sizes))
        others = others[: plan["seeds"]]
        if not others:
            return []
        lab.admit(lab.runs(SMOKE, *(seed.workflow for seed in others)), f"{len(others)} seeds: smoke test")
        for seed in others:
            await lab.enter(seed)
        tried = await together([lab.mark(seed.workflow, deck[:SMOKE], "val") for seed in others])
        points = {seed.id: sum(mark.score for mark in marks) for seed, marks in zip(others, tried, strict=True)}
        alive = [seed for seed, marks in zip(others, tried, strict=True) if not all(mark.failed for mark in marks)]
        if any(points.values()):
            alive = [seed for seed in alive if points[seed.id] > 0]  # others will hardly win
        plan = await lab.plan("seeds", **_fitting(lab, alive, sizes))
        alive = alive[: plan["seeds"]]
        rungs = [deck[: plan["first"]], deck[: plan["first"] + plan["second"]]] if alive else []
        for items, stay in zip(rungs, SURVIVE, strict=False):  # no rungs where not one seed can be paid for
            drop = DROP[len(items) > FEW]
            left = added(lab.runs(len(lab.unknown(each.workflow, items, "val")), each.workflow) for each in alive)
            lab.admit(left, f"race of {len(alive)} seeds on {len(items)} items")
            runs = await together([lab.mark(seed.workflow, items, "val") for seed in alive])
            means = {
                seed.id: sum(mark.score for mark in marks) / len(marks) for seed, marks in zip(alive, runs, strict=True)
            }
            base = [mark.score for mark in await lab.mark(self.memory.pool.best.candidate.workflow, items, "val")]
            alive = [
                seed
                for seed, marks in zip(alive, runs, strict=True)
                if means[seed.id] > 0 and compare(base, [mark.score for mark in marks], lab.seed).p_gain >= drop
            ]
            alive = sorted(alive, key=lambda seed: -means[seed.id])[:stay]  # stable: ties go to the earlier seed
            await lab.tell("seeds", items=len(items), means=means, kept=[seed.id for seed in alive])
            if not alive:
                break
        return alive


async def seeds_of_train(lab: Lab, memory: Memory) -> list[Candidate]:
    """Return what train alone tells of the start: the type of its targets with worked examples, and the type alone."""
    told: list[Candidate] = []
    parent, edits = lab.start, tuple[str, ...]()
    for name in TOLD:
        if memory.uses(name):
            found = Findings(0, parent, demos=memory.settings.demos, variants=1)
            for child in await OPERATORS[name].propose(lab, found):
                parent, edits = child.workflow, (*edits, *child.edits)
                told.insert(0, replace(child, parent=lab.start.id, edits=edits))
    return told


def _fitting(lab: Lab, seeds: Sequence[Candidate], sizes: tuple[int, int]) -> dict[str, int]:
    """Return how many seeds, and items of both rungs, a third of the budget pays for: items give way first."""
    val = len(lab.val)
    for count in range(len(seeds), 0, -1):
        for part in (1.0, 0.67, 0.5, 0.34):
            first = min(val, max(4, round(sizes[0] * part)))
            second = min(val - first, round(sizes[1] * part))
            runs = first * count + second * min(SURVIVE[0], count) + (val - first - second) * min(SURVIVE[1], count)
            each = [sum(lab.runs(1, seed.workflow).values()) for seed in seeds[:count]]
            usage = lab.wanted({"task": round(runs * (sum(each) / count + max(each)) / 2)})
            if lab.affords(usage, PART, spent=False) and lab.fits(usage):
                return {"seeds": count, "first": first, "second": second}
    return {"seeds": 0, "first": 0, "second": 0}
