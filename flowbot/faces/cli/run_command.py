"""flowbot run: a workflow on one input, or on a file of them."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, model_options


@click.command("run")
@click.argument("workflow", type=FILE)
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="One input; repeat for each.")
@click.option("--inputs", "rows", type=FILE, help="JSONL or CSV: one set of inputs a row.")
@click.option("--output", type=FILE, help="Where the output goes; of rows, as JSONL [default: standard output].")
@click.option("--task", type=FILE, help="Task file with settings for the models that the workflow names.")
@click.option("--trust", is_flag=True, help="Import the modules that the workflow's tools name.")
@click.option("--trace", is_flag=True, help="Show on standard error what every step gave.")
@model_options
def command(
    workflow: Path, inputs: tuple[str, ...], rows: Path | None, output: Path | None, trace: bool, **how: Any
) -> int:
    """Run WORKFLOW (a YAML file) on `--input NAME=VALUE ...`, or on each row of `--inputs FILE`.

    A row that fails has its reason under `error`; the exit code is then 1.
    """
    from flowbot.errors import InputError
    from flowbot.faces.loop import start_loop
    from flowbot.store.files import load_task, load_workflow
    from flowbot.task.task import ModelSpec
    from flowbot.workflow.graph import rebuild

    made = load_workflow(workflow)
    if how["model"]:
        ModelSpec(name=how["model"])  # or it says what is wrong with the name
        made = rebuild(made, model=how["model"])
    if bool(inputs) == bool(rows):
        wants = " ".join(f"--input {name}=..." for name in made.inputs)
        raise InputError(f"give either {wants} or --inputs FILE", workflow.name)
    if rows is not None and output is not None and output.resolve() == rows.resolve():
        raise InputError("the output would write over the inputs", "--output", "name another file")
    models = load_task(how["task"])[0].models.specs if how["task"] else ()
    how = {"base_url": how["base_url"], "concurrency": how["concurrency"] or 16, "trust": how["trust"]}
    how |= {"folder": workflow.resolve().parent, "models": models}
    if rows is not None:
        return start_loop(_many(made, rows, output, trace, how))
    return start_loop(_one(made, _pairs(inputs), output, trace, how))


def _pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    from flowbot.errors import InputError

    found: dict[str, str] = {}
    for each in inputs:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"'{each}' must be NAME=VALUE", "--input")
        found[name] = value
    return found


async def _one(workflow: Any, inputs: dict[str, str], output: Path | None, show: bool, how: dict[str, Any]) -> int:
    from flowbot.faces.api import as_example, atraces
    from flowbot.workflow.fields import as_text

    values = {name: _typed(workflow, name, value) for name, value in inputs.items()}
    example = as_example(workflow, values, "input", "--input")
    with _opened(output) as out:
        async for trace in atraces(workflow, [example], **how):
            if show:
                _show(trace, "")
            if trace.error:
                click.echo(f"flowbot: {trace.error}", err=True)
                return 1
            out.write(as_text(trace.output) + "\n")
    return 0


def _show(trace: Any, before: str) -> None:
    from flowbot.workflow.fields import as_text

    for step in trace.steps:
        click.echo(f"{before}{step.path}: {step.error or as_text(dict(step.gives))}", err=True)


def _typed(workflow: Any, name: str, value: str) -> Any:
    """Read a list or a JSON value as JSON; everything else is text that its type reads."""
    kind = workflow.inputs.get(name)
    if kind is not None and kind.kind in ("list", "json"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


async def _many(workflow: Any, rows: Path, output: Path | None, show: bool, how: dict[str, Any]) -> int:
    from flowbot.faces.api import atraces

    read = _examples(workflow, rows)
    failed = 0
    with _opened(output) as out:
        traces: Any = atraces(workflow, [each for each in read.values() if not isinstance(each, str)], **how)
        async with contextlib.aclosing(traces):
            for (_, row_id), each in read.items():
                error, given = each, None
                if not isinstance(each, str):
                    trace = await anext(traces)
                    error, given = trace.error, trace.output
                    if show:
                        _show(trace, f"{row_id}: ")
                failed += bool(error)
                result = {"error": error} if error else {workflow.output.partition(".")[2]: given}
                out.write(json.dumps({"id": row_id, **result}, ensure_ascii=False) + "\n")
    if output:
        click.echo(f"{len(read)} rows, {failed} failed, written to {output}", err=True)
    return 1 if failed else 0


def _examples(workflow: Any, rows: Path) -> dict[tuple[int, str], Any]:
    """Return what each row is by its number and id: an example, or the text that says why it is none."""
    from flowbot.errors import InputError
    from flowbot.faces.api import as_example
    from flowbot.store.rows import read_rows
    from flowbot.store.splits import unfolded

    read: dict[tuple[int, str], Any] = {}
    for number, row in enumerate(read_rows(str(rows.resolve()), Path.cwd()), 1):
        row_id = str(row.data.get("id", number))
        inputs = {name: row.data[name] for name in workflow.inputs if name in row.data}
        for name, value in inputs.items():
            inputs[name] = unfolded(value) if workflow.inputs[name].kind in ("list", "json") else value
        try:
            read[number, row_id] = as_example(workflow, inputs, row_id, row.where)
        except InputError as error:
            read[number, row_id] = str(error)
    return read


def _opened(output: Path | None) -> Any:
    """Return where results are written as a context; raise `InputError` where that cannot be opened."""
    from flowbot.errors import InputError

    try:
        return _Standard() if output is None else output.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the file: {error.strerror}", str(output)) from None


class _Standard:
    """Standard output as a context that does not close it."""

    def __enter__(self) -> Any:
        return sys.stdout

    def __exit__(self, *error: object) -> None:
        sys.stdout.flush()
