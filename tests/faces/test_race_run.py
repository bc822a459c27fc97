"""Whole runs of the recipe `race` as its faces show them: the result, its files, the commands, what it will cost."""

from __future__ import annotations

import io
import json
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import Message
from flowbot.faces.cli import code_of
from flowbot.faces.front import Front, Member
from flowbot.faces.rundir import RunDir
from flowbot.faces.story import headline, read_story
from flowbot.faces.tables import print_result
from tests import worlds
from tests.worlds import World

SIZES = {"train": 40, "val": 30, "test": 8}
SMALL = {"train": 12, "val": 12, "test": 6}
RECIPE = {"name": "race", "iterations": 2, "seeds": 1, "operators": ["bullets", "vote"]}
Out = pytest.CaptureFixture[str]


def teacher(purpose: str, messages: Sequence[Message]) -> str | None:
    """Write a verdict that names the missing rule, and an edit that adds it."""
    text = messages[-1]["content"]
    if purpose == "verdict":
        expected = re.search(r"Expected: (\w+)", text)
        rule = f"State what {expected[1] if expected else 'all'} items are like."
        return json.dumps({"blame": ["answer"], "defect": "prompt", "rule": rule, "should": ""})
    if purpose == "proposal":
        wanted = re.findall(r"State what (\w+) items", text)
        told = text.partition("prompts:")[2].partition("clusters")[0]
        missing = [each for each in wanted if f"Rule: {each}" not in told] or wanted
        edit = {"step": "answer", "add": [f"Mind the Rule: {missing[0]}"], "remove": []}
        flips = re.findall(r"\btrain\d+\b", text)[:3]
        return json.dumps({"hypothesis": "a rule is missing", "edits": [edit], "flips": flips})
    return None


def induced(
    patch: pytest.MonkeyPatch,
    run: Path | None = None,
    sizes: Mapping[str, int] = SIZES,
    world: World | None = None,
    budget: int | None = None,
    heard: Any = None,
    **recipe: Any,
) -> flowbot.Result:
    """Run the recipe in the world with a teacher."""
    worlds.shelved(patch, world or World(override=teacher))
    task = worlds.task(recipe=RECIPE | recipe)
    listening = {"heard": heard} if heard else {}
    options = flowbot.Options(budget_calls=budget)
    return flowbot.induce(task, data=worlds.data(**sizes), run=run, options=options, **listening)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.yaml")} - {"task.yaml"}


def printed(result: flowbot.Result) -> str:
    out = io.StringIO()
    print_result(result, out)
    return out.getvalue()


@pytest.mark.slow
def test_a_confirmed_result_and_its_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Out) -> None:
    run = tmp_path / "run"
    result = induced(monkeypatch, run)
    assert result.outcome is not None
    assert result.outcome.decision == "confirmed"
    assert set(result.tables) == {"confirm", "test"}
    assert result.tables["confirm"] == result.outcome.comparison
    assert result.front[-1].candidate.workflow == result.best
    files = [member.file for member in result.members.members]
    assert files == sorted(files)
    assert names(run) == {"best.yaml", *files}
    for name in names(run):
        assert stat.S_IMODE((run / name).stat().st_mode) == 0o600
        assert code_of(["why", str(run / name)]) == 0
    assert [flowbot.load(run / name) for name in files] == [row.candidate.workflow for row in result.front]
    text = printed(result)
    for part in ("confirmation  start", "Confirmed: ", "front: score against cost", "accepted", "what still fails"):
        assert part in text, part
    capsys.readouterr()
    assert code_of(["front", str(run)]) == 0
    assert files[-1] in capsys.readouterr().out
    story = read_story(run / "journal.sqlite")
    assert headline(story)[1].endswith(", confirmed")
    assert story.front == result.members
    assert story.race == result.race


def test_an_undecided_finalist_stands_beside_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    result = induced(monkeypatch, run, iterations=1, confirm=0.9999)
    assert result.outcome is not None
    assert result.outcome.decision == "undecided"
    assert result.outcome.finalist is not None
    assert flowbot.load(run / "best.yaml") == result.best == result.start
    assert flowbot.load(run / "undecided.yaml") == result.outcome.finalist.workflow
    assert set(result.tables) == {"confirm", "test"}
    assert result.tables["test"].gain == 0
    text = printed(result)
    for part in ("finalist", "Undecided: ", "; the start stays", f"undecided finalist: {run / 'undecided.yaml'}"):
        assert part in text, part


def test_a_result_that_nothing_confirms_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = induced(monkeypatch, tmp_path / "run", SMALL)
    assert result.outcome is not None
    assert result.outcome.decision == "unconfirmed"
    assert set(result.tables) == {"val", "test"}
    assert "Unconfirmed: there are too few examples" in printed(result)
    assert headline(read_story(tmp_path / "run" / "journal.sqlite"))[1].endswith(", unconfirmed")


def test_a_start_that_nothing_beats_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    result = induced(monkeypatch, tmp_path / "run", SMALL, World(), operators=["vote"], iterations=1)
    assert result.outcome is not None
    assert result.outcome.decision == "start"
    assert result.best == result.start
    assert "The start stays: " in printed(result)
    assert names(tmp_path / "run") == {"best.yaml", result.members.members[0].file}


