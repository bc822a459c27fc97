"""The story of a tested search, told from hand-written journals: its end, edits and front, and the report on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowbot.faces.story import headline, read_story
from flowbot.faces.tables import outcome_text
from flowbot.search.compare import wilson
from tests.faces.test_report import report
from tests.papers import OPENING as PAPER
from tests.races import (
    BEST,
    COMPARED,
    FIRST,
    LOST,
    OPEN,
    OPENING,
    SEARCH,
    SEED,
    START,
    confirmation,
    ending,
    front,
    iteration,
    written,
)

CLOSED = [*OPENING, *SEARCH, front(), confirmation("confirmed", **COMPARED)]
NAMED = {"first": FIRST, "open": OPEN, "lost": LOST}
TEST = COMPARED | {"n": 80, "old": 0.2, "new": 0.7}


def test_children_have_their_rungs_their_decision_and_their_price(tmp_path: Path) -> None:
    race = read_story(written(tmp_path, CLOSED)).race
    assert race is not None
    assert [child.id for child in race.children] == [FIRST.id, LOST.id, BEST.id, OPEN.id]
    assert [child.outcome for child in race.children] == [
        "accepted",
        "dropped at 2 items",
        "accepted",
        "kept beside, undecided",
    ]
    first = race.children[0]
    assert (first.number, first.operator, first.paid["tokens"]) == (1, "bullets", 1234)
    assert [(rung.items, rung.stays) for rung in first.rungs] == [(2, True), (4, True)]
    assert first.decision is not None
    assert (first.decision.fixed, first.decision.hit, first.decision.missed) == (("v2",), ("t1",), ("t2",))
    assert [child.id for child in race.seeds] == [SEED.id]
    assert [cluster.name for cluster in race.clusters] == ["hopeless"]
    assert race.end is not None
    assert race.end.comparison is not None
    assert race.end.comparison.gain == 0.5


def test_a_child_that_the_budget_kept_from_the_race_is_told_as_such(tmp_path: Path) -> None:
    slate = {"kind": "slate", "number": 1, "children": [["abc", "fix"]]}
    race = read_story(written(tmp_path, [*OPENING, iteration(1, SEED), slate])).race
    assert race is not None
    assert [(child.outcome, child.edits) for child in race.children] == [("not raced", ())]


def test_an_end_counts_only_where_nothing_was_tried_after_it(tmp_path: Path) -> None:
    again = [*CLOSED, iteration(3, BEST)]
    story = read_story(written(tmp_path, again))
    assert story.outcome is None
    assert story.race is not None
    assert len(story.race.iterations) == 3


@pytest.mark.parametrize(
    ("end", "lead", "tail", "said"),
    [
        (
            ending("confirmed", COMPARED, tables={"confirm": COMPARED, "test": TEST}),
            "20.0 % -> 70.0 %",
            "on the sealed test (+50.0 points, 95 % interval +30.0 to +70.0), confirmed",
            "Confirmed: measured on fresh examples; gain +50.0 points, 95 % interval +30.0 to +70.0. 4 children",
        ),
        (
            ending("confirmed", COMPARED),
            "25.0 % -> 75.0 %",
            "on examples kept back from the search (+50.0 points, 95 % interval +30.0 to +70.0), confirmed",
            "Confirmed: ",
        ),
        (
            ending("undecided", COMPARED),
            "25.0 %",
            "on examples kept back from the search: the start stays, the finalist is undecided",
            "Undecided: measured on fresh examples; gain +50.0 points, 95 % interval +30.0 to +70.0; the start stays.",
        ),
        (
            ending("unconfirmed", COMPARED),
            "25.0 % -> 75.0 %",
            "on validation, the test not scored (+50.0 points, 95 % interval +30.0 to +70.0), unconfirmed",
            "Unconfirmed: measured on fresh examples. 4 children were tested.",
        ),
        (
            ending("start", tables={"test": TEST | {"new": 0.2, "low": 0.0, "high": 0.0}}),
            "20.0 %",
            "on the sealed test: nothing beat the start",
            "The start stays: measured on fresh examples. 4 children were tested.",
        ),
    ],
    ids=["confirmed", "confirmed-without-a-test", "undecided", "unconfirmed", "start"],
)
def test_the_headline_says_how_far_to_rely_on_it(
    tmp_path: Path, end: dict[str, Any], lead: str, tail: str, said: str
) -> None:
    path = written(tmp_path, CLOSED, end)
    story = read_story(path)
    assert headline(story) == (lead, tail)
    assert outcome_text(story.outcome).startswith(said)
    assert report(path)[1].run.headline == (lead, tail)


def test_a_run_killed_before_its_end_is_not_confirmed(tmp_path: Path) -> None:
    path = written(tmp_path, [*OPENING, *SEARCH])
    story = read_story(path)
    assert story.best == BEST
    assert headline(story)[1].startswith("on validation, so far (+75.0 points")
    assert headline(story)[1].endswith(", not confirmed")
    run = report(path)[1].run
    assert (run.outcome, run.line.ended, run.headline) == (None, "open", headline(story))


def test_the_front_of_a_run_without_an_end_is_that_of_its_rows(tmp_path: Path) -> None:
    story = read_story(written(tmp_path, [*OPENING, *SEARCH]))
    assert [member.workflow for member in story.front.members] == [START, FIRST, BEST]
    assert story.front.dollars
    assert [member.file for member in story.front.members] == [
        "front/1-score-0.250-cost-0.00200.yaml",
        "front/2-score-0.750-cost-0.00400.yaml",
        "front/3-score-1.000-cost-0.00610.yaml",
    ]
    assert [(member.calls, member.steps) for member in story.front.members] == [(1, 1), (2, 2), (2, 2)]
    best = story.front.members[-1]
    assert (best.low, best.high) == wilson(1.0, 4)


def test_the_front_of_a_run_is_what_its_end_says(tmp_path: Path) -> None:
    told = {"candidate": FIRST.id, "mean": 0.7, "low": 0.5, "high": 0.9, "cost": 12.0, "file": "front/1-x.yaml"}
    end = ending("confirmed", COMPARED, front={"dollars": False, "members": [told]})
    found = read_story(written(tmp_path, CLOSED, end)).front
    assert not found.dollars
    assert [(each.workflow, each.score, each.cost, each.file) for each in found.members] == [
        (FIRST, 0.7, 12.0, "front/1-x.yaml")
    ]


def test_the_report_tells_edits_front_and_clusters(tmp_path: Path) -> None:
    data = report(written(tmp_path, CLOSED, ending("undecided", COMPARED)))[1]
    run = data.run
    assert run.outcome is not None
    assert (run.outcome.decision, run.outcome.finalist, run.outcome.tested) == ("undecided", BEST.id, 4)
    assert run.outcome.comparison is not None
    assert (run.outcome.comparison.n, run.outcome.comparison.old, run.outcome.comparison.new) == (20, 0.25, 0.75)
    assert [(each.file, each.mean, each.cost, each.calls) for each in run.front][1] == (
        "front/2-score-0.750-cost-0.00400.yaml",
        0.75,
        0.004,
        2,
    )
    lines = {line.id: line for line in run.candidates}
    assert {name: (lines[each.id].fate, lines[each.id].gain) for name, each in NAMED.items()} == {
        "first": ("accepted", 0.25),
        "open": ("kept", -0.25),
        "lost": ("dropped", -0.5),
    }
    first = next(each for each in data.candidates if each.line.id == FIRST.id)
    assert (first.line.edits, first.line.hypothesis, first.line.clusters) == (
        ["add: invoices"],
        "invoices are not told of",
        ["billing"],
    )
    assert first.decision is not None
    assert (first.decision.fixed, first.decision.hit, first.decision.missed) == (["v2"], ["t1"], ["t2"])
    assert [(each.name, each.defect, each.examples) for each in run.clusters] == [
        ("hopeless", "label", ["t9"]),
        ("billing", "prompt", ["t1", "t2", "t3"]),
    ]


def test_without_content_the_report_has_no_edit_and_no_cluster(tmp_path: Path) -> None:
    text, data = report(written(tmp_path, CLOSED, ending("confirmed", COMPARED)), content=False)
    for part in ("nvoices", "hopeless", '"guess"', "billing", "Say what"):
        assert part not in text, part
    assert [(each.name, each.rule) for each in data.run.clusters] == [("cluster 1", ""), ("cluster 2", "")]
    assert {name for line in data.run.candidates for name in line.clusters} == {"cluster 2"}


def test_the_best_is_drawn_from_the_candidate_that_it_is(tmp_path: Path) -> None:
    points = read_story(written(tmp_path, CLOSED)).points
    assert [(point.label, point.best) for point in points] == [
        (START.id[:6], 0.25),
        (SEED.id[:6], 0.5),
        (FIRST.id[:6], 0.75),
        (BEST.id[:6], 1.0),
        (OPEN.id[:6], 1.0),
    ]


def test_a_best_that_is_sampled_again_has_its_new_mean(tmp_path: Path) -> None:
    again = {"kind": "sampled", "candidate": BEST.id, "was": 1.0, "mean": 0.875, "samples": 2}
    story = read_story(written(tmp_path, [*OPENING, *SEARCH, again]))
    found = story.candidate(BEST)
    assert found is not None
    assert found.mean == 0.875
    assert story.points[-1].best == 0.875


def test_a_recipe_that_confirms_nothing_has_no_such_sections(tmp_path: Path) -> None:
    path = written(tmp_path, PAPER)
    story = read_story(path)
    assert (story.race, story.outcome) == (None, None)
    assert not story.front  # its rows have no costs
    run = report(path)[1].run
    assert (run.outcome, run.front, run.clusters, run.iterations) == (None, [], [], [])
