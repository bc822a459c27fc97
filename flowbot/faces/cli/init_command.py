"""flowbot init: a starter task with data."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from flowbot.faces.cli.shared import FOLDER

STARTER = "qwen2.5-coder-0.5b"  # the model that the starter's task names


@click.command("init")
@click.argument("folder", type=FOLDER)
def command(folder: Path) -> None:
    """Make a starter task with data in FOLDER, which is new or empty."""
    from flowbot.errors import InputError
    from flowbot.store.files import write_text

    if folder.exists() and any(folder.iterdir()):
        raise InputError("the folder is not empty", str(folder), "name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    for item in sorted(files("flowbot.faces").joinpath("starter").iterdir(), key=lambda each: each.name):
        if item.name.endswith((".yaml", ".jsonl", ".md")):
            write_text(folder / item.name, item.read_text(encoding="utf-8"))
            click.echo(f"wrote {folder / item.name}")
    steps = (f"models pull {STARTER}", f"estimate {folder / 'task.yaml'}", f"induce {folder / 'task.yaml'}")
    click.echo("\nNext: " + "\n      ".join(f"flowbot {step}" for step in steps))
