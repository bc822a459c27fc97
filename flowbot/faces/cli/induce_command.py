"""flowbot induce: the main job."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowbot.faces.cli.shared import FILE, FOLDER, model_options, otel_option, unsafe_option

if TYPE_CHECKING:
    from flowbot.faces.observe.tracking import Tracker
    from flowbot.task.task import Task

BUDGET_REACHED = 3


@click.command("induce")
@click.argument("task", type=FILE)
@click.option("--run", "folder", type=FOLDER, help="Folder of the run [default: runs/NAME beside the task].")
@click.option("--recipe", help="Search strategy.")
@click.option("--prefer", type=click.Choice(["score", "balanced", "cheap"]), help="What the result is chosen by.")
@model_options
@click.option("--meta-model", metavar="PROVIDER:NAME", help="Model that reads failures and writes edits.")
@click.option("--budget-usd", type=click.FloatRange(0, min_open=True), help="Money at most, over all calls.")
@click.option("--budget-calls", type=click.IntRange(1), help="Calls at most.")
@click.option("--budget-tokens", type=click.IntRange(1), help="Tokens at most.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Seconds at most, seen at stage ends.")
@click.option("--seed", type=int, help="Seed of all draws.")
@click.option("--start", type=FILE, metavar="FILE", help="Workflow, prompt, chat messages or candidate to start from.")
@click.option("--no-content", is_flag=True, help="Keep prompts and messages out of the report.")
@click.option("--mlflow", is_flag=True, help="Log the run to MLflow (MLFLOW_TRACKING_URI or ./mlruns).")
@otel_option
@unsafe_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object an event, on standard output.")
@click.option("--quiet", is_flag=True, help="Show nothing but errors and the result's path.")
def command(task: Path, folder: Path | None, start: Path | None, as_json: bool, quiet: bool, **given: Any) -> int:
    """Find the workflow that solves TASK (a YAML file), by its recipe and within its budget.

    Stop it with Ctrl-C and start the same command again: it goes on where it was, and nothing is paid twice.
    """
    from flowbot.faces.api import ainduce
    from flowbot.faces.loop import start_loop
    from flowbot.faces.options import Options
    from flowbot.faces.progress import Progress
    from flowbot.store.files import load_task

    made, home = load_task(task)
    folder = folder or home / "runs" / made.name
    mlflow, chosen = given.pop("mlflow"), Options(content=not given.pop("no_content"), **given)
    with ExitStack() as stack:
        progress = stack.enter_context(Progress(None, stream=sys.stderr, quiet=quiet, json_lines=as_json))
        tracker = stack.enter_context(_tracker(chosen.over(made), folder, chosen.content)) if mlflow else None

        def heard(event: Mapping[str, Any]) -> None:
            if tracker is not None:
                tracker.heard(event)
            progress.heard(event)

        result = start_loop(ainduce(task, run=folder, start=start, options=chosen, heard=heard))
        if tracker is not None:
            tracker.finish(result)
    _print(result, quiet, as_json)
    return BUDGET_REACHED if result.ended == "budget" else 0


def _tracker(task: Task, folder: Path, content: bool) -> Tracker:
    from flowbot.faces.observe.tracking import Tracker

    return Tracker(task, folder, content, lambda text: click.echo(f"flowbot: {text}", err=True))


def _print(result: Any, quiet: bool, as_json: bool) -> None:
    from flowbot.faces.tables import print_result

    if quiet:
        click.echo(str(result.folder / "best.yaml"))
    elif as_json:
        click.echo(result_json(result))
    else:
        print_result(result)


def result_json(result: Any) -> str:
    """Return a result as one line of JSON."""
    import json
    from dataclasses import asdict

    from flowbot.faces.front import plain_front
    from flowbot.faces.race_story import confirmation_of

    tables = {split: asdict(table) | {"gain": table.gain} for split, table in result.tables.items()}
    ledger = {
        purpose: {"calls": line.usage.calls, "tokens": line.usage.tokens, "usd": line.usage.usd}
        for purpose, line in result.ledger
    }
    plain = {"kind": "result", "ended": result.ended, "why": result.why, "best": str(result.folder / "best.yaml")}
    plain |= {"report": str(result.folder / "report.html"), "tables": tables, "ledger": ledger}
    if result.outcome is not None:
        plain |= {"outcome": confirmation_of(result.outcome).plain(), "front": plain_front(result.members)}
    return json.dumps(plain)
