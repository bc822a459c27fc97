"""flowbot models: the catalogue of local models, and fetching them."""

from __future__ import annotations

import sys
from typing import Any

import click


@click.group("models")
def command() -> None:
    """List and fetch local models (GGUF files that run in this process)."""


@command.command("list")
def list_models() -> None:
    """List the catalogue: what each model is, how large, where it comes from, and whether it is here."""
    from flowbot.models.catalogue import catalogue, default, home, model_path

    for name, entry in catalogue().items():
        here = "here" if model_path(entry).exists() else "not here"
        mark = ", the default" if name == default() else ""
        click.echo(f"local:{name}  {entry.size / 1e6:.0f} MB  {here}{mark}")
        click.echo(f"    {entry.description}")
        click.echo(
            f"    {entry.publisher}, {entry.licence}; from {entry.hub} on the Hugging Face hub, else {_wheels(entry)}"
        )
    click.echo(f"\nModels are kept in {home() / 'models'} (FLOWBOT_HOME changes that).")


def _wheels(entry: Any) -> str:
    """Say which distributions of the Python package index hold the file."""
    names = [part.distribution for part in entry.parts]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]} ({len(names)} wheels)"


@command.command("pull")
@click.argument("name")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def pull_model(name: str, quiet: bool) -> None:
    """Fetch the model NAME, checked by its SHA-256; a broken download goes on where it was."""
    from flowbot.faces.cli.bar import bar
    from flowbot.faces.loop import start_loop
    from flowbot.models.pull import pull

    with bar(quiet, sys.stderr) as progress:
        path: Any = start_loop(pull(name.removeprefix("local:"), progress=progress))
    click.echo(str(path))
