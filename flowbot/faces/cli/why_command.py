"""flowbot why: where each part of a result comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowbot.faces.cli.shared import FOLDER

if TYPE_CHECKING:
    from flowbot.faces.why import Change, Why

SHOWN_IDS = 8  # of a list of examples


@click.command("why")
@click.argument("result", type=click.Path(path_type=Path), metavar="WORKFLOW|RUN")
@click.option("--run", type=FOLDER, help="Folder of the run, where the file is elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(result: Path, run: Path | None, as_json: bool) -> None:
    """Say which edit of a run brought each sentence and each step of WORKFLOW (a file of a run's, or the RUN's best).

    What was in the start says so. Of each edit it tells who proposed it and why, which failures it was for, what was
    predicted and what came of it, and its price.
    """
    from flowbot.faces.why import find_why, plain_why
    from flowbot.models.secrets import scrub

    found = find_why(result, run)
    if as_json:
        click.echo(json.dumps(plain_why(found), ensure_ascii=False))
        return
    for line in _told(found):
        click.echo(scrub(line))


def _told(found: Why) -> Iterator[str]:
    names = [change.name for change in found.way]
    width = max(map(len, names))
    yield f"{found.workflow.name} ({found.workflow.id[:6]}): what brought each part"
    for part in found.parts:
        if part.kind == "step":
            yield ""
        head = f"[{part.step}] {part.text}" if part.kind == "step" else f"  {part.text}"
        yield f"{names[part.came]:<{width}}  {head}"
    for change in found.way:
        yield ""
        yield from _of(change)


def _of(change: Change) -> Iterator[str]:
    """Yield what is known of one change, a fact a line."""
    from flowbot.faces.tables import chance_text, gain_text, is_fraction, score_text

    found, child = change.candidate, change.child
    fraction = is_fraction(found.scores.values())
    score = "" if found.mean is None else f": {score_text(found.mean, fraction)} on validation"
    yield f"{change.name} ({found.id[:6]}){score}"
    if found.parent:
        yield f"  edit: {'; '.join(found.edits) or 'not told'}"
    if found.hypothesis:
        yield f"  why: {found.hypothesis}"
    if child is None:
        return
    told = {each.name: f"{each.name} ({each.defect}, {_counted(each.examples)})" for each in change.clusters}
    if child.clusters:
        yield f"  for: {'; '.join(told.get(name, name) for name in child.clusters)}"
    decision = child.decision
    if decision is not None:
        if child.flips:
            yield f"  predicted: hit {_ids(decision.hit)}, missed {_ids(decision.missed)}"
        yield f"  on validation: fixed {_ids(decision.fixed)}, broke {_ids(decision.broken)}"
        interval = f"{gain_text(decision.low, fraction)} to {gain_text(decision.high, fraction)}"
        points, chance = " points" * fraction, chance_text(decision.p_gain)
        sign = "" if chance[0] in "<>" else "= "
        gain = f"gain {gain_text(decision.gain, fraction)}{points} ({interval}), P(gain > 0) {sign}{chance}"
        yield f"  {child.outcome}: {gain}"
        if "of the cost" in decision.why:
            yield f"  because it is {decision.why}"
    elif child.number:
        yield f"  {child.outcome}"
    yield f"  price of the proposal: {_price(child.paid)}"


def _price(paid: Mapping[str, Any]) -> str:
    from flowbot.faces.tables import count_text, money_text

    if not paid.get("calls"):
        return "no meta call"
    calls = f"{count_text(paid['calls'])} meta call{'s' * (paid['calls'] != 1)}"
    return f"{calls}, {count_text(paid.get('tokens') or 0)} tokens, {money_text(paid.get('usd'))}"


def _counted(ids: Sequence[str]) -> str:
    return f"{len(ids)} example{'s' * (len(ids) != 1)}"


def _ids(ids: Sequence[str]) -> str:
    """Return how many ids there are, and the first of them."""
    if not ids:
        return "none"
    more = ", ..." if len(ids) > SHOWN_IDS else ""
    return f"{len(ids)} ({', '.join(ids[:SHOWN_IDS])}{more})"
