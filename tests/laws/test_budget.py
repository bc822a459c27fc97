"""Law 4: the budget is a wall for all purposes together, and a raised one goes on without paying again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import Message, Reply, Request
from flowbot.faces.cli import code_of
from flowbot.money import Price, Usage
from flowbot.workflow.document import read_workflow
from tests import worlds
from tests.laws.test_timing import outcome
from tests.worlds import World

PRICE = Price(3.0, 15.0)
RECIPE = {"name": "paper", "batches": 2, "inner": 2, "meta_tokens": 50}
JUDGE = {"name": "judge", "rubric": "The right colour gets 10 points."}


class Counting(World):
    """A world that adds up what it was really asked to do, finished or not."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(price=PRICE, override=self.judge, latency=0.003, **settings)
        self.cost = Usage()

    async def complete(self, request: Request) -> Reply:
        text = self.reply(request.purpose, request.messages, request.schema)
        self.cost += self._usage(request.messages, text)
        return await super().complete(request)

    @staticmethod
    def judge(purpose: str, messages: Sequence[Message]) -> str | None:
        """Give 10 points to the answer that is the reference."""
        if purpose != "judge":
            return None
        text = messages[-1]["content"]
        answer = worlds.section(text, "answer", "reference")
        return json.dumps({"reason": "So.", "points": 10 if text.endswith(f"reference:\n{answer}") else 0})


def induce(folder: Path | None, seed: int = 0, **budget: Any) -> tuple[flowbot.Result, Counting]:
    """Run in a world with a judge, within a budget."""
    world = Counting(seed=seed)
    patch = pytest.MonkeyPatch()
    worlds.shelved(patch, world, PRICE)
    options = flowbot.Options(**{f"budget_{name}": bound for name, bound in budget.items()})
    try:
        task = worlds.task(metric=JUDGE, recipe=RECIPE, concurrency=8)
        result = flowbot.induce(task, data=worlds.data(10, 6, 6), run=folder, options=options)
    finally:
        patch.undo()
    return result, world


@pytest.fixture(scope="module")
def whole() -> tuple[flowbot.Result, Counting]:
    """A run without a budget."""
    return induce(None)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.15, 0.5, 0.8, 0.97])
@pytest.mark.parametrize("bound", ["calls", "tokens", "usd"])
def test_it_is_never_exceeded(whole: tuple[flowbot.Result, Counting], bound: str, share: float) -> None:
    assert {"judge", "task", "loss_gradient"} <= set(whole[0].ledger.lines)
    total = whole[1].cost
    full: float = {"calls": total.calls, "tokens": total.tokens, "usd": total.usd}[bound] or 0
    allowed = full * share if bound == "usd" else round(full * share)
    result, world = induce(None, seed=round(100 * share), **{bound: allowed})
    spent: float = {"calls": world.cost.calls, "tokens": world.cost.tokens, "usd": world.cost.usd}[bound] or 0
    assert spent <= allowed + 1e-12
    assert result.ended == "budget"
    assert bound in result.why
    assert result.ledger.total.calls == world.cost.calls == len(world.requests)  # all that was paid for is kept
    if share >= 0.5:
        assert spent > 0.6 * allowed  # and the wall is not somewhere before it


def test_with_a_budget_that_suffices_nothing_changes(whole: tuple[flowbot.Result, Counting]) -> None:
    cost = whole[1].cost
    result, world = induce(None, seed=3, calls=2 * cost.calls, tokens=20 * cost.tokens, usd=20 * (cost.usd or 0))
    assert result.ended == "done"
    assert result.best == whole[0].best
    assert world.cost.calls == cost.calls


@pytest.mark.slow
@pytest.mark.parametrize("bound", ["calls", "usd"])
def test_a_raised_budget_goes_on_and_pays_nothing_again(tmp_path: Path, bound: str) -> None:
    whole, world = induce(tmp_path / "whole")
    full: float = {"calls": world.cost.calls, "usd": world.cost.usd or 0}[bound]
    shares: Sequence[float] = (0.05, 0.3, 0.31, 0.7, 3.0)
    asked: list[str] = []
    best = whole.start
    for number, share in enumerate(shares):
        allowed = {bound: full * share if bound == "usd" else round(full * share)}
        result, stretch = induce(tmp_path / "run", seed=number, **allowed)
        assert (tmp_path / "run" / "best.yaml").exists()
        best = result.best
        asked += [request.key() for request in stretch.requests]
        assert result.ended == ("done" if share == shares[-1] else "budget")
        assert len(asked) <= allowed.get("calls", len(asked))
    assert len(set(asked)) == len(asked)
    assert outcome(tmp_path / "run") == outcome(tmp_path / "whole")
    assert whole.best == best


def test_a_stage_is_admitted_whole_and_the_test_is_kept_back(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    worlds.shelved(monkeypatch, world)
    options = flowbot.Options(budget_calls=30)
    result = flowbot.induce(worlds.task(), data=worlds.data(10, 6, 6), options=options)
    # 6 on val, 11 of an outer step and 6 on test; an inner step's 11 would fit, but not with the test's
    assert world.asked() == {"task": 6 + 5 + 6, "workflow_gradient": 5, "workflow_update": 1}
    assert (result.ended, set(result.tables)) == ("budget", {"val", "test"})


def test_what_is_in_flight_at_the_wall_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    world = Counting()
    worlds.shelved(monkeypatch, world, PRICE)
    rows = worlds.data(10, 6, 6)
    rows["val"][0]["q"] += " very" * 5000  # it meets the wall at once, while the others are sent
    task = worlds.task(recipe=RECIPE)
    result = flowbot.induce(task, data=rows, run=tmp_path / "run", options=flowbot.Options(budget_tokens=2000))
    assert (result.ended, len(world.requests)) == ("budget", 5 + 6)  # with the test of the start
    assert result.ledger.total.calls == 5 + 6
    result = flowbot.induce(task, data=rows, run=tmp_path / "run")
    keys = [request.key() for request in world.requests]
    assert (result.ended, len(set(keys))) == ("done", len(keys))


def test_an_unknown_price_is_refused_where_money_is_bound(tmp_path: Path) -> None:
    task = worlds.task(models={"task": "openrouter:nobody/knows-this"})
    patch = pytest.MonkeyPatch()
    worlds.shelved(patch, World(), None)
    with pytest.raises(flowbot.InputError, match="the price of openrouter:nobody/knows-this is not known"):
        flowbot.induce(task, data=worlds.data(), options=flowbot.Options(budget_usd=1.0))
    patch.undo()


def test_the_command_ends_with_3_and_the_best_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worlds.shelved(monkeypatch, World())
    path = worlds.write_task(tmp_path, recipe={"name": "paper"})
    assert code_of(["induce", str(path), "--budget-calls", "100", "--json"]) == 3
    lines: list[Mapping[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["ended"] == "budget"
    assert read_workflow(Path(lines[-1]["best"]).read_text()).name == "colours"
    assert code_of(["induce", str(path), "--budget-calls", "1000", "--quiet"]) == 0


def test_seconds_are_looked_at_when_a_stage_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World(latency=0.02))
    result = flowbot.induce(worlds.task(), data=worlds.data(), options=flowbot.Options(max_seconds=0.2))
    assert (result.ended, "seconds" in result.why) == ("budget", True)
