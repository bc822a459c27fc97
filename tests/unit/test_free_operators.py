"""Operators without a meta model: what each proposes on which parent, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbot.engine.trace import StepTrace, Trace
from flowbot.search.findings import Attempt, Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators import demos, model, output_type, parameter, refine, run_code, templates, vote
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.blocks import Loop, Vote
from flowbot.workflow.draft import Draft
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Bounds, Workflow, rebuild
from flowbot.workflow.kept import frozen_loss
from flowbot.workflow.prompt import loses_frozen
from flowbot.workflow.steps import CodeStep, Demo
from tests.labs import found_in, lab_of, proposals, settings_of
from tests.nested import nested
from tests.sessions import block, call, code, flow, tool
from tests.strategies import workflows

FREE = [each.OPERATOR for each in (demos, output_type, templates, vote, refine, run_code, parameter, model)]
MODELS = ("vllm:m", "vllm:large", "vllm:huge")
PYTHON = {"calc": {"kind": "calculator"}, "python": {"kind": "python"}}
LABELS = ["a", "b"] * 6

ANSWER = call("answer", "q", gives={"a": "text"})
DIRECT = flow(ANSWER)
CHAIN = flow(
    call("plan", "q", gives={"expression": "text"}),
    tool("result", expression="$plan.expression"),
    call("answer", "q", "result.value", gives={"a": "text"}, max_tokens=60),
)
VOTE = flow(block("tries", "vote", {"a": "text"}, n=3, body=[ANSWER]))
CODE = flow(call("write", "q", gives={"program": "text"}), code("run", "$write.program", {"a": "text"}), tools=PYTHON)


def of(operator: Operator, parent: Workflow, lab: Lab | None = None, **parts: Any) -> list[Candidate]:
    """Return what an operator proposes on a parent."""
    return proposals(operator, lab or lab_of(parent, LABELS, models=MODELS), found_in(parent, **parts))


def one(operator: Operator, parent: Workflow, lab: Lab | None = None, **parts: Any) -> Workflow:
    """Return the first workflow that an operator proposes."""
    return of(operator, parent, lab, **parts)[0].workflow


def changed(old: Workflow, new: Workflow) -> dict[str, set[str]]:
    """Return the keys that differ, by step; of a step that is new or gone all of them."""
    was, now = settings_of(old), settings_of(new)
    found = {
        each: {key for key in {*was.get(each, {}), *now.get(each, {})} if _at(was, each, key) != _at(now, each, key)}
        for each in {*was, *now}
    }
    return {each: keys for each, keys in found.items() if keys}


def _at(steps: Mapping[str, Any], step_id: str, key: str) -> Json:
    return steps.get(step_id, {}).get(key)


def trace(workflow: Workflow, number: int, target: str, *parts: StepTrace, points: float = 1.0) -> Trace:
    """Return a scored run on one example."""
    return Trace(workflow, Example(f"p{number}", {"q": f"q {number}"}, target), parts, target, score=Score(points))


# ------------------------------------------------------------------ demos


def test_a_direct_call_shows_targets_evenly_in_place_of_what_it_showed() -> None:
    old = Demo(reads={"q": "old"}, gives={"a": "old"})
    made = of(demos.OPERATOR, DIRECT.with_steps({"answer": {"demos": (old,)}}), demos=4)
    assert [len(each.workflow.calls[0].demos) for each in made] == [4, 4, 2]
    for each in made:
        (step,) = each.workflow.calls
        assert changed(DIRECT, each.workflow) == {"answer": {"demos"}}
        assert sorted(str(demo.gives["a"]) for demo in step.demos) == sorted(["a", "b"] * (len(step.demos) // 2))
        assert all(demo.gives["a"] == LABELS[int(demo.reads["q"].split()[1])] for demo in step.demos)


def test_what_a_candidate_shows_is_not_predicted_to_flip() -> None:
    (made,) = of(demos.OPERATOR, DIRECT, lab_of(DIRECT, ["a", "b"]), defects=["prompt"] * 2, demos=1, variants=1)
    (shown,) = made.workflow.calls[0].demos
    assert made.flips == tuple(each for each in ("t0", "t1") if each != f"t{shown.reads['q'].split()[1]}")
    assert made.clusters == ("cluster 0", "cluster 1")


def test_a_vote_around_the_only_call_shows_targets_too() -> None:
    assert len(one(demos.OPERATOR, VOTE).calls[0].demos) == 8


def passed(workflow: Workflow, count: int) -> tuple[Trace, ...]:
    """Return runs of the chain that scored 1."""
    return tuple(
        trace(
            workflow,
            n,
            f"{n}",
            StepTrace("plan", {"q": f"q {n}"}, {"expression": f"{n} + 0"}),
            StepTrace("result", {"plan.expression": f"{n} + 0"}, {"value": n}),
            StepTrace("answer", {"q": f"q {n}", "result.value": n}, {"a": f"{n}"}),
        )
        for n in range(count)
    )


def test_a_chain_shows_what_its_calls_gave_in_runs_that_scored_1() -> None:
    failed = trace(CHAIN, 99, "x", StepTrace("answer", {"q": "bad", "result.value": 1}, {"a": "bad"}), points=0.5)
    made = of(demos.OPERATOR, CHAIN, passed=(*passed(CHAIN, 6), failed), demos=4)
    assert len(made) == 3
    for each in made:
        plan, answer = each.workflow.calls
        assert [demo.reads["q"] for demo in plan.demos] == [demo.reads["q"] for demo in answer.demos]
        assert changed(CHAIN, each.workflow) == {"plan": {"demos"}, "answer": {"demos"}}
        assert all(demo.gives["a"] == f"{demo.reads['result.value']}" for demo in answer.demos)
    assert len({frozenset(demo.reads["q"] for demo in each.workflow.calls[0].demos) for each in made}) == 3


def test_runs_of_a_forebear_show_the_calls_that_are_still_alike() -> None:
    now = CHAIN.with_steps({"plan": {"gives": {"expression": "text", "why": "text"}}})
    made = one(demos.OPERATOR, now, passed=passed(CHAIN, 3))
    assert [len(each.demos) for each in made.calls] == [0, 3]


def test_few_runs_give_few_sets_and_none_gives_none() -> None:
    assert [len(each.workflow.calls[0].demos) for each in of(demos.OPERATOR, CHAIN, passed=passed(CHAIN, 2))] == [2]
    assert of(demos.OPERATOR, CHAIN) == []


def test_long_demos_are_fewer() -> None:
    runs = [trace(CHAIN, n, "x", StepTrace("plan", {"q": "q" * 9_000}, {"expression": f"{n}"})) for n in range(5)]
    assert len(one(demos.OPERATOR, CHAIN, passed=tuple(runs)).calls[0].demos) == 2


def test_a_direct_call_also_shows_what_it_said_where_that_is_more_than_the_target() -> None:
    right = [StepTrace("answer", {"q": f"q {n}"}, {"a": f"It is {LABELS[n]}."}) for n in range(6)]
    made = of(demos.OPERATOR, DIRECT, passed=tuple(trace(DIRECT, n, LABELS[n], right[n]) for n in range(6)), demos=4)
    shown = [{demo.gives["a"] for demo in each.workflow.calls[0].demos} for each in made]
    assert shown == [{"a", "b"}, {"It is a.", "It is b."}, {"a", "b"}]
    same = [StepTrace("answer", {"q": f"q {n}"}, {"a": LABELS[n]}) for n in range(6)]
    parts = [Trace(DIRECT, Example(f"t{n}", {"q": f"q {n}"}), (same[n],), score=Score(1.0)) for n in range(6)]
    made = of(demos.OPERATOR, DIRECT, passed=tuple(parts), demos=12)
    assert [len(each.workflow.calls[0].demos) for each in made] == [12, 6]


# ------------------------------------------------------------------ output type


def test_the_output_gets_the_type_of_the_targets_once_more_with_a_reasoning() -> None:
    plain, reasoned = of(output_type.OPERATOR, VOTE)
    assert changed(VOTE, plain.workflow) == {"tries": {"gives"}, "answer": {"gives"}}
    assert str(plain.workflow.output_type) == "choice[a, b]"
    assert list(reasoned.workflow.calls[0].gives) == ["reasoning", "a"]
    assert changed(VOTE, reasoned.workflow) == {"tries": {"gives"}, "answer": {"gives", "prompt"}}
    numbers = lab_of(DIRECT, [1, "2", 3.5])
    assert str(one(output_type.OPERATOR, DIRECT, numbers).output_type) == "number"


@pytest.mark.parametrize("targets", [["a", "b", "c"], [["a"]] * 9, []])
def test_targets_of_no_type_propose_none(targets: Sequence[Json]) -> None:
    assert of(output_type.OPERATOR, DIRECT, lab_of(DIRECT, targets)) == []
    assert of(output_type.OPERATOR, one(output_type.OPERATOR, DIRECT)) == []  # it has the type


# ------------------------------------------------------------------ templates


def test_the_output_call_reasons_first_and_the_call_to_blame_gets_rules() -> None:
    think, single, double = of(templates.OPERATOR, CHAIN, blame=["plan"], defects=["prompt"])
    assert changed(CHAIN, think.workflow) == {"answer": {"gives", "prompt", "max_tokens"}}
    assert list(think.workflow.calls[1].gives) == ["reasoning", "a"]
    assert think.workflow.calls[1].max_tokens == 400
    for each, count in ((single, 1), (double, 2)):
        assert changed(CHAIN, each.workflow) == {"plan": {"prompt"}}
        assert each.workflow.prompts["plan"].count("\n- ") == count
        assert each.flips == ("t0",)


def test_rules_that_were_tried_come_last_and_those_there_not_again() -> None:
    first = of(templates.OPERATOR, DIRECT, variants=6)
    failed = tuple(Attempt(each.edits[0], "templates", "lost") for each in first)
    second = of(templates.OPERATOR, DIRECT, failed=failed, variants=2)
    rules = [rule for each in first for rule in each.edits[0].split('"')[1::2]]
    assert len(rules) == 7
    assert not any(rule in each.edits[0] for rule in rules for each in second)
    child = first[1].workflow
    again = of(templates.OPERATOR, child, variants=20)
    assert not any(rules[0] in each.edits[0] for each in again)
    assert len({each.id for each in again}) == len(again)


def test_a_reasoning_takes_a_name_that_no_step_gives() -> None:
    parent = flow(
        call("think", "q", gives={"reasoning": "text"}), call("answer", "think.reasoning", gives={"a": "text"})
    )
    assert list(one(templates.OPERATOR, parent).calls[1].gives) == ["reasoning_2", "a"]


# ------------------------------------------------------------------ vote


def test_a_vote_of_three_then_of_five() -> None:
    three, five = of(vote.OPERATOR, CHAIN)
    for each, size in ((three, 3), (five, 5)):
        assert changed(CHAIN, each.workflow).keys() == {"answer_vote"}
        step = each.workflow.step("answer_vote")
        assert isinstance(step, Vote)
        assert step.n == size
        assert each.workflow.output == "answer_vote.a"


def test_demos_are_voted_on_in_several_orders() -> None:
    shown = tuple(Demo(reads={"q": f"q {n}"}, gives={"a": "x"}) for n in range(2))
    second = of(vote.OPERATOR, DIRECT.with_steps({"answer": {"demos": shown}}))[1].workflow
    step = second.step("answer_vote")
    assert isinstance(step, Vote)
    assert step.shuffle_demos
    assert second.calls[0].temperature == 0


def test_a_vote_that_is_there_gets_more_samples() -> None:
    made = [each.workflow.step("tries") for each in of(vote.OPERATOR, VOTE)]
    assert [step.n for step in made if isinstance(step, Vote)] == [5, 7, 9]
    assert of(vote.OPERATOR, VOTE, lab_of(VOTE, bounds=Bounds(calls=4))) == []


def test_a_program_is_voted_on_with_its_writer() -> None:
    parent = CODE.with_steps({"write": {"temperature": 0.0}})
    made = one(vote.OPERATOR, parent)
    step = made.step("run_vote")
    assert isinstance(step, Vote)
    assert [each.id for each in step.body.steps] == ["write", "run"]
    assert changed(parent, made) == {
        "write": {"temperature"},
        "run_vote": {"id", "kind", "gives", "n"},
    }
    whole = one(vote.OPERATOR, one(run_code.OPERATOR, CODE))
    assert [each.kind for each in whole.steps] == ["vote"]
    assert isinstance(whole.step("run_loop"), Loop)


# ------------------------------------------------------------------ refine


def test_the_output_call_and_the_call_to_blame_are_checked() -> None:
    lab = lab_of(CHAIN, description="Add it up.")
    made = of(refine.OPERATOR, CHAIN, lab, blame=["plan"])
    assert [each.workflow.step(name).kind for each, name in zip(made, ("answer_loop", "plan_loop"), strict=False)] == [
        "loop",
        "loop",
    ]
    assert made[0].workflow.prompts["check"].startswith("Add it up.\n\n")
    third = made[2].workflow.step("answer_loop")
    assert isinstance(third, Loop)
    assert third.max == 3


def test_a_loop_that_checks_gets_a_turn_more_and_no_loop_within() -> None:
    parent = one(refine.OPERATOR, DIRECT)
    (made,) = of(refine.OPERATOR, parent)
    assert changed(parent, made.workflow) == {"answer_loop": {"max"}}


# ------------------------------------------------------------------ run code


def test_a_call_writes_a_program_that_is_run() -> None:
    parent = rebuild(CHAIN.with_steps({"answer": {"tools": ("calc",)}}), tools=PYTHON)
    plain, looped = (each.workflow for each in of(run_code.OPERATOR, parent))
    writer, runs = plain.step("answer_program"), plain.step("answer")
    assert isinstance(runs, CodeStep)
    assert runs.code == "$answer_program.program"
    assert changed(parent, plain).keys() == {"answer_program", "answer"}
    assert settings_of(plain)["answer_program"].keys() == {"id", "kind", "reads", "gives", "max_tokens", "prompt"}
    assert plain.calls[1].max_tokens == 400
    assert "comment and a variable" in plain.prompts[writer.id]
    step = looped.step("answer_loop")
    assert isinstance(step, Loop)
    assert (step.max, step.until) == (2, "answer.ok")
    assert looped.calls[1].reads == ("q", "result.value", "previous.program", "previous.error")
    assert looped.output == "answer_loop.a"


@pytest.mark.parametrize(
    ("kind", "variable"), [("number", False), ("choice[x, y]", False), ("list[text]", True), ("json", True)]
)
def test_a_program_sets_a_variable_where_printing_says_too_little(kind: str, variable: bool) -> None:
    parent = flow(call("answer", "q", gives={"a": kind}), tools=PYTHON)
    plain, looped = (each.workflow for each in of(run_code.OPERATOR, parent))
    assert plain.prompts["answer_program"].endswith("variable is a") == variable
    assert "variable is a\n" in looped.prompts["answer_program"]  # beside ok and error nothing is read off the print
    assert looped.step("answer").gives.keys() == {"a", "ok", "error"}


def test_a_program_that_is_there_is_mended_where_it_fails() -> None:
    (made,) = of(run_code.OPERATOR, CODE)
    assert changed(CODE, made.workflow) == {
        "write": {"reads", "prompt"},
        "run": {"gives"},
        "run_loop": {"id", "kind", "gives", "until"},
    }
    assert of(run_code.OPERATOR, made.workflow) == []


def test_programs_need_a_python_tool() -> None:
    assert of(run_code.OPERATOR, CHAIN) == []
    assert of(run_code.OPERATOR, DIRECT, lab_of(flow(ANSWER, tools=PYTHON)))
    frozen = flow({**ANSWER, "frozen": True}, tools=PYTHON)
    assert of(run_code.OPERATOR, frozen) == []
    held = flow({**ANSWER, "prompt": "<!-- frozen -->Say a.<!-- /frozen -->"}, tools=PYTHON)
    assert of(run_code.OPERATOR, held) == []


# ------------------------------------------------------------------ parameter

SEARCH = {
    "old": {"kind": "function", "function": "m:old", "arguments": {"query": "text"}},
    "new": {"kind": "function", "function": "m:new", "arguments": {"query": "text", "n": "number"}, "optional": ["n"]},
    "other": {"kind": "calculator"},
}
LOOKS = flow(
    {"id": "look", "kind": "tool", "tool": "old", "args": {"query": "$q"}, "gives": {"found": "text"}},
    call("rate", "q", "look.found", gives={"good": "bool"}, tools=["old"]),
    call("answer", "look.found", "rate.good", gives={"a": "text"}),
    tools=SEARCH,
)


def test_a_tool_is_swapped_for_those_with_the_same_arguments_where_tools_fail() -> None:
    made = of(parameter.OPERATOR, LOOKS, blame=["rate", "look"], defects=["prompt", "tool"], variants=3)
    assert [changed(LOOKS, each.workflow) for each in made] == [
        {"rate": {"max_tool_calls"}},
        {"rate": {"tools"}},
        {"look": {"tool"}},
    ]
    assert [getattr(each.workflow.step("rate"), "tools", ()) for each in made[:2]] == [("old",), ("new",)]
    assert {each.clusters for each in made} == {("cluster 1",)}


def test_a_parameter_of_the_step_to_blame_comes_first() -> None:
    made = of(parameter.OPERATOR, LOOKS, blame=["rate"], defects=["parameter"], variants=1)
    assert changed(LOOKS, made[0].workflow) == {"rate": {"gives"}}
    assert str(made[0].workflow.step("rate").gives["good"]) == "text"
    failed = (Attempt(made[0].edits[0], "parameter", "lost"),)
    again = of(parameter.OPERATOR, LOOKS, blame=["rate"], defects=["parameter"], variants=1, failed=failed)
    assert changed(LOOKS, again[0].workflow) == {"rate": {"temperature"}}


def test_a_size_that_lost_says_nothing_of_another() -> None:
    parent = nested("whole")
    failed = (Attempt("let 'each' have at most 50", "parameter", "lost"),)
    made = one(parameter.OPERATOR, parent, blame=["look"], defects=["parameter"], failed=failed)
    assert getattr(made.step("each"), "cap", 0) == 5


def test_sizes_grow_by_one_and_as_far_as_the_bounds_go() -> None:
    parent = nested("whole")
    lab = lab_of(parent, bounds=Bounds(calls=60, depth=40))
    made = of(parameter.OPERATOR, parent, lab, blame=["look"], defects=["parameter"], variants=2)
    assert [getattr(each.workflow.step("each"), "cap", 0) for each in made] == [5, 32]


def test_a_search_gives_more_results_and_a_cut_reply_has_room() -> None:
    tools = {"find": {"kind": "bm25", "corpus": "c.jsonl", "k": 3}}
    parent = flow(
        {"id": "look", "kind": "tool", "tool": "find", "args": {"query": "$q"}, "gives": {"found": "list[text]"}},
        call("answer", "look.found", gives={"a": "text"}, max_tokens=10),
        tools=tools,
    )
    made = one(parameter.OPERATOR, parent, blame=["look"])
    assert settings_of(made)["look"]["args"] == {"query": "$q", "k": 6}
    cut = trace(parent, 1, "x", StepTrace("answer", {}, {}, error="the reply was cut at 10 tokens"), points=0.0)
    made = one(parameter.OPERATOR, parent, blame=["answer"], traces=(cut,))
    assert changed(parent, made) == {"answer": {"max_tokens"}}


# ------------------------------------------------------------------ model


def test_other_models_answer_the_call_to_blame_then_all() -> None:
    made = of(model.OPERATOR, CHAIN, blame=["plan"], variants=9)
    assert [[step.model for step in each.workflow.calls] for each in made] == [
        ["vllm:large", None],
        ["vllm:huge", None],
        ["vllm:large", "vllm:large"],
        ["vllm:huge", "vllm:huge"],
    ]
    back = of(model.OPERATOR, made[2].workflow, blame=["plan"], variants=9)[0]
    assert [step.model for step in back.workflow.calls] == [None, "vllm:large"]
    assert of(model.OPERATOR, CHAIN, lab_of(CHAIN, models=("vllm:m",))) == []


# ------------------------------------------------------------------ all of them


@pytest.mark.parametrize("operator", FREE, ids=lambda operator: operator.name)
@pytest.mark.parametrize("name", ["whole", "judged", "tested", "program", "inline", "own", "deep", "flat", "one"])
def test_nested_parents_give_valid_candidates(operator: Operator, name: str) -> None:
    parent = nested(name)
    steps = [step.id for step in parent.all_steps]
    for blame in ([], steps[:1], steps[-2:]):
        for each in of(operator, parent, blame=blame, defects=["tool", "parameter"]):
            assert each.operator == operator.name
            assert each.parent == parent.id
            assert each.hypothesis
            assert not frozen_loss(Draft.of(parent), Draft.of(each.workflow))


def test_none_needs_a_meta_model_and_all_are_drawn_by_the_seed() -> None:
    assert [operator.meta for operator in FREE] == [0] * len(FREE)

    def ids(operator: Operator, seed: int) -> list[str]:
        lab = lab_of(DIRECT, LABELS, models=MODELS, seed=seed)
        return [each.id for each in of(operator, DIRECT, lab, demos=3)]

    for operator in FREE:
        assert ids(operator, 1) == ids(operator, 1)
    assert ids(demos.OPERATOR, 1) != ids(demos.OPERATOR, 2)
    assert ids(templates.OPERATOR, 1) != ids(templates.OPERATOR, 2)


def test_a_guarded_text_is_not_proposed() -> None:
    def guard(text: str) -> str:
        return "" if text == "Do answer." else "copied"

    lab = lab_of(DIRECT, LABELS, guard=guard)
    assert of(templates.OPERATOR, DIRECT, lab) == []
    assert of(refine.OPERATOR, DIRECT, lab) == []
    assert of(vote.OPERATOR, DIRECT, lab)


@pytest.mark.slow
@settings(deadline=None)
@given(workflows(), st.data())
def test_on_any_workflow_every_candidate_is_valid_and_another(parent: Workflow, data: st.DataObject) -> None:
    if data.draw(st.booleans()):
        parent = rebuild(parent, tools={**parent.tools, "python": {"kind": "python"}, "sums": {"kind": "calculator"}})
    steps = st.sampled_from([step.id for step in parent.all_steps])
    blame = data.draw(st.lists(steps, unique=True, max_size=3))
    lab = lab_of(parent, LABELS, models=("openai:gpt-4.1-mini", "local:small"), seed=data.draw(st.integers(0, 9)))
    found: Findings = found_in(parent, blame=blame, defects=data.draw(st.permutations(["tool", "parameter"])))
    for operator in FREE:
        made = proposals(operator, lab, found)
        assert len(made) <= found.variants
        assert len({parent.id, *(each.id for each in made)}) == len(made) + 1
        for each in made:
            child = each.workflow
            assert child.within(lab.bounds).output.partition(".")[2] == parent.output.partition(".")[2]
            assert parent.output_type.accepts(child.output_type)
            assert not frozen_loss(Draft.of(parent), Draft.of(child))
            assert not any(loses_frozen(text, child.prompts.get(name, text)) for name, text in parent.prompts.items())
