"""Numbers for people: scores, gains and money in words, and the tables of a run as text or on a terminal."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from flowbot.faces.front import WEIGHTED, Front
from flowbot.faces.race_story import Child, Cluster, Confirmation, Decision, Race, confirmation_of
from flowbot.money import Ledger, Line
from flowbot.search import lab
from flowbot.search.compare import Comparison

if TYPE_CHECKING:
    from rich.table import Table as RichTable
    from rich.text import Text

UNKNOWN = "price unknown"
SPLITS = {"val": "validation", "confirm": "confirmation", "test": "sealed test"}
WIDEST = 44  # characters of an edit or a cluster in a table
MOST_EDITS = 12  # in a table, where no more were accepted
MOST_CLUSTERS = 8  # in a table


@dataclass(frozen=True)
class ResultRow:
    """One measured workflow: its label, mean score over `n` examples, and the paired comparison with the start."""

    label: str
    score: float
    n: int
    comparison: Comparison | None = None


class Ended(Protocol):
    """What is printed of an induction's result."""

    @property
    def ended(self) -> str: ...

    @property
    def why(self) -> str: ...

    @property
    def tables(self) -> Mapping[str, Comparison]: ...

    @property
    def parts(self) -> Mapping[str, float]: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def folder(self) -> Any: ...

    @property
    def notes(self) -> Sequence[str]: ...

    @property
    def outcome(self) -> lab.Outcome | None: ...

    @property
    def members(self) -> Front: ...

    @property
    def race(self) -> Race: ...


@dataclass(frozen=True)
class Table:
    """Cells of text ready to show: the first `left` columns are words, the rest numbers; the last row may be a sum."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: int = 1
    summed: bool = False
    notes: tuple[str, ...] = ()


def is_fraction(values: Iterable[float]) -> bool:
    """Tell whether all scores lie in [0, 1]: then they are shown as percentages."""
    return all(0.0 <= value <= 1.0 for value in values)


def score_text(score: float, fraction: bool = True) -> str:
    """Return a score as `81.3 %`, or with four significant digits where it is no fraction."""
    return f"{_percent(score):.1f} %" if fraction else f"{score:.4g}"


def gain_text(gain: float, fraction: bool = True) -> str:
    """Return a difference with its sign: `+68.8` (points) of fractions, else four significant digits."""
    text = f"{_percent(gain):+.1f}" if fraction else f"{gain:+.4g}"
    return "+0.0" if text == "-0.0" else text


def _percent(value: float) -> float:
    """Return a fraction in percent with one decimal, halves away from zero: 0.7875 and 0.6375 round alike."""
    return math.copysign(math.floor(abs(value) * 1000 + 0.5 + 1e-6) / 10, value)


def interval_text(comparison: Comparison, fraction: bool = True) -> str:
    """Return the 95 % interval of a gain: `+57.5 to +78.8`."""
    return f"{gain_text(comparison.low, fraction)} to {gain_text(comparison.high, fraction)}"


def chance_text(p_gain: float) -> str:
    """Return P(gain > 0) with three decimals; a bootstrap never shows certainty, so its ends are bounds."""
    if p_gain > 0.999:
        return "> 0.999"
    return "< 0.001" if p_gain < 0.001 else f"{p_gain:.3f}"


def money_text(usd: float | None) -> str:
    """Return dollars with four significant digits and at least cents; None is a price that is not known."""
    if usd is None:
        return UNKNOWN
    if not usd:
        return "$0"
    return f"${usd:,.{max(2, 3 - math.floor(math.log10(abs(usd))))}f}"


def count_text(count: int) -> str:
    """Return a count with its thousands set apart."""
    return f"{count:,}"


def cost_text(cost: float, dollars: bool) -> str:
    """Return what an example costs: dollars, or tokens with the output's counted four times."""
    return money_text(cost) if dollars else count_text(round(cost))


