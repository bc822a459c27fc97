"""flowbot diff: what two workflows differ in."""

from __future__ import annotations

from pathlib import Path

import click

from flowbot.faces.cli.shared import FILE


@click.command("diff")
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
def command(old: Path, new: Path) -> int:
    """Say what changed from OLD to NEW: structure in words, prompts as a text diff. Exit code 1 where they differ."""
    from flowbot.store.files import load_workflow
    from flowbot.workflow.draw import diff

    changed = diff(load_workflow(old), load_workflow(new))
    click.echo(changed or "no difference\n", nl=False)
    return 1 if changed else 0
