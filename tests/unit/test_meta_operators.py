"""Operators with a meta model: what they show it, what they make of its reply, and that no reply breaks them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowbot.engine.flat import flatten
from flowbot.engine.forward import forward
from flowbot.engine.ports import Reply
from flowbot.engine.trace import Trace
from flowbot.engine.verdict import Verdict
from flowbot.search.findings import Attempt, Cluster, Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators import bullets, cheaper, contrast, fix, merge, resketch, structure
from flowbot.search.operators.drawing import changes
from flowbot.search.operators.rewrite import accounted
from flowbot.search.operators.shown import numbered, predicted
from flowbot.store.journal import MemoryJournal
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.bullets import bullets as bullets_of
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from tests.nested import nested
from tests.sessions import PROMPTS, Script, Scripted, block, call, flow, meta_of, tool
from tests.strategies import json_values, workflows

ALL = [module.OPERATOR for module in (bullets, fix, structure, contrast, merge, cheaper, resketch)]
TWO = flow(call("plan", "q", prompt="Plan it.\n- Be brief.\n- Use numbers."), call("say", "q", "plan.out"))
TRAIN = tuple(Example(f"e{n}", {"q": f"item {n}"}, "one") for n in range(1, 9))
EMPTY: dict[str, Json] = {"hypothesis": "", "flips": []}
OPEN, CLOSE = "<!-- frozen -->", "<!-- /frozen -->"


def lab_of(session: Scripted, guard: Any = None, kinds: Sequence[str] = (), **meta: Any) -> Lab:
    return Lab(
        start=TWO,
        train=TRAIN,
        val=(),
        session=session,
        stages=cast(Any, None),
        workers=cast(Any, None),
        meta=meta_of(session, **meta),
        journal=MemoryJournal(),
        guard=guard or (lambda text: "" if str(text).strip() else "is empty"),
        score=cast(Any, None),
        kinds=tuple(kinds),
    )


def cluster(name: str = "units", *ids: str, step: str = "plan", rule: str = "Name the unit.") -> Cluster:
    found = tuple(Verdict(each, (step,), "prompt", rule) for each in ids or ("e1", "e2"))
    return Cluster(name, "prompt", rule, found)


def findings(parent: Workflow = TWO, **more: Any) -> Findings:
    facts: dict[str, Any] = {"clusters": (cluster(),), "blame": {"plan": 0.75, "say": 0.25}}
    return Findings(3, parent, **(facts | more))


def proposed(
    operator: Operator, found: Findings, *replies: Any, lab: Mapping[str, Any] | None = None
) -> tuple[list[Candidate], Scripted]:
    left = list(replies)

    def script(request: Any) -> str | Reply:
        said = left.pop(0) if len(left) > 1 else left[0]
        return said if isinstance(said, str | Reply) else json.dumps(said)

    session = Scripted(script)
    return list(asyncio.run(operator.propose(lab_of(session, **(lab or {})), found))), session


def one(operator: Operator, found: Findings, *replies: Any, **more: Any) -> tuple[Candidate, Scripted]:
    made, session = proposed(operator, found, *replies, lab=more)
    assert len(made) == 1, session.requests[-1].messages[-1]["content"]
    return made[0], session


def entry(step_id: str, *reads: str, gives: str = "out", **more: Any) -> dict[str, Any]:
    return {
        "id": step_id,
        "role": f"Do {step_id}",
        "reads": list(reads),
        "gives": [{"name": gives, "type": "text"}],
    } | more


def drawing(*steps: Mapping[str, Any], output: str = "say.out", **instructions: str) -> dict[str, Json]:
    told = [{"step": step, "instruction": text} for step, text in instructions.items()]
    return {"hypothesis": "Why.", "steps": list(steps), "output": output, "instructions": told, "flips": []}


def test_each_is_registered_with_its_price() -> None:
    assert [(each.name, each.meta, each.structural) for each in ALL] == [
        ("bullets", 1, False),
        ("fix", 1, False),
        ("structure", 1, True),
        ("contrast", 1, True),
        ("merge", 1, True),
        ("cheaper", 1, True),
        ("resketch", 1, True),
    ]


@pytest.mark.parametrize("operator", [bullets, fix, structure, contrast, merge])
def test_without_anything_to_learn_from_nothing_is_proposed_or_asked(operator: Any) -> None:
    made, session = proposed(operator.OPERATOR, findings(clusters=(), blame={}), "never")
    assert (made, session.requests) == ([], [])


# ------------------------------------------------------------------ bullets


def ids(workflow: Workflow, step: str) -> list[str]:
    return [*bullets_of(workflow.prompts[step])]


def test_bullets_change_rules_of_several_steps_in_one_edit() -> None:
    brief, _ = ids(TWO, "plan")
    edits = [
        {"step": "plan", "add": ["- Name the unit."], "remove": [f"[{brief}]"]},
        {"step": "say", "add": ["Say it\nonce."], "remove": []},
    ]
    failed = tuple(Attempt(f"edit {n}", "fix", "lost") for n in range(12))
    found = findings(failed=failed)
    made, session = one(bullets.OPERATOR, found, {"edits": edits, "hypothesis": "Units.", "flips": ["e2", "e9"]})
    assert made.workflow.prompts == {
        "plan": "Plan it.\n- Use numbers.\n- Name the unit.",
        "say": "Do say.\n\n- Say it once.",
    }
    assert made.parent == TWO.id
    assert (made.operator, made.clusters, made.flips, made.hypothesis) == ("bullets", ("units",), ("e2",), "Units.")
    assert made.edits == ("bullets of 'plan': add 1, remove 1: Name the unit.", "bullets of 'say': add 1: Say it once.")
    assert made.paid.calls == 1
    (request,) = session.requests
    assert (request.purpose, request.draw) == ("proposal", "iteration 3, bullets")
    text = request.messages[1]["content"]
    assert f"- [{brief}] Be brief." in text
    assert "1. units: 2 failures (e1, e2), prompt at plan\n   rule: Name the unit." in text
    assert "plan 75%, say 25%" in text
    assert "e1: q: item 1\ne2: q: item 2" in text
    assert "- fix: edit 11: lost" in text
    assert "edit 3" not in text


def test_what_is_not_usable_of_bullets_is_passed_over() -> None:
    def guard(text: str) -> str:
        return "copies an example" if "item 1" in text else ""

    edits: Json = [
        {"step": "nobody", "add": ["x"]},
        {"step": "`plan`", "add": ["item 1 is one", "", "Be brief.", "Count.", 7], "remove": ["bffff", None]},
        "garbage",
        {"add": "x"},
    ]
    made, session = one(bullets.OPERATOR, findings(), {"edits": edits, "hypothesis": None, "flips": None}, guard=guard)
    assert made.workflow.prompts["plan"] == "Plan it.\n- Be brief.\n- Use numbers.\n- Count.\n- 7"
    assert made.flips == ("e1", "e2")
    assert len(session.requests) == 1


def test_bullets_without_a_usable_edit_go_back_once() -> None:
    def guard(text: str) -> str:
        return "copies an example" if "item 1" in text else ""

    bad = {"edits": [{"step": "plam", "add": ["x"], "remove": []}], "hypothesis": "", "flips": []}
    copying = {"edits": [{"step": "plan", "add": ["item 1 is one"], "remove": []}], "hypothesis": "", "flips": []}
    good = {"edits": [{"step": "plan", "add": ["Count."], "remove": []}], "hypothesis": "", "flips": []}
    made, session = one(bullets.OPERATOR, findings(), bad, good)
    assert "there is no step 'plam' to change (steps: plan, say)" in session.requests[1].messages[-1]["content"]
    assert made.paid.calls == 2
    made_none, session = proposed(bullets.OPERATOR, findings(), copying, copying, lab={"guard": guard})
    assert made_none == []
    assert "copies an example" in session.requests[1].messages[-1]["content"]
    made_none, _ = proposed(bullets.OPERATOR, findings(), {"edits": [], "hypothesis": "", "flips": []})
    assert made_none == []


def test_the_one_call_is_meant_whatever_step_is_named_and_frozen_ones_are_not_shown() -> None:
    alone = flow(call("say", "q"))
    reply = {"edits": [{"step": "the model", "add": ["Count."], "remove": []}], "hypothesis": "", "flips": []}
    made, _ = one(bullets.OPERATOR, findings(alone), reply)
    assert made.workflow.prompts == {"say": "Do say.\n\n- Count."}
    frozen = flow(call("plan", "q", frozen=True), call("say", "plan.out"))
    made, session = one(bullets.OPERATOR, findings(frozen), reply)
    assert made.workflow.prompts == {"plan": "Do plan.", "say": "Do say.\n\n- Count."}
    assert "## plan" not in session.requests[0].messages[1]["content"]
    nothing, session = proposed(bullets.OPERATOR, findings(flow(call("say", "q", frozen=True))), reply)
    assert (nothing, session.requests) == ([], [])


# ------------------------------------------------------------------ fix


def rewrite(text: str, *dropped: str, **more: Any) -> dict[str, Json]:
    return {"hypothesis": "Why.", "instruction": text, "dropped": list(dropped), "flips": []} | more


def test_a_fix_rewrites_the_most_blamed_call_and_puts_back_what_it_does_not_account_for() -> None:
    brief, _numbers = ids(TWO, "plan")
    made, session = one(fix.OPERATOR, findings(), rewrite("Plan well.\n- Name the unit."))
    assert made.workflow.prompts["plan"] == "Plan well.\n- Name the unit.\n- Be brief.\n- Use numbers."
    assert made.edits == ("write the prompt of 'plan' anew: Why.",)
    assert made.flips == ("e1", "e2")
    text = session.requests[0].messages[1]["content"]
    assert f"instruction:\nPlan it.\n- [{brief}] Be brief." in text
    made, _ = one(fix.OPERATOR, findings(), rewrite("Plan well. Use numbers only!", f"{brief}: Be brief."))
    assert made.workflow.prompts["plan"] == "Plan well. Use numbers only!"
    made, _ = one(fix.OPERATOR, findings(), rewrite(f"Plan.\n- [{brief}] Be very brief.", "Use numbers."))
    assert made.workflow.prompts["plan"] == "Plan.\n- Be very brief."


def test_a_fix_keeps_frozen_blocks() -> None:
    held = TWO.with_prompts({"plan": f"{OPEN}Never guess.\n- Ask.{CLOSE}\n\nPlan.\n- Be brief."})
    made, _ = one(fix.OPERATOR, findings(held), rewrite("Plan well.", "Be brief."))
    assert made.workflow.prompts["plan"] == f"{OPEN}Never guess.\n- Ask.{CLOSE}\n\nPlan well."
    nothing, session = proposed(fix.OPERATOR, findings(), rewrite(f"{OPEN}x{CLOSE} Plan."))
    assert nothing == []
    assert "must not hold the marker" in session.requests[1].messages[-1]["content"]


def test_a_fix_finds_the_call_behind_a_step_and_leaves_frozen_calls_alone() -> None:
    body = [call("draft", "q"), call("check", "draft.out")]
    parent = flow(
        call("plan", "q"),
        tool("sum", expression="$plan.out"),
        block("turns", "loop", body=body),
        call("say", "sum.value", "turns.out"),
    )
    for blamed, wanted in (("sum", "plan"), ("turns", "check"), ("draft", "draft"), ("gone", "say")):
        target = fix.target(findings(parent, blame={blamed: 0.7, "say": 0.3}))
        assert target is not None
        assert target.id == wanted
    frozen = flow(call("plan", "q", frozen=True), call("say", "plan.out"))
    target = fix.target(findings(frozen))
    assert target is not None
    assert target.id == "say"
    assert fix.target(findings(flow(call("say", "q", frozen=True)), blame={"say": 1.0})) is None


def test_a_fix_sees_the_runs_that_went_wrong() -> None:
    trace = ran(TWO, TRAIN[0], lambda r: "wrong", 0.0)
    _, session = one(fix.OPERATOR, findings(traces=(trace,)), rewrite("Plan well."))
    text = session.requests[0].messages[1]["content"]
    assert "runs:\ne1\nread q: item 1\ngave out: wrong\nOutput: wrong\nExpected: one\nScore: 0." in text


@pytest.mark.parametrize("reply", [rewrite(""), rewrite("Plan it.\n- Be brief.\n- Use numbers."), "no idea", {"x": 1}])
def test_a_fix_that_changes_nothing_is_dropped(reply: Json) -> None:
    made, session = proposed(fix.OPERATOR, findings(), reply)
    assert made == []
    assert len(session.requests) == 2


# ------------------------------------------------------------------ structure


def test_a_structure_comes_with_the_instructions_of_new_and_neighbouring_steps() -> None:
    brief, _ = ids(TWO, "plan")
    reply = drawing(
        entry("plan", "q"),
        entry("check", "plan.out"),
        entry("say", "q", "check.out"),
        check="Check the plan.",
        say="Say what was checked.",
        plan=f"Plan for the check.\n- [{brief}] Be brief.",
        nobody="x",
    )
    made, session = one(structure.OPERATOR, findings(), reply)
    assert made.workflow.prompts == {
        "plan": "Plan for the check.\n- Be brief.\n- Use numbers.",
        "check": "Check the plan.",
        "say": "Say what was checked.",
    }
    assert made.edits == (
        "~ plan: prompt",
        "+ added check (call) reads plan.out; gives out: text",
        "~ say: reads: q, plan.out -> q, check.out; prompt",
    )
    (request,) = session.requests
    assert (request.purpose, request.draw, request.max_tokens) == ("proposal", "iteration 3, structure", 2048)
    text = request.messages[1]["content"]
    for part in (
        "1. plan (call) reads q; gives out: text",
        '"id": "plan"',
        "[b",
        "1. units: 2 failures",
        "calc (calculator)",
    ):
        assert part in text


def test_steps_far_from_the_change_keep_their_instructions_and_new_ones_use_their_role() -> None:
    three = flow(call("a", "q"), call("b", "a.out"), call("c", "b.out"), call("say", "c.out"))
    reply = drawing(
        entry("a", "q"),
        entry("b", "a.out"),
        entry("new", "b.out"),
        entry("c", "new.out"),
        entry("say", "c.out"),
        a="Other.",
    )
    made, _ = one(structure.OPERATOR, findings(three), reply)
    assert made.workflow.prompts == {"a": "Do a.", "b": "Do b.", "new": "Do new", "c": "Do c.", "say": "Do say."}


def test_a_structure_that_is_not_valid_goes_back_once_and_is_then_dropped() -> None:
    bad = drawing(entry("say", "nothing.there"))
    good = drawing(entry("say", "q"), say="Say it.")
    made, session = one(structure.OPERATOR, findings(), bad, good)
    assert "reads 'nothing.there'" in session.requests[1].messages[-1]["content"]
    assert made.workflow.prompts == {"say": "Say it."}
    assert proposed(structure.OPERATOR, findings(), bad)[0] == []
    same = drawing(*[dict(each) for each in flatten(TWO)], plan="Other words.")
    made_none, session = proposed(structure.OPERATOR, findings(), same)
    assert made_none == []
    assert "that changes nothing" in session.requests[1].messages[-1]["content"]


@pytest.mark.parametrize("output", ["", "out", "$say.out", "first", "say.other", "gone.out"])
def test_an_output_is_found_where_only_its_field_is_named(output: str) -> None:
    made, _ = one(
        structure.OPERATOR, findings(), drawing(entry("first", "q"), entry("say", "first.out"), output=output)
    )
    assert made.workflow.output == "say.out"


def test_kinds_that_are_allowed_can_be_drawn_and_others_not() -> None:
    voted = drawing(
        entry("best", kind="vote", n=3), entry("draft", "q", inside="best"), entry("say", "best.out"), draft="Draft it."
    )
    made, session = one(structure.OPERATOR, findings(), voted, kinds=("vote",))
    assert made.workflow.step("best").kind == "vote"
    assert "A vote, which runs the steps inside it" in session.requests[0].messages[0]["content"]
    assert proposed(structure.OPERATOR, findings(), voted)[0] == []


def test_instructions_may_name_a_step_by_its_role_and_echo_nothing() -> None:
    steps = [entry("first", "q"), entry("say", "first.out")]
    reply: Json = drawing(*steps) | {
        "instructions": [
            {"step": "do FIRST", "instruction": "Think first."},
            {"step": "say", "instruction": PROMPTS["proposal_structure"][:200]},
        ]
    }
    made, _ = one(structure.OPERATOR, findings(), reply)
    assert made.workflow.prompts == {"first": "Think first.", "say": "Do say."}


@pytest.mark.parametrize("text", ["Plan it!", PROMPTS["proposal_bullets"][:150], "x" * 500, "use numbers"])
def test_rules_that_say_nothing_new_are_no_bullets(text: str) -> None:
    made, session = proposed(bullets.OPERATOR, findings(), {"edits": [{"step": "plan", "add": [text]}]} | EMPTY)
    assert made == []
    assert len(session.requests) == 2


def test_steps_and_rules_are_read_as_weak_models_write_them() -> None:
    edits = [
        {"step": "2. say (call) reads q, plan.out; gives out: text", "add": ["New bullet: Count twice."]},
        {"step": "output: say.out", "add": ["* rule 2: Name the unit."]},
    ]
    made, _ = one(bullets.OPERATOR, findings(), {"edits": edits} | EMPTY)
    assert made.workflow.prompts["say"] == "Do say.\n\n- Count twice.\n- Name the unit."


def test_bullets_are_removed_by_their_words_too() -> None:
    made, _ = one(bullets.OPERATOR, findings(), {"edits": [{"step": "plan", "remove": ["- Be brief."]}]} | EMPTY)
    assert made.workflow.prompts["plan"] == "Plan it.\n- Use numbers."


def test_a_fix_that_echoes_the_meta_prompt_is_dropped() -> None:
    assert proposed(fix.OPERATOR, findings(), rewrite(PROMPTS["proposal_fix"][-300:]))[0] == []


def test_the_guard_holds_for_all_that_is_written_in_a_structure() -> None:
    def guard(text: str) -> str:
        return "copies an example" if "item 1" in text else ""

    leak = drawing(entry("new", "q"), entry("say", "new.out"), new="Like item 1.")
    role = drawing(entry("new", "q", role="Like item 1."), entry("say", "new.out"))
    for reply in (leak, role):
        made, session = proposed(structure.OPERATOR, findings(), reply, lab={"guard": guard})
        assert made == []
        assert "copies an example" in session.requests[1].messages[-1]["content"]


def test_frozen_steps_and_blocks_stay() -> None:
    parent = flow(call("plan", "q", frozen=True), call("say", "plan.out", prompt=f"{OPEN}Never guess.{CLOSE} Say."))
    reply = drawing(
        entry("plan", "q"), entry("mid", "plan.out"), entry("say", "mid.out"), plan="Mine.", say="Say more."
    )
    made, _ = one(structure.OPERATOR, findings(parent), reply)
    assert made.workflow.prompts["plan"] == "Do plan."
    assert made.workflow.prompts["say"] == f"{OPEN}Never guess.{CLOSE}\n\nSay more."
    assert proposed(structure.OPERATOR, findings(parent), drawing(entry("say", "q")))[0] == []


# ------------------------------------------------------------------ contrast, merge, resketch


def ran(workflow: Workflow, example: Example, script: Script, points: float) -> Trace:
    trace = asyncio.run(forward(workflow, example, Scripted(script)))
    return trace.scored(Score(points))


ALONE = flow(
    call("plan", "q", prompt="Plan it.\n- Be brief.\n- Use numbers."), call("mid", "plan.out"), call("say", "mid.out")
)


def test_contrast_shows_two_workflows_on_one_example_that_one_solves() -> None:
    mine = ran(TWO, TRAIN[0], lambda r: "wrong", 0.0)
    theirs = ran(ALONE, TRAIN[0], lambda r: f"well {r.schema_name}", 1.0)
    found = findings(traces=(mine,), passed=(theirs,), pool=(TWO, ALONE))
    made, session = one(
        contrast.OPERATOR, found, drawing(entry("plan", "q"), entry("mid", "plan.out"), entry("say", "mid.out"))
    )
    assert made.workflow.prompts["mid"] == "Do mid."
    assert made.flips == ("e1", "e2")
    text = session.requests[0].messages[1]["content"]
    for part in (
        "the instructions of the other workflow:",
        "gave out: well mid",
        "gave out: wrong",
        "that gave something else:\nplan",
    ):
        assert part in text


def test_contrast_needs_a_run_that_shows_the_difference() -> None:
    mine = ran(TWO, TRAIN[0], lambda r: "wrong", 0.0)
    theirs = ran(ALONE, TRAIN[1], lambda r: "well", 1.0)
    for found in (
        findings(traces=(mine,), passed=(theirs,), pool=(ALONE,)),
        findings(traces=(mine,), pool=(ALONE,)),
        findings(traces=(mine,), passed=(replace(theirs, example=TRAIN[0]),)),
        findings(traces=(mine,), passed=(replace(mine, score=Score(1.0)),), pool=(TWO,)),
    ):
        made, session = proposed(contrast.OPERATOR, found, "never")
        assert (made, session.requests) == ([], [])


def test_merge_takes_instructions_of_the_other_for_steps_that_come_from_it() -> None:
    other = flow(call("look", "q", prompt="Look closely."), call("say", "look.out"))
    reply = drawing(entry("plan", "q"), entry("look", "q"), entry("say", "plan.out", "look.out"))
    made, session = one(merge.OPERATOR, findings(pool=(TWO, other)), reply)
    assert made.workflow.prompts["look"] == "Look closely."
    assert "the instructions of the other workflow:\n## look" in session.requests[0].messages[1]["content"]
    assert proposed(merge.OPERATOR, findings(pool=(TWO,)), "never")[0] == []


def test_a_resketch_owes_nothing_to_the_parent() -> None:
    parent = flow(
        call("trap", "q"),
        call("say", "q", "trap.out", demos=[{"reads": {"q": "x", "trap.out": "z"}, "gives": {"out": "y"}}]),
    )
    reply = drawing(entry("trap", "q"), entry("say", "q", "trap.out"), say="Say it afresh.")
    made, session = one(resketch.OPERATOR, findings(parent, clusters=()), reply)
    assert made.workflow.prompts == {"trap": "Do trap", "say": "Say it afresh."}
    assert not any(each.demos for each in made.workflow.calls)
    assert (made.clusters, made.flips) == ((), ())
    (request,) = session.requests
    assert request.temperature == 0.7
    assert "trap" not in request.messages[1]["content"]
    frozen = flow(call("plan", "q", frozen=True), call("say", "plan.out"))
    made, session = one(resketch.OPERATOR, findings(frozen), drawing(entry("plan", "q"), entry("say", "q", "plan.out")))
    assert '"id": "plan"' in session.requests[0].messages[1]["content"]
    assert made.workflow.prompts["plan"] == "Do plan."


# ------------------------------------------------------------------ cheaper


def test_cheaper_drops_and_shrinks_without_a_meta_call() -> None:
    parent = flow(
        call("plan", "q"),
        block("best", "vote", n=5, body=[call("draft", "q", "plan.out")]),
        block("turns", "loop", max=3, body=[call("fix", "best.out", "previous.out")]),
        call("say", "q", "turns.out"),
    )
    made, session = proposed(cheaper.OPERATOR, findings(parent, variants=20), "never")
    assert not session.requests
    told = [each.edits[0] for each in made]
    for edit in (
        "remove 'best'",
        "unwrap 'best'",
        "let 'best' have at most 3",
        "unwrap 'turns'",
        "let 'turns' have at most 2",
        "remove 'plan'",
    ):
        assert edit in told
    assert told[0] in ("remove 'best'", "unwrap 'best'")  # it saves most
    assert all(each.paid.calls == 0 and each.clusters == () for each in made)
    assert len({each.id for each in made}) == len(made)
    few, _ = proposed(cheaper.OPERATOR, findings(parent), "never")
    assert [each.edits for each in few] == [each.edits for each in made[:3]]
    lost = tuple(Attempt(each.edits[0], "cheaper", "lost") for each in few)
    more, _ = proposed(cheaper.OPERATOR, findings(parent, failed=lost), "never")
    assert [each.edits for each in more] == [each.edits for each in made[3:6]]


def test_cheaper_asks_only_where_nothing_else_is_left() -> None:
    lost = tuple(Attempt(f"remove '{step}'", "cheaper", "lost") for step in ("plan", "say"))
    made, session = one(cheaper.OPERATOR, findings(failed=lost), drawing(entry("say", "q"), say="Plan and say."))
    assert [request.purpose for request in session.requests] == ["proposal"]
    assert made.workflow.prompts == {"say": "Plan and say."}
    nothing, session = proposed(cheaper.OPERATOR, findings(flow(call("say", "q"))), "never")
    assert (nothing, session.requests) == ([], [])
    frozen = flow(call("plan", "q", frozen=True), call("say", "q", "plan.out", frozen=True))
    assert proposed(cheaper.OPERATOR, findings(frozen), "no idea")[0] == []


# ------------------------------------------------------------------ what they share


def test_a_rewrite_accounts_for_what_it_drops() -> None:
    old = "Do.\n- Be brief.\n- Name the unit of the answer."
    assert accounted(old, "Do it.") == "Do it.\n\n- Be brief.\n- Name the unit of the answer."
    assert accounted(old, "Do it briefly: be brief. Name the answer's unit, the unit of the answer.").count("\n") == 0
    assert accounted(old, "Do it.", ["Be brief."], ["- Name the unit of the answer."]) == "Do it."
    assert accounted("Do.", "Do it.") == "Do it."


def test_bullets_are_numbered_also_of_several_lines() -> None:
    prompt = "Do.\n- A rule\n  with a tail.\n- A rule"
    first, second = bullets_of(prompt)
    assert numbered(prompt) == f"Do.\n- [{first}] A rule\n  with a tail.\n- [{second}] A rule"


def test_flips_are_known_examples() -> None:
    clusters = [cluster("a", "e1", "e2"), cluster("b", "e3")]
    assert predicted(["e3", "e7", "e1: it"], clusters) == ("e3", "e1")
    assert predicted(["e2, e3"], clusters) == ("e2", "e3")
    assert predicted([], clusters) == predicted(["x"], clusters) == ("e1", "e2", "e3")


def test_changes_are_told_in_a_few_lines_without_prompts() -> None:
    many = flow(*(call(f"s{n}", "q") for n in range(9)), call("say", *(f"s{n}.out" for n in range(9))))
    lines = changes(TWO, many)
    assert len(lines) == 6
    assert lines[0] == "- removed plan (call) reads q; gives out: text"
    assert lines[-1].startswith("and ")
    assert not any("Do s" in line for line in lines)
    assert changes(TWO, TWO) == ()


def sizes(session: Scripted) -> list[int]:
    return [len(message["content"]) for request in session.requests for message in request.messages[1:2]]


@pytest.mark.parametrize("operator", ALL, ids=lambda each: each.name)
def test_what_is_shown_is_bounded(operator: Operator) -> None:
    long = "word " * 3000
    parent = flow(*(call(f"s{n}", "q", prompt=long) for n in range(12)), call("say", *(f"s{n}.out" for n in range(12))))
    clusters = tuple(cluster(f"c{n} {long[:60]}", *(f"e{k}" for k in range(1, 9)), rule=long) for n in range(9))
    failed = tuple(Attempt(long, "fix", long) for _ in range(40))
    traces = (ran(parent, replace(TRAIN[0], inputs={"q": long}), lambda r: long, 0.0),)
    other = flow(call("plan", "q", prompt=long), call("say", "plan.out"))
    passed = (ran(other, TRAIN[0], lambda r: long, 1.0),)
    lost = tuple(Attempt(f"remove 's{n}'", "cheaper", "lost") for n in range(12))
    found = findings(
        parent, clusters=clusters, failed=failed + lost, traces=traces, passed=passed, pool=(other,), blame={"s0": 1.0}
    )
    _, session = proposed(operator, found, "no idea", lab={"clip": 2000})
    assert session.requests
    assert max(sizes(session)) <= 12 * 2100


@pytest.mark.parametrize("operator", ALL, ids=lambda each: each.name)
def test_a_proposal_is_the_same_whenever_it_is_asked_for(operator: Operator) -> None:
    other = flow(call("look", "q"), call("say", "look.out"))
    passed = (ran(other, TRAIN[0], lambda r: "well", 1.0),)
    found = findings(traces=(ran(TWO, TRAIN[0], lambda r: "wrong", 0.0),), passed=passed, pool=(other,))
    reply = drawing(entry("new", "q"), entry("say", "new.out")) | {
        "edits": [{"step": "say", "add": ["Count."], "remove": []}],
        "instruction": "Plan well.",
        "dropped": [],
    }
    one_time, first = proposed(operator, found, reply)
    again, second = proposed(operator, found, reply)
    assert one_time == again
    assert one_time
    assert [request.key() for request in first.requests] == [request.key() for request in second.requests]
    for made in one_time:
        assert made.workflow.id != TWO.id
        assert made.operator == operator.name


FIELDS = ["edits", "instruction", "dropped", "steps", "output", "instructions", "hypothesis", "flips"]
near_steps: st.SearchStrategy[Json] = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "id": st.sampled_from(["plan", "say", "x", ""]) | json_values,
            "kind": st.sampled_from(["call", "vote", "loop", "tool", "judge"]) | json_values,
            "inside": st.sampled_from(["x", "plan", ""]) | json_values,
            "reads": st.lists(st.sampled_from(["q", "plan.out", "x.out"])) | json_values,
            "gives": st.just([{"name": "out", "type": "text"}]) | json_values,
            "step": st.sampled_from(["plan", "say", "x"]) | json_values,
            "instruction": json_values,
            "add": json_values,
            "remove": json_values,
        },
    ),
    max_size=4,
)
garbage: st.SearchStrategy[Json] = st.fixed_dictionaries(dict.fromkeys(FIELDS, json_values | near_steps))


@pytest.mark.slow
@pytest.mark.parametrize("operator", ALL, ids=lambda each: each.name)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(reply=garbage, again=garbage)
def test_no_reply_breaks_an_operator(operator: Operator, reply: Json, again: Json) -> None:
    other = flow(call("look", "q"), call("say", "look.out"))
    passed = (ran(other, TRAIN[0], lambda r: "well", 1.0),)
    lost = (Attempt("remove 'plan'", "cheaper", "lost"),)
    trace = ran(TWO, TRAIN[0], lambda r: "wrong", 0.0)
    found = findings(traces=(trace,), passed=passed, pool=(other,), failed=lost)
    made, _ = proposed(operator, found, reply, again, lab={"kinds": ("vote", "loop", "branch", "map", "code")})
    for each in made:
        assert each.workflow.id != TWO.id
        assert each.workflow.output_type == TWO.output_type


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parent=workflows(), reply=garbage)
def test_no_workflow_breaks_an_operator(parent: Workflow, reply: Json) -> None:
    step = parent.steps[-1].id
    found = findings(parent, blame={step: 1.0}, clusters=(cluster(step=step),), pool=(TWO,))
    for operator in ALL:
        for each in proposed(operator, found, reply)[0]:
            assert each.workflow.id != parent.id
            assert each.workflow.frozen_ids >= parent.frozen_ids


@pytest.mark.parametrize("name", ["whole", "judged", "tested", "program", "deep", "flat"])
def test_nested_workflows_can_be_made_cheaper(name: str) -> None:
    parent = nested(name)
    made, _ = proposed(cheaper.OPERATOR, findings(parent, variants=30), "no idea")
    assert all(each.workflow.output_type == parent.output_type for each in made)
