"""flowbot estimate: what an induction will cost."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, FOLDER


@click.command("estimate")
@click.argument("task", type=FILE)
@click.option("--data", type=FOLDER, help="Folder with the rows of a benchmark [default: the publisher's].")
@click.option("--recipe", help="Search strategy.")
@click.option("--model", metavar="PROVIDER:NAME", help="Task model.")
@click.option("--meta-model", metavar="PROVIDER:NAME", help="Meta model.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(task: Path, data: Path | None, as_json: bool, **options: Any) -> None:
    """Say how many calls, tokens and dollars `flowbot induce TASK` will take, as a range. Asks no model.

    TASK is a task file, or a benchmark of `flowbot bench list` at its published size.
    """
    from flowbot.bench.catalogue import BENCHMARKS
    from flowbot.bench.entries import entry
    from flowbot.errors import InputError
    from flowbot.faces.estimate import estimate
    from flowbot.faces.loop import start_loop
    from flowbot.faces.options import Options
    from flowbot.faces.problem import completed, read_problem
    from flowbot.store.files import load_task
    from flowbot.store.splits import load_splits

    if str(task) in BENCHMARKS:
        each = entry(str(task), data, {})
        made, folder = Options(**options).over(each.task), each.folder
        splits, start = each.deal(made.seed).splits, each.start()
    elif data is not None:
        raise InputError("a task file names its own data", "--data", "leave it out")
    else:
        made, folder = load_task(task)
        made, _ = start_loop(completed(Options(**options).over(made), folder, {}))
        splits, start = load_splits(made, folder).splits, None
    found = estimate(read_problem(made, folder, splits, start=start, model=options["model"]))
    ends = {"low": found.low, "high": found.high}
    if as_json:
        plain = {name: {purpose: asdict(usage) for purpose, usage in end.items()} for name, end in ends.items()}
        budget = made.budget.model_dump(exclude_none=True)
        click.echo(json.dumps(plain | {"tool_calls": found.tools, "programs": found.programs, "budget": budget}))
        return
    click.echo(
        f"{made.name}, recipe {made.recipe.name}, task model {made.models.task.name}, "
        f"meta model {made.models.of('meta').name}"
    )
    click.echo(f"{'purpose':<18} {'calls':>15} {'tokens':>23} {'US dollars':>19}")
    rows = [(purpose, found.low.get(purpose), found.high[purpose]) for purpose in found.high]
    rows.append(("total", found.total(found.low), found.total(found.high)))
    for name, low, high in rows:
        click.echo(_line(name, low, high))
    for name, (few, many) in (("tool calls", found.tools), ("programs", found.programs)):
        if many:
            click.echo(f"{name:<18} {f'{few} to {many}':>15}")
    wall = f"The task's budget ends it at {made.budget.words}." if made.budget.words else "A budget is a wall."
    click.echo(f"The low end: the structure stays and replies are short. {wall}")


def _line(name: str, low: Any, high: Any) -> str:
    few = low.calls if low else 0
    tokens = low.tokens if low else 0
    usd = "price unknown" if high.usd is None else f"{(low.usd if low else 0) or 0:.2f} to {high.usd:.2f}"
    return f"{name:<18} {f'{few} to {high.calls}':>15} {f'{tokens} to {high.tokens}':>23} {usd:>19}"
