"""flowbot doctor: what works here."""

from __future__ import annotations

from typing import Any

import click


@click.command("doctor")
@click.option("--model", metavar="PROVIDER:NAME", help="Model to ask for one reply.")
@click.option("--base-url", metavar="URL", help="Endpoint to ask.")
def command(model: str | None, base_url: str | None) -> int:
    """Check Python, extras, keys (never shown), model files and sandbox; with --model also that it answers."""
    from flowbot.faces.doctor import look, reach
    from flowbot.faces.loop import start_loop
    from flowbot.models.secrets import scrub
    from flowbot.task.task import ModelSpec

    findings: list[Any] = list(look())
    name = model or ("openai:gpt-4.1-mini" if base_url else None)
    if name:
        findings.append(start_loop(reach(ModelSpec(name=name), base_url)))
    for finding in findings:
        mark = {True: "ok", False: "BAD", None: "-"}[finding.good]
        click.echo(f"{mark:>4}  {finding.name}: {scrub(finding.says)}")
    return 2 if any(finding.good is False for finding in findings) else 0
