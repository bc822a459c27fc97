"""Numbers in words, and tables as plain text and on a terminal."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from flowbot.faces.front import Front
from flowbot.faces.race_story import Child, Cluster, Confirmation, Decision, Race
from flowbot.faces.tables import (
    ResultRow,
    Table,
    chance_text,
    clusters_table,
    edits_table,
    gain_text,
    ledger_table,
    money_text,
    outcome_text,
    parts_table,
    plain_table,
    print_result,
    result_rows,
    result_table,
    score_text,
    show,
)
from flowbot.money import Ledger, Usage
from flowbot.search import lab
from flowbot.search.compare import Comparison

GAIN = Comparison(80, 0.125, 0.8125, 0.575, 0.788, 0.9999)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass
class Outcome:
    ended: str = "budget"
    why: str = "the budget of 2 usd is reached"
    tables: dict[str, Comparison] = field(default_factory=lambda: {"test": GAIN})
    parts: dict[str, float] = field(default_factory=lambda: {"start": 0.125, "gradients": 0.5})
    ledger: Ledger = field(default_factory=Ledger)
    folder: Path | None = Path("runs/routing")
    notes: tuple[str, ...] = ("a note",)
    outcome: lab.Outcome | None = None
    members: Front = field(default_factory=Front)
    race: Race = field(default_factory=Race)


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        (None, "price unknown"),
        (0.0, "$0"),
        (0.00001234, "$0.00001234"),
        (0.12346, "$0.1235"),
        (12.345678, "$12.35"),
        (12345.678, "$12,345.68"),
    ],
)
def test_money_has_four_digits_and_at_least_cents(usd: float | None, text: str) -> None:
    assert money_text(usd) == text


def test_scores_are_percentages_where_they_are_fractions() -> None:
    assert score_text(0.8125) == "81.3 %"
    assert gain_text(0.6875) == "+68.8"
    assert gain_text(-0.00001) == "+0.0"
    assert score_text(3.25, fraction=False) == "3.25"


def test_halves_round_alike_in_scores_and_gains() -> None:
    assert [score_text(0.7875), gain_text(0.7875 - 0.15)] == ["78.8 %", "+63.8"]


def test_a_bootstrap_never_shows_certainty() -> None:
    assert [chance_text(1.0), chance_text(0.0), chance_text(0.95)] == ["> 0.999", "< 0.001", "0.950"]


def test_result_has_gain_and_interval_and_room_for_third_rows() -> None:
    rows = [*result_rows(GAIN), ResultRow("careful", 0.7, 80)]
    table = result_table({"sealed test": rows})
    assert table.rows[1] == ("", "best", "81.3 %", "80", "+68.8", "+57.5 to +78.8", "> 0.999")
    assert table.rows[2][:4] == ("", "careful", "70.0 %", "80")
    assert table.columns[4] == "gain (points)"


def test_a_metric_beyond_one_is_not_a_percentage() -> None:
    table = result_table({"val": result_rows(Comparison(5, 1.5, 3.0, 1.0, 2.0, 0.99))})
    assert table.rows[1][2:6] == ("3", "5", "+1.5", "+1 to +2")
    assert table.columns[4] == "gain"


def test_parts_stand_apart() -> None:
    assert [row[2] for row in parts_table({"start": 0.1, "gradients": 0.4, "moves": 0.45}).rows] == [
        "",
        "+30.0",
        "+5.0",
    ]


def test_ledger_leaves_out_empty_columns_and_marks_what_is_not_known() -> None:
    ledger = Ledger()
    ledger.add("task", Usage(1, 1200, 30, usd=None, estimated=True))
    ledger.add("prompt_update", Usage(1, 10, 20, usd=0.5), repair=True)
    table = ledger_table(ledger)
    assert table.columns == ("", "calls", "repairs", "input", "output", "seconds", "cost")
    assert table.rows[0] == ("task (estimated)", "1", "0", "1,200", "30", "0.0", "price unknown")
    assert table.rows[1][0] == "prompt update"
    assert table.rows[-1] == ("all (estimated)", "2", "1", "1,210", "50", "0.0", "price unknown")
    assert "(estimated)" in table.notes[0]
    assert ledger_table(Ledger()).rows == ()


def test_turns_after_tool_calls_have_a_column_of_their_own() -> None:
    ledger = Ledger()
    ledger.add("task", Usage(1, 100, 10))
    ledger.add("task", Usage(1, 150, 10), turn=True)
    ledger.add("task", Usage(1, 200, 10), turn=True)
    table = ledger_table(ledger)
    assert table.columns == ("", "calls", "turns", "input", "output", "seconds", "cost")
    assert [row[:3] for row in table.rows] == [("task", "3", "2"), ("all", "3", "2")]
    assert ledger_table(ledger, brief=True).columns == ("", "calls", "input", "output", "cost")


def test_plain_text_is_aligned() -> None:
    lines = plain_table(parts_table({"start": 0.05, "gradients": 1.0}, title="")).splitlines()
    assert lines[1].index("5.0 %") == lines[2].index("100.0 %") + 2
    assert len({len(line.rstrip()) for line in (lines[0], lines[2])}) == 1


def test_a_terminal_gets_the_same_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    out = Terminal()
    show(result_table({"[bold]x": result_rows(GAIN)}), out)
    assert "+57.5 to +78.8" in out.getvalue()
    assert "[bold]x" in out.getvalue()


def test_a_narrow_terminal_gets_every_cell_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    out = Terminal()
    columns = ("file", *(f"column {n}" for n in range(6)))
    show(Table("a wide one", columns, (("one.yaml", *("x" * 13 + str(n) for n in range(6))),), notes=("a note",)), out)
    text = out.getvalue()
    assert all(f"column {n} {'x' * 13}{n}" in " ".join(text.split()) for n in range(6))
    assert "…" not in text
    assert "a note" in text


def test_print_result_says_how_it_ended_and_where_things_are() -> None:
    out = io.StringIO()
    print_result(Outcome(), out)
    text = out.getvalue()
    for part in ("sealed test", "+68.8", "gradients", "note: a note", "ended by budget: the budget of 2 usd is"):
        assert part in text
    assert str(Path("runs/routing/report.html")) in text


def test_print_result_without_scores() -> None:
    out = io.StringIO()
    print_result(Outcome("done", "", {}, {}, Ledger(), None, ()), out)
    assert out.getvalue() == ""


def test_an_undecided_result_names_its_finalist_and_its_file() -> None:
    out = io.StringIO()
    outcome = lab.Outcome("undecided", "P(gain > 0) = 0.900", None, GAIN, 3)
    print_result(Outcome("done", "", {"confirm": GAIN, "test": GAIN}, outcome=outcome), out)
    rows = [line.split()[:2] for line in out.getvalue().splitlines()[2:6]]
    assert rows == [["confirmation", "start"], ["finalist", "81.3"], ["sealed", "test"], ["best", "81.3"]]
    assert f"undecided finalist: {Path('runs/routing/undecided.yaml')}" in out.getvalue()


def test_only_what_was_measured_on_fresh_examples_has_its_interval_in_the_sentence() -> None:
    assert "57.5" in outcome_text(Confirmation("confirmed", "it was", tested=1, comparison=GAIN))
    assert outcome_text(Confirmation("unconfirmed", "too few", tested=1200, comparison=GAIN)) == (
        "Unconfirmed: too few. 1,200 children were tested."
    )
    assert outcome_text(Confirmation("start", "nothing beat it", tested=1)) == (
        "The start stays: nothing beat it. 1 child was tested."
    )
    assert outcome_text(None).startswith("Not confirmed: ")


def child(number: int, decision: str, p_gain: float) -> Child:
    found = Decision(decision, "", 0.1, p_gain, -0.1, 0.3, True, ("a",), (), ("t",), ("u", "v"))
    return Child(f"{decision}{number}", number, "output_type", ("an edit " * 20,), decision=found)


def test_of_many_edits_the_accepted_and_the_likeliest_are_shown_in_their_order() -> None:
    children = [
        child(1, "rejected", 0.1),
        child(2, "accepted", 0.3),
        child(3, "pooled", 0.7),
        child(4, "rejected", 0.6),
    ]
    table = edits_table([*children, Child("lost", 5, "fix")], most=3)
    assert [(row[0], row[3]) for row in table.rows] == [
        ("2", "accepted"),
        ("3", "kept beside, undecided"),
        ("4", "rejected, undecided"),
    ]
    assert table.rows[0][1:3] == ("output type", "an edit an edit an edit an edit an edit a...")
    assert table.rows[0][4:] == ("+10.0", "-10.0 to +30.0", "1", "0", "1 of 3")
    assert table.notes[0] == "and 1 more that were rejected"
    every = edits_table([child(number, "accepted", 0.9) for number in range(20)], most=3)
    assert len(every.rows) == 20


def test_clusters_have_their_counts() -> None:
    clusters = [Cluster(f"c{place}", "prompt", "a rule", ("t1", "t2"), place) for place in range(10)]
    table = clusters_table(clusters)
    assert table.rows[1] == ("c1", "prompt", "2", "1")
    assert (len(table.rows), table.notes) == (8, ("and 2 smaller ones",))
