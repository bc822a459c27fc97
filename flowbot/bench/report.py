"""The report of benchmarks: from a folder's records to tables (terminal and Markdown), JSON and a chart."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from flowbot.bench.conditions import Gap, seeds_text
from flowbot.bench.findings import Board, Cost, Entry, Findings, find
from flowbot.bench.records import Record
from flowbot.bench.statistics import Estimate
from flowbot.errors import InputError
from flowbot.faces.tables import (
    Table,
    chance_text,
    count_text,
    gain_text,
    is_terminal,
    money_text,
    plain_table,
    rich_table,
    score_text,
)
from flowbot.store.files import read_text, write_text
from flowbot.workflow.fields import whole

LONGEST = 24  # characters of a name in a table
LEGEND = (
    "95 % interval: bootstrap over seeds and test items together; with one seed over items only, which leaves out what "
    "another search would have found.",
    "Holm p: paired permutation test on items, corrected for the number of methods compared. better, worse: Holm p at "
    "most 0.05 and an interval that leaves out 0; else tied: the data do not tell the two apart.",
    "waited: latencies of all calls summed, as if none ran at once; wall and CPU: of the method's own process; failed: "
    "test items without an output, over all seeds, which score 0.",
)


@dataclass(frozen=True)
class Sheet(Table):
    """A table of the report; where it is too wide for a terminal, the columns `spare` are left out, the first first."""

    spare: tuple[str, ...] = ()


def read_records(folder: Path) -> list[Record]:
    """Return the records of a benchmark's folder (`records/*.json`), by file name; raise `InputError`."""
    files = sorted((folder / "records").glob("*.json"))
    if not files:
        raise InputError("there are no records here", str(folder), "name the folder that `flowbot bench run` wrote")
    return [_record(file) for file in files]


