"""The start of an induction, the options over it, and what a run is bound to."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot import InputError, Options
from flowbot.faces.cli import code_of as code_of_line
from flowbot.faces.problem import code_of
from flowbot.faces.start import bounded, direct, start_of
from flowbot.models.shelf import open_shelf
from flowbot.task.task import ModelSpec
from flowbot.workflow.document import write_workflow
from tests import worlds
from tests.servers import Answer, serving
from tests.sessions import call, flow, tool
from tests.worlds import World


def test_the_direct_call_has_an_id_that_no_input_has() -> None:
    grading = worlds.task(inputs={"answer": "text", "solve": "text"}, output={"grade": "text"})
    assert direct(grading).output == "answer_2.grade"


def test_a_model_given_as_an_option_wins_over_that_of_the_start(tmp_path: Path) -> None:
    file = tmp_path / "start.yaml"
    file.write_text(write_workflow(worlds.start(models={"task": "vllm:old"})), encoding="utf-8")
    task = worlds.task(start="start.yaml")
    assert start_of(task, tmp_path, None, None).model == "vllm:old"
    assert start_of(task, tmp_path, None, "vllm:new").model == "vllm:new"
    assert start_of(task, tmp_path, file, "vllm:new").model == "vllm:new"


def test_the_bound_of_replies_stands_in_the_file_that_runs_by_itself() -> None:
    task = worlds.task(models={"task": {"name": worlds.MODEL, "max_tokens": 7}})
    assert [each.max_tokens for each in bounded(direct(task), task).calls] == [7]
    own = direct(task).with_steps({"answer": {"max_tokens": 3}})
    assert bounded(own, task) == own


def test_a_start_that_reads_other_inputs_is_refused_with_both() -> None:
    other = flow(call("answer", "z", gives={"a": "text"}), inputs=("z",))
    with pytest.raises(InputError, match=r"\(z: text\) are not the task's \(q: text\)"):
        start_of(worlds.task(), Path(), other, None)


def test_a_start_with_half_a_character_is_refused() -> None:
    start = flow(call("answer", "q", gives={"a": "text"}, prompt="Say \ud83d\ude00."))
    with pytest.raises(InputError, match="half a surrogate pair"):
        start_of(worlds.task(), Path(), start, None)


def test_two_settings_of_one_model_are_refused() -> None:
    specs = [ModelSpec(name="vllm:m", max_tokens=5), ModelSpec(name="vllm:m", max_tokens=9)]
    with pytest.raises(InputError, match="given twice with different settings"):
        open_shelf(specs, None, 1)
    task = worlds.task(models={"task": {"name": "vllm:m", "context": 2048}, "meta": {"name": "vllm:m"}})
    with pytest.raises(InputError, match="given twice with different settings"):
        flowbot.induce(task, data=worlds.data())


def test_naming_the_model_that_the_task_has_keeps_its_settings() -> None:
    spec = {"name": "vllm:m", "max_tokens": 5, "price": {"input": 1.0, "output": 2.0}}
    task = worlds.task(models={"task": spec})
    assert Options(model="vllm:m").over(task).models.task == task.models.task
    other = Options(model="vllm:other").over(task).models.task
    assert (other.max_tokens, other.price) == (5, None)


def test_functions_are_told_apart_by_their_code() -> None:
    space: dict[str, Any] = {}
    exec("f = lambda a: a + 1\ng = lambda a: a + 2", space)
    assert code_of(space["f"]) != code_of(space["g"])
    assert code_of(partial(int)) == code_of(partial(int))


def test_a_bound_workflow_runs_with_functions_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds.shelved(monkeypatch, World())

    def shout(word: str) -> str:
        return word.upper()

    name = f"{shout.__module__}:{shout.__qualname__}"
    made = flow(
        tool("loud", gives={"a": "text"}, word="$q"),
        call("answer", "loud.a", gives={"a": "text"}),
        tools={"calc": {"kind": "function", "function": name}},
    )
    bound = flowbot.bind(made, tools={"shout": shout})
    assert isinstance(asyncio.run(bound.arun(q="item 3")), str)


def test_scores_of_a_judge_are_booked_again_on_a_resume(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def judged(purpose: str, messages: Any) -> str | None:
        return '{"reason": "so so", "points": 5}' if purpose == "judge" else None

    world = World(override=judged)
    worlds.shelved(monkeypatch, world)
    task = worlds.task(metric={"name": "judge", "rubric": "good"})
    first = flowbot.induce(task, data=worlds.data(), run=tmp_path / "run")
    sent = len(world.requests)
    again = flowbot.induce(task, data=worlds.data(), run=tmp_path / "run")
    assert len(world.requests) == sent
    assert dict(again.ledger.lines["judge"].__dict__) == dict(first.ledger.lines["judge"].__dict__)
    assert again.ledger.requests() == first.ledger.requests()


def test_evaluating_a_workflow_with_other_inputs_is_one_clear_error() -> None:
    other = flow(call("answer", "z", gives={"a": "text"}), inputs=("z",))
    with pytest.raises(InputError, match="are not the task's"):
        flowbot.evaluate(other, worlds.task(), data=worlds.data())


def test_the_seconds_of_earlier_stretches_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    world = World(latency=0.02)
    worlds.shelved(monkeypatch, world)
    how: dict[str, Any] = {"data": worlds.data(), "run": tmp_path / "run", "options": Options(max_seconds=0.001)}
    assert flowbot.induce(worlds.task(), **how).ended == "budget"
    sent = len(world.requests)
    assert flowbot.induce(worlds.task(), **how).ended == "budget"
    assert len(world.requests) == sent


def test_run_takes_model_settings_from_a_task(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda body, index: Answer(text=str(body.get("top_k")))) as server:
        spec = {"name": "vllm:m", "extra_body": {"top_k": 7}}
        task = worlds.write_task(tmp_path, models={"task": spec})
        (tmp_path / "w.yaml").write_text(write_workflow(worlds.start(models={"task": "vllm:m"})), encoding="utf-8")
        asked = ["run", str(tmp_path / "w.yaml"), "--input", "q=item 1", "--base-url", server.url]
        assert code_of_line([*asked, "--task", str(task)]) == 0
        assert code_of_line(asked) == 0
    assert capsys.readouterr().out.split() == ["7", "None"]
