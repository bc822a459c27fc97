"""The demo: induce a workflow on the embedded model, and print the honest before and after on the sealed test."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flowbot import EndpointError, InputError, aevaluate, ainduce, load
from flowbot.faces.cli.bar import bar
from flowbot.faces.loop import start_loop
from flowbot.faces.progress import Progress
from flowbot.faces.tables import ResultRow, print_result
from flowbot.models.pull import pull

HERE = Path(__file__).parent
MODEL = "qwen2.5-coder-0.5b"


async def demo() -> None:
    """Fetch the model, induce, measure the careful hand-written call beside it, and print all three."""
    with bar(False, sys.stderr) as told:
        await pull(MODEL, progress=told)
    task, began = HERE / "task.yaml", time.monotonic()
    with Progress(stream=sys.stderr) as progress:
        result = await ainduce(task, run=HERE / "runs" / "demo", heard=progress.heard)
        careful = await aevaluate(load(HERE / "careful.yaml"), task, split="test", heard=progress.heard)
    row = ResultRow("careful.yaml, by hand", careful.mean, len(careful.scores))
    print_result(result, more={"test": [row]})
    print(f"{time.monotonic() - began:.0f} seconds after the model was there")


if __name__ == "__main__":
    try:
        start_loop(demo())
    except (InputError, EndpointError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        sys.exit("demo: stopped; `make demo` goes on where it was")
