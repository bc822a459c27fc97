"""What a planted world's meta model says to other optimisers: as much as to FlowBot, from what their requests show."""

from __future__ import annotations

import json
import re

import pytest

from flowbot.models.scripted import World
from flowbot.models.scripted.faults import CHAIN
from flowbot.models.scripted.orders import notes_in
from tests.dialects import (
    PEERS,
    PLANTED_META,
    at_fault,
    back,
    chat,
    dspy_gepa,
    fields,
    gepa,
    gepa_asked,
    instruction_of,
    proposed,
    ran,
    said,
    short,
    talk,
    textgrad,
)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("peer", PEERS)
def test_a_perfect_meta_model_adds_the_missing_rule_and_keeps_the_rest(peer: str, seed: int) -> None:
    world, step, runs = at_fault(seed, skill=1.0)
    instruction = instruction_of(world, step)
    made = PEERS[peer](world, instruction, runs)
    assert f"- {world.planted.rule}" in made.splitlines()
    assert set(instruction.split("\n")) <= set(made.split("\n"))


@pytest.mark.parametrize("peer", PEERS)
def test_without_skill_or_with_garbage_no_rule_is_learnt(peer: str) -> None:
    for more in ({"skill": 0.0}, {"garbage": 1.0}):
        for seed in range(6):
            world, step, runs = at_fault(seed, **more)
            try:
                made = PEERS[peer](world, instruction_of(world, step), runs)
            except (AssertionError, KeyError):  # half of the useless replies do not keep to the form
                assert more == {"garbage": 1.0}
                continue
            assert world.planted.rule not in made


def test_half_of_the_useless_replies_keep_to_the_form() -> None:
    world, step, _ = at_fault(0, garbage=1.0)
    runs = ran(world, step, 60, concerned=True)
    replies = [said(world, PLANTED_META, "", gepa_asked(instruction_of(world, step), [run])) for run in runs]
    assert not any("carry the mark" in reply for reply in replies)
    assert 0.3 < sum("```" in reply for reply in replies) / len(replies) < 0.7


@pytest.mark.slow
def test_skill_is_the_chance_that_an_update_adds_the_rule_that_its_evidence_shows() -> None:
    for peer in (gepa, dspy_gepa):
        hits = 0
        for seed in range(30):
            world, step, _ = at_fault(seed, skill=0.6)
            for run in ran(world, step, 10, concerned=True):
                hits += world.planted.rule in peer(world, instruction_of(world, step), [run])
        assert 0.53 < hits / 300 < 0.67


def test_feedback_fades_with_each_layer_as_gradients_of_flowbot_do() -> None:
    shares: dict[str, list[bool]] = {step: [] for step in CHAIN}
    for seed in range(30):
        world, step, _ = at_fault(seed, skill=0.6)
        for run in ran(world, step, 10, concerned=True):
            shares[step].append(world.planted.rule in textgrad(world, instruction_of(world, step), [run]))
    last = sum(shares["write"]) / len(shares["write"])
    middle = shares["note"] + shares["weigh"]
    assert 0.26 < last < 0.46  # a critique and an update: 0.36
    assert 0.14 < sum(middle) / len(middle) < 0.3  # one layer more: 0.22


def test_what_a_request_does_not_show_is_not_known() -> None:
    world, step, runs = at_fault(0, skill=1.0)
    instruction = instruction_of(world, step)
    for peer in (gepa, dspy_gepa):
        assert peer(world, instruction, ran(world, step, 3, concerned=False)) == instruction
        assert peer(world, instruction, [{**runs[0], "said": "This trajectory got a score of 0.0."}]) == instruction
    assert proposed(world, instruction, "Orders with marks.", "before -> notes") == instruction


def test_a_rule_of_another_stage_is_not_put_into_a_step() -> None:
    world, step, _ = at_fault(0, skill=1.0)
    for other in set(CHAIN) - {step}:
        instruction = instruction_of(world, other)
        for peer in (gepa, dspy_gepa):
            assert peer(world, instruction, ran(world, other, 3, concerned=True)) == instruction
        module = {"note": "order -> notes", "weigh": "before -> notes", "write": "notes -> marks"}[other]
        assert proposed(world, instruction, world.planted.rule, module) == instruction