def result_rows(comparison: Comparison, label: str = "best") -> tuple[ResultRow, ResultRow]:
    """Return the rows of the start and of what is compared with it on one split."""
    return ResultRow("start", comparison.old, comparison.n), ResultRow(label, comparison.new, comparison.n, comparison)


def result_table(splits: Mapping[str, Sequence[ResultRow]], title: str = "result") -> Table:
    """Return the workflows measured on each split, with gain, interval and chance where there is a comparison."""
    fraction = is_fraction(row.score for rows in splits.values() for row in rows)
    cells: list[tuple[str, ...]] = []
    for split, rows in splits.items():
        for index, row in enumerate(rows):
            head = (split if not index else "", row.label, score_text(row.score, fraction), count_text(row.n))
            found = row.comparison
            gain = (gain_text(found.gain, fraction), interval_text(found, fraction)) if found else ("", "")
            cells.append((*head, *gain, chance_text(found.p_gain) if found else ""))
    gain_name = "gain (points)" if fraction else "gain"
    return Table(title, ("", "", "score", "n", gain_name, "95 % interval", "P(gain > 0)"), tuple(cells), left=2)


def parts_table(parts: Mapping[str, float], title: str = "gain by part, on validation") -> Table:
    """Return the score after each part of the search and what that part alone added."""
    fraction = is_fraction(parts.values())
    before = [None, *parts.values()]
    rows = [
        (name, score_text(score, fraction), "" if old is None else gain_text(score - old, fraction))
        for (name, score), old in zip(parts.items(), before, strict=False)
    ]
    return Table(title, ("after", "score", "gain (points)" if fraction else "gain"), tuple(rows))


def outcome_text(end: Confirmation | None, fraction: bool = True) -> str:
    """Return in one sentence how far a result can be relied on; None is a search that has not come to its end."""
    if end is None:
        return (
            "Not confirmed: the search has not come to its end, and the best so far was chosen by its validation score."
        )
    found = end.comparison if end.decision in ("confirmed", "undecided") else None
    points = " points" * fraction
    gain = (
        f"; gain {gain_text(found.gain, fraction)}{points}, 95 % interval {interval_text(found, fraction)}"
        if found
        else ""
    )
    word = {"start": "The start stays"}.get(end.decision, end.decision.capitalize())
    stays = "; the start stays" if end.decision == "undecided" else ""
    children = "1 child was tested" if end.tested == 1 else f"{count_text(end.tested)} children were tested"
    return f"{word}: {end.why}{gain}{stays}. {children}."


def front_table(front: Front, title: str = "front: score against cost, on validation") -> Table:
    """Return the workflows that no other beats on score and cost, cheapest first; by id where there is no file."""
    fraction = is_fraction(member.score for member in front.members)
    rows = [
        (
            member.file or member.workflow.id[:6],
            score_text(member.score, fraction),
            f"{_bare(member.low, fraction)} to {_bare(member.high, fraction)}",
            cost_text(member.cost, front.dollars),
            count_text(member.calls),
            count_text(member.length),
            count_text(member.steps),
        )
        for member in front.members
    ]
    cost = "cost an example" if front.dollars else "tokens an example"
    columns = ("file", "score", "95 % interval", cost, "calls", "prompt length", "steps")
    return Table(title, columns, tuple(rows), notes=() if front.dollars else (WEIGHTED,))


def _bare(score: float, fraction: bool) -> str:
    return score_text(score, fraction).removesuffix(" %")


