"""YAML text and plain data, both ways: no surprises in, comments kept on the way out."""

from __future__ import annotations

import json

import pytest

from flowbot.document import LARGEST, read_document, read_record, write_document
from flowbot.errors import InputError
from flowbot.task.task import Task
from flowbot.workflow.document import read_workflow, write_workflow
from flowbot.workflow.fields import Json

WORKFLOW = """\
# Routes messages.
flowbot: 1
name: routing  # a label
inputs: {message: text}
steps:
  # the only step
  - id: answer
    kind: call
    reads: [message]
    # what it gives
    gives: {team: 'choice[fern, anvil]', sure: bool}
    temperature: 0.5  # a little
    prompt: |
      Name the team.

      Then say whether you are sure.
output: answer.team
"""

TASK = """\
flowbot: 1
name: routing
description: Send a message to its team.
inputs: {message: text}
output: {team: text}
metric: exact
data: {train: train.jsonl, val: val.jsonl}
models: {task: "local:small"}
"""


def refused(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_document(text, "a.yaml")
    return caught.value


def refused_task(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_record(read_document(text, "task.yaml"), Task, "task")
    return caught.value


def refused_workflow(text: str) -> InputError:
    with pytest.raises(InputError) as caught:
        read_workflow(text, "w.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("+7", 7),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ('""', ""),
        ("'1'", "1"),
        ('"true"', "true"),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("007", "007"),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("1e999", "1e999"),
        (".inf", ".inf"),
        ("2026-07-01", "2026-07-01"),
        ("12:30:45", "12:30:45"),
        ("a b # c", "a b"),
        ("list[text]", "list[text]"),
        ("|\n    a\n    b\n", "a\nb\n"),
    ],
)
def test_scalars_are_what_they_look_like(text: str, value: Json) -> None:
    read = read_document(f"x: {text}", "a.yaml").data["x"]
    assert read == value
    assert type(read) is type(value)


def test_types_stand_bare_within_braces() -> None:
    data = read_document("gives: {a: list[text], b: choice[x, y], c: list[choice[x, y]], d: text}", "a.yaml").data
    assert data["gives"] == {"a": "list[text]", "b": "choice[x, y]", "c": "list[choice[x, y]]", "d": "text"}
    assert read_document("a: [list, listing, choice]", "a.yaml").data == {"a": ["list", "listing", "choice"]}


def test_lines_are_known() -> None:
    document = read_document("a: 1\nb:\n  - x\n  - {c: 2}\n", "a.yaml")
    assert document.where(("a",)) == "a.yaml:1"
    assert document.where(("b", 1, "c")) == "a.yaml:4"
    assert document.where(("b", 0, "nothing")) == "a.yaml:3"
    assert document.where(("nothing",)) == "a.yaml:1"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("", "a.yaml", "empty"),
        ("# only a comment\n", "a.yaml", "empty"),
        ("a: 1\nb: 2\na: 3\n", "a.yaml:3", "'a' stands twice (first at line 1)"),
        ("a:\n  b: 1\n  c: 2\n  b: 3\n", "a.yaml:4", "'b' stands twice (first at line 2)"),
        ("a: 1\nb: &x 2\n", "a.yaml:2", "anchors"),
        ("a: &x [1]\nb: *x\n", "a.yaml:1", "anchors"),
        ("a: *x\n", "a.yaml:1", "aliases"),
        ("a: 1\nb: !!python/object:os.system x\n", "a.yaml:2", "tags"),
        ("a: !secret x\n", "a.yaml:1", "tags"),
        ("a: !!str 1\n", "a.yaml:1", "tags"),
        ("? [a]\n: b\n", "a.yaml:1", "a key must be a plain text"),
        ("a: [1, 2\nb: 3\n", "a.yaml:2", "not valid YAML"),
        ("a: 'x\n", "a.yaml:2", "not valid YAML"),
        ("a:\n\tb: 1\n", "a.yaml:2", "not valid YAML"),
        ("a: 1\n---\nb: 2\n", "a.yaml:2", "not valid YAML"),
        ("a: \0\n", "a.yaml", "not valid YAML"),
        ('a: "\\ud800"\n', "a.yaml:1", "surrogate"),
        ("[" * 50 + "]" * 50, "a.yaml:1", "nested deeper than 40"),
        ("[" * 100_000, "a.yaml:1", "nested deeper than 40"),
        ("x" * (LARGEST + 1), "a.yaml", "at most 2000000"),
    ],
)
def test_what_is_refused_says_where_and_why(text: str, where: str, said: str) -> None:
    error = refused(text)
    assert error.where == where
    assert said in error.what


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("metric:", "metrik:", "task.yaml:6", "unknown key 'metrik'; did you mean 'metric'?"),
        ("{train:", "{trian:", "task.yaml:7", "unknown key 'trian' (data.trian); did you mean 'train'?"),
        ("metric: exact\n", "", "task.yaml:1", "the key 'metric' is missing"),
        ("description: Send a message to its team.", "description: 7", "task.yaml:3", "description: must be a text"),
        ("inputs: {message: text}", "inputs: [message]", "task.yaml:4", "inputs: must be a map"),
        ("{message: text}", "{message: str}", "task.yaml:4", "inputs.message: unknown type 'str'; did you mean 'text'"),
        ("{team: text}", "{team: text, more: text}", "task.yaml", "exactly one field"),
        ("metric: exact", "metric: {name: judge, scale: true}", "task.yaml:6", "metric.scale: must be a whole number"),
        ("metric: exact", "metric: exact\nbudget: {usd: true}", "task.yaml:7", "budget.usd: must be a number"),
        ("metric: exact", "metric: exact\nbudget: {usd: .inf}", "task.yaml:7", "budget.usd: must be a number"),
        ("metric: exact", "metric: exact\nbudget: {usd: 0}", "task.yaml:7", "budget.usd: must be more than 0"),
        ("metric: exact", "metric: exact\nseed: 1.5", "task.yaml:7", "seed: must be a whole number"),
        ("{train: train.jsonl, val: val.jsonl}", "rows.csv", "task.yaml:7", "data: must be a map"),
        ("{train: train.jsonl, val: val.jsonl}", "{source: a, split: {tain: 1}}", "task.yaml:7", "mean 'train'"),
        ("{train: train.jsonl, val: val.jsonl}", "{source: a, split: {train: 2}}", "task.yaml:7", "shares sum to 2"),
        ('"local:small"', "small", "task.yaml:8", "must be provider:model"),
        ("flowbot: 1\n", "", "task.yaml:1", "a task begins with 'flowbot: 1'"),
        ("flowbot: 1", "flowbot: 2", "task.yaml:1", "found 2"),
    ],
)
def test_task_errors_name_file_line_key_and_near_miss(old: str, new: str, where: str, said: str) -> None:
    assert TASK.count(old) == 1
    error = refused_task(TASK.replace(old, new))
    assert error.where.startswith(where)
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)").replace("?", r"\?")):
        raise error


