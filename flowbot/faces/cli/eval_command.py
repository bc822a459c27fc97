"""flowbot eval: a workflow's score on a split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from flowbot.faces.cli.shared import FILE, model_options, otel_option, unsafe_option


@click.command("eval")
@click.argument("workflow", type=FILE)
@click.option("--task", type=FILE, required=True, help="Task file with data and metric.")
@click.option("--split", default="val", show_default=True, help="Split to score on.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every score.")
@click.option("--failures", type=click.IntRange(0), default=0, help="Show the first N examples that are not right.")
@otel_option
@unsafe_option
@model_options
def command(workflow: Path, task: Path, split: str, as_json: bool, failures: int, **options: Any) -> int:
    """Score WORKFLOW on a split of a task's data with the task's metric."""
    from flowbot.faces.api import aevaluate, load
    from flowbot.faces.loop import start_loop
    from flowbot.faces.options import Options
    from flowbot.search.compare import interval

    found = start_loop(aevaluate(load(workflow), task, split=split, options=Options(**options)))
    low, high = interval(found.scores)
    usage = found.ledger.total
    if as_json:
        scores = {trace.example.id: score for trace, score in zip(found.traces, found.scores, strict=True)}
        facts = {"split": split, "mean": found.mean, "low": low, "high": high, "n": len(scores), "usd": usage.usd}
        click.echo(json.dumps(facts | {"calls": usage.calls, "tokens": usage.tokens, "scores": scores}))
        return 0
    click.echo(f"{split}: {found.mean:.1%} on {len(found.scores)} examples (95 % interval {low:.1%} to {high:.1%})")
    cost = "price unknown" if usage.usd is None else f"${usage.usd:.4g}"
    click.echo(f"{usage.calls} calls, {usage.input_tokens} + {usage.output_tokens} tokens, {cost}")
    wrong = [trace for trace in found.traces if trace.score is not None and trace.score.value < 1]
    for trace in wrong[:failures]:
        click.echo(f"- {trace.example.id}: {trace.score.feedback if trace.score else ''}")
    return 0
