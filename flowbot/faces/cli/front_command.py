"""flowbot front: the workflows of a run, score against cost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import click

from flowbot.faces.cli.shared import FOLDER


@click.command("front")
@click.argument("run", type=FOLDER)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(run: Path, as_json: bool) -> None:
    """Show the workflows of RUN (a folder) that no other beats on score and cost, cheapest first.

    Their scores are those of validation, which the search has seen.
    """
    from flowbot.errors import InputError
    from flowbot.faces.front import plain_front
    from flowbot.faces.story import read_story
    from flowbot.faces.tables import front_table, outcome_text, show

    story = read_story(run / "journal.sqlite")
    if not story.front:
        raise InputError("this run has no front yet", str(run), "let it measure its start first")
    there = tuple(
        member if (run / member.file).exists() else replace(member, file="") for member in story.front.members
    )
    front = replace(story.front, members=there)
    if as_json:
        outcome = None if story.outcome is None else story.outcome.plain()
        click.echo(json.dumps(plain_front(front) | {"run": str(run), "ended": story.ended, "outcome": outcome}))
        return
    show(front_table(front))
    if story.race is not None:
        click.echo(outcome_text(story.outcome, story.fraction))
