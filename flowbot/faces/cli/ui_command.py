"""flowbot ui: a local page of runs and workflows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flowbot.faces.cli.shared import unsafe_option

if TYPE_CHECKING:
    from flowbot.faces.ui.desk import Desk
    from flowbot.faces.ui.trials import Trials

PATH = click.Path(path_type=Path)


@click.command("ui")
@click.argument("path", type=PATH, required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port [default: a free one].")
@click.option("--host", default="127.0.0.1", help="Address to listen at [default: this machine alone].")
@click.option("--no-browser", is_flag=True, help="Print the link, and open no browser.")
@click.option(
    "--trust", is_flag=True, help="Let workflows that are tried import modules, start MCP servers and read any corpus."
)
@click.option("--base-url", metavar="URL", help="Endpoint to ask where a workflow is tried.")
@unsafe_option
def command(path: Path | None, port: int, host: str, no_browser: bool, **rights: Any) -> None:
    """Open a local page of PATH: a folder of runs, one run, or a workflow's file.

    Without PATH it is the folder `runs`, or this one. The page reads journals and changes nothing; it follows a run as
    it goes. The link holds a token: whoever has it can see the runs, and try workflows with your keys. Ctrl-C ends it.
    """
    from flowbot.faces.loop import start_loop
    from flowbot.faces.ui.desk import Desk
    from flowbot.faces.ui.trials import Trials

    desk = Desk(path or (Path("runs") if Path("runs").is_dir() else Path()))
    trials = Trials(**rights)
    with contextlib.suppress(KeyboardInterrupt):
        start_loop(_serve(desk, trials, port, host, not no_browser))


async def _serve(desk: Desk, trials: Trials, port: int, host: str, browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from flowbot.faces.ui.guard import LOOPBACK
    from flowbot.faces.ui.server import serving

    stop = asyncio.Event()
    with contextlib.suppress(NotImplementedError):  # Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with serving(desk, trials, port, host) as link:
        click.echo(link)
        if host not in LOOPBACK:
            said = f"whoever can reach {host} and has the link sees these runs, unencrypted, and spends with your keys"
            click.echo(f"flowbot: {said}", err=True)
        sys.stdout.flush()
        click.echo("Ctrl-C ends it", err=True)
        if browser and _has_browser():
            await asyncio.to_thread(_open, link)
        await stop.wait()


def _has_browser() -> bool:
    """Tell whether there is a screen to open a browser on, and somebody before it."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("win32", "darwin") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def _open(link: str) -> None:
    import webbrowser

    with contextlib.suppress(webbrowser.Error, OSError):
        webbrowser.open(link)
