"""flowbot meter: count and bound what clients of an endpoint spend."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowbot.faces.cli.shared import FILE, FOLDER

if TYPE_CHECKING:
    from flowbot.faces.meter import Meter
    from flowbot.money import Price

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@click.command("meter")
@click.option(
    "--to",
    required=True,
    multiple=True,
    metavar="URL|PROVIDER:MODEL",
    help="Endpoint behind the meter, or the models it serves (may be repeated), e.g. local:NAME.",
)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port [default: a free one].")
@click.option("--host", default=LOOPBACK[0], help="Address to listen at [default: this machine alone].")
@click.option("--key-env", metavar="NAME", help="Variable with the key [default: the provider's own].")
@click.option("--budget-usd", type=click.FloatRange(0, min_open=True), help="Money at most, for each label.")
@click.option("--budget-calls", type=click.IntRange(1), help="Calls at most, for each label.")
@click.option("--budget-tokens", type=click.IntRange(1), help="Tokens at most, for each label.")
@click.option("--shared", is_flag=True, help="One budget for all labels together.")
@click.option(
    "--price",
    "prices",
    multiple=True,
    metavar="MODEL=INPUT/OUTPUT",
    help="Dollars per million tokens, e.g. gpt-4.1-mini=0.4/1.6 (may be repeated).",
)
@click.option("--latency-ms", type=click.FloatRange(0), default=0.0, help="Time added to each answer.")
@click.option("--cache", type=FOLDER, help="Answer equal calls from this folder; they count all the same.")
@click.option("--cached-free", is_flag=True, help="Answers from the cache count nothing.")
@click.option("--json", "report", type=FILE, help="Write what was counted to this file at the end.")
@click.option("--quiet", is_flag=True, help="Print the base URL alone.")
def command(to: Sequence[str], host: str, port: int, report: Path | None, quiet: bool, **given: Any) -> None:
    """Serve an OpenAI-compatible endpoint that counts and bounds what its clients spend.

    Each label has a base URL of its own, http://HOST:PORT/LABEL/v1. A call that does not fit into the budget is
    answered with 429 and the code budget_reached. Ctrl-C ends it and prints what was counted.
    """
    from flowbot.faces.loop import start_loop
    from flowbot.faces.meter.shown import spent_table
    from flowbot.faces.tables import plain_table

    meter = _meter(to, given)
    _write(report, meter)
    with contextlib.suppress(KeyboardInterrupt):
        start_loop(_serve(meter, host, port, quiet))
    _write(report, meter)
    if not quiet:
        click.echo(plain_table(spent_table(meter)), nl=False)


async def _serve(meter: Meter, host: str, port: int, quiet: bool) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from flowbot.faces.meter import serving

    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serving(meter, port, host) as root:
        click.echo(f"{root}/v1")
        if not quiet:
            click.echo(
                f"meters {meter.upstream.name}\nexport OPENAI_BASE_URL={root}/LABEL/v1  # any LABEL: it is counted"
            )
            click.echo(f"what was spent: {root}/meter; Ctrl-C ends it")
        if host not in LOOPBACK:
            click.echo("flowbot: whoever reaches this address spends on your account", err=True)
        sys.stdout.flush()
        with _live(meter, quiet):
            await stop.wait()


def _meter(to: Sequence[str], given: dict[str, Any]) -> Meter:
    from flowbot.errors import InputError
    from flowbot.faces.meter import Forward, Meter, upstream_of, upstream_to
    from flowbot.money import Budget
    from flowbot.task.task import ModelSpec

    addresses = [each for each in to if "://" in each]
    if addresses and len(to) > 1:
        raise InputError("one URL stands alone; several models are each PROVIDER:MODEL", "--to")
    key = given["key_env"]
    upstream = upstream_to(to[0], key) if addresses else upstream_of([ModelSpec(name=name) for name in to], None, key)
    prices = dict(_price(text) for text in given["prices"])
    budget = Budget(given["budget_usd"], given["budget_calls"], given["budget_tokens"])
    if isinstance(upstream, Forward):
        unknown = [] if upstream.priced or prices else [upstream.name]
    else:
        unknown = [name for name in upstream.ids if name not in prices and upstream.price(name) is None]
    if unknown and budget.usd is not None:
        mend = "give --price MODEL=INPUT/OUTPUT (dollars per million tokens), or bound calls or tokens instead"
        raise InputError(
            f"money cannot be bounded where prices are not known: {', '.join(unknown)}", "--budget-usd", mend
        )
    return Meter(
        upstream,
        prices,
        budget=budget,
        latency=given["latency_ms"] / 1000,
        cache=given["cache"],
        shared=given["shared"],
        cached_free=given["cached_free"],
    )


def _price(text: str) -> tuple[str, Price]:
    """Read MODEL=INPUT/OUTPUT; a third number is the price of cached input."""
    import math

    from flowbot.errors import InputError
    from flowbot.money import Price

    model, _, numbers = text.rpartition("=")
    try:
        found = [float(part) for part in numbers.split("/")]
    except ValueError:
        found = []
    if not model or len(found) not in (2, 3) or not all(math.isfinite(each) and each >= 0 for each in found):
        raise InputError(f"'{text}' is no MODEL=INPUT/OUTPUT", "--price", "e.g. --price gpt-4.1-mini=0.4/1.6")
    return model, Price(*found)


def _write(report: Path | None, meter: Meter) -> None:
    """Write the tallies. It is done at the start too: a file that cannot be written is said before a call is paid."""
    if report is not None:
        from flowbot.store.files import write_text

        write_text(report, json.dumps(meter.plain(), indent=1) + "\n")


@contextlib.contextmanager
def _live(meter: Meter, quiet: bool) -> Generator[None]:
    """Show what is spent while the block runs, where there is a terminal to show it on."""
    from flowbot.faces.meter.shown import spent_table
    from flowbot.faces.tables import is_terminal, rich_table

    if quiet or not is_terminal(sys.stderr):
        yield
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(
        console=console,
        get_renderable=lambda: rich_table(spent_table(meter, max(1, console.size.height - 8))),
        refresh_per_second=4,
        transient=True,
        redirect_stdout=False,
    ):
        yield