def _record(file: Path) -> Record:
    try:
        record = Record.model_validate_json(read_text(file, "record"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        said = f"{place}: {first['msg']}" if place else first["msg"]
        raise InputError(f"this is no record: {said}", str(file), "remove it and run it again") from None
    if not all(abs(score) < float("inf") for score in record.scores.values()):
        raise InputError("a score is not a number", str(file), "remove it and run it again")
    return record


def tables(records: Sequence[Record], against: str = "") -> list[Table]:
    """Return the tables of a report on records, compared with the method `against`; raise `InputError` as `find`."""
    return sheets(find(records, against))


def sheets(found: Findings) -> list[Table]:
    """Return the tables of a report: each benchmark, all of them together, and what was run under which conditions."""
    shown: list[Table] = []
    for board in found.boards:
        shown += [_scores(board, found.reference), _search(board), _test(board)]
    if found.boards:
        shown += [_overall(found), _conditions(found.boards)]
    shown += [_versions(found), _gaps(found.gaps), Sheet("how to read this", (), (), notes=LEGEND)]
    return [each for each in shown if each.rows or each.notes]


def _scores(board: Board, reference: str) -> Sheet:
    rows = [_score_row(each, board.fraction) for each in board.entries]
    unit = " in points" if board.fraction else ""
    seeds = _many(len(board.seeds), "seed")
    items = max(each.score.items // each.score.seeds for each in board.entries)
    title = (
        f"{_words(board.name)}: sealed test of {count_text(items)} items, {seeds}; gain over {_name(reference)}{unit}"
    )
    notes = [f"{_name(each.method)}: {_words('; '.join(each.notes))}" for each in board.entries if each.notes]
    if all(each.method != reference for each in board.entries):
        notes.append(f"{_name(reference)} has no scores here: there is nothing to compare with")
    notes += map(_words, board.uneven)
    columns = ("method", "score", "95 % interval", "", "gain", "its interval", "P(gain > 0)", "Holm p")
    return Sheet(title, columns, tuple(rows), notes=tuple(notes), spare=("P(gain > 0)", "Holm p", "95 % interval"))


def _score_row(each: Entry, fraction: bool) -> tuple[str, ...]:
    head = (_name(each.method), score_text(each.score.value, fraction), _interval(each.score, fraction))
    if each.against is None or each.holm is None:
        return (*head, "", "", "", "", "")
    low, high = (gain_text(end, fraction) for end in (each.against.low, each.against.high))
    said = (gain_text(each.against.value, fraction), f"{low} to {high}")
    return (*head, each.verdict, *said, chance_text(each.against.p_above), _p_text(each.holm))


def _search(board: Board) -> Sheet:
    rows = [
        (_name(each.method), *_paid(each.search), *(_number(value) for value in (each.wall, each.cpu)))
        for each in board.entries
    ]
    columns = ("method", "calls", "tokens", "cost", "waited s", "wall s", "CPU s")
    return Sheet(
        f"{_words(board.name)}: what one search took, on average", columns, tuple(rows), spare=("CPU s", "waited s")
    )


def _test(board: Board) -> Sheet:
    rows = [(_name(each.method), *_paid(each.test), count_text(each.failed)) for each in board.entries]
    columns = ("method", "calls", "tokens", "cost", "waited s", "failed")
    return Sheet(
        f"{_words(board.name)}: what one test example took, on average", columns, tuple(rows), spare=("failed",)
    )


def _overall(found: Findings) -> Sheet:
    every = found.overall
    ranked = any(each.rank for each in every.standings)
    rows = [
        (
            _name(each.method),
            "" if each.mean is None else score_text(each.mean),
            f"{each.rank.value:.2f}" if each.rank else "",
            f"{each.rank.low:.2f} to {each.rank.high:.2f}" if each.rank else "",
            *((str(each.won), str(each.tied), str(each.lost)) if each.method != found.reference else ("", "", "")),
        )
        for each in every.standings
    ]
    benchmarks = len({name for name, _ in every.cells})
    notes = [
        f"mean and ranks over what all ranked methods share: {_many(len(every.cells), 'cell')} (benchmark and seed) of "
        f"{_many(benchmarks, 'benchmark')}; 1 is the best rank"
        if ranked
        else "no ranks: there is no benchmark and seed with scores of two methods and of all that could be run"
    ]
    notes += [f"left out of the ranks, as it could not be run everywhere: {_name(each)}" for each in every.left_out]
    if every.friedman:
        test = every.friedman
        chance = _p_text(test.p)
        p = f"p {chance}" if chance.startswith("<") else f"p = {chance}"
        notes.append(f"Friedman's test that all rank alike, over {every.blocks} {every.of}: {p} (chi2 {test.chi2:.2f})")
    if every.critical is not None:
        notes.append(f"Nemenyi: ranks that differ by less than {every.critical:.2f} do not differ at 5 %")
    if every.friedman and every.of == "cells":
        notes.append("seeds of one benchmark count as independent here: take these two tests as a hint")
    columns = ("method", "mean", "mean rank", "95 % interval", "won", "tied", "lost")
    title = f"over all benchmarks; won, tied and lost against {_name(found.reference)}"
    return Sheet(title, columns, tuple(rows), notes=tuple(notes), spare=("95 % interval",))


def _conditions(boards: Sequence[Board]) -> Sheet:
    """Return the conditions of each benchmark, those with the same ones together."""
    names: dict[str, list[str]] = {}
    for board in boards:
        parts = [
            f"model {' | '.join(board.models)}" if any(board.models) else "",
            f"budget of a search {' | '.join(board.budgets)}",
            f"examples: {' | '.join(board.sizes)}" if any(board.sizes) else "",
            seeds_text(board.seeds),
        ]
        names.setdefault("; ".join(filter(None, parts)), []).append(board.name)
    notes = [_words(f"{', '.join(group)}: {said}") for said, group in names.items()]
    return Sheet("conditions", (), (), notes=tuple(notes))


def _versions(found: Findings) -> Sheet:
    methods = {entry.method for board in found.boards for entry in board.entries}
    rows = [
        (_name(package), _name(version), "all" if set(users) == methods else ", ".join(map(_name, users)))
        for (package, version), users in found.versions.items()
    ]
    return Sheet("versions", ("package", "version", "of"), tuple(rows), left=3, spare=("of",))


def _gaps(gaps: Sequence[Gap]) -> Sheet:
    notes = [
        _words(f"{gap.method} on {gap.benchmark}, {seeds_text(gap.seeds)}: {gap.why or 'no record (yet)'}")
        for gap in gaps
    ]
    return Sheet("not run", (), (), notes=tuple(notes))


def _words(text: str) -> str:
    """Return a text of others on one line, without characters that a terminal would obey."""
    lines = ("".join(char if char.isprintable() else " " for char in line).split() for line in text.splitlines())
    return "; ".join(" ".join(line) for line in lines if line)


def _name(text: str) -> str:
    line = _words(text)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _interval(found: Estimate, fraction: bool) -> str:
    low, high = (score_text(end, fraction).removesuffix(" %") for end in (found.low, found.high))
    return f"{low} to {high}"


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _paid(cost: Cost) -> tuple[str, ...]:
    return _number(cost.calls), _number(cost.tokens), money_text(cost.usd), _number(cost.seconds)


def _number(value: float) -> str:
    """Return a count or seconds: whole from 100 on, else with three significant digits."""
    return count_text(round(value)) if value >= 100 or not value else f"{value:.3g}"


def show_tables(shown: Iterable[Table], stream: TextIO) -> None:
    """Print tables: on a terminal with rich, no wider than it is, else as aligned plain text."""
    if not is_terminal(stream):
        for table in shown:
            stream.write(plain_table(table) if table.columns else _plain_notes(table))
            stream.write("\n")
        return
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(file=stream)
    free = console.options.update(max_width=10_000)  # else it measures no more than there is
    for table in shown:
        fitted = _fitted(table, lambda made: console.measure(rich_table(made), options=free).maximum <= console.width)
        console.print(Text(fitted.title, style="bold"))
        if fitted.columns:
            console.print(rich_table(replace(fitted, title="", notes=())))
        for note in fitted.notes:
            console.print(Padding(Text(note, style="dim"), (0, 0, 0, 2)))
        console.print()


def _plain_notes(table: Table) -> str:
    return "\n".join([table.title, *(f"  {note}" for note in table.notes)]) + "\n"


def _fitted(table: Table, fits: Callable[[Table], bool]) -> Table:
    """Return a table without those of its spare columns that do not fit, and say which are left out."""
    bare, gone = replace(table, title="", notes=()), list[str]()
    for name in table.spare if isinstance(table, Sheet) else ():
        if not bare.columns or fits(bare):
            break
        keep = [at for at, column in enumerate(bare.columns) if column != name]
        rows = tuple(tuple(row[at] for at in keep) for row in bare.rows)
        bare = replace(bare, columns=tuple(bare.columns[at] for at in keep), rows=rows)
        gone.append(name)
    narrow = (f"left out, as the terminal is narrow: {', '.join(gone)}",) if gone else ()
    return replace(bare, title=table.title, notes=(*table.notes, *narrow))


def markdown(shown: Iterable[Table], chart: str = "") -> str:
    """Return tables as a Markdown page, with a picture in front where there is one; no name in it is markup."""
    parts = ["# Benchmarks\n"]
    parts += [f"![Test scores by benchmark and method, with 95 % intervals]({chart})\n"] if chart else []
    for table in shown:
        parts.append(f"## {_safe(table.title)}\n")
        if table.columns:
            rule = [":--" if at < table.left else "--:" for at in range(len(table.columns))]
            rows = [[_safe(cell) for cell in row] for row in table.rows]
            lines = [[_safe(name) for name in table.columns], rule, *rows]
            parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n")
        if table.notes:
            parts.append("\n".join(f"- {_safe(note)}" for note in table.notes) + "\n")
    return "\n".join(parts)


def _safe(text: str) -> str:
    """Return a text whose Markdown and HTML signs are only signs."""
    escaped = re.sub(r"([\\`*_\[\]|~])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")
    return escaped.replace("://", ":&#47;/").replace("$", "&#36;")


def figures(found: Findings) -> dict[str, Any]:
    """Return every figure of a report as plain data."""
    plain = asdict(replace(found, versions={}))
    for board, made in zip(found.boards, plain["boards"], strict=True):
        for entry, row in zip(board.entries, made["entries"], strict=True):
            row["verdict"] = entry.verdict
    listed = [{"package": name, "version": each, "methods": list(by)} for (name, each), by in found.versions.items()]
    return plain | {"versions": listed}


def write_files(folder: Path, found: Findings) -> list[Path]:
    """Write report.md, report.svg and report.json into a folder and return their paths; raise `InputError`."""
    from flowbot.bench.chart import chart

    drawn = chart(found)
    texts = {
        "report.md": markdown(sheets(found), "report.svg" if drawn else ""),
        "report.json": json.dumps(figures(found), indent=1) + "\n",
    }
    texts |= {"report.svg": drawn} if drawn else {}
    for name, text in texts.items():
        write_text(folder / name, whole(text))
    return [folder / name for name in texts]
