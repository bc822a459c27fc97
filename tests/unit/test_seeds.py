"""When other seeds than the start are raced, and which of them go on."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from flowbot.search import seeds
from tests.planting import Searched, searched


def kinds(found: Searched) -> Sequence[str]:
    """Return the events that tell when seeds and iterations came, in order."""
    told = ("smoke test", "seeds")
    return [
        "seeds" if event["kind"] == "plan" else event["kind"]
        for event in found.events
        if event["kind"] == "iteration" or (event["kind"] == "plan" and event["what"] == told[0])
    ]


def test_a_trap_is_left_before_the_first_iteration() -> None:
    found = searched("bad_seed", iterations=2)
    assert found.of("row")[0]["mean"] < seeds.TRAP
    assert kinds(found)[0] == "seeds"


def test_seeds_wait_while_edits_of_a_fair_start_gain() -> None:
    found = searched("missing_instruction", iterations=1)
    assert found.of("row")[0]["mean"] >= seeds.TRAP
    assert [event["decision"] for event in found.of("decision")].count("accepted")
    assert kinds(found) == ["iteration"]


def test_seeds_are_raced_once_after_an_iteration_that_brought_nothing() -> None:
    found = searched("missing_instruction", iterations=4, operators=["cheaper"])
    assert not [event for event in found.of("decision") if event["decision"] == "accepted"]
    order = kinds(found)
    assert order[:2] == ["iteration", "seeds"]
    assert order.count("seeds") == 1


def test_no_seed_beside_the_start_where_one_is_asked_for() -> None:
    assert "seeds" not in kinds(searched("bad_seed", iterations=1, seeds=1))


def test_a_seed_that_falls_behind_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = searched("small_loop", iterations=2, operators=["cheaper"]).of("seeds")[0]
    worst, best = sorted(found["means"], key=found["means"].__getitem__)
    assert found["means"][worst] < found["means"][best] - 0.2
    assert found["kept"] == [best]
    monkeypatch.setattr(seeds, "DROP", (0.0, 0.0))
    assert set(searched("small_loop", iterations=2, operators=["cheaper"]).of("seeds")[0]["kept"]) == {worst, best}


def test_the_race_ends_where_no_seed_is_left() -> None:
    rungs = searched("nothing", iterations=2, operators=["cheaper"]).of("seeds")
    assert [rung["kept"] for rung in rungs] == [[]]
