"""flowbot run: a workflow on one input, or on a file of them."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, model_options


@click.command("run")
@click.argument("workflow", type=FILE)
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="One input; repeat for each.")
@click.option("--inputs", "rows", type=FILE, help="JSONL or CSV: one set of inputs a row.")
@click.option("--output", type=FILE, help="Where the rows' outputs go, as JSONL [default: standard output].")
@click.option("--trust", is_flag=True, help="Import the modules that the workflow's tools name.")
@click.option("--trace", is_flag=True, help="Show what every step read and gave.")
@model_options
def command(
    workflow: Path, inputs: tuple[str, ...], rows: Path | None, output: Path | None, trace: bool, **how: Any
) -> int:
    """Run WORKFLOW (a YAML file) on `--input NAME=VALUE ...`, or on each row of `--inputs FILE`.

    A row that fails has its reason under `error`; the exit code is then 1.
    """
    from flowbot.errors import InputError
    from flowbot.faces.loop import start_loop
    from flowbot.store.files import load_workflow
    from flowbot.workflow.graph import rebuild

    made = load_workflow(workflow)
    if how["model"]:
        made = rebuild(made, model=how["model"])
    if bool(inputs) == bool(rows):
        wants = " ".join(f"--input {name}=..." for name in made.inputs)
        raise InputError(f"give either {wants} or --inputs FILE", workflow.name)
    if rows is not None and output is not None and output.resolve() == rows.resolve():
        raise InputError("the output would write over the inputs", "--output", "name another file")
    how = {"base_url": how["base_url"], "concurrency": how["concurrency"] or 16, "trust": how["trust"]}
    how["folder"] = workflow.resolve().parent
    if rows is not None:
        return start_loop(_many(made, rows, output, how))
    return start_loop(_one(made, _pairs(inputs), trace, how))


def _pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    from flowbot.errors import InputError

    found: dict[str, str] = {}
    for each in inputs:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"'{each}' must be NAME=VALUE", "--input")
        found[name] = value
    return found


async def _one(workflow: Any, inputs: dict[str, str], show: bool, how: dict[str, Any]) -> int:
    from flowbot.faces.api import as_example, atraces
    from flowbot.workflow.fields import as_text

    values = {name: _typed(workflow, name, value) for name, value in inputs.items()}
    async for trace in atraces(workflow, [as_example(workflow, values, "input", "--input")], **how):
        if show:
            for step in trace.steps:
                click.echo(f"{step.path}: {step.error or as_text(dict(step.gives))}", err=True)
        if trace.error:
            click.echo(f"flowbot: {trace.error}", err=True)
            return 1
        click.echo(as_text(trace.output))
    return 0


def _typed(workflow: Any, name: str, value: str) -> Any:
    """Read a list or a JSON value as JSON; everything else is text that its type reads."""
    kind = workflow.inputs.get(name)
    if kind is not None and kind.kind in ("list", "json"):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


async def _many(workflow: Any, rows: Path, output: Path | None, how: dict[str, Any]) -> int:
    from flowbot.faces.api import atraces

    failed = count = 0
    with output.open("w", encoding="utf-8") if output else _Standard() as out:
        traces: AsyncIterator[Any] = atraces(workflow, _examples(workflow, rows), **how)
        async for trace in traces:
            count += 1
            failed += bool(trace.error)
            result = {"error": trace.error} if trace.error else {workflow.output.partition(".")[2]: trace.output}
            out.write(json.dumps({"id": trace.example.id, **result}, ensure_ascii=False) + "\n")
    if output:
        click.echo(f"{count} rows, {failed} failed, written to {output}", err=True)
    return 1 if failed else 0


def _examples(workflow: Any, rows: Path) -> Iterator[Any]:
    from flowbot.faces.api import as_example
    from flowbot.store.rows import read_rows

    for number, row in enumerate(read_rows(str(rows.resolve()), Path.cwd()), 1):
        inputs = {name: row.data[name] for name in workflow.inputs if name in row.data}
        yield as_example(workflow, inputs, str(row.data.get("id", number)), row.where)


class _Standard:
    """Standard output as a context that does not close it."""

    def __enter__(self) -> Any:
        return sys.stdout

    def __exit__(self, *error: object) -> None:
        sys.stdout.flush()
