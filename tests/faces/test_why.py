"""`flowbot why` and `flowbot front`, on journals written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.faces.cli import code_of
from flowbot.faces.why import find_why, lines
from tests.papers import BEST as PAPER_BEST
from tests.papers import OPENING as PAPER
from tests.papers import SEARCH as PAPER_SEARCH
from tests.races import (
    BEST,
    COMPARED,
    FIRST,
    OPEN,
    OPENING,
    SEARCH,
    SEED,
    START,
    candidate,
    confirmation,
    ending,
    front,
    written,
)

CLOSED = [*OPENING, *SEARCH, front(), confirmation("confirmed", **COMPARED)]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that came to its end, its files written."""
    folder = tmp_path / "run"
    folder.mkdir()
    written(folder, CLOSED, ending("confirmed", COMPARED))
    flowbot.save(BEST, folder / "best.yaml")
    (folder / "front").mkdir()
    flowbot.save(FIRST, folder / "front" / "2-score-0.750-cost-0.00400.yaml")
    return folder


# ------------------------------------------------------------------ why


def test_every_step_setting_and_line_has_the_change_that_brought_it(run: Path) -> None:
    found = find_why(run / "best.yaml")
    assert [change.name for change in found.way] == [
        "the start",
        "a seed",
        "iteration 1, bullets",
        "iteration 2, parameter",
    ]
    assert [(part.step, part.kind, part.text, part.came) for part in found.parts] == [
        ("reason", "step", "call", 1),
        ("reason", "line", "Send it to a team.", 0),
        ("reason", "line", "Think first.", 1),
        ("reason", "line", "- Name the product that is meant.", 3),
        ("answer", "step", "call", 0),
        ("answer", "setting", "reads: message, reason.reasoning", 1),
        ("answer", "setting", "temperature: 0.5", 3),
        ("answer", "line", "Give the team.", 1),
        ("answer", "line", "Be brief.", 0),
        ("answer", "line", "- Invoices go to billing.", 2),
    ]


def test_a_line_that_was_lost_on_the_way_comes_from_where_it_came_back(tmp_path: Path) -> None:
    without = START.with_prompts({"answer": "Be brief."})
    again = START.with_prompts({"answer": "Be brief. Send it to a team."})
    events = [*OPENING, candidate(without, START), candidate(again, without)]
    written(tmp_path, events)
    flowbot.save(again, tmp_path / "again.yaml")
    assert [part.came for part in find_why(tmp_path / "again.yaml").parts if part.kind == "line"] == [0, 2]


def test_the_run_is_beside_the_file_above_its_front_or_named(run: Path, tmp_path: Path) -> None:
    assert find_why(run).workflow == BEST
    assert find_why(run / "front" / "2-score-0.750-cost-0.00400.yaml").workflow == FIRST
    flowbot.save(BEST, tmp_path / "mine.yaml")
    assert find_why(tmp_path / "mine.yaml", run).workflow == BEST


def test_it_is_told_in_words(run: Path, capsys: Out) -> None:
    assert code_of(["why", str(run / "best.yaml")]) == 0
    assert capsys.readouterr().out == TOLD


TOLD = f"""routing ({BEST.id[:6]}): what brought each part

a seed                  [reason] call
the start                 Send it to a team.
a seed                    Think first.
iteration 2, parameter    - Name the product that is meant.

the start               [answer] call
a seed                    reads: message, reason.reasoning
iteration 2, parameter    temperature: 0.5
a seed                    Give the team.
the start                 Be brief.
iteration 1, bullets      - Invoices go to billing.

the start ({START.id[:6]}): 25.0 % on validation

a seed ({SEED.id[:6]}): 50.0 % on validation
  edit: reason, then answer
  why: the shape
  price of the proposal: no meta call

iteration 1, bullets ({FIRST.id[:6]}): 75.0 % on validation
  edit: add: invoices
  why: invoices are not told of
  for: billing (prompt, 3 examples)
  predicted: hit 1 (t1), missed 1 (t2)
  on validation: fixed 1 (v2), broke none
  accepted: gain +25.0 points (+0.0 to +75.0), P(gain > 0) = 0.841
  price of the proposal: 2 meta calls, 1,234 tokens, $0.01250

iteration 2, parameter ({BEST.id[:6]}): 100.0 % on validation
  edit: the product; temperature 0.5
  on validation: fixed 1 (v4), broke none
  accepted: gain +25.0 points (+0.0 to +75.0), P(gain > 0) = 0.842
  price of the proposal: no meta call
"""


