"""flowbot serve: workflows over HTTP."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowbot.faces.cli.shared import FILE, model_options, otel_option, unsafe_option

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from flowbot.faces.serve.settings import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
OVER_HTTP = ("httptools", "prometheus_client", "starlette", "uvicorn")
SHORTEST = 16  # characters of a token
MONEY = click.FloatRange(0, min_open=True)
COUNT = click.IntRange(1)


@click.command("serve")
@click.argument("files", nargs=-1, required=True, metavar="[NAME=]FILE...")
@click.option("--mcp", is_flag=True, help="As tools of MCP: over standard input and output; with --http at /mcp.")
@click.option("--http", is_flag=True, help="With --mcp: over HTTP, beside the other routes.")
@click.option("--host", default=LOOPBACK[0], help="Address to listen at [default: this machine alone].")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, help="Port; 0 is a free one [default: 8000].")
@click.option(
    "--token-env",
    default="FLOWBOT_SERVE_TOKEN",
    metavar="NAME",
    help="Variable with the token that clients send [default: FLOWBOT_SERVE_TOKEN].",
)
@click.option("--queue", type=click.IntRange(0), default=256, help="Requests that may wait [default: 256].")
@click.option("--max-body", type=COUNT, default=2**20, metavar="BYTES", help="Size of a request [default: 1048576].")
@click.option("--max-rows", type=COUNT, default=100, help="Sets of inputs in a batch [default: 100].")
@click.option("--max-seconds", type=MONEY, default=120.0, help="Time of one run [default: 120].")
@click.option("--max-usd", type=MONEY, help="Money of one run.")
@click.option("--max-tokens", type=COUNT, help="Tokens of one run.")
@click.option("--day-usd", type=MONEY, help="Money of all runs of a day (UTC).")
@click.option("--day-tokens", type=COUNT, help="Tokens of all runs of a day (UTC).")
@click.option("--spent", type=FILE, help="Where the day's spending is kept [default: beside the first FILE].")
@click.option("--grace", type=click.FloatRange(0), default=30.0, help="Seconds to finish at SIGTERM [default: 30].")
@click.option("--log-content", is_flag=True, help="Log inputs, outputs and reasons too.")
@click.option("--task", type=FILE, help="Task file with settings for the models that the workflows name.")
@click.option(
    "--trust", is_flag=True, help="Let the workflows' tools import modules, start MCP servers and read any corpus."
)
@otel_option
@unsafe_option
@model_options
def command(
    files: tuple[str, ...], mcp: bool, http: bool, host: str, port: int, token_env: str, grace: float, **how: Any
) -> None:
    """Serve workflows: POST /run, /batch and /v1/chat/completions, with an OpenAPI document.

    Of several files each has routes of its own, /NAME/run. `--concurrency` bounds the runs that go on at once (64), and
    the calls in flight at a model. SIGHUP reads the files anew, SIGTERM finishes what runs.

    With `--mcp` each workflow is a tool of MCP, named as the workflow is, or by NAME.
    """
    from flowbot.errors import InputError
    from flowbot.faces.loop import start_loop

    if http and not mcp:
        raise InputError("over HTTP is what serve does without --mcp", "--http", "leave it out, or add --mcp")
    try:
        for name in (*(("mcp.server",) if mcp else ()), *(OVER_HTTP if http or not mcp else ())):
            import_module(name)
    except ImportError as error:
        extras = "serve,mcp" if mcp and http else "mcp" if mcp else "serve"
        mend = f"pip install 'flowbot[{extras}]'"
        raise InputError(f"flowbot serve needs the package {error.name}", mend=mend) from None
    if mcp and not http:
        start_loop(_stdio(files, _settings(how, ""), how))
        return
    settings = _settings(how, _token(token_env, host))
    app = _app(files, settings, how)
    if mcp:
        from flowbot.faces.serve.mcp import Tools, add_mcp, named_of

        add_mcp(app, Tools(app.state.service, named_of(files), _task(how)))
    start_loop(_serve(app, host, port, grace))


async def _stdio(files: tuple[str, ...], settings: Settings, how: dict[str, Any]) -> None:
    from flowbot.faces.serve.logs import log_lines
    from flowbot.faces.serve.mcp import Tools, named_of, serve_stdio, service_of

    log_lines()
    service = service_of(*_opened(files, settings, how))
    await serve_stdio(Tools(service, named_of(files), _task(how)))


def _task(how: dict[str, Any]) -> Any:
    from flowbot.store.files import load_task

    return load_task(how["task"])[0] if how["task"] else None


def _token(name: str, host: str) -> str:
    """Return the token; raise `InputError` where it is too short, or missing at an address that others reach."""
    from flowbot.errors import InputError

    token = os.environ.get(name, "").strip()
    mend = f'export {name}="$(python -c "import secrets; print(secrets.token_urlsafe(32))")"'
    if not token and host not in LOOPBACK:
        raise InputError(f"others reach {host}, and the variable {name} holds no token", "--host", mend)
    if token and (len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        raise InputError(
            f"the token must have at least {SHORTEST} characters, printable and without spaces", name, mend
        )
    return token


def _settings(how: dict[str, Any], token: str) -> Settings:
    from flowbot.faces.serve.settings import Limits, Settings

    limits = Limits(
        concurrency=how["concurrency"] or Limits.concurrency,
        queue=how["queue"],
        body=how["max_body"],
        rows=how["max_rows"],
        seconds=how["max_seconds"],
        usd=how["max_usd"],
        tokens=how["max_tokens"],
        day_usd=how["day_usd"],
        day_tokens=how["day_tokens"],
    )
    return Settings(limits, token, how["log_content"])


def _app(files: tuple[str, ...], settings: Settings, how: dict[str, Any]) -> Starlette:
    from flowbot.faces.serve.app import app_of

    return app_of(*_opened(files, settings, how))


def _opened(files: tuple[str, ...], settings: Settings, how: dict[str, Any]) -> tuple[Any, Settings, Path]:
    """Return what opens the files, the settings, and the file of what a day has cost."""
    from flowbot.faces.serve.files import How, openers_of

    limits = settings.limits
    opened = How(
        how["model"],
        how["base_url"],
        how["task"],
        limits.concurrency,
        how["trust"],
        how["unsafe_code"],
        limits.usd is not None or limits.day_usd is not None,
    )
    openers = openers_of(files, opened)
    first = Path(files[0].partition("=")[2] or files[0])
    return openers, settings, how["spent"] or first.with_suffix(".spent.sqlite")


async def _serve(app: Starlette, host: str, port: int, grace: float) -> None:
    from flowbot.faces.serve.logs import log_lines
    from flowbot.faces.serve.server import bound, serve

    log_lines()
    listening = bound(host, port)

    def ready() -> None:
        named = f"[{host}]" if ":" in host else host
        click.echo(f"http://{named}:{listening.getsockname()[1]}")
        if host not in LOOPBACK:
            click.echo("flowbot: what is sent here is not encrypted: put a proxy with TLS before it", err=True)
        sys.stdout.flush()

    try:
        await serve(app, listening, grace, ready)
    finally:
        listening.close()