def edits_table(children: Sequence[Child], fraction: bool = True, most: int = MOST_EDITS) -> Table:
    """Return what became of the edits that were run on all of validation, against the best by then, in order.

    Where there are more than `most`, those that were not accepted and have the least chance to be better are left out.
    """
    decided = [(child, child.decision) for child in children if child.decision is not None]
    ranked = sorted(decided, key=lambda each: (each[1].decision == "rejected", -each[1].p_gain))
    shown = {child.id for child, found in ranked if found.decision == "accepted"}
    shown |= {child.id for child, _ in ranked[: max(most, len(shown))]}
    rows = [_edit_row(child, found, fraction) for child, found in decided if child.id in shown]
    more = (f"and {len(decided) - len(rows)} more that were rejected",) if len(decided) > len(rows) else ()
    note = ("fixed and broke: validation examples; hit: train examples mended of those predicted",)
    name = "gain (points)" if fraction else "gain"
    columns = ("iteration", "by", "edit", "outcome", name, "95 % interval", "fixed", "broke", "hit")
    return Table("edits that were run on all of validation", columns, tuple(rows), left=4, notes=more + note)


def _edit_row(child: Child, found: Decision, fraction: bool) -> tuple[str, ...]:
    interval = f"{gain_text(found.low, fraction)} to {gain_text(found.high, fraction)}"
    predicted = len(found.hit) + len(found.missed)
    numbers = (str(len(found.fixed)), str(len(found.broken)), f"{len(found.hit)} of {predicted}" if predicted else "")
    head = (str(child.number), child.operator.replace("_", " "), brief("; ".join(child.edits)), child.outcome)
    return (*head, gain_text(found.gain, fraction), interval, *numbers)


def clusters_table(clusters: Sequence[Cluster], title: str = "what still fails on train") -> Table:
    """Return the clusters of failures with how many examples are in each, and how many edits were tried for it."""
    rows = [
        (brief(each.name), each.defect, count_text(len(each.examples)), count_text(each.attempts))
        for each in clusters[:MOST_CLUSTERS]
    ]
    more = len(clusters) - MOST_CLUSTERS
    note = (f"and {more} smaller ones",) if more > 0 else ()
    return Table(title, ("cluster", "defect", "examples", "edits tried"), tuple(rows), left=2, notes=note)