@pytest.mark.slow
def test_a_run_broken_off_has_its_incumbent_and_goes_on_to_the_same_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken, whole = tmp_path / "broken", tmp_path / "whole"

    def stop(event: Mapping[str, Any]) -> None:
        if event["kind"] == "best" and event["why"].startswith("iteration 1"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        induced(monkeypatch, broken, heard=stop)
    assert "Rule: " in flowbot.load(broken / "best.yaml").prompts["answer"]
    assert names(broken) == {"best.yaml"}
    story = read_story(broken / "journal.sqlite")
    assert (story.ended, story.outcome) == ("interrupted", None)
    assert headline(story)[1].endswith(", not confirmed")
    assert ", not confirmed" in (broken / "report.html").read_text(encoding="utf-8")
    assert induced(monkeypatch, broken).best == induced(monkeypatch, whole).best
    assert names(broken) == names(whole)


@pytest.mark.slow
def test_a_raised_budget_goes_on_behind_the_wall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    first = induced(monkeypatch, run, budget=120)
    assert first.ended == "budget"
    assert first.outcome is not None
    assert ("undecided.yaml" in names(run)) == (first.outcome.decision == "undecided")
    then = induced(monkeypatch, run)
    assert then.ended == "done"
    assert then.outcome is not None
    assert then.outcome.decision == "unconfirmed"  # the first stretch could not pay for it, and used the examples
    assert then.outcome.tested >= first.outcome.tested
    assert len(then.race.raced) == then.outcome.tested
    story = read_story(run / "journal.sqlite")
    assert (story.ended, story.race, story.stretches) == ("done", then.race, 2)
    assert names(run) == {"best.yaml", *(member.file for member in then.members.members)}


@pytest.mark.parametrize("budget", [5, 40])
def test_a_wall_before_the_first_iteration_leaves_the_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, budget: int
) -> None:
    result = induced(monkeypatch, tmp_path / "run", budget=budget)
    assert (result.ended, result.best) == ("budget", result.start)
    assert flowbot.load(tmp_path / "run" / "best.yaml") == result.start
    assert "ended by budget" in printed(result)


def test_files_of_an_earlier_stretch_are_removed(tmp_path: Path) -> None:
    rundir = RunDir(tmp_path)
    flow = worlds.start()
    members = [Member(flow, 0.5, 0.4, 0.6, 10.0, f"front/{name}") for name in ("1-score-a.yaml", "2-score-b.yaml")]
    rundir.keep_undecided(flow)
    rundir.keep_front(Front(tuple(members)))
    (tmp_path / "front" / "mine.yaml").write_text("kept", encoding="utf-8")
    assert names(tmp_path) == {"undecided.yaml", "front/1-score-a.yaml", "front/2-score-b.yaml", "front/mine.yaml"}
    rundir.keep_undecided(None)
    rundir.keep_front(Front(tuple(members[:1])))
    assert names(tmp_path) == {"front/1-score-a.yaml", "front/mine.yaml"}


# ------------------------------------------------------------------ the command line


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    worlds.write_task(tmp_path, SMALL, recipe=RECIPE | {"iterations": 1})
    worlds.shelved(monkeypatch, World(override=teacher))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_induce_tells_programs_how_it_came_out(files: Path, capsys: Out) -> None:
    assert code_of(["induce", "task.yaml", "--json", "--prefer", "cheap"]) == 0
    events: list[Any] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = {event["kind"] for event in events}
    assert {"iteration", "slate", "race", "decision", "front", "confirmation"} <= kinds
    assert next(event for event in events if event["kind"] == "start")["settings"]["prefer"] == "cheap"
    result = events[-1]
    assert set(result["outcome"]) == {"decision", "why", "finalist", "tested", "comparison"}
    assert [Path("runs/colours", each["file"]).exists() for each in result["front"]["members"]]


def test_a_preference_needs_a_recipe_that_has_one(files: Path, capsys: Out) -> None:
    assert code_of(["induce", "task.yaml", "--recipe", "paper", "--prefer", "cheap"]) == 2
    said = capsys.readouterr().err
    assert "the recipe 'paper' has nothing to prefer" in said
    assert "use --recipe race" in said
    assert code_of(["induce", "task.yaml", "--prefer", "fast"]) == 2


def test_estimate_holds_what_a_race_costs(files: Path, capsys: Out) -> None:
    flowbot.save(worlds.start().with_prompts({"answer": "Rule: red\nRule: green"}), files / "flow.yaml")
    worlds.write_task(files, SMALL, recipe=RECIPE | {"iterations": 1}, start="flow.yaml")
    assert code_of(["estimate", "task.yaml", "--json"]) == 0
    ends = json.loads(capsys.readouterr().out)
    assert code_of(["induce", "task.yaml", "--json"]) == 0
    ledger = json.loads(capsys.readouterr().out.splitlines()[-1])["ledger"]
    assert {"task", "verdict", "taxonomy", "proposal"} <= set(ledger)
    for purpose, line in ledger.items():
        assert line["calls"] <= ends["high"][purpose]["calls"], purpose


def test_estimate_prints_the_purposes_of_a_race(files: Path, capsys: Out) -> None:
    assert code_of(["estimate", "task.yaml", "--model", "openai:gpt-4.1-mini"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("colours, recipe race, ")
    words = [line.split()[0] for line in out.splitlines()]
    for purpose in ("task", "verdict", "taxonomy", "proposal", "total"):
        assert purpose in words


@pytest.mark.slow
def test_a_replay_does_not_touch_the_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = tmp_path / "run"
    induced(monkeypatch, run)
    before = (run / "best.yaml").read_bytes()
    seen: list[bytes] = []

    def look(event: Mapping[str, Any]) -> None:
        seen.append((run / "best.yaml").read_bytes())

    induced(monkeypatch, run, heard=look)
    assert set(seen) == {before}
