"""flowbot bench report: tables, Markdown, chart and figures of a folder of records, also of one still growing."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest

from flowbot.bench.findings import find
from flowbot.bench.records import Paid, Record
from flowbot.bench.report import markdown, read_records, sheets, show_tables, tables
from flowbot.bench.statistics import Difference
from flowbot.errors import InputError
from flowbot.faces import cli as command_line
from flowbot.faces.cli.bench_report import command
from flowbot.faces.tables import Table
from flowbot.task.task import BudgetSpec

Out = pytest.CaptureFixture[str]
SKILLS = {"race": 16, "gepa": 15, "single": 4}  # right of 20


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(method: str = "race", benchmark: str = "routing", seed: int = 0, **more: Any) -> Record:
    """A run of 20 items; the first so many are right, the seed moves them."""
    right = SKILLS.get(method, 10)
    facts: dict[str, Any] = {
        "scores": {f"t{at}": float((at + seed) % 20 < right) for at in range(20)},
        "search": Paid(calls=100 + seed, input_tokens=90_000, output_tokens=10_000, usd=0.5, seconds=250.0),
        "test": Paid(calls=40, input_tokens=8_000, output_tokens=2_000, usd=0.01, seconds=30.0),
        "wall": 60.0,
        "cpu": 2.5,
        "budget": BudgetSpec(usd=1.0, calls=500),
        "model": "openai:small",
        "meta": "openai:large",
        "sizes": {"train": 30, "val": 30, "test": 20},
        "versions": {"flowbot": "0.1.0"} | ({"gepa": "0.0.22"} if method == "gepa" else {}),
    }
    return Record(benchmark=benchmark, method=method, seed=seed, **(facts | more))


def grid(benchmarks: tuple[str, ...] = ("routing",), seeds: int = 2) -> list[Record]:
    return [record(method, name, seed) for name in benchmarks for method in SKILLS for seed in range(seeds)]


def written(folder: Path, records: list[Record]) -> Path:
    (folder / "records").mkdir(parents=True)
    for each in records:
        (folder / "records" / f"{each.benchmark}.{each.method}.s{each.seed}.json").write_text(each.model_dump_json())
    return folder


@pytest.fixture(autouse=True)
def mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hang the command into the command line, whether or not `bench` is there."""
    bench = click.Group("bench", commands={"report": command})
    monkeypatch.setattr(command_line, "cli", click.Group("flowbot", commands={"bench": bench}))


def test_a_record_keeps_its_budget_as_a_file() -> None:
    found = json.loads(record(budget=BudgetSpec(usd=1.5)).model_dump_json())
    assert found["budget"] == {"usd": 1.5, "calls": None, "tokens": None, "seconds": None}
    assert Record.model_validate_json(json.dumps(found | {"budget": {"usd": 2, "seconds": 60}})).budget == BudgetSpec(
        usd=2.0, seconds=60.0
    )


def table(records: list[Record], title: str, against: str = "") -> Table:
    (found,) = [each for each in tables(records, against) if title in each.title]
    return found


def cells(found: Table, method: str) -> dict[str, str]:
    (row,) = [row for row in found.rows if row[0] == method]
    return dict(zip(found.columns, row, strict=True))


