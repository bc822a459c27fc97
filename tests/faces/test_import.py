"""flowbot import, and the same files as starts: prompts, chat messages, candidates of GEPA."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import flowbot
from flowbot import InputError
from flowbot.faces.cli import code_of
from flowbot.faces.importing.words import placeholders, taken_apart, worded
from flowbot.faces.start import begun
from flowbot.workflow.document import read_workflow
from flowbot.workflow.fields import choice
from flowbot.workflow.graph import plain_workflow, rebuild
from tests import worlds
from tests.sessions import call, flow

pytestmark = pytest.mark.usefixtures("bare")
Out = pytest.CaptureFixture[str]
CHAT = [
    {"role": "system", "content": "You label tickets."},
    {"role": "user", "content": "Ticket: the lift is stuck"},
    {"role": "assistant", "content": "high"},
    {"role": "user", "content": "Ticket: {ticket}"},
]


def file(folder: Path, plain: Any, name: str = "source.json") -> Path:
    path = folder / name
    path.write_text(plain if isinstance(plain, str) else json.dumps(plain), encoding="utf-8")
    return path


# ------------------------------------------------------------------ prompts


def test_placeholders_of_a_prompt_become_inputs(tmp_path: Path) -> None:
    text = 'Sort it.\n\nTranslate to French: {text}\n\nQuestion:\n{{question}}\n\nReply as {"label": 1} in {lang}.\n'
    made = flowbot.import_from(file(tmp_path, text, "sort.md"), model="openai:m")
    assert list(made.workflow.inputs) == ["text", "question", "lang"]
    assert made.workflow.prompts == {
        "answer": 'Sort it.\n\nTranslate to French: the section "text"\n\nReply as {"label": 1} in the section "lang".'
    }
    assert made.workflow.model == "openai:m"
    assert made.workflow.name == "sort"
    assert "{text}, {question}, {lang} are no part of the prompt any more" in made.notes[0]


def test_a_prompt_without_placeholders_has_one_input(tmp_path: Path) -> None:
    made = flowbot.import_from(file(tmp_path, "Say how urgent it is.", "p.txt"), gives={"u": "choice[low, high]"})
    assert made.workflow.prompts == {"answer": "Say how urgent it is."}
    assert dict(made.workflow.inputs) == {"input": made.workflow.inputs["input"]}
    assert made.workflow.output_type == choice("low", "high")
    assert any("called 'input'" in note for note in made.notes)


def test_other_braces_stay_where_inputs_are_named(tmp_path: Path) -> None:
    made = flowbot.import_from(file(tmp_path, "Fill {x} from {q}.", "p.md"), inputs={"q": "text"})
    assert made.workflow.prompts == {"answer": 'Fill {x} from the section "q".'}
    assert any("{x} stays in the prompt as it is" in note for note in made.notes)


@given(st.text(st.sampled_from("ab{} _\n:q"), max_size=40))
def test_no_placeholder_is_left_and_none_is_made(text: str) -> None:
    assert not set(placeholders(text)) & set(placeholders(worded(text, placeholders(text))))
    assert worded(text, []) == worded(worded(text, []), [])


@given(st.text(max_size=30), st.text(max_size=30))
def test_a_question_is_taken_apart_by_its_template(one: str, two: str) -> None:
    found = taken_apart("First: {a}\n<|> second: {b} end", f"First: {one}\n<|> second: {two} end")
    assert found is not None
    if "<|>" not in one:
        assert found == {"a": one.strip(), "b": two.strip()}


# ------------------------------------------------------------------ chat messages


@pytest.mark.parametrize(
    "plain",
    [
        CHAT,
        {"messages": CHAT},
        [["system", "You label tickets."], ["human", "Ticket: the lift is stuck"], ["ai", "high"], CHAT[3]],
        [{**each, "content": [{"type": "text", "text": each["content"]}]} for each in CHAT],
    ],
    ids=["messages", "request", "pairs", "parts"],
)
def test_messages_become_a_call_with_demos(tmp_path: Path, plain: Any) -> None:
    made = flowbot.import_from(file(tmp_path, plain)).workflow
    (step,) = made.calls
    assert (step.prompt, list(made.inputs)) == ("You label tickets.", ["ticket"])
    assert [(demo.reads, demo.gives) for demo in step.demos] == [({"ticket": "the lift is stuck"}, {"answer": "high"})]


def test_settings_of_a_request_are_kept_and_the_rest_is_told(tmp_path: Path) -> None:
    plain = {"messages": CHAT, "model": "gpt-4o", "temperature": 1, "max_tokens": 9, "top_p": 0.5, "tools": []}
    made = flowbot.import_from(file(tmp_path, plain))
    (step,) = made.workflow.calls
    assert (made.workflow.model, step.temperature, step.max_tokens) == ("openai:gpt-4o", 1.0, 9)
    assert "left out: top_p, tools" in made.notes


def test_a_setting_that_is_null_is_none(tmp_path: Path) -> None:
    plain = {"messages": CHAT, "max_completion_tokens": None, "max_tokens": 9}
    assert flowbot.import_from(file(tmp_path, plain)).workflow.calls[0].max_tokens == 9


def test_words_beside_a_placeholder_stay_in_the_prompt(tmp_path: Path) -> None:
    made = flowbot.import_from(file(tmp_path, [CHAT[0], {"role": "user", "content": "Translate {text} to French."}]))
    assert made.workflow.prompts == {"answer": 'You label tickets.\n\nTranslate the section "text" to French.'}


def test_an_example_that_does_not_fit_is_left_out_and_told(tmp_path: Path) -> None:
    made = flowbot.import_from(file(tmp_path, CHAT), gives={"urgency": "choice[low, medium]"})
    assert made.workflow.calls[0].demos == ()
    assert any("example 1 is left out: expected one of low, medium; got 'high'" in note for note in made.notes)


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        ([{"role": "tool", "content": "x"}], "message 1 has the role 'tool'"),
        ([{"role": "user"}], "message 1 has no text"),
        ([CHAT[0], 5], "message 2 must be an object"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "a part of type 'image_url'"),
        ([{"role": "assistant", "content": "x", "tool_calls": [1]}], "message 1 calls a tool"),
        ({"messages": []}, "at least one message"),
        ([], "this is none of a workflow"),
        ({"a": 1}, "this is none of a workflow"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ({"candidates": [{"p": "A."}, {"p": "B."}], "val_aggregate_scores": [None, 0.5]}, "no score for each"),
        ({"messages": CHAT, "temperature": 10**400}, "must be a number"),
        ({"messages": CHAT, "temperature": float("inf")}, "not valid JSON"),
        ({"prompt": "half \ud800"}, "half a character"),
        ({"a": ""}, "has an empty prompt"),
    ],
)
def test_what_is_no_source_is_one_clear_error(tmp_path: Path, plain: Any, told: str, capsys: Out) -> None:
    path = file(tmp_path, plain)
    if told == "has an empty prompt":
        assert flowbot.import_from(path).workflow.prompts == {"answer": "Answer."}
        return
    assert code_of(["import", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err


# ------------------------------------------------------------------ candidates


def test_a_candidate_is_set_onto_its_workflow(tmp_path: Path, capsys: Out) -> None:
    onto = flow(call("plan", "q"), call("solve", "q", "plan.out"))
    flowbot.save(onto, tmp_path / "flow.yaml")
    path = file(tmp_path, {"plan": "Plan {it}.", "solve": "Solve it."})
    made = flowbot.import_from(path, onto=tmp_path / "flow.yaml").workflow
    assert made.prompts == {"plan": "Plan {it}.", "solve": "Solve it."}
    assert code_of(["import", str(path)]) == 2
    assert "--onto WORKFLOW" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"'sove' is no call of .*; did you mean 'solve'"):
        flowbot.import_from(file(tmp_path, {"sove": "x", "plan": "y"}), onto=onto)
    kept = flowbot.import_from(file(tmp_path, {"plan": "New."}), onto=onto)
    assert kept.notes == ("the candidate says nothing of solve: their prompts stay",)


def test_of_a_whole_result_the_best_candidate_is_taken(tmp_path: Path) -> None:
    plain = {"candidates": [{"p": "Old."}, {"p": "Best."}, {"p": "Worse."}], "val_aggregate_scores": [0.1, 0.9, 0.5]}
    made = flowbot.import_from(file(tmp_path, plain))
    assert made.workflow.prompts == {"answer": "Best."}
    assert "of 3 candidates number 1, scored 0.9" in made.notes


def test_frozen_steps_and_blocks_are_not_changed(tmp_path: Path) -> None:
    frozen = flow(call("answer", "q", frozen=True))
    block = flow(call("answer", "q", prompt="<!-- frozen -->Never lie.<!-- /frozen --> Go."))
    for onto, told in ((frozen, "which is frozen"), (block, "must keep its frozen blocks")):
        with pytest.raises(InputError, match=told):
            flowbot.import_from(file(tmp_path, {"answer": "Lie."}), onto=onto)


# ------------------------------------------------------------------ the command, and starts


def test_the_command_writes_a_workflow_and_says_what_changed(tmp_path: Path, capsys: Out) -> None:
    path = file(tmp_path, "Count {things}.", "p.md")
    line = ["import", str(path), "--inputs", "things=list[text]", "--gives", "count=number", "--model", "openai:m"]
    assert code_of(line) == 0
    out, err = capsys.readouterr()
    made = read_workflow(out)
    assert (str(made.inputs["things"]), str(made.output_type)) == ("list[text]", "number")
    assert err.startswith("note: {things} is no part of the prompt")
    assert code_of([*line, "-o", str(tmp_path / "flow.yaml")]) == 0
    assert flowbot.load(tmp_path / "flow.yaml") == made
    as_json = file(tmp_path, plain_workflow(made), "flow.json")
    for workflow in (tmp_path / "flow.yaml", as_json):
        assert code_of(["import", str(workflow)]) == 0
        capsys.readouterr()
        assert code_of(["import", str(workflow), "--inputs", "x"]) == 2
        assert "a workflow says its inputs and fields itself" in capsys.readouterr().err
    assert code_of(["import", str(path), "--inputs", "things=lst"]) == 2
    candidate = file(tmp_path, {"answer": "Count well."})
    for onto in ([], ["--onto", str(tmp_path / "flow.yaml")]):
        assert code_of(["import", str(candidate), "--inputs", "x", *onto]) == (2 if onto else 0)
    assert "a workflow says its inputs and fields itself" in capsys.readouterr().err
    assert code_of(["import", str(path), "--onto", str(tmp_path / "flow.yaml")]) == 2


def test_a_workflow_is_imported_as_it_is(tmp_path: Path) -> None:
    made = flow(call("answer", "q"))
    flowbot.save(made, tmp_path / "flow.yaml")
    assert flowbot.import_from(tmp_path / "flow.yaml").workflow == made
    assert flowbot.import_from(tmp_path / "flow.yaml", model="vllm:m").workflow == rebuild(made, model="vllm:m")


@pytest.mark.parametrize(
    ("name", "plain", "prompt"),
    [
        ("start.md", "Answer {q} well.", 'Answer the section "q" well.'),
        ("start.json", [{"role": "system", "content": "Be good."}, {"role": "user", "content": "{q}"}], "Be good."),
        ("start.json", {"anything": "Be best."}, "Be best."),
    ],
)
def test_a_start_may_be_any_of_them(tmp_path: Path, name: str, plain: Any, prompt: str) -> None:
    task = worlds.task()
    made = begun(task, tmp_path, file(tmp_path, plain, name), None)
    assert list(made.workflow.prompts.values()) == [prompt]
    assert dict(made.workflow.inputs) == dict(task.inputs)
    assert made.workflow.output_type == task.output[task.output_name]
    assert made.workflow.model == task.models.task.name


def test_a_start_of_the_task_itself_may_be_a_prompt(tmp_path: Path) -> None:
    file(tmp_path, "Rule: red\n{q}", "start.md")
    made = begun(worlds.task(start="start.md"), tmp_path, None, None)
    assert made.workflow.prompts == {"answer": "Rule: red"}
    assert made.notes[0].startswith("start: {q} is no part of the prompt")


@pytest.mark.slow
def test_an_induction_begins_from_a_prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, worlds.World())
    task = worlds.task(recipe={"name": "paper", "batches": 1, "loops": 1, "inner": 1})
    start = file(tmp_path, "Rule: red\n{q}", "start.md")
    result = flowbot.induce(task, data=worlds.data(6, 4, 4), start=start, run=tmp_path / "run")
    assert result.best is not None
    assert (tmp_path / "run" / "best.yaml").exists()
