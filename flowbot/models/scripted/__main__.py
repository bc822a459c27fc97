"""Serve a planted world: `python -m flowbot.models.scripted --fault missing_hop --port 8123`. A simulation."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from pathlib import Path
from typing import NoReturn

from flowbot.document import write_document
from flowbot.errors import InputError
from flowbot.models.scripted.faults import FAULTS
from flowbot.models.scripted.server import serve
from flowbot.models.scripted.world import World
from flowbot.store.files import write_text
from flowbot.workflow.document import write_workflow

SIZES = {"train": 90, "val": 90, "test": 100}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Print the error and end with 2."""
        print(f"flowbot.models.scripted: {message}", file=sys.stderr)
        raise SystemExit(2)


def written(world: World, folder: Path) -> Path:
    """Write the task with its start and data into a folder and return the task's path; raise `InputError`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder: {error.strerror}", str(folder)) from None
    rows = world.data(**SIZES)
    for split, found in rows.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in found]
        write_text(folder / f"{split}.jsonl", "\n".join(lines) + "\n")
    write_text(folder / "start.yaml", write_workflow(world.start))
    task = world.plain_task("race") | {"start": "start.yaml", "data": {split: f"{split}.jsonl" for split in rows}}
    write_text(folder / "task.yaml", write_document({key: value for key, value in task.items() if value != {}}))
    return folder / "task.yaml"


def main(arguments: list[str] | None = None) -> None:
    """Read the arguments, write the task where that is asked for, and serve until interrupted."""
    parser = Parser(prog="python -m flowbot.models.scripted", description="Serve a planted world: a simulation.")
    parser.add_argument("--fault", default="missing_instruction", help=", ".join(FAULTS))
    parser.add_argument("--seed", type=int, default=0, help="which world of its kind")
    parser.add_argument("--skill", type=float, default=0.8, help="chance that what the meta model says is right")
    parser.add_argument("--garbage", type=float, default=0.0, help="chance that a reply of the meta model is useless")
    parser.add_argument("--noise", type=float, default=0.02, help="chance that a task call slips")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="how long each reply takes")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write task.yaml, start.yaml and data there first")
    chosen = parser.parse_args(arguments)
    if not 0 <= chosen.port <= 65535:
        parser.error(f"argument --port: {chosen.port} is no port: give 0 (a free one) to 65535")
    if not 0 <= chosen.latency_ms <= 600_000:
        parser.error(f"argument --latency-ms: give milliseconds from 0 to 600000, not {chosen.latency_ms:g}")
    try:
        world = World(chosen.fault, chosen.seed, chosen.skill, chosen.garbage, chosen.noise)
        task = written(world, chosen.write) if chosen.write else None
    except InputError as error:
        parser.error(str(error))

    def told(url: str) -> None:
        print(url, flush=True)
        if task is not None:
            print(f"flowbot induce {task} --base-url {url}", flush=True)

    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(world, chosen.port, chosen.latency_ms / 1000, told))
    except OSError as error:
        parser.error(f"cannot serve on port {chosen.port}: {error.strerror}")


if __name__ == "__main__":
    main()
