"""flowbot compare: workflows against each other on the same examples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, model_options, unsafe_option


@click.command("compare")
@click.argument("workflows", metavar="WORKFLOW WORKFLOW...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--task", type=FILE, required=True, help="Task file with data and metric.")
@click.option("--split", default="val", show_default=True, help="Split to score on.")
@click.option("--all-pairs", is_flag=True, help="Compare each pair, not only with the first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every score.")
@unsafe_option
@model_options
def command(
    workflows: tuple[Path, ...], task: Path, split: str, all_pairs: bool, as_json: bool, **options: Any
) -> None:
    """Score workflows on the same examples and compare the others with the first.

    Each is a workflow file, or the folder of a run, which stands for its best.yaml. What is compared is paired by
    example; where the 95 % interval of a difference holds 0, it is undecided.
    """
    from flowbot.faces.comparing import acompare, comparison_tables, named_workflow, plain_comparison
    from flowbot.faces.loop import start_loop
    from flowbot.faces.options import Options
    from flowbot.faces.tables import show

    named = [(str(path), named_workflow(path)) for path in workflows]
    found = start_loop(acompare(named, task, split=split, all_pairs=all_pairs, options=Options(**options)))
    if as_json:
        click.echo(json.dumps(plain_comparison(found)))
        return
    for table in comparison_tables(found):
        show(table)
