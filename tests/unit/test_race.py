"""The recipe `race` in planted worlds: what it finds, when it stops, what its settings turn off, what it costs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flowbot.engine.verdict import Verdict
from flowbot.errors import InputError
from flowbot.money import Budget
from flowbot.search.findings import Attempt, Cluster
from flowbot.search.induce import recipe_settings
from flowbot.search.lab import Candidate, Mark, Row
from flowbot.search.memory import Memory, RaceSettings
from flowbot.search.pool import Pool
from flowbot.search.race import Stops, race_calls
from flowbot.search.seeds import seeds_of_train
from flowbot.search.slate import FIRST, Drawn
from flowbot.search.taxonomy import Taxonomy
from flowbot.search.thrift import PROBE, SAMPLES, as_good
from tests.labs import found_in, lab_of
from tests.planting import searched
from tests.sessions import call, flow

FAULTS = ("missing_instruction", "missing_hop", "wrong_tool", "lossy_type", "small_loop", "bad_seed")


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found_and_repaired(fault: str) -> None:
    found = searched(fault, sizes=(60, 60, 1))
    assert found.found.outcome is not None
    assert found.found.outcome.decision == "confirmed"
    comparison = found.found.outcome.comparison
    assert comparison is not None
    assert comparison.new > comparison.old + 0.2
    assert comparison.low > 0


@pytest.mark.slow
@pytest.mark.parametrize(("calls", "kept"), [(300, 0), (900, 20)])
def test_a_small_budget_keeps_nothing_for_a_confirmation_that_shows_little(calls: int, kept: int) -> None:
    found = searched("lossy_type", sizes=(30, 30, 1), budget=Budget(calls=calls), iterations=1)
    plans = {event["what"]: event for event in found.of("plan")}
    assert plans["confirmation"]["examples"] == kept
    assert len(found.lab.train) == 30 - kept // 2
    assert found.found.outcome is not None
    if kept == 0:
        assert found.found.outcome.decision == "unconfirmed"
        assert "too few examples, or calls," in found.found.outcome.why


def test_a_study_that_leaves_no_room_for_a_race_is_left_out() -> None:
    found = searched(sizes=(30, 30, 1), budget=Budget(calls=100), world={"garbage": 0.9})
    assert not [request for request in found.requests if request.purpose in ("verdict", "taxonomy", "proposal")]
    assert found.of("race")
    assert found.ledger.total.calls <= 100


def test_less_of_train_is_read_where_the_budget_pays_for_few_verdicts() -> None:
    found = searched("lossy_type", sizes=(30, 30, 1), budget=Budget(calls=110), iterations=1)
    plans = {event["what"]: event for event in found.of("plan")}
    assert plans["iteration 1: train"]["examples"] < 10
    assert plans["iteration 1: study"]["written"] == 1


@pytest.mark.slow
def test_what_train_tells_for_nothing_comes_first_where_money_is_short() -> None:
    def first(calls: int | None) -> list[str]:
        budget = Budget(calls=calls) if calls else None
        found = searched("blank", sizes=(30, 30, 1), budget=budget, iterations=1)
        kinds = [event["kind"] for event in found.events]
        begun = found.events[: kinds.index("iteration")]
        return [event["operator"] for event in begun if event["kind"] == "candidate" and "operator" in event]

    assert first(150) == ["demos"]
    assert set(first(None)) == {"seed"}


def test_worked_examples_come_in_the_type_of_the_targets() -> None:
    lab = lab_of(flow(call("say", "q")), targets=["red", "blue"] * 12)
    both, typed = asyncio.run(seeds_of_train(lab, Memory(RaceSettings(), ())))
    assert [str(each.workflow.output_type) for each in (both, typed)] == ["choice[blue, red]"] * 2
    assert [len(each.workflow.calls[0].demos) for each in (both, typed)] == [8, 0]
    assert (both.operator, typed.operator) == ("demos", "output_type")
    assert both.edits[0] == typed.edits[0]
    assert {both.parent, typed.parent} == {lab.start.id}


def test_what_the_targets_do_not_say_is_no_seed() -> None:
    free = lab_of(flow(call("say", "q")), targets=[f"colour number {n}" for n in range(24)])
    assert [each.operator for each in asyncio.run(seeds_of_train(free, Memory(RaceSettings(), ())))] == ["demos"]
    alone = RaceSettings(operators=("bullets", "output_type"))
    (typed,) = asyncio.run(seeds_of_train(lab_of(flow(call("say", "q")), targets=["1", "2"] * 12), Memory(alone, ())))
    assert typed.operator == "output_type"


def test_partly_right_answers_are_failing_ones() -> None:
    start = Candidate(flow(call("say", "q")))
    assert Row(start, "val", (1.0, 0.5, 0.0, 1.0)).failing == 2


def test_written_and_drawn_operators_take_turns() -> None:
    lab = lab_of(flow(call("say", "q")))
    row = Row(Candidate(lab.start), "val", (0.0,) * 10, 1.0)
    memory = Memory(RaceSettings(slate=6), (), _pool=Pool(row, row, [row]))
    (first, *_) = Drawn(memory).rounds(lab, found_in(lab.start, blame=("say",), defects=("prompt",)))
    assert [each.name in FIRST for each in first] == [True, False, True, False, True, False]


@pytest.mark.slow
def test_the_useless_step_is_removed() -> None:
    found = searched("useless_step", sizes=(90, 90, 1), seed=1)
    before, after = found.lab.start, found.result
    assert len(after.all_steps) < len(before.all_steps)
    assert found.found.outcome is not None
    assert "of its cost" in found.found.outcome.why


@pytest.mark.slow
def test_nothing_wrong_stays_as_it_is_and_labels_are_no_noise_to_chase() -> None:
    for fault in ("nothing", "contradictory_labels"):
        found = searched(fault)
        assert found.result.id == found.lab.start.id
        assert found.found.outcome is not None
        assert found.found.outcome.decision in ("start", "undecided")
        assert len(found.of("iteration")) <= 10
    assert "label" in found.found.why


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "absent"),
    [
        ({"structure": False}, {"structure", "resketch", "cheaper", "merge", "contrast", "vote", "refine", "seed"}),
        ({"model_free": False}, {"templates", "demos", "parameter", "output_type", "vote"}),
        ({"operators": ["bullets"], "seeds": 1}, {"fix", "structure", "templates", "seed"}),
    ],
)
def test_settings_turn_operators_off(settings: dict[str, Any], absent: set[str]) -> None:
    found = searched(**settings, iterations=3)
    used = {str(event["operator"]) for event in found.of("candidate") if "operator" in event}
    assert used
    assert not used & absent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "purposes"),
    [
        ({}, {"verdict", "taxonomy"}),
        ({"credit": "layers"}, {"loss_gradient", "call_gradient"}),
        ({"credit": "none"}, set[str]()),
    ],
)
def test_credit_is_a_setting(settings: dict[str, Any], purposes: set[str]) -> None:
    found = searched(**settings, iterations=2)
    critics = {"verdict", "taxonomy", "loss_gradient", "call_gradient"}
    paid = {purpose for purpose, _ in found.ledger} & critics
    assert purposes <= paid
    assert bool(paid) == bool(purposes)


def verdict(example: str, defect: str) -> Verdict:
    return Verdict(example, ("say",), defect, "a rule")


def stopping(quiet: int, *clusters: Cluster, **settings: Any) -> Stops:
    memory = Memory(RaceSettings(**settings), ())
    row = Row(Candidate(flow(call("say", "q"))), "val", (0.0,) * 5 + (1.0,), 1.0)
    memory.pool = Pool(row, row, [row])
    memory.quiet, memory.taxonomy = quiet, Taxonomy(tuple(clusters))
    return Stops(memory)


def cluster(defect: str, count: int, attempts: int = 0) -> Cluster:
    made = tuple(verdict(f"{defect}{n}", defect) for n in range(count))
    return Cluster(defect, defect, "a rule", made, tuple(Attempt("an edit", "fix", "lost") for _ in range(attempts)))


def test_it_stops_where_only_wrong_labels_are_left_and_says_so() -> None:
    lab = lab_of(flow(call("say", "q")))
    assert "failures of label are left (5 on train)" in stopping(2, cluster("label", 5)).reason(lab)
    assert stopping(1, cluster("label", 5)).reason(lab) == ""  # not at once
    assert stopping(2, cluster("label", 5), cluster("prompt", 3)).reason(lab) == ""  # something to mend
    assert "label" in stopping(2, cluster("label", 5), cluster("prompt", 3, attempts=3)).reason(lab)  # tried in vain
    assert stopping(2, cluster("label", 2), cluster("prompt", 5, attempts=3)).reason(lab) == ""  # most are not


def test_a_quiet_time_leads_to_a_restart_and_then_to_the_end() -> None:
    lab = lab_of(flow(call("say", "q")))
    stops = stopping(4, cluster("prompt", 3))
    assert stops.reason(lab) == ""
    assert stops.memory.restarting
    assert stops.memory.quiet == 0
    stops.memory.quiet = 4
    assert stops.reason(lab) == "4 iterations brought nothing new after a restart"
    assert (
        stopping(4).reason(lab) == "4 iterations brought nothing new"
    )  # without failures there is nothing to restart for
    stops = stopping(2)
    stops.memory.pool.best = Row(stops.memory.pool.best.candidate, "val", (0.0,) + (1.0,) * 5, 1.0)
    assert stops.reason(lab) == "on validation no further gain could be shown, and nothing cheaper was found"
    stops = stopping(0, iterations=3)
    stops.memory.iterations = 3
    assert stops.reason(lab) == "3 iterations are through"


def test_the_estimate_grows_with_what_it_is_of() -> None:
    low, high = (race_calls(RaceSettings(), 100, 100, 1, later) for later in (1, 3))
    assert set(low) == {"task", "verdict", "taxonomy", "proposal", "workflow_update", "prompt_init"}
    assert all(low[purpose] <= high[purpose] for purpose in low)
    assert race_calls(RaceSettings(seeds=2), 100, 100, 1, 1)["task"] < low["task"]
    assert race_calls(RaceSettings(), 20, 20, 1, 1)["task"] < low["task"]


@pytest.mark.slow
def test_a_whole_run_keeps_within_its_estimate() -> None:
    found = searched("bad_seed")
    high = race_calls(RaceSettings(), 48, 48, 1, 3)
    spent = found.ledger.requests()
    assert spent["task"] <= high["task"]
    assert spent["proposal"] <= high["proposal"]
    assert spent["verdict"] <= high["verdict"]


@pytest.mark.slow
def test_without_the_gate_a_loss_is_still_not_taken_on() -> None:
    found = searched(gate=False)
    taken = [event for event in found.of("decision") if event["decision"] == "accepted"]
    assert taken
    assert all(event["gain"] > 0 or "of the cost" in event["why"] for event in taken)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (
            {"structure": False, "operators": ["fix", "structure"]},
            "names 'structure', which structure: false turns off",
        ),
        ({"model_free": False, "operators": ["demos"]}, "names 'demos', which model_free: false turns off"),
        ({"rungs": [24, 8]}, "the sizes must rise, and 24, 8 do not"),
    ],
)
def test_settings_that_contradict_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        recipe_settings("race", settings)


# ------------------------------------------------------------------ cheaper


def admitted(calls: Any, phase: str, **how: Any) -> None:
    """Let every stage begin."""


async def thrifty(monkeypatch: pytest.MonkeyPatch, *rows: tuple[list[float], list[float]]) -> tuple[bool, int]:
    """Ask whether a cheaper workflow is as good, which by sample scores so; return that and the samples drawn."""
    lab = lab_of(flow(call("say", "q")), targets=["x"] * len(rows[0][0]))
    other = flow(call("tell", "q"))
    drawn: list[str] = []

    async def mark(workflow: Any, examples: Any, draw: str) -> list[Mark]:
        drawn.append(draw)
        number = len(set(drawn)) - 1
        scores: list[float] = rows[min(number, len(rows) - 1)][int(workflow.id == other.id)]
        return [Mark(score, 1.0) for score in scores]

    monkeypatch.setattr(lab, "mark", mark)
    monkeypatch.setattr(lab, "admit", admitted)
    good = await as_good(lab, RaceSettings(), lab.start, other, lab.train, "val")
    return good, len(set(drawn))


@pytest.mark.parametrize(
    ("rows", "good", "samples"),
    [
        ([([1, 0, 1], [1, 0, 1])], True, 1),  # nothing flipped
        ([([1.0] * 20, [0.0] * 10 + [1.0] * 10)], False, 1),  # surely worse
        ([([1, 1, 0, 1], [1, 0, 1, 1])] * 4, False, 2),  # it does not say, and replies do not change
        ([([1, 1, 0, 1], [0, 1, 1, 1]), ([1, 0, 1, 0], [1, 1, 1, 1]), ([1, 0, 1, 0], [1, 1, 1, 1])], True, 2),
    ],
)
def test_a_cheaper_one_is_sampled_until_it_shows(
    monkeypatch: pytest.MonkeyPatch, rows: list[tuple[list[float], list[float]]], good: bool, samples: int
) -> None:
    import asyncio

    found, count = asyncio.run(thrifty(monkeypatch, *rows))
    assert found is good
    assert count == samples <= SAMPLES


def test_replies_that_do_not_change_are_looked_at_again_on_a_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    lab = lab_of(flow(call("say", "q")), targets=["x"] * 30)
    other = flow(call("tell", "q"))
    asked: dict[str, int] = {}
    old, new = [1.0] * 15 + [0.0] * 15, [1.0] * 14 + [0.0] * 15 + [1.0]

    async def mark(workflow: Any, examples: Any, draw: str) -> list[Mark]:
        asked[draw] = max(asked.get(draw, 0), len(examples))
        scores = new if workflow.id == other.id else old
        return [Mark(score, 1.0) for score in scores[: len(examples)]]

    monkeypatch.setattr(lab, "mark", mark)
    monkeypatch.setattr(lab, "admit", admitted)
    assert not asyncio.run(as_good(lab, RaceSettings(), lab.start, other, lab.train, "val"))
    assert asked == {"val": 30, "val, sample 2": PROBE}


def test_an_unknown_operator_is_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"there is no operator 'demo'; did you mean 'demos'\? \(operators: bullets"):
        recipe_settings("race", {"operators": ["demo"]})


@pytest.mark.parametrize("calls", range(190, 270, 10))
def test_a_race_that_is_planned_is_run(calls: int) -> None:
    found = searched("blank", sizes=(24, 16, 1), budget=Budget(calls=calls))
    planned = {event["what"]: event["children"] for event in found.of("plan") if event["what"].endswith("race")}
    raced = {f"iteration {event['number']}: race" for event in found.of("race")}
    assert [what for what, children in planned.items() if children > 1 and what not in raced] == []
