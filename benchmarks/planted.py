"""One induction in a planted world (a simulation), in this process: what it found, what that is worth, what it cost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from flowbot.engine.trace import Trace
from flowbot.faces.problem import named_by, read_problem
from flowbot.faces.wiring import open_session, open_toolbox, site
from flowbot.models.scripted import World
from flowbot.models.shelf import Shelf
from flowbot.money import Budget, Price
from flowbot.search.induce import induce
from flowbot.search.lab import Lab
from flowbot.store.journal import MemoryJournal
from flowbot.store.session import Opened
from flowbot.store.splits import splits_of
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.graph import Workflow

PRICE = Price(0.4, 1.6)  # dollars a million tokens: what a small hosted model costs
FRESH = 400  # orders that no search has looked at, for the true score
ITEMS = 90  # of train, and of validation; a third of each is held back for confirmation
GAINED = 0.95  # of what the ceiling is above the start: repaired
SAME = 0.02  # points that a cheaper workflow may lose
EMPTY: Mapping[str, Any] = {}
CHEAPER = 0.6  # of the start's calls: repaired, where the fault is one of cost


@dataclass(frozen=True)
class Job:
    """One run: the world, the recipe with its settings, a bound in dollars or calls (None: none), and how many examples
    train and validation have each."""

    fault: str
    seed: int
    recipe: str = "race"
    skill: float = 0.8
    garbage: float = 0.0
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    usd: float | None = None
    calls: int | None = None
    items: int = ITEMS
    label: str = ""


def run(job: Job) -> dict[str, Any]:
    """Run one induction and return what came of it, as plain data."""
    world = World(job.fault, job.seed, job.skill, job.garbage, price=PRICE)
    task = world.task(job.recipe, **job.settings)
    problem = read_problem(task, Path(), splits_of(task, world.data(job.items, job.items, 1)).splits, start=world.start)
    journal = MemoryJournal()

    def opened(specs: Sequence[ModelSpec], base_url: str | None, concurrency: int) -> Shelf:
        return Shelf({spec.name: Opened(world, PRICE, max_tokens=256) for spec in specs})

    async def main() -> dict[str, Any]:
        async with site(problem, journal, None, Budget(usd=job.usd, calls=job.calls)) as place:
            calls: dict[str, int] = {}  # made when a workflow became the best

            def heard(event: Mapping[str, Any]) -> None:
                if event["kind"] == "best":
                    calls.setdefault(event["candidate"], place.session.ledger.total.calls)

            lab = place.lab(heard)
            found = await induce(lab, job.recipe, problem.settings)
            paid = place.session.ledger.total
            spent = {
                "calls": paid.calls,
                "tokens": paid.tokens,
                "usd": paid.usd,
                "ended": found.ended,
                "why": found.why,
            }
        toolbox = open_toolbox(trusted=named_by(task))
        async with open_session(task.models.specs, world.start, toolbox, concurrency=task.concurrency) as session:
            scale = Scale(InProcess(session, 2 * task.concurrency, problem.metric, "fresh"), world.fresh(FRESH))
            return spent | await _judged(world, scale, lab, journal.written, calls)

    with patch("flowbot.faces.wiring.open_shelf", opened):
        return {"fault": job.fault, "seed": job.seed, "recipe": job.recipe, "label": job.label} | asyncio.run(main())


@dataclass(frozen=True)
class Worth:
    """What a workflow is worth on fresh orders: its mean score, and the calls that it makes for one."""

    score: float
    calls: float


@dataclass(frozen=True)
class Scale:
    """Measures workflows on fresh orders, beside the run: its budget is not touched."""

    workers: InProcess
    fresh: Sequence[Example]
    known: dict[str, Worth] = field(default_factory=dict[str, Worth])

    async def worth(self, workflow: Workflow) -> Worth:
        """Return what a workflow is worth."""
        if workflow.id not in self.known:
            traces: list[Trace] = [trace async for trace in self.workers.evaluate(workflow, self.fresh, "fresh")]
            points = sum(trace.points for trace in traces)
            calls = sum(trace.usage.calls for trace in traces)
            self.known[workflow.id] = Worth(points / len(traces), calls / len(traces))
        return self.known[workflow.id]


async def _judged(
    world: World, scale: Scale, lab: Lab, events: Sequence[Mapping[str, Any]], calls: Mapping[str, int]
) -> dict[str, Any]:
    """Return the true scores of the start, the ceiling and all that was once the best, and what the journal says."""
    start, ceiling = await scale.worth(world.start), await scale.worth(world.best)
    assert lab.best is not None
    kept = await _incumbents(scale, lab, events)
    result = lab.best.candidate.workflow
    true = await scale.worth(result)
    told: Mapping[str, Any] = next((each for each in reversed(events) if each["kind"] == "confirmation"), EMPTY)
    finalist = lab.known.get(str(told.get("finalist"))) if "new" in told else None
    blame: Sequence[tuple[str, float]] = next((each["blame"] for each in events if each.get("blame")), ())
    repaired = [each for each in kept if _repairs(world, start, ceiling, each.true)]
    return {
        "start": start.score,
        "ceiling": ceiling.score,
        "found": true.score,
        "cost": true.calls / start.calls,
        "repaired": _repairs(world, start, ceiling, true),
        "repaired_at": repaired[0].number if repaired else None,
        "repaired_calls": calls[repaired[0].id] if repaired else None,
        "changed": result.id != lab.start.id,
        "blamed": blame[0][0] if blame else None,
        "blame_right": bool(blame) and blame[0][0] in world.planted.blamed,
        "iterations": sum(each["kind"] == "iteration" for each in events),
        "decision": told.get("decision", ""),
        "confirmed": told.get("new"),
        "finalist": None if finalist is None else (await scale.worth(finalist.workflow)).score,
        "steps": [step.id for step in result.all_steps],
        "edits": _edits(lab),
    }


@dataclass(frozen=True)
class Kept:
    """A workflow that was the best for a while, from which iteration on (0: a seed), and what it is worth."""

    id: str
    number: int
    true: Worth


async def _incumbents(scale: Scale, lab: Lab, events: Sequence[Mapping[str, Any]]) -> list[Kept]:
    """Return the workflows that were the best, in turn."""
    number, found = 0, list[Kept]()
    for event in events:
        number = event["number"] if event["kind"] == "iteration" else number
        if event["kind"] == "best":
            name = event["candidate"]
            found.append(Kept(name, number, await scale.worth(lab.known[name].workflow)))
    return found


def _repairs(world: World, start: Worth, ceiling: Worth, found: Worth) -> bool:
    """Tell whether a workflow is repaired: nearly all of the gain that there is, or the needless cost gone."""
    if world.planted.cheaper:
        return found.score >= start.score - SAME and found.calls <= CHEAPER * start.calls
    return found.score >= start.score + GAINED * (ceiling.score - start.score)


def _edits(lab: Lab) -> list[str]:
    """Return the operators whose edits led from the start to the result."""
    assert lab.best is not None
    made: list[str] = []
    candidate = lab.best.candidate
    while candidate.operator:
        made.append(candidate.operator)
        if candidate.parent is None or candidate.parent not in lab.known:
            break
        candidate = lab.known[candidate.parent]
    return made[::-1]