@pytest.mark.parametrize(
    ("old", "new", "where", "said"),
    [
        ("prompt: |", "promt: |", "w.yaml:13", "unknown key 'promt' (step 'answer' promt); did you mean 'prompt'?"),
        ("reads: [message]", "reads: message", "w.yaml:9", "step 'answer' reads: must be a list"),
        ("reads: [message]", "reads: [mesage]", "w.yaml:9", "did you mean 'message'?"),
        ("temperature: 0.5", "temperature: warm", "w.yaml:12", "step 'answer' temperature: must be a number"),
        ("kind: call", "kind: cal", "w.yaml:7", "'cal'"),
        ("output: answer.team", "output: answer.tame", "w.yaml:17", "did you mean 'answer.team'?"),
        ("'choice[fern, anvil]'", "choise[fern, anvil]", "w.yaml:11", "not valid YAML"),
    ],
)
def test_workflow_errors_name_file_line_step_and_near_miss(old: str, new: str, where: str, said: str) -> None:
    assert WORKFLOW.count(old) == 1
    error = refused_workflow(WORKFLOW.replace(old, new))
    assert error.where == where
    assert said in str(error)


def test_several_problems_are_told_together() -> None:
    error = refused_task(TASK.replace("metric:", "metrik:").replace("name:", "nam:"))
    assert "and 3 more" in str(error)


def test_a_character_written_as_a_pair_of_escapes_is_read() -> None:
    assert read_document(json.dumps({"a": "😀"}), "a.yaml").data == {"a": "😀"}


def test_whole_numbers_are_numbers() -> None:
    assert read_workflow(WORKFLOW.replace("temperature: 0.5", "temperature: 1")).calls[0].temperature == 1


def test_comments_and_order_are_kept() -> None:
    workflow = read_workflow(WORKFLOW)
    assert write_workflow(workflow, like=WORKFLOW) == WORKFLOW
    changed = workflow.with_prompts({"answer": "Name the team, nothing else."})
    text = write_workflow(changed, like=WORKFLOW)
    for comment in ("# Routes messages.", "# a label", "# the only step", "# what it gives", "# a little"):
        assert comment in text
    assert read_workflow(text) == changed


def test_comments_follow_their_step_when_another_comes_before_it() -> None:
    old = "steps:\n  - id: a  # first\n    n: 1\n  # about b\n  - id: b  # second\n    n: 2\n"
    data = {"steps": [{"id": "b", "n": 2}, {"id": "c", "n": 3}, {"id": "a", "n": 9}]}
    text = write_document(data, like=old)
    assert read_document(text, "x").data == data
    assert "id: b  # second" in text
    assert "id: a  # first" in text


def test_the_order_of_what_a_step_gives_is_kept() -> None:
    before = read_workflow(WORKFLOW)
    turned = before.with_steps({"answer": {"gives": dict(reversed(before.steps[0].gives.items()))}})
    text = write_workflow(turned, like=WORKFLOW)
    assert list(read_workflow(text).steps[0].gives) == ["sure", "team"]


def test_equal_ids_in_a_list_stay_apart() -> None:
    old = write_document({"x": [{"id": 1, "v": "a"}]})
    data = {"x": [{"id": 1, "v": "b"}, {"id": 1, "v": "c"}, {"id": [1]}]}
    assert read_document(write_document(data, like=old), "x").data == data


def test_prompts_are_written_as_blocks_and_small_maps_in_one_line() -> None:
    text = write_workflow(read_workflow(WORKFLOW))
    assert "    prompt: |\n      Name the team.\n\n      Then say" in text
    assert "inputs: {message: text}" in text
    assert "gives: {team: 'choice[fern, anvil]', sure: bool}" in text


@pytest.mark.parametrize(
    "word", ["007", ".5e3", "1e3", "true", "null", "", "?x", ":x", "- x", "#x", "a\x85b", "a: b", "'"]
)
def test_texts_that_look_like_something_else_stay_texts(word: str) -> None:
    for data in ({"x": word}, {"x": {"y": word}}, {"x": [word]}, {"x": {word: word}}):
        assert read_document(write_document(data), "a.yaml").data == data
        assert read_document(write_document(data, like=write_document({"x": 7})), "a.yaml").data == data
