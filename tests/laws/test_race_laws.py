"""The laws where children are raced: timing, replay after any stop, the wall, the seal, valid out, errors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.models.scripted import World as Planted
from flowbot.models.scripted.world import META, MODEL
from flowbot.money import Budget, Usage
from flowbot.task.task import Task
from flowbot.workflow.graph import Bounds
from tests import worlds
from tests.laws.test_timing import outcome
from tests.planting import searched

SETTINGS: dict[str, Any] = {"iterations": 3, "seeds": 4, "rungs": [8], "traces": 6}
SIZES = (33, 30, 6)


@dataclass
class Slow:
    """A planted world whose replies take their time, in an order drawn by `seed`; it breaks down after `answers`."""

    world: Planted
    seed: int = 0
    latency: float = 0.0
    answers: int = 10**9
    keys: list[str] = field(default_factory=list[str])
    in_flight: int = 0
    most: int = 0
    _sent: int = 0

    async def complete(self, request: Request) -> Reply:
        """Answer, late or not at all."""
        if len(self.keys) >= self.answers:
            raise EndpointError("down")
        self._sent += 1
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        wait = random.Random(f"{self.seed}|{self._sent}").random() * self.latency
        try:
            await asyncio.sleep(wait)
        finally:
            self.in_flight -= 1
        self.keys.append(request.key())
        return self.world.answer(request)


def induce(
    model: Slow,
    folder: Path,
    concurrency: int = 16,
    sizes: tuple[int, int, int] = SIZES,
    **options: Any,
) -> flowbot.Result:
    """Run the recipe in a planted world, in a folder."""
    world = model.world
    patch = pytest.MonkeyPatch()
    worlds.shelved(patch, model)
    models = {"task": {"name": MODEL, "max_tokens": 256}, "meta": META}
    task = Task.model_validate(world.plain_task("race", **SETTINGS) | {"concurrency": concurrency, "models": models})
    try:
        chosen = flowbot.Options(**options)
        return flowbot.induce(task, data=world.data(*sizes), run=folder, start=world.start, options=chosen)
    finally:
        patch.undo()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["missing_instruction", "missing_hop"])
def test_how_many_run_at_once_changes_nothing(tmp_path: Path, fault: str) -> None:
    found: list[Any] = []
    most: list[int] = []
    for number, concurrency in enumerate([1, 7, 64, 64]):
        model = Slow(Planted(fault), seed=number, latency=0.002 if number else 0.0)
        induce(model, tmp_path / str(number), concurrency)
        found.append(outcome(tmp_path / str(number)))
        most.append(model.most)
    assert most[0] < most[2]
    assert all(each == found[0] for each in found)
    kinds = [event["kind"] for event in found[0][1]]
    assert {"seeds", "iteration", "slate", "race", "decision", "confirmation"} <= set(kinds)


@pytest.mark.slow
def test_a_run_stopped_again_and_again_asks_nothing_twice(tmp_path: Path) -> None:
    calm = Slow(Planted())
    induce(calm, tmp_path / "calm")
    assert len(calm.keys) == len(set(calm.keys)) > 500
    folder, paid, stops = tmp_path / "stopped", list[str](), 0
    while True:
        model = Slow(Planted(), seed=stops, latency=0.001, answers=len(calm.keys) // 5)
        try:
            induce(model, folder)
        except EndpointError:
            stops += 1
        else:
            break
        finally:
            paid += model.keys
    assert stops >= 3
    assert len(paid) == len(set(paid))
    assert set(paid) == set(calm.keys)
    assert outcome(folder) == outcome(tmp_path / "calm")
    induce(Slow(Planted(), answers=0), folder)  # all of it is there
    assert outcome(folder) == outcome(tmp_path / "calm")


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["calls", "tokens"])
def test_the_budget_is_a_wall_and_a_raised_one_goes_on(tmp_path: Path, bound: str) -> None:
    whole = Slow(Planted())
    result = induce(whole, tmp_path / "whole")
    full = {"calls": result.ledger.total.calls, "tokens": result.ledger.total.tokens}[bound]
    paid: list[str] = []
    ended: list[str] = []
    for number, share in enumerate([0.25, 0.45, 4.0]):
        model = Slow(Planted(), seed=number)
        allowed = round(share * full)
        budget: dict[str, Any] = {f"budget_{bound}": allowed}
        stretch = induce(model, tmp_path / "run", **budget)
        spent = {"calls": stretch.ledger.total.calls, "tokens": stretch.ledger.total.tokens}[bound]
        assert spent <= allowed
        assert (tmp_path / "run" / "best.yaml").exists()
        paid += model.keys
        ended.append(stretch.ended)
    assert ended[0] == "budget"
    assert ended[-1] == "done"
    assert len(paid) == len(set(paid))


@pytest.mark.slow
def test_a_raised_budget_goes_on_wherever_the_wall_was(tmp_path: Path) -> None:
    """Also where the search had ended by itself, and its confirmation could not be paid for."""
    sizes = (33, 30, 40)
    full = induce(Slow(Planted()), tmp_path / "whole", sizes=sizes).ledger.total.calls
    for share in (0.5, 0.6, 0.7, 0.8, 0.9):
        folder = tmp_path / str(share)
        first = induce(Slow(Planted()), folder, sizes=sizes, budget_calls=round(share * full))
        assert first.ledger.total.calls <= share * full + 1
        last = induce(Slow(Planted()), folder, sizes=sizes, budget_calls=4 * full)
        assert last.ended == "done"
        assert last.outcome is not None
        assert last.outcome.decision != "undecided" or last.outcome.comparison is not None


def test_what_was_kept_for_the_confirmation_is_there_for_it() -> None:
    """Also where start and best on the whole test would take all that may be kept back."""
    wide = searched("missing_instruction", iterations=1).lab
    stages: Any = wide.stages
    stages.purse.budget = Budget(calls=2 * stages.purse.settled.calls)
    wide.test_size, wide.kept_runs = 10_000, 12
    kept = wide.kept_back(wide.test_size + wide.kept_runs)
    left = stages.purse.budget.calls - stages.purse.settled.calls - kept.calls
    assert wide.fits(Usage(calls=left))
    assert not wide.fits(Usage(calls=left + 1))
    confirmation = wide.kept_back(wide.kept_runs).calls
    assert confirmation > 12
    assert wide.fits(Usage(calls=left + confirmation), last=True)
    assert not wide.fits(Usage(calls=left + confirmation + 1), last=True)


def test_every_child_is_valid_and_within_the_bounds() -> None:
    found = searched("nothing", iterations=4, seeds=8)
    bounds: Bounds = found.lab.bounds
    assert len(found.lab.known) > 10
    for candidate in found.lab.known.values():
        assert candidate.workflow.within(bounds).id == candidate.id
        for call in candidate.workflow.calls:
            changed = call.prompt not in found.lab.start.prompts.values()
            assert not (changed and found.lab.guard(call.prompt)) or candidate.operator == "seed", call.prompt


def test_guard_examples_may_not_get_worse() -> None:
    calm = searched(guard=20)
    assert calm.found.outcome is not None
    assert calm.found.outcome.decision == "confirmed"
    marks = calm.lab.marks
    before, after = (marks[each, "guard"] for each in (calm.lab.start.id, calm.result.id))
    assert len(before) == 20
    assert all(after[example].score >= before[example].score for example in before)


def test_one_that_gets_worse_on_them_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def worse(lab: Any, workflow: Any) -> Sequence[str]:
        return [] if workflow.id == lab.start.id else ["guard0"]

    monkeypatch.setattr("flowbot.search.trial.worse_watched", worse)
    monkeypatch.setattr("flowbot.search.confirm.worse_watched", worse)
    found = searched(guard=2)
    decisions = [event for event in found.of("decision") if event["decision"] == "guarded"]
    assert decisions
    assert "guard0" in decisions[0]["why"]
    assert found.result.id == found.lab.start.id
