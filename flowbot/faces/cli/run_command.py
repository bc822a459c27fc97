"""flowbot run: a workflow on one input, or on a file of them."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, model_options, otel_option, unsafe_option


@dataclass(frozen=True)
class View:
    """What is shown of a run beside its output."""

    trace: bool
    as_json: bool


@click.command("run")
@click.argument("workflow", type=FILE)
@click.option("--input", "inputs", multiple=True, metavar="NAME=VALUE", help="One input; repeat for each.")
@click.option("--inputs", "rows", type=FILE, help="JSONL or CSV: one set of inputs a row.")
@click.option("--output", type=FILE, help="Where the output goes; of rows, as JSONL [default: standard output].")
@click.option("--resume", is_flag=True, help="Go on with --output: rows whose ids stand in it are not run again.")
@click.option("--task", type=FILE, help="Task file with settings for the models that the workflow names.")
@click.option(
    "--trust", is_flag=True, help="Let the workflow's tools import modules, start MCP servers and read any corpus."
)
@click.option("--trace", is_flag=True, help="Show on standard error what every step gave; with --json in the object.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object an input, with what it cost.")
@otel_option
@unsafe_option
@model_options
def command(workflow: Path, inputs: tuple[str, ...], rows: Path | None, output: Path | None, **how: Any) -> int:
    """Run WORKFLOW (a YAML file) on `--input NAME=VALUE ...`, or on each row of `--inputs FILE`.

    A row that fails has its reason under `error`; the exit code is then 1.
    """
    from flowbot.errors import InputError
    from flowbot.faces.loop import start_loop
    from flowbot.faces.wiring import open_toolbox
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
    if how["resume"] and (rows is None or output is None):
        raise InputError("there is nothing to go on with", "--resume", "give --inputs FILE and --output FILE too")
    models = load_task(how["task"])[0].models.specs if how["task"] else ()
    view = View(how["trace"], how["as_json"])
    trust, unsafe, resume = how["trust"], how["unsafe_code"], how["resume"]
    toolbox = open_toolbox(workflow.resolve().parent, lambda spec: trust, unsafe_code=unsafe)
    how = {"base_url": how["base_url"], "concurrency": how["concurrency"] or 16, "models": models, "toolbox": toolbox}
    if rows is not None:
        return start_loop(_many(made, rows, output, view, how, resume))
    return start_loop(_one(made, _pairs(inputs), output, view, how))


def _pairs(inputs: tuple[str, ...]) -> dict[str, str]:
    from flowbot.errors import InputError

    found: dict[str, str] = {}
    for each in inputs:
        name, equals, value = each.partition("=")
        if not equals:
            raise InputError(f"'{each}' must be NAME=VALUE", "--input")
        found[name] = value
    return found


async def _one(workflow: Any, inputs: dict[str, str], output: Path | None, view: View, how: dict[str, Any]) -> int:
    from flowbot.faces.api import as_example, atraces
    from flowbot.workflow.fields import as_text

    values = {name: _typed(workflow, name, value) for name, value in inputs.items()}
    example = as_example(workflow, values, "input", "--input")
    with _opened(output) as out:
        async for trace in atraces(workflow, [example], **how):
            plain = _plain(trace, view)
            if view.as_json:
                out.write(json.dumps(plain, ensure_ascii=False) + "\n")
            elif not trace.error:
                out.write(as_text(trace.output) + "\n")
            if trace.error:
                click.echo(f"flowbot: {trace.error}", err=True)
                return 1
    return 0


def _show(trace: Any, before: str) -> None:
    from flowbot.faces.traces import told

    for line in told(trace):
        click.echo(f"{before}{line}", err=True)


def _plain(trace: Any, view: View, row_id: str | None = None) -> dict[str, Any]:
    """Return what came of one input as one JSON object; with `--json` what it cost too, and every step with a trace."""
    from flowbot.faces.traces import plain_trace, plain_usage

    name = trace.workflow.output.partition(".")[2]
    plain: dict[str, Any] = {} if row_id is None else {"id": row_id}
    plain |= {"error": trace.error} if trace.error else {name: trace.output}
    if view.as_json:
        plain |= plain_trace(trace) if view.trace else {"usage": plain_usage(trace.usage)}
    elif view.trace:
        _show(trace, f"{row_id}: " if row_id is not None else "")
    return plain


def _typed(workflow: Any, name: str, value: str) -> Any:
    """Read a list or a JSON value as JSON; everything else is text that its type reads."""
    kind = workflow.inputs.get(name)
    if kind is not None and kind.kind in ("list", "json"):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


async def _many(workflow: Any, rows: Path, output: Path | None, view: View, how: dict[str, Any], resume: bool) -> int:
    from flowbot.faces.api import atraces

    read = _examples(workflow, rows)
    there = _ids(output) if resume and output is not None else frozenset[str]()
    left = {key: each for key, each in read.items() if key[1] not in there}
    failed, done = 0, len(read) - len(left)
    with _opened(output, "a" if there else "w") as out:
        traces: Any = atraces(workflow, [each for each in left.values() if not isinstance(each, str)], **how)
        try:
            async with contextlib.aclosing(traces):
                for (_, row_id), each in left.items():
                    trace = None if isinstance(each, str) else await anext(traces)
                    result = {"id": row_id, "error": each} if trace is None else _plain(trace, view, row_id)
                    failed += trace is None or bool(trace.error)
                    out.write(json.dumps(result, ensure_ascii=False) + "\n")
                    done += 1
        except BaseException:
            if output:
                told = f"{done} of {len(read)} rows are in {output}; the same command with --resume goes on there"
                click.echo(told, err=True)
            raise
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


def _ids(output: Path) -> frozenset[str]:
    """Return the ids of the rows in an output, and take out a last line that was not written to its end.

    Raises `InputError` for a file that no run wrote.
    """
    from flowbot.errors import InputError
    from flowbot.store.files import read_text, write_text

    if not output.is_file():
        return frozenset()
    lines = read_text(output, "output").splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        write_text(output, "".join(lines := lines[:-1]))
    try:
        return frozenset(str(json.loads(line)["id"]) for line in lines)
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError("this is no output of `flowbot run`", str(output), "name another file") from None


def _opened(output: Path | None, mode: str = "w") -> Any:
    """Return where results are written, line by line, as a context; raise `InputError` where that cannot be opened."""
    from flowbot.errors import InputError

    try:
        return _Standard() if output is None else output.open(mode, encoding="utf-8", buffering=1)
    except OSError as error:
        raise InputError(f"cannot write the file: {error.strerror}", str(output)) from None


class _Standard:
    """Standard output as a context that does not close it."""

    def __enter__(self) -> Any:
        return sys.stdout

    def __exit__(self, *error: object) -> None:
        sys.stdout.flush()
