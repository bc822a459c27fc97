"""The last word is spoken on examples that no meta call and no race has seen; without it, the start stays."""

from __future__ import annotations

import pytest

from flowbot.money import Budget
from flowbot.search.confirm import hold_back, shuffled
from flowbot.search.memory import RaceSettings
from tests.labs import lab_of
from tests.planting import Searched, searched
from tests.sessions import call, flow

META = ("verdict", "taxonomy", "proposal", "workflow_update", "prompt_init")


def orders(found: Searched, split: str) -> set[str]:
    """Return the orders of the examples held back, or of a split that the search may see."""
    (only,) = next(iter(found.lab.val)).inputs
    return {str(example.inputs[only]) for example in getattr(found.lab, split)}


@pytest.mark.slow
def test_nothing_sees_what_is_held_back_before_the_end() -> None:
    found = searched()
    seen = orders(found, "train") | orders(found, "val")
    (confirmation,) = found.of("confirmation")
    assert confirmation["n"] == 32
    first = next(at for at, request in enumerate(found.requests) if request.draw == "confirm")
    assert all(request.draw == "confirm" for request in found.requests[first:])
    before = "\n".join(str(message["content"]) for each in found.requests[:first] for message in each.messages)
    late = "\n".join(str(each.messages[-1]["content"]) for each in found.requests[first:])
    fresh = {line for line in late.splitlines() if line.startswith("Order ") and line.endswith(".")} - seen
    assert len(fresh) == 32
    assert not [order for order in fresh if order in before]


@pytest.mark.slow
def test_no_meta_call_sees_validation() -> None:
    found = searched()
    val = orders(found, "val")
    told = [str(each.messages) for each in found.requests if each.purpose in META]
    assert len(told) > 10
    assert not [order for order in val if any(order in text for text in told)]


@pytest.mark.parametrize(("train", "val", "held"), [(40, 19, 0), (30, 30, 20), (40, 20, 20), (400, 200, 150)])
def test_a_third_is_held_back_at_most_so_many(train: int, val: int, held: int) -> None:
    lab = lab_of(flow(call("say", "q")), targets=["x"] * train)
    lab.val = lab_of(flow(call("say", "q")), targets=["y"] * val).train
    before = {example.id for example in lab.train}
    taken = shuffled(lab, hold_back(lab, RaceSettings()))
    assert len(taken) == held
    assert len(lab.train) + len(lab.val) + held == train + val
    assert not {example.id for example in lab.train} & {each.id for each in taken if each.target == "x"}
    assert {example.id for example in lab.train} <= before


@pytest.mark.slow
def test_a_small_task_is_unconfirmed_and_says_so() -> None:
    found = searched(sizes=(25, 25, 1))
    assert found.found.outcome is not None
    assert found.found.outcome.decision == "unconfirmed"
    assert "too few" in found.found.outcome.why


@pytest.mark.slow
def test_what_is_not_confirmed_is_not_returned() -> None:
    found = searched("nothing", 3, accept=0.51, confirm=0.999)
    assert found.found.outcome is not None
    assert found.found.outcome.decision in ("undecided", "start")
    assert found.result.id == found.lab.start.id


@pytest.mark.slow
def test_what_confirmation_takes_is_kept_back_at_the_wall() -> None:
    found = searched("wrong_tool", budget=Budget(calls=620))
    assert found.found.ended == "budget"
    assert found.found.outcome is not None
    assert found.found.outcome.comparison is not None
    assert found.found.outcome.decision == "confirmed"
    assert found.ledger.total.calls <= 620