def test_it_is_told_to_programs(run: Path, capsys: Out) -> None:
    assert code_of(["why", str(run), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["workflow"] == BEST.id
    assert [each["candidate"] for each in told["way"]] == [START.id, SEED.id, FIRST.id, BEST.id]
    first = told["way"][2]
    assert (first["iteration"], first["operator"], first["outcome"]) == (1, "bullets", "accepted")
    assert (first["fixed"], first["broken"], first["hit"], first["missed"]) == (["v2"], [], ["t1"], ["t2"])
    assert first["clusters"][0]["rule"] == "Say what invoices are."
    assert first["paid"] == {"calls": 2, "tokens": 1234, "usd": 0.0125}
    assert {"step": "answer", "kind": "line", "text": "Be brief.", "came": 0} in told["parts"]


def test_a_start_that_stays_says_so(run: Path, capsys: Out) -> None:
    flowbot.save(START, run / "best.yaml")
    assert code_of(["why", str(run / "best.yaml")]) == 0
    told = capsys.readouterr().out
    assert "the start  [answer] call\nthe start    Send it to a team.\n" in told
    assert "iteration" not in told


def test_it_tells_the_way_of_the_recipe_paper_too(tmp_path: Path, capsys: Out) -> None:
    written(tmp_path, [*PAPER, *PAPER_SEARCH])
    flowbot.save(PAPER_BEST, tmp_path / "best.yaml")
    assert [change.name for change in find_why(tmp_path).way] == ["the start", "best after batch 1", "move demos"]
    assert code_of(["why", str(tmp_path)]) == 0
    told = capsys.readouterr().out
    assert "best after batch 1    Name the team.\n" in told
    assert "move demos            - rule two" in told


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (START.with_prompts({"answer": "Other."}), "is no result of the run"),
        (None, "there is no such workflow file"),
    ],
    ids=["another", "none"],
)
def test_what_is_no_result_of_the_run_is_one_error(
    run: Path, made: flowbot.Workflow | None, said: str, capsys: Out
) -> None:
    if made is not None:
        flowbot.save(made, run / "other.yaml")
    assert code_of(["why", str(run / "other.yaml")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err


def test_a_file_without_a_run_is_an_error(tmp_path: Path, capsys: Out) -> None:
    flowbot.save(BEST, tmp_path / "best.yaml")
    assert code_of(["why", str(tmp_path / "best.yaml")]) == 2
    assert "there is no journal beside it" in capsys.readouterr().err


def test_lines_are_bullets_and_sentences() -> None:
    prompt = "Sort it, e.g. by size. Then stop!\n\n- a rule. Two sentences.\n  and more\n  - inner\n1. First do.\n\nEnd"
    assert lines(prompt) == [
        "Sort it, e.g. by size.",
        "Then stop!",
        "- a rule. Two sentences. and more",
        "- inner",
        "1. First do.",
        "End",
    ]


# ------------------------------------------------------------------ front


def test_the_front_is_a_table(run: Path, capsys: Out) -> None:
    assert code_of(["front", str(run)]) == 0
    assert capsys.readouterr().out == FRONT


FRONT = f"""front: score against cost, on validation
  file                                     score  95 % interval  cost an example  calls  prompt length  steps
  {START.id[:6]}                                  25.0 %    4.6 to 69.9        $0.002000      1             28      1
  front/2-score-0.750-cost-0.00400.yaml   75.0 %   30.1 to 95.4        $0.004000      2             82      2
  {BEST.id[:6]}                                 100.0 %  51.0 to 100.0        $0.006100      2            121      2

Confirmed: measured on fresh examples; gain +50.0 points, 95 % interval +30.0 to +70.0. 4 children were tested.
"""


def test_the_front_is_told_to_programs(run: Path, capsys: Out) -> None:
    assert code_of(["front", str(run), "--json"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert [each["candidate"] for each in told["members"]] == [START.id, FIRST.id, BEST.id]
    assert [each["file"] for each in told["members"]] == ["", "front/2-score-0.750-cost-0.00400.yaml", ""]
    assert told["dollars"] is True
    assert (told["ended"], told["outcome"]["decision"], told["run"]) == ("done", "confirmed", str(run))
    assert OPEN.id not in {each["candidate"] for each in told["members"]}


def test_a_run_without_scores_has_no_front(tmp_path: Path, capsys: Out) -> None:
    written(tmp_path, OPENING[:2])
    assert code_of(["front", str(tmp_path)]) == 2
    assert "this run has no front yet" in capsys.readouterr().err


def test_a_folder_without_a_journal_is_an_error(tmp_path: Path, capsys: Out) -> None:
    assert code_of(["front", str(tmp_path)]) == 2
    assert "there is no journal here" in capsys.readouterr().err
