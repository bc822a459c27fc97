"""flowbot bench: methods compared on the same tasks, the same models and the same budget."""

from __future__ import annotations

from typing import Any

import click

from flowbot.faces.cli.bench_report import command as report
from flowbot.faces.cli.shared import FOLDER, unsafe_option

COMPARED = "single,paper,race,vote,gepa,mipro,textgrad"


@click.group("bench")
def command() -> None:
    """Compare methods on the paper's benchmarks or on tasks of your own: list, run, report."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a benchmark.")
def listed(as_json: bool) -> None:
    """List the benchmarks and the methods."""
    from flowbot.bench.listing import print_catalogue

    print_catalogue(as_json)


@command.command("run")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--methods", default=COMPARED, show_default=True, help="Names, with commas between them.")
@click.option("--seeds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Runs of each method.")
@click.option("--out", "folder", type=FOLDER, required=True, help="Folder for records, programs and report.")
@click.option("--data", type=FOLDER, help="Folder with data, one folder a benchmark [default: the publisher's].")
@click.option("--protocol", type=click.Choice(["paper"]), help="Sizes, models and settings as published.")
@click.option("--model", metavar="PROVIDER:NAME", help="Task model [default: the task's].")
@click.option("--meta-model", metavar="PROVIDER:NAME", help="Meta model [default: the task's, else the task model].")
@click.option("--max-tokens", type=click.IntRange(1), help="Tokens of each reply at most [default: the task's].")
@click.option("--answer", metavar="NAME=PROVIDER:NAME", multiple=True, help="Answer a further model that a task names.")
@click.option("--base-url", metavar="URL", help="Endpoint that answers all models.")
@click.option("--budget-usd", type=click.FloatRange(0, min_open=True), help="Money for each search.")
@click.option("--budget-calls", type=click.IntRange(1), help="Calls for each search.")
@click.option("--budget-tokens", type=click.IntRange(1), help="Tokens for each search.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="Seconds for each search.")
@click.option("--limit-train", type=click.IntRange(1), metavar="N", help="Examples to learn from at most.")
@click.option("--limit-val", type=click.IntRange(1), metavar="N", help="Examples to choose by at most.")
@click.option("--limit-test", type=click.IntRange(1), metavar="N", help="Examples of the sealed test at most.")
@click.option("--concurrency", type=click.IntRange(1), help="Calls of one method in flight at most.")
@click.option("--latency-ms", type=click.FloatRange(0), default=0.0, help="Time added to each call.")
@click.option("--cache", type=FOLDER, help="Folder where replies are kept for equal requests.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Benchmarks and seeds at a time.")
@click.option("--dry-run", is_flag=True, help="Say what would be run, and what it may cost.")
@unsafe_option
def run(names: tuple[str, ...], seeds: int, **given: Any) -> None:
    """Run methods on benchmarks, each a NAME of the catalogue or a task file.

    Each run is a process of its own; all their calls go through one meter, which counts them and ends each search at
    the same budget. Then the program found is scored on the sealed test. Runs that have a record are not run again.
    """
    from flowbot.bench.running import bench, planned
    from flowbot.bench.settings import Settings
    from flowbot.faces.loop import start_loop
    from flowbot.faces.tables import show

    settings = Settings(names=names, seeds=range(seeds), **given)
    if settings.dry_run:
        for table in planned(settings):
            show(table)
        return
    start_loop(bench(settings, lambda line: click.echo(line, err=True)))
    with click.Context(report) as context:
        context.invoke(report, folder=given["folder"], against=None, as_json=False, no_files=False)


command.add_command(report)
