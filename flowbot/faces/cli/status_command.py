"""flowbot status: how a run stands, read from its journal."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flowbot.faces.cli.shared import FOLDER

if TYPE_CHECKING:
    from flowbot.faces.tables import Table
    from flowbot.faces.ui.schema import Gain, LedgerLine, Phase, RunLine

STANDS = {"running": "It is running.", "stopped": "It is stopped, and can be taken up again."}


@click.command("status")
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(run: Path, as_json: bool) -> None:
    """Say how RUN (a folder) stands: its state, scores, stage, and what it cost.

    It reads the journal alone, also while the run goes on.
    """
    from flowbot.faces.tables import plain_table

    line, phase, ledger = stands(run)
    if as_json:
        told = {"phase": phase and phase.model_dump(), "ledger": [each.model_dump() for each in ledger]}
        click.echo(json.dumps(line.model_dump() | told))
        return
    for label, words in told_of(line, phase):
        click.echo(f"{label:<7} {words}")
    if ledger:
        click.echo("\n" + plain_table(_table(ledger)), nl=False)


def stands(run: Path) -> tuple[RunLine, Phase | None, list[LedgerLine]]:
    """Return how a run stands: its line, its stage, and what was paid. Raises `InputError` without a journal."""
    from flowbot.faces.ui.book import Book

    with contextlib.closing(Book(run)) as book:
        told = book.run(after=sys.maxsize)  # its points and candidates are not asked for
        return told.line, told.phase, told.ledger


def told_of(line: RunLine, phase: Phase | None) -> Iterator[tuple[str, str]]:
    """Yield how a run stands, in words: (label, words)."""
    from flowbot.faces.progress import duration
    from flowbot.faces.story import ENDINGS, WHERE
    from flowbot.faces.tables import count_text, money_text, score_text

    by = ", ".join(part for part in (line.recipe and f"recipe {line.recipe}", *line.models) if part)
    yield "run", f"{line.name} ({by})" if by else line.name
    yield "state", STANDS.get(line.state) or ENDINGS[line.ended]
    if line.error or (line.why and line.ended != "done"):
        yield "why", line.error or line.why
    if phase is not None and line.state == "running":
        expected = sum(phase.calls.values())
        yield "stage", phase.name + (f", about {count_text(expected)} calls" if expected else "")
    if line.start is not None and line.best is not None:
        best, start = (score_text(each, line.fraction) for each in (line.best, line.start))
        yield "score", f"{best} on validation, the start {start}; {count_text(line.candidates)} candidates"
    if line.result is not None:
        yield "result", f"{_gain(line.result, line.fraction)} {WHERE[line.where]}"
    tokens = f"{count_text(line.calls)} call{'s' * (line.calls != 1)}, {count_text(line.tokens)} tokens"
    yield "cost", f"{tokens}, {money_text(line.usd)}, {duration(line.seconds)}"


def _gain(found: Gain, fraction: bool) -> str:
    from flowbot.faces.tables import chance_text, gain_text, score_text

    low, high, gain = (gain_text(each, fraction) for each in (found.low, found.high, found.gain))
    points = " points" * fraction
    scores = f"{score_text(found.old, fraction)} to {score_text(found.new, fraction)}"
    return f"{scores}: {gain}{points}, 95 % interval {low} to {high}, P(gain > 0) {chance_text(found.p_gain)},"


def _table(ledger: Sequence[LedgerLine]) -> Table:
    from flowbot.faces.tables import ledger_table
    from flowbot.money import Ledger, Usage

    made = Ledger()
    for each in ledger:
        tokens = (each.input_tokens, each.output_tokens, each.cached_tokens)
        made.add(each.purpose, Usage(each.calls, *tokens, each.usd, each.seconds), retries=each.retries)
    return ledger_table(made)
