"""flowbot import: a workflow from what is there already."""

from __future__ import annotations

from pathlib import Path

import click

from flowbot.faces.cli.shared import FILE


@click.command("import")
@click.argument("source", type=FILE)
@click.option("-o", "--output", type=FILE, help="Where the workflow goes [default: standard output].")
@click.option("--model", metavar="PROVIDER:NAME", help="Model of the workflow.")
@click.option("--inputs", multiple=True, metavar="NAME[=TYPE]", help="An input; repeat [default: the placeholders].")
@click.option("--gives", multiple=True, metavar="NAME[=TYPE]", help="A field of the answer; repeat [default: answer].")
@click.option("--onto", type=FILE, metavar="WORKFLOW", help="Workflow whose prompts a candidate of several holds.")
def command(
    source: Path,
    output: Path | None,
    model: str | None,
    inputs: tuple[str, ...],
    gives: tuple[str, ...],
    onto: Path | None,
) -> None:
    """Write the workflow that SOURCE holds: a prompt (.md, .txt), chat messages or a GEPA candidate (.json).

    Placeholders {name} and {{name}} become inputs, examples become demos. What was changed or left out is said on
    standard error. flowbot induce --start takes the same files.
    """
    from flowbot.faces.api import save
    from flowbot.faces.importing import import_from
    from flowbot.task.task import ModelSpec
    from flowbot.workflow.document import write_workflow

    if model:
        ModelSpec(name=model)  # or it says what is wrong with the name
    made = import_from(source, model=model, inputs=_fields(inputs), gives=_fields(gives), onto=onto)
    for note in made.notes:
        click.echo(f"note: {note}", err=True)
    if output is None:
        click.echo(write_workflow(made.workflow), nl=False)
    else:
        save(made.workflow, output)


def _fields(given: tuple[str, ...]) -> dict[str, str]:
    pairs = [each.partition("=") for each in given]
    return {name.strip(): kind.strip() or "text" for name, _, kind in pairs}
