"""Runs below a folder, nothing beside it, and workflows as graphs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from flowbot.errors import InputError
from flowbot.faces.ui.desk import Desk
from flowbot.faces.ui.flow import flow_of
from flowbot.workflow.document import read_workflow, write_workflow
from tests.books import CLOSED, made
from tests.nested import FILES, nested
from tests.races import (
    COMPARED,
    OPENING,
    START,
    ending,
    written,
)


def test_a_desk_lists_runs_wherever_they_stand_below_it(tmp_path: Path) -> None:
    made(tmp_path / "one", CLOSED, ending("confirmed", COMPARED))
    made(tmp_path / "bench" / "task.race" / "run", OPENING)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "journal.sqlite").write_bytes(b"no journal at all, but long enough to be looked at" * 40)
    desk = Desk(tmp_path)
    lines = {line.id: line for line in desk.runs()}
    assert set(lines) == {"one", "bench/task.race/run", "broken"}
    assert lines["one"].state == "done"
    assert lines["broken"].state == "failed"
    assert "cannot read the journal" in lines["broken"].error
    assert desk.runs()[-1].id == "broken"
    assert desk.home().kind == "runs"
    assert desk.book("bench/task.race/run").run().line.id == "bench/task.race/run"
    assert desk.book("one") is desk.book("one")
    desk.close()


def test_a_desk_on_one_run_or_on_a_workflow(tmp_path: Path) -> None:
    made(tmp_path / "one", CLOSED)
    for path in (tmp_path / "one", tmp_path / "one" / "journal.sqlite"):
        desk = Desk(path)
        assert (desk.home().kind, desk.home().name) == ("run", "one")
        assert [line.id for line in desk.runs()] == ["."]
        assert desk.book(".").run().line.id == "."
        with pytest.raises(InputError, match="no workflow"):
            desk.flow()
        desk.close()
    file = tmp_path / "flow.yaml"
    file.write_text(write_workflow(START))
    desk = Desk(file)
    assert (desk.home().kind, desk.home().name, desk.runs(), desk.flow().id) == ("workflow", "routing", [], START.id)
    with pytest.raises(InputError, match="no run"):
        desk.book("one")
    with pytest.raises(InputError, match="no such folder"):
        Desk(tmp_path / "nothing")


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_no_run_outside_of_the_folder_is_reached(tmp_path: Path) -> None:
    made(tmp_path / "secret", CLOSED)
    root = tmp_path / "runs"
    made(root / "one", CLOSED)
    (root / "link").symlink_to(tmp_path / "secret")
    (root / "self").symlink_to(root / "self")
    (root / "taken").mkdir()
    (root / "taken" / "journal.sqlite").symlink_to(tmp_path / "secret" / "journal.sqlite")
    desk = Desk(root)
    assert [line.id for line in desk.runs() if not line.error] == ["one"]
    outside = [
        "../secret",
        "link",
        "self",
        "taken",
        "one/../../secret",
        str(tmp_path / "secret"),
        "",
        "..",
        "a\0b",
        "x" * 5000,
    ]
    for run in [*outside, "one\\..", "nothing", "one/journal.sqlite", "./../runs/one"]:
        with pytest.raises(InputError, match="there is no run"):
            desk.folder(run)
    assert desk.folder("one") == (root / "one").resolve()


def test_a_run_in_the_place_of_another_is_read_anew(tmp_path: Path) -> None:
    made(tmp_path / "one", OPENING)
    desk = Desk(tmp_path)
    assert desk.book("one").run().seq == len(OPENING)
    shutil.rmtree(tmp_path / "one")
    made(tmp_path / "one", CLOSED)
    assert desk.book("one").run().seq == len(CLOSED)
    assert desk.runs()[0].candidates == 6


def test_a_desk_keeps_a_few_books_open_and_closes_none_that_is_in_use(tmp_path: Path) -> None:
    for number in range(9):
        written_in = tmp_path / str(number)
        written_in.mkdir()
        written(written_in, OPENING)
    desk = Desk(tmp_path)
    first = desk.book("0")
    assert all(desk.book(str(number)).run().seq == len(OPENING) for number in range(9))
    assert first.run().seq == len(OPENING)
    assert desk.book("0") is not first


# ------------------------------------------------------------------ workflows as graphs


@pytest.mark.parametrize("name", FILES)
def test_every_end_of_an_edge_is_there(name: str) -> None:
    workflow = nested(name)
    flow = flow_of(workflow)
    ids = [step.id for step in flow.steps]
    assert ids == [step.id for step in workflow.all_steps]
    assert {edge.source for edge in flow.edges} <= {*ids, "inputs"}
    assert {edge.target for edge in flow.edges} <= {*ids, "output"}
    assert len(set(flow.edges)) == len(flow.edges)
    inside = {each: step.id for step in flow.steps for _, members in step.inside for each in members}
    assert inside == {step.id: step.parent for step in flow.steps if step.parent}
    assert read_workflow(flow.yaml) == workflow


def edges(name: str) -> set[tuple[str, str, str]]:
    return {(edge.source, edge.target, edge.label) for edge in flow_of(nested(name)).edges}


def test_the_edges_of_nested_workflows() -> None:
    assert edges("whole") == {
        ("inputs", "plan", "question"),
        ("plan", "each", "parts"),
        ("inputs", "look", "question"),
        ("each", "look", "each of plan.parts"),
        ("inputs", "solve", "question"),
        ("each", "solve", "facts"),
        ("check", "solve", "why of the turn before"),
        ("inputs", "check", "question"),
        ("tries", "check", "answer"),
        ("plan", "route", "hard"),
        ("refine", "polish", "answer"),
        ("refine", "route", "answer"),
        ("route", "output", "answer"),
    }
    assert ("say", "pick", "samples") in edges("judged")
    assert ("cases", "programs", "tests") in edges("tested")


def test_the_steps_of_a_flow_say_what_their_file_says() -> None:
    flow = flow_of(nested("whole"))
    steps = {step.id: step for step in flow.steps}
    assert (flow.model, flow.output, [(each.name, each.type) for each in flow.inputs]) == (
        "vllm:m",
        "route.answer",
        [("question", "text")],
    )
    assert (steps["plan"].prompt, steps["plan"].tools) == ("Plan.", ["calc"])
    assert [(each.name, each.type) for each in steps["plan"].gives] == [("parts", "list[text]"), ("hard", "bool")]
    assert steps["each"].settings == {"over": "plan.parts", "cap": 4, "hands on": {"body": {"facts": "look.fact"}}}
    assert (steps["solve"].parent, steps["solve"].body) == ("tries", "body")
    assert steps["route"].inside == [("true", ["polish"]), ("false", [])]
    assert (steps["polish"].parent, steps["polish"].body) == ("route", "true")
    assert flow.tools == {"calc": {"kind": "calculator"}}
