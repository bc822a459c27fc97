"""flowbot export: a workflow as something that other programs read."""

from __future__ import annotations

from pathlib import Path

import click

from flowbot.faces.cli.shared import FILE


@click.command("export")
@click.argument("workflow", type=FILE)
@click.option(
    "--to",
    required=True,
    type=click.Choice(["python", "prompts", "mermaid"]),
    help="A program on the openai SDK alone, the prompts as Markdown, or a Mermaid flow chart.",
)
@click.option("-o", "--output", type=FILE, help="Where it goes [default: standard output].")
@click.option("--model", metavar="PROVIDER:NAME", help="Model of the calls that name none, in place of the workflow's.")
def command(workflow: Path, to: str, output: Path | None, model: str | None) -> None:
    """Export WORKFLOW (a YAML file) for use without FlowBot.

    The program sends the same requests as flowbot run and prints the same output. Steps that need FlowBot (programs in
    its sandbox, tools but for the calculator) are refused by name.
    """
    from flowbot.errors import InputError
    from flowbot.faces.export import export
    from flowbot.store.files import load_workflow, write_text
    from flowbot.task.task import ModelSpec
    from flowbot.workflow.graph import rebuild

    made = load_workflow(workflow)
    if model:
        ModelSpec(name=model)  # or it says what is wrong with the name
        made = rebuild(made, model=model)
    text = export(made, to)
    if to == "python" and any((call.model or made.model or "").startswith("local:") for call in made.calls):
        told = "the program asks a server at LOCAL_BASE_URL (http://127.0.0.1:8080/v1, as llama-server has it)"
        click.echo(f"note: local: models run within FlowBot; {told}", err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists() and output.resolve() == workflow.resolve():
        raise InputError("the export would write over the workflow", "--output", "name another file")
    write_text(output, text)
