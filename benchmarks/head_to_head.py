"""Methods against each other on planted worlds behind HTTP: the same worlds, the same budget, one meter. A simulation.

    python benchmarks/head_to_head.py --out DIR [--faults missing_instruction,lossy_type] [--seeds 5] [--usd 0.30]

A world is served on loopback by a process of its own. What has a record in DIR is not run again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

from flowbot.bench.running import bench
from flowbot.bench.settings import Settings
from flowbot.models.scripted.faults import FAULTS
from flowbot.store.files import read_text, write_text

METHODS = "start,single,paper,race,vote,gepa,mipro,textgrad"
WORLDS = "missing_instruction,missing_hop,wrong_tool,lossy_type,bad_seed,blank,nothing"
PRICE = "price: {input: 0.4, output: 1.6}"  # US dollars a million tokens, as that of a small model
UNPRICED = "models: {task: vllm:planted, meta: vllm:planted-meta}"
PRICED = f'models: {{task: {{name: "vllm:planted", {PRICE}}}, meta: {{name: "vllm:planted-meta", {PRICE}}}}}'


@contextlib.contextmanager
def served(fault: str, seed: int, folder: Path) -> Generator[str]:
    """Serve a world, its task written to a folder; yield its base URL."""
    command = [sys.executable, "-m", "flowbot.models.scripted", "--fault", fault, "--seed", str(seed)]
    with subprocess.Popen([*command, "--write", str(folder)], stdout=subprocess.PIPE, text=True) as world:
        try:
            assert world.stdout is not None
            yield world.stdout.readline().strip()
        finally:
            world.kill()


def priced(task: Path) -> None:
    """Give the models of a world a price, so that money can be the budget."""
    text = read_text(task, "task")
    if UNPRICED not in text:
        raise SystemExit(f"{task}: the models are not where they were")
    write_text(task, text.replace(UNPRICED, PRICED))


def main() -> int:
    """Run all methods on all worlds, then print where the report is made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the records")
    parser.add_argument("--faults", default=WORLDS, help=f"of {', '.join(FAULTS)} [%(default)s]")
    parser.add_argument("--methods", default=METHODS, help="[%(default)s]")
    parser.add_argument("--seeds", type=int, default=5, help="worlds of each fault [%(default)s]")
    parser.add_argument("--usd", type=float, default=0.30, help="US dollars of each search [%(default)s]")
    parser.add_argument("--test", type=int, default=100, help="sealed test items [%(default)s]")
    chosen = parser.parse_args()
    for fault in chosen.faults.split(","):
        for seed in range(chosen.seeds):
            folder = chosen.out / "worlds" / f"{fault}-{seed}"
            with served(fault, seed, folder) as url:
                priced(folder / "task.yaml")
                settings = Settings(
                    names=(str(folder / "task.yaml"),),
                    folder=chosen.out,
                    methods=chosen.methods,
                    seeds=(seed,),
                    base_url=url,
                    budget_usd=chosen.usd,
                    limit_test=chosen.test,
                )
                asyncio.run(bench(settings, lambda line: print(line, flush=True)))
    print(f"flowbot bench report {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
