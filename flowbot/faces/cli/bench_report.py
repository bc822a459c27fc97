"""flowbot bench report: tables, a chart and every figure of the records in a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from flowbot.faces.cli.shared import FOLDER


@click.command("report", context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("folder", type=FOLDER)
@click.option("--against", metavar="METHOD", help="Method to compare with [default: race, else the first].")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with every figure.")
@click.option("--no-files", is_flag=True, help="Write no report.md, report.svg and report.json.")
def command(folder: Path, against: str | None, as_json: bool, no_files: bool) -> None:
    """Compare the methods whose records are in FOLDER, also while more are being run.

    Scores of the sealed test have 95 % intervals over seeds and test items; differences from one method are paired,
    with p-values corrected for the number of methods.
    """
    from flowbot.bench.findings import find
    from flowbot.bench.report import figures, read_records, sheets, show_tables, write_files

    found = find(read_records(folder), against or "")
    written = [] if no_files else write_files(folder, found)
    if as_json:
        click.echo(json.dumps(figures(found)))
        return
    show_tables(sheets(found), sys.stdout)
    for path in written:
        click.echo(str(path))