def test_what_a_step_did_that_is_not_shown_cannot_place_a_rule() -> None:
    world, step, runs = at_fault(0, skill=1.0)
    order = notes_in(runs[0]["read"])
    assert order is not None
    blurred = [{"read": order.order, "gave": runs[0]["got"], "said": runs[0]["said"]}]
    for other in CHAIN:  # inputs and outputs of the whole say nothing of the steps: it goes wherever it is asked for
        assert world.planted.rule in gepa(world, instruction_of(world, other), blurred)
    assert step in CHAIN


def test_feedback_in_other_words_is_read() -> None:
    world, step, runs = at_fault(1, skill=1.0)
    marks = " ".join(json.loads(runs[0]["expected"]))
    for words in (
        f"The generated response is incorrect. The correct answer is '{marks}'. Ensure that it is included.",
        f"Score: 0\nGround truth: {runs[0]['expected']}\nGot: {runs[0]['got']}",
        f"The marks should have been {marks}.",
    ):
        assert world.planted.rule in gepa(world, instruction_of(world, step), [{**runs[0], "said": words}])


def test_a_false_statement_is_taken_out() -> None:
    world = World("bad_seed", 0, skill=1.0, noise=0.0)
    call = world.start.calls[-1]
    order = next(each for each in world.fresh(50) if each.target)
    feedback = f"Wrong: expected '{json.dumps(order.target)}', got '[\"X7\"]'."
    run = {"read": order.inputs["order"], "gave": '{"marks": ["X7"]}', "said": feedback}
    assert "every order" not in gepa(world, call.prompt, [run])
    right = {**run, "gave": json.dumps({"marks": order.target}), "said": f"Right.\nExpected: {order.target}"}
    assert gepa(world, call.prompt, [right]) == call.prompt.strip()


def test_rows_must_agree_before_a_rule_is_seen_in_them() -> None:
    world = World("blank", skill=1.0)
    rows = [row for row in world.data(40, 1)["train"] if len(row["marks"]) == 1]
    same = [row for row in rows if row["marks"] == rows[0]["marks"]][:2]
    for shown_rows, count in ((same[:1], 0), (same, 1)):
        values = {"examples": str([f"Example({row})" for row in shown_rows])}
        found = fields(said(world, PLANTED_META, *chat("Observe.", values, {"observations": "str"})))["observations"]
        assert len(re.findall(r"carry the mark", found)) == count


def test_an_evaluation_and_a_mean_hand_on_what_is_said() -> None:
    world, step, runs = at_fault(2, skill=1.0)
    run = runs[0]
    told = said(world, PLANTED_META, f"Is it right? The correct answer is {run['expected']}.", run["got"])
    assert told == f"expected {run['expected']}, got {run['got']}."
    two = said(
        world, PLANTED_META, "You compare.", f"Compare.\n**prediction**: {run['got']}\n**expected**: {run['expected']}"
    )
    assert two == told
    conversation = talk("Is it right?", {"read": run["got"], "gave": told})
    on_output = back(world, conversation, run["got"], "\n")  # TextGrad's sum of losses has an empty gradient
    assert on_output == told
    mean = said(
        world,
        PLANTED_META,
        "Your only responsibility is to critically aggregate and summarize the feedback from sources.",
        f"<FEEDBACK>{on_output}</FEEDBACK>\n<FEEDBACK>{on_output}</FEEDBACK>\n<FEEDBACK>Well.</FEEDBACK>",
    )
    assert mean == f"{on_output}\nWell."
    assert step in CHAIN


def test_a_long_prompt_that_is_shown_in_part_is_not_cut() -> None:
    world, step, runs = at_fault(0, skill=1.0)
    instruction = f"{instruction_of(world, step)}\n\nKeep calm. {'Be kind and wise. ' * 20}".strip()
    assert "(...)" in short(instruction)
    assert instruction.split("\n")[-1] in textgrad(world, instruction, runs)
