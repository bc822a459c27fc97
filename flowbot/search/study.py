"""Why the parent fails: its runs on train, a verdict on each failure, clusters of them, and who is to blame."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from flowbot.engine.tasks import together
from flowbot.engine.trace import Trace
from flowbot.engine.verdict import layered, verdict
from flowbot.money import Usage
from flowbot.search.compare import first_rung
from flowbot.search.credit import blame, contrast, replays
from flowbot.search.findings import HOPELESS, Findings
from flowbot.search.lab import Candidate, Lab
from flowbot.search.memory import Memory
from flowbot.search.taxonomy import sortings
from flowbot.task.data import Example
from flowbot.workflow.requests import critiques

DRAW = "train"
PROPOSALS = 3  # of the meta model in an iteration, about
GLANCE = 4  # train items at most that are read where no verdicts can be paid for: for cut replies, and runs to show
SUSPECTS = 2  # steps whose blame is tested by replay


@dataclass(frozen=True)
class Study:
    """Reads train items only; what it finds is kept in the memory."""

    memory: Memory

    async def findings(self, lab: Lab, parent: Candidate, number: int) -> Findings:
        """Run the parent on this iteration's items and say what came out of it."""
        memory, settings = self.memory, self.memory.settings
        items = await self._read(lab, parent, number)
        traces = [memory.runs[parent.id][item.id] for item in items]
        failures = [trace for trace in traces if trace.points < 1.0]
        if parent.id == memory.pool.best.candidate.id:
            memory.taxonomy.passed([trace.example.id for trace in traces if trace.points >= 1.0])
        await self._save(lab, parent, failures, number)
        if settings.credit != "none" and not memory.lean:
            await self._merge(lab, parent, failures, number)
        shares = await self._blame(lab, parent, traces, number)
        clusters = tuple(memory.taxonomy.open)
        await lab.tell(
            "iteration",
            number=number,
            parent=parent.id,
            items=len(items),
            failed=len(failures),
            blame=[[step, round(share, 6)] for step, share in shares.items()],
            clusters=[
                {
                    "name": each.name,
                    "defect": each.defect,
                    "rule": each.rule,
                    "examples": list(each.examples),
                    "attempts": len(each.attempts),
                }
                for each in clusters
            ],
        )
        mendable = tuple(each for each in clusters if not each.hopeless)
        return Findings(
            number=number,
            parent=parent.workflow,
            traces=tuple(traces),
            passed=tuple(memory.passed),
            clusters=mendable if settings.composite else mendable[:1],
            blame=shares,
            pool=tuple(row.candidate.workflow for row in memory.pool.ranked("score", 0.0) if row.candidate != parent),
            failed=tuple(memory.failed),
            demos=settings.demos,
            variants=settings.variants,
        )

    async def _read(self, lab: Lab, parent: Candidate, number: int) -> list[Example]:
        """Run the parent on items of train and return those with a run.

        As many as leave enough for verdicts and a race; a few also where only a race can be paid for.
        """
        items, known = self._items(lab, number), self.memory.runs.get(parent.id, {})
        left = [item for item in items if item.id not in known]
        count = len(left)
        while count and not self._affords(lab, parent, count, verdicts=count > GLANCE):
            count -= 1
        if left and not count and self.memory.planted:  # nor are there seeds left to try: it ends where nothing fits
            lab.admit({}, f"iteration {number}: a race", wanted=lab.usage_of(parent.workflow, len(lab.val)))
        plan = await lab.plan(f"iteration {number}: train", examples=count)
        left, gone = left[: plan["examples"]], {item.id for item in left[plan["examples"] :]}
        if left:
            lab.admit(lab.runs(len(left), parent.workflow), f"iteration {number}: runs on train")
            self.memory.keep_runs(await lab.run(parent.workflow, left, DRAW))
        return [item for item in items if item.id not in gone]

    async def _save(self, lab: Lab, parent: Candidate, failures: Sequence[Trace], number: int) -> None:
        """Do without the meta model in this iteration where no race could be paid for beside it."""
        memory = self.memory
        fresh = sum((parent.id, trace.example.id) not in memory.verdicts for trace in failures)
        usage = lab.wanted(self._written(fresh)) + _race(lab, parent, memory)
        plan = await lab.plan(f"iteration {number}: study", written=int(lab.fits(usage)))
        memory.lean = not plan["written"]

    def _affords(self, lab: Lab, parent: Candidate, count: int, verdicts: bool) -> bool:
        """Tell whether runs on so many items of train leave enough for a race, and verdicts on those that may fail."""
        failing = round(count * self.memory.pool.best.failing / len(lab.val))
        written = lab.wanted(self._written(failing)) if verdicts else Usage()
        return lab.fits(lab.wanted(lab.runs(count, parent.workflow)) + written + _race(lab, parent, self.memory))

    def _written(self, failing: int) -> dict[str, int]:
        """Return the calls of the meta model in an iteration with so many failures that have no verdict."""
        read = {"verdict": failing, "taxonomy": sortings(failing)} if self.memory.settings.credit == "verdicts" else {}
        return {**read, "proposal": PROPOSALS}

    def _items(self, lab: Lab, number: int) -> list[Example]:
        """Draw the items: half from open clusters, largest first, the rest from those that no iteration has read."""
        memory, count = self.memory, min(self.memory.settings.traces, len(lab.train))
        rng = random.Random(f"{lab.seed}|train|{number}")
        fails = dict.fromkeys(each for cluster in memory.taxonomy.open for each in cluster.examples)
        deck = rng.sample(lab.train, len(lab.train))
        again = [item for item in deck if item.id in fails][: count // 2]
        if all(item.id in memory.seen for item in deck):
            memory.seen.clear()
        fresh = [item for item in deck if item.id not in memory.seen and item not in again]
        rest = [item for item in deck if item not in again and item not in fresh]
        items = [*again, *fresh, *rest][:count]
        memory.seen.update(item.id for item in items)
        return items

    async def _merge(self, lab: Lab, parent: Candidate, failures: Sequence[Trace], number: int) -> None:
        """Ask for the verdicts that are missing and merge them into the clusters."""
        memory = self.memory
        fresh = [trace for trace in failures if (parent.id, trace.example.id) not in memory.verdicts]
        meta = lab.meta.at(f"iteration {number}, verdicts")
        if memory.settings.credit == "layers":
            lab.admit(_layers(parent, len(fresh)), f"iteration {number}: layer by layer")
            found = await together([layered(trace, meta, lab.guard) for trace in fresh])
            made = [each for verdicts in found for each in verdicts]
            for trace, verdicts in zip(fresh, found, strict=True):
                memory.verdicts[parent.id, trace.example.id] = verdicts[-1] if verdicts else None
        else:
            lab.admit({"verdict": len(fresh)}, f"iteration {number}: verdicts on {len(fresh)} failures")
            said = await together([verdict(trace, meta, lab.guard) for trace in fresh])
            for trace, each in zip(fresh, said, strict=True):
                memory.verdicts[parent.id, trace.example.id] = each
            made = [each for each in said if each is not None]
        lab.note(parent.id, "verdict", meta.draw, [(each.example, asdict(each)) for each in made])
        if made:
            writer = lab.meta.at(f"iteration {number}, taxonomy") if memory.settings.taxonomy else None
            if writer is not None:
                lab.admit({"taxonomy": sortings(len(made))}, f"iteration {number}: clusters")
            await memory.taxonomy.merge(made, writer)

    async def _blame(self, lab: Lab, parent: Candidate, traces: Sequence[Trace], number: int) -> dict[str, float]:
        """Return the shares of blame by step: ranks summed, steps that a better workflow did otherwise, and replays."""
        memory = self.memory
        failures = [trace for trace in traces if trace.points < 1.0]
        said = [memory.verdicts.get((parent.id, trace.example.id)) for trace in failures]
        verdicts = [each for each in said if each is not None]
        steps = [step.id for step in parent.workflow.all_steps]
        shares = blame([each for each in verdicts if each.defect not in HOPELESS] or verdicts, order=steps)
        for trace in failures:
            if step := self._contrasted(parent, trace):
                shares[step] = shares.get(step, 0.0) + 1 / len(traces)
        tried: dict[str, tuple[int, int]] = {}
        if memory.settings.replay and not memory.lean and memory.settings.credit == "verdicts" and len(shares) > 1:
            suspects = sorted(shares, key=lambda step: -shares[step])[:SUSPECTS]
            told = [
                each for each in verdicts if each.should is not None and each.blame[:1] and each.blame[0] in suspects
            ]
            told = told[: memory.settings.replay]
            lab.admit(lab.runs(len(told), parent.workflow), f"iteration {number}: replays")
            tried = await replays(lab, told, {trace.example.id: trace for trace in failures}, DRAW, lab.score)
        for step, (flipped, count) in tried.items():
            shares[step] *= (flipped + 1) / (count + 1)
        total = sum(shares.values()) or 1.0
        known = [step for step in steps if step in shares]
        return {step: shares[step] / total for step in sorted(known, key=lambda step: -shares[step])}

    def _contrasted(self, parent: Candidate, trace: Trace) -> str | None:
        """Return the step at which a pool member that solves the item first did otherwise."""
        for row in self.memory.pool.members:
            other = self.memory.runs.get(row.candidate.id, {}).get(trace.example.id)
            if other is not None and row.candidate != parent and other.points >= 1.0:
                return contrast(trace, other)
        return None


def _race(lab: Lab, parent: Candidate, memory: Memory) -> Usage:
    """Return what a race of two children takes, of which one runs on all of validation."""
    return lab.usage_of(parent.workflow, first_rung(memory.settings.rungs, len(lab.val)) + len(lab.val))


def _layers(parent: Candidate, failures: int) -> dict[str, int]:
    """Return the calls of going back layer by layer."""
    return {"loss_gradient": failures, "call_gradient": failures * (critiques(parent.workflow.steps) - 1)}