def brief(text: str, width: int = WIDEST) -> str:
    """Return a text on one line, cut where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 3].rstrip()}..."


def ledger_table(ledger: Ledger, title: str = "ledger", brief: bool = False) -> Table:
    """Return what was spent by purpose, the sum last; columns that are all zero are left out.

    `turns` are requests that follow tool calls.
    `brief` keeps calls, tokens and cost only.
    """
    lines = [*ledger, ("all", Line(ledger.total, *_sums(ledger)))] if ledger.lines else []
    names = ["", "calls", "repairs", "turns", "retries", "input", "output", "cached", "seconds", "cost"]
    rows = [_ledger_row(purpose, line) for purpose, line in lines]
    if brief:
        keep = [0, 1, 5, 6, 9]
    else:
        keep = [at for at in range(len(names)) if at not in (2, 3, 4, 7) or any(row[at] != "0" for row in rows)]
    note = ("(estimated): the provider did not report some token counts",)
    guessed = any(line.usage.estimated for _, line in lines)
    cells = tuple(tuple(row[at] for at in keep) for row in rows)
    columns = tuple(names[at] for at in keep)
    return Table(title, columns, cells, summed=True, notes=note if guessed and not brief else ())


def _ledger_row(purpose: str, line: Line) -> tuple[str, ...]:
    usage = line.usage
    tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    counts = (usage.calls, line.repairs, line.turns, line.retries, *tokens)
    label = purpose.replace("_", " ") + (" (estimated)" if usage.estimated else "")
    return (label, *map(count_text, counts), f"{usage.seconds:,.1f}", money_text(usage.usd))


def _sums(ledger: Ledger) -> tuple[int, int, int]:
    lines = list(ledger.lines.values())
    return sum(line.repairs for line in lines), sum(line.retries for line in lines), sum(line.turns for line in lines)


def plain_table(table: Table) -> str:
    """Return a table as aligned plain text, a line a row."""
    grid = [table.columns, *table.rows]
    widths = [max(len(row[at]) for row in grid) for at in range(len(table.columns))]
    lines = [table.title] if table.title else []
    for row in grid:
        cells = [
            cell.ljust(width) if at < table.left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return "\n".join([*lines, *(f"  {note}" for note in table.notes)]) + "\n"


def rich_table(table: Table) -> RichTable:
    """Return a table for rich: hairlines, words to the left and numbers to the right."""
    from rich import box
    from rich.table import Table as Made
    from rich.text import Text

    made = Made(
        title=Text(table.title, style="bold") if table.title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1),
        caption=Text("\n".join(table.notes), style="dim") if table.notes else None,
        caption_justify="left",
        header_style="dim",
    )
    for at, name in enumerate(table.columns):
        made.add_column(Text(name), justify="left" if at < table.left else "right", no_wrap=at > 0)
    for index, row in enumerate(table.rows):
        last = table.summed and index == len(table.rows) - 1
        made.add_row(
            *(Text(cell) for cell in row), style="bold" if last else None, end_section=_before_sum(table, index)
        )
    return made


def upright(table: Table) -> Text:
    """Return a table for rich where the terminal is too narrow for it: a paragraph a row, each value by its name."""
    from rich.text import Text

    lines = [Text(table.title, style="bold")] if table.title else []
    for name, *cells in table.rows:
        told = [f"{column} {cell}".strip() for column, cell in zip(table.columns[1:], cells, strict=True) if cell]
        lines += [Text(f"  {name}"), Text(f"      {', '.join(told)}", style="dim")]
    return Text("\n").join([*lines, *(Text(f"  {note}", style="dim") for note in table.notes), Text("")])


def _before_sum(table: Table, index: int) -> bool:
    return table.summed and index == len(table.rows) - 2


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a stream is a terminal on which lines can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "") not in ("dumb", "")


def show(table: Table, stream: TextIO | None = None) -> None:
    """Print a table (to stdout, or where it is told): with rich on a terminal, else as aligned plain text."""
    out = sys.stdout if stream is None else stream
    if is_terminal(out):
        from rich.console import Console

        console, made = Console(file=out), rich_table(table)
        free = console.options.update(max_width=10_000)  # else it measures no more than there is
        narrow = console.measure(made, options=free).maximum > console.width
        console.print(upright(table) if narrow else made)
    else:
        out.write(plain_table(table) + "\n")


def print_result(
    result: Ended, stream: TextIO | None = None, more: Mapping[str, Sequence[ResultRow]] | None = None
) -> None:
    """Print an induction's result: start against best, how far to rely on it, what was tried, its cost, the files.

    `more` has further rows by split: other workflows measured beside.
    """
    out = sys.stdout if stream is None else stream
    further, end = more or {}, confirmation_of(result.outcome) if result.outcome else None
    label = {"confirm": "finalist"} if end and end.decision == "undecided" else {}
    splits = {
        SPLITS.get(split, split): (*result_rows(found, label.get(split, "best")), *further.get(split, ()))
        for split, found in result.tables.items()
    }
    fraction = is_fraction(mean for found in result.tables.values() for mean in (found.old, found.new))
    if splits:
        show(result_table(splits), out)
    if end is not None:
        out.write(f"{outcome_text(end, fraction)}\n\n")
    shown = [parts_table(result.parts)] if len(result.parts) > 1 else []
    shown += [front_table(result.members), edits_table(result.race.decided, fraction)]
    for table in [*shown, clusters_table(result.race.clusters), ledger_table(result.ledger)]:
        if table.rows:
            show(table, out)
    lines = [f"note: {note}" for note in result.notes]
    if result.ended != "done":
        lines.append(f"ended by {result.ended}{f': {result.why}' if result.why else ''}")
    elif result.why:
        lines.append(f"the search ended: {result.why}")
    if result.folder is not None:
        lines += [f"best workflow: {result.folder / 'best.yaml'}", f"report: {result.folder / 'report.html'}"]
        if label:
            lines.append(f"undecided finalist: {result.folder / 'undecided.yaml'}")
    out.write("\n".join(lines) + "\n" if lines else "")
