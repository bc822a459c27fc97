"""Options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)


def unsafe_option(function: F) -> F:
    """Add the option that runs programs without a sandbox."""
    return click.option(
        "--unsafe-code",
        is_flag=True,
        help="Run programs that a model wrote without a sandbox, with your rights.",
    )(function)


def otel_option(function: F) -> F:
    """Add the option that sends spans; without it the environment decides."""

    def export(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
        if wanted or any(name.startswith("OTEL_EXPORTER_OTLP") for name in os.environ):
            from flowbot.faces.observe.otlp import export_spans

            export_spans(wanted)

    return click.option(
        "--otel",
        is_flag=True,
        expose_value=False,
        callback=export,
        help="Send OpenTelemetry spans (OTEL_EXPORTER_OTLP_*).",
    )(function)


def model_options(function: F) -> F:
    """Add the options that say which model is asked, and where."""
    for option in (
        click.option("--concurrency", type=click.IntRange(1), help="Calls in flight at most."),
        click.option(
            "--base-url",
            metavar="URL",
            help="Endpoint to ask; the key comes from the provider's variable, e.g. OPENAI_API_KEY.",
        ),
        click.option("--model", metavar="PROVIDER:NAME", help="Task model, e.g. openai:gpt-4.1-mini or local:NAME."),
    ):
        function = option(function)
    return function