def screen(records: list[Record], columns: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    out = Terminal()
    show_tables(sheets(find(records)), out)
    return re.sub(r"\x1b\[[\d;]*m", "", out.getvalue()).splitlines()


# ------------------------------------------------------------------ figures


def test_a_method_against_the_reference() -> None:
    found = table(grid(), "sealed test")
    assert found.title == "routing: sealed test of 20 items, 2 seeds; gain over race in points"
    assert [row[0] for row in found.rows] == ["race", "gepa", "single"]
    race, single = cells(found, "race"), cells(found, "single")
    assert (race["score"], race["gain"], race["Holm p"]) == ("80.0 %", "", "")
    assert (single["score"], single[""], single["gain"]) == ("20.0 %", "worse", "-60.0")
    low, high = (float(end) for end in single["its interval"].split(" to "))
    assert low < -60 < high < 0
    assert cells(found, "gepa")[""] == "tied"
    other = table(grid(), "sealed test", against="single")
    assert (cells(other, "race")[""], cells(other, "race")["gain"]) == ("better", "+60.0")


@pytest.mark.parametrize(
    ("low", "high", "holm", "verdict"),
    [
        (0.01, 0.2, 0.05, "better"),
        (-0.2, -0.01, 0.01, "worse"),
        (0.01, 0.2, 0.051, "tied"),  # these programs on other items
        (-0.01, 0.2, 0.001, "tied"),  # other searches
    ],
)
def test_better_and_worse_need_both_tests(low: float, high: float, holm: float, verdict: str) -> None:
    entry = find(grid()).boards[0].entries[-1]
    gap = Difference((low + high) / 2, low, high, 3, 60, 0.9, holm / 2)
    assert replace(entry, against=gap, holm=holm).verdict == verdict


def test_costs_are_of_one_search_and_of_one_example() -> None:
    search, test = (table(grid(), f"what one {part} took") for part in ("search", "test example"))
    assert search.rows[0] == ("race", "100", "100,000", "$0.5000", "250", "60", "2.5")
    assert test.rows[0] == ("race", "2", "500", "$0.0005000", "1.5", "0")
    dear = [record(search=Paid(calls=3, usd=None)), record(seed=1)]
    assert cells(table(dear, "one search"), "race")["cost"] == "price unknown"


def test_the_reference_is_race_else_the_first_with_scores() -> None:
    assert find(grid()).reference == "race"
    others = [record("b", missing="no tools", scores={}), record("c"), record("a")]
    assert find(others).reference == "c"
    assert find(others, "a").reference == "a"


def test_ranks_are_over_what_all_share() -> None:
    names = ("a", "b", "c", "d", "e")
    records = [*grid(names), record("gepa", "f"), record("race", "f")]
    overall = find(records).overall
    assert [(each.method, each.rank and each.rank.value) for each in overall.standings] == [
        ("race", 1),
        ("gepa", 2),
        ("single", 3),
    ]
    assert (len(overall.cells), overall.blocks, overall.of) == (10, 5, "benchmarks")
    assert overall.friedman is not None
    assert overall.friedman.p < 0.01
    last = overall.standings[-1]
    assert (last.won, last.tied, last.lost, last.mean) == (0, 0, 5, pytest.approx(0.2))
    few = find(grid(("a", "b"), seeds=3)).overall
    assert (few.blocks, few.of) == (6, "cells")
    assert find(grid(seeds=2)).overall.friedman is None


def test_what_could_not_be_run_is_left_out_of_ranks_and_said() -> None:
    records = [
        *grid(("a", "b")),
        record("textgrad", "a"),
        record("textgrad", "b", missing="no tools\n  try b", scores={}),
    ]
    overall = find(records).overall
    assert overall.left_out == ("textgrad",)
    assert [each.rank for each in overall.standings if each.method == "textgrad"] == [None]
    assert table(records, "not run").notes == (
        "textgrad on b, seed 0: no tools; try b",
        "textgrad on a, seed 1: no record (yet)",
        "textgrad on b, seed 1: no record (yet)",
    )


def test_a_method_with_fewer_seeds_is_compared_on_those_it_has() -> None:
    records = [record(seed=0), record(seed=1), record("gepa", seed=1)]
    found = find(records)
    (gepa,) = [each for each in found.boards[0].entries if each.method == "gepa"]
    assert gepa.against is not None
    assert (gepa.against.seeds, gepa.against.items, gepa.notes) == (1, 20, ("1 of 2 seeds",))
    assert found.overall.cells == (("routing", 1),)
    alone = find([record(seed=0), record("gepa", seed=1)])
    assert [each.against for each in alone.boards[0].entries] == [None, None]
    assert "no ranks" in table([record(seed=0), record("gepa", seed=1)], "over all").notes[0]


def test_the_reference_may_not_have_run_everywhere() -> None:
    records = [record(), record("gepa", "other"), record(missing="no tools", scores={}, benchmark="other")]
    assert "race has no scores here" in table(records, "other: sealed test").notes[0]


def test_what_is_not_alike_is_said() -> None:
    short = {"t0": 1.0}
    records = [record(), record("gepa", model="openai:other", budget=BudgetSpec(calls=9), scores=short)]
    said = "\n".join(table(records, "sealed test").notes)
    assert "not the same models: openai:other, meta openai:large (gepa)" in said
    assert "not the same budget with seed 0" in said
    assert "not the same test items with seed 0" in said
    free = [record(budget=BudgetSpec()), record("gepa")]
    assert table(free, "sealed test").notes == ("no budget: race",)


def test_scores_that_are_no_fractions() -> None:
    records = [record(method, scores={f"t{at}": 12.5 * at for at in range(9)}) for method in ("race", "gepa")]
    found = table(records, "sealed test")
    assert (cells(found, "gepa")["score"], cells(found, "gepa")["gain"]) == ("50", "+0")
    assert "points" not in found.title
    assert cells(table(records, "over all"), "race")["mean"] == ""


# ------------------------------------------------------------------ for the eye


PLAIN = """routing: sealed test of 20 items, 1 seed; gain over race in points
  method   score  95 % interval          gain    its interval  P(gain > 0)   Holm p
  race    80.0 %   60.0 to 95.7
  gepa    75.0 %   53.8 to 93.8   tied   -5.0   -16.7 to +0.0        0.183    1.000
  single  20.0 %    4.3 to 38.9  worse  -60.0  -81.8 to -38.1      < 0.001  < 0.001

"""


def test_plain_text() -> None:
    out = io.StringIO()
    show_tables(sheets(find(grid(seeds=1)))[:1], out)
    assert out.getvalue() == PLAIN


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_nothing_breaks_on_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = screen(grid(), columns, monkeypatch)
    assert max(len(line) for line in lines) <= columns
    text = "\n".join(lines)
    assert "…" not in text
    (row,) = [line.split() for line in lines if line.startswith("  single ") and "worse" in line]
    assert row[:3] == ["single", "20.0", "%"]
    assert ("P(gain > 0)" in text.partition("what one search")[0].partition("left out")[0]) is (columns == 120)
    assert ("Holm p" in text.partition("left out")[0]) is (columns > 60)
    assert ("left out, as the terminal is narrow" in text) is (columns < 120)


def test_markdown() -> None:
    records = [*grid(seeds=1), record("x|<b>*y*", note="see [this](https://there.example) \x1b[31m")]
    page = markdown(tables(records), "report.svg")
    assert page.startswith("# Benchmarks\n\n![Test scores by benchmark and method, with 95 % intervals](report.svg)\n")
    assert "| method | score | 95 % interval |  | gain | its interval | P(gain > 0) | Holm p |\n| :-- | --: |" in page
    assert r"| x\|&lt;b>\*y\* | 50.0 % |" in page
    assert r"\[this\](https:&#47;/there.example) \[31m" in page
    assert "\x1b" not in page
    assert "gain over race in points" in page


def test_the_chart_is_xml_with_a_row_a_method(tmp_path: Path) -> None:
    records = [*grid(("a&b", "c")), record('<script>"x"', "c", note="\x00")]
    folder = written(tmp_path, [])
    for at, each in enumerate(records):
        (folder / "records" / f"{at}.json").write_text(each.model_dump_json())
    assert command_line.code_of(["bench", "report", str(folder)]) == 0
    text = (folder / "report.svg").read_text("utf-8")
    root = ElementTree.fromstring(text)
    ns = "{http://www.w3.org/2000/svg}"
    rows = [each for each in root.iter(f"{ns}g") if each.get("class") in ("reference", "decided", "method")]
    assert len(rows) == 7
    assert [each.get("class") for each in rows].count("reference") == 2
    said = ["".join(each.itertext()) for each in root.iter(f"{ns}text")]
    assert "a&b" in said
    assert '<script>"x"' in said
    assert "prefers-color-scheme:dark" in text
    assert "<script" not in text
    width = float(root.get("width", "0"))
    assert all(0 <= float(each.get("x", "0")) <= width for each in root.iter(f"{ns}text"))


# ------------------------------------------------------------------ the command


def test_the_command_prints_and_writes(tmp_path: Path, capsys: Out) -> None:
    folder = written(tmp_path / "out", grid(("a", "b")))
    assert command_line.code_of(["bench", "report", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "a: sealed test of 20 items, 2 seeds" in said
    assert said.endswith(f"{folder / 'report.md'}\n{folder / 'report.json'}\n{folder / 'report.svg'}\n")
    assert (folder / "report.md").read_text("utf-8").count("sealed test of 20 items") == 2
    plain = json.loads((folder / "report.json").read_text("utf-8"))
    (single,) = [each for each in plain["boards"][0]["entries"] if each["method"] == "single"]
    assert single["score"]["value"] == pytest.approx(0.2)
    assert (single["verdict"], single["against"]["value"]) == ("worse", pytest.approx(-0.6))
    assert {"package": "gepa", "version": "0.0.22", "methods": ["gepa"]} in plain["versions"]


def test_json_without_files(tmp_path: Path, capsys: Out) -> None:
    folder = written(tmp_path / "out", grid())
    assert command_line.code_of(["bench", "report", str(folder), "--json", "--no-files", "--against", "single"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["reference"] == "single"
    assert [each.name for each in folder.iterdir()] == ["records"]


def test_a_report_of_nothing_but_what_could_not_be_run(tmp_path: Path, capsys: Out) -> None:
    folder = written(tmp_path / "out", [record(missing="no endpoint", scores={})])
    assert command_line.code_of(["bench", "report", str(folder)]) == 0
    assert "race on routing, seed 0: no endpoint" in capsys.readouterr().out
    assert not (folder / "report.svg").exists()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("", "", "there are no records here\n  name the folder that `flowbot bench run` wrote"),
        ("x.json", "{", "x.json: this is no record: Invalid JSON"),
        ("x.json", '{"benchmark": "a", "method": "b"}', "x.json: this is no record: seed: Field required"),
        ("x.json", record().model_dump_json().replace('"t0":1.0', '"t0":NaN'), "x.json: a score is not a number"),
        ("x.json", record(scores={}).model_dump_json(), "race on routing, seed 0: the record has neither scores nor"),
        ("y.json", record("gepa").model_dump_json(), "two records of one run"),
    ],
)
def test_a_broken_folder_is_one_error(name: str, text: str, said: str, tmp_path: Path, capsys: Out) -> None:
    folder = written(tmp_path / "out", [record("gepa")] if name == "y.json" else [])
    if name:
        (folder / "records" / name).write_text(text)
    assert command_line.code_of(["bench", "report", str(folder)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err
    assert not (folder / "report.md").exists()


def test_an_unknown_method_is_answered_with_the_near_miss(tmp_path: Path, capsys: Out) -> None:
    folder = written(tmp_path / "out", grid())
    assert command_line.code_of(["bench", "report", str(folder), "--against", "gapa"]) == 2
    said = capsys.readouterr().err
    assert "no record is of the method 'gapa'; did you mean 'gepa'?\n  methods: gepa, race, single" in said
    with pytest.raises(InputError, match="no records"):
        find([])
    assert read_records(folder)[0].method == "gepa"
