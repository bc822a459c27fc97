"""The demo: induce a workflow on the embedded model, and print the honest before and after on the sealed test."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flowbot import InputError, aevaluate, ainduce, load
from flowbot.engine.ports import EndpointError
from flowbot.faces.loop import start_loop
from flowbot.faces.cli.bar import bar
from flowbot.faces.progress import Progress
from flowbot.faces.tables import print_result
from flowbot.models.pull import pull
from flowbot.search.compare import compare

HERE = Path(__file__).parent
MODEL = "qwen2.5-coder-0.5b"


async def demo() -> None:
    """Fetch the model, induce, measure the careful hand-written call beside it, and print all three."""
    with bar(False, sys.stderr) as progress:
        await pull(MODEL, progress=progress)
    task, began = HERE / "task.yaml", time.monotonic()
    with Progress(None, stream=sys.stderr, quiet=False, json_lines=False) as progress:
        result = await ainduce(task, run=HERE / "runs" / "demo", heard=progress.heard)
        careful = await aevaluate(load(HERE / "careful.yaml"), task, split="test")
    print_result(result, third=("careful.yaml, written by hand", careful.mean))
    print(f"{time.monotonic() - began:.0f} seconds after the model was there")


if __name__ == "__main__":
    try:
        start_loop(demo())
    except (InputError, EndpointError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: stopped; `make demo` goes on where it was")
