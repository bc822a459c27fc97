"""A planted world understands the messages of other optimisers: the same rules, and what stays as it was."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.engine.chat import Ask, form, schema_of
from flowbot.engine.ports import Message, Request
from flowbot.models.scripted import World
from flowbot.models.scripted.dialects import answer
from flowbot.models.scripted.dialects.task import type_of
from flowbot.models.scripted.faults import FAULTS, SAY
from flowbot.models.scripted.world import META, MODEL
from flowbot.workflow.fields import FieldType, parse_type
from tests.dialects import (
    BACKWARD,
    GIVES,
    MARKS,
    OPTIMISER,
    PLANTED_META,
    TASK,
    at_fault,
    chat,
    fields,
    gepa_asked,
    instruction_of,
    own,
    said,
    talk,
)
from tests.unit.test_scripted import conventions


@pytest.mark.slow
def test_this_is_the_form_that_dspy_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("dspy") is None:
        pytest.skip("dspy is not installed")
    script = (
        "import dspy, json\n"
        "sig = dspy.Signature('order -> reasoning, ok: bool, marks: list[str]', 'Do it.\\n\\n- All of it.')\n"
        "demos = [{'order': 'Order 0001: 2.', 'reasoning': 'x', 'ok': True, 'marks': ['B2']}]\n"
        "print(json.dumps([[each['content'].strip() for each in adapter().format(sig, demos, {'order': 'Order 0002.'})]"
        " for adapter in (dspy.ChatAdapter, dspy.JSONAdapter)]))"
    )
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": "/dev/null/none"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    outputs = {"reasoning": "str", "ok": "bool", "marks": "list[str]"}
    for theirs, as_json in zip(json.loads(ran.stdout.splitlines()[-1]), (False, True), strict=True):
        ok = True if as_json else "True"
        demos = [({"order": "Order 0001: 2."}, {"reasoning": "x", "ok": ok, "marks": ["B2"]})]
        ours = chat("Do it.\n\n- All of it.", {"order": "Order 0002."}, outputs, demos, as_json)
        plain = [re.sub(r"[ \t]+$", "", text.strip(), flags=re.MULTILINE) for text in theirs]
        assert plain == [re.sub(r"[ \t]+$", "", text.strip(), flags=re.MULTILINE) for text in ours]


def prompts(world: World) -> list[str]:
    lines = [f"- {each.line}" for each in conventions(world).all]
    return [
        world.trade.description,
        "\n\n".join([SAY["write"], "\n".join(lines[:1])]),
        "\n".join([world.trade.description, *lines[2:5]]),
        f"This is a house where every order carries the mark X7. {SAY['write']}\n\n{lines[0]}",
    ]


@pytest.mark.parametrize("form_of", ["chat", "json", "thinking", "words before", "words behind"])
def test_the_same_prompt_in_another_form_gives_the_same_marks(form_of: str) -> None:
    world = World("nothing", 1, noise=0.1)
    orders = [each.inputs["order"] for each in world.fresh(100)]
    for prompt in prompts(world):
        asks = [Ask(prompt, [("order", order)], GIVES) for order in orders]
        for order, ask in zip(orders, asks, strict=True):
            match form_of:
                case "words before":  # TextGrad: the prompt as system message, the inputs as text
                    reply = said(world, TASK, f"{prompt}\n\n{form(GIVES)}", f"order:\n{order}")
                case "words behind":
                    reply = said(world, TASK, prompt, f"order:\n{order}\n\n{form(GIVES)}")
                case other:
                    outputs = ({"reasoning": "str"} if other == "thinking" else {}) | MARKS
                    reply = said(world, TASK, *chat(prompt, {"order": order}, outputs, as_json=other == "json"))
            found = fields(reply)
            assert json.loads(found["marks"]) == json.loads(own(world, ask))["marks"]
            assert found.get("reasoning", "x")


def test_a_chain_in_other_forms_comes_to_the_same() -> None:
    world = World("missing_instruction", 3, noise=0.0)
    first, second, last = (step.prompt for step in world.start.calls)
    text = {"notes": parse_type("text")}
    for example in world.fresh(100):
        order = example.inputs["order"]
        notes = own(world, Ask(first, [("order", order)], text))
        more = own(world, Ask(second, [("note.notes", notes)], text))
        marks = json.loads(own(world, Ask(last, [("weigh.notes", more)], GIVES)))["marks"]
        one = fields(said(world, TASK, *chat(first, {"order": order}, {"notes": "str"})))["notes"]
        two = fields(said(world, TASK, *chat(second, {"before": one}, {"reasoning": "str", "notes": "str"})))["notes"]
        three = fields(said(world, TASK, *chat(last, {"notes": two}, MARKS, as_json=True)))["marks"]
        assert (one, two, json.loads(three)) == (notes, more, marks)
        by_text = said(world, TASK, first, order)
        by_text = said(world, TASK, second, by_text)
        assert json.loads(said(world, TASK, f"{last}\n\n{form(GIVES)}", by_text))["marks"] == marks


def test_demos_teach_as_they_do_in_a_prompt_of_flowbot() -> None:
    world = World("blank", noise=0.0)
    rows = [row for row in world.data(60, 1)["train"] if len(row["marks"]) == 1][:6]
    pairs = [({"order": row["order"]}, {"marks": row["marks"]}) for row in rows]
    asks = [([("order", row["order"])], {"marks": row["marks"]}) for row in rows]
    prompt, taught = world.trade.description, 0
    lost = ({"order": rows[0]["order"]}, {"marks": "Not supplied for this particular example. "})
    for example in world.fresh(60):
        order = example.inputs["order"]
        marks = json.loads(own(world, Ask(prompt, [("order", order)], GIVES, asks)))["marks"]
        for as_json in (False, True):
            turns = chat(prompt, {"order": order}, MARKS, [lost, *pairs], as_json)
            assert json.loads(fields(said(world, TASK, *turns))["marks"]) == marks
        taught += bool(marks)
    assert taught > 20


@pytest.mark.parametrize(
    ("stated", "kind"),
    [
        *(("str", "text"), ("int", "number"), ("float", "number"), ("bool", "bool"), ("dict[str, Any]", "json")),
        *(("list[str]", "list[text]"), ("list[list[int]]", "list[list[number]]"), ("Literal[]", "text")),
        ("Literal['a b', \"it's\", 3]", "choice['a b', \"it's\", '3']"),
    ],
)
def test_types_are_read(stated: str, kind: str) -> None:
    wanted = FieldType("choice", ("a b", "it's", "3")) if kind.startswith("choice") else parse_type(kind)
    assert type_of(stated) == wanted


def test_replies_fit_the_types_that_are_asked_for() -> None:
    world = World("nothing")
    outputs = {"ok": "bool", "kind": "Literal['light', 'heavy']", "n": "int", "more": "dict[str, Any]"} | MARKS
    turns = chat("Do it.", {"order": world.fresh(1)[0].inputs["order"]}, dict.fromkeys(outputs, "str"))
    for name, kind in outputs.items():
        turns[0] = turns[0].replace(f"`{name}` (str)", f"`{name}` ({kind})")
    found = fields(said(world, TASK, *turns))
    assert found["ok"] in ("True", "False")
    assert found["kind"] in ("light", "heavy")
    assert found["n"].isdigit()
    assert list(found) == list(outputs)


# ------------------------------------------------------------------ what stays as it was


def test_requests_of_flowbot_and_unknown_texts_are_answered_as_ever() -> None:
    world = World("missing_instruction", noise=0.5)
    order = world.fresh(1)[0].inputs["order"]
    texts = [
        ("", order),
        ("Note it.", f"order:\n{order}"),
        ("Write a poem.", "Of the sea."),
        ("x", "[[ ## order ## ]]"),
    ]
    judged = ("Judge it.", 'Expected: ["B2"], got ["C3"].')
    for model in (TASK, PLANTED_META, MODEL, META):
        for system, user in [*texts, judged]:
            messages = ({"role": "system", "content": system}, {"role": "user", "content": user})
            free = Request(model, messages, purpose="task")
            for request in (
                *([free] if user != judged[1] else []),  # in free text this is an evaluation
                Request(model, messages, purpose="task", schema=schema_of(GIVES)),
                Request(model, messages, purpose="prompt_update", schema=schema_of({"instruction": GIVES["marks"]})),
            ):
                assert answer(world, request) == world.answer(request)


PIECES = st.lists(
    st.text(st.characters(codec="utf-8"), max_size=30)
    | st.sampled_from(
        [
            *(
                "[[ ## marks ## ]]\n",
                "<VARIABLE> x",
                "</VARIABLE>",
                "# Example 1\n## Feedback\n",
                "expected [",
                "```\n",
            ),
            *("Order 0001: 2 jade rings.", " | reading: B2", "<FEEDBACK>", "carry the mark T2.", '{"marks": [3]}'),
            *(
                BACKWARD,
                OPTIMISER,
                'Reply with one JSON object only: {"marks": [',
                "following feedback on the LM_OUTPUT: ",
            ),
        ]
    ),
    max_size=8,
).map("".join)


@given(PIECES, PIECES, st.sampled_from([*FAULTS]), st.integers(0, 4))
def test_no_text_breaks_the_world(one: str, two: str, fault: str, shape: int) -> None:
    world = World(fault)
    values = {"current_instruction": one, "examples_with_feedback": two}
    contents = (
        ("", gepa_asked(one, [{"read": two, "gave": one, "said": two}])),
        tuple(chat(one, values, {"new_instruction": "str"})),
        tuple(chat(one, {"order": two}, MARKS, [({"order": one}, {"marks": two})], as_json=True)),
        (BACKWARD, talk(one, {"read": two, "gave": one}) + two),
        (one, two),
    )[shape]
    for model in (TASK, PLANTED_META):
        assert isinstance(said(world, model, *contents), str)
        assert isinstance(said(replace(world, garbage=1.0), model, *contents), str)


def test_a_reply_depends_on_the_request_alone() -> None:
    world, step, runs = at_fault(0, skill=0.5)
    messages: tuple[Message, ...] = (
        {"role": "system", "content": ""},
        {"role": "user", "content": gepa_asked(instruction_of(world, step), runs)},
    )
    request = Request(PLANTED_META, messages, purpose="task")
    assert answer(world, request) == answer(replace(world), request)
    assert len({answer(world, replace(request, draw=str(at))).text for at in range(20)}) > 1
