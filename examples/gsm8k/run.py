"""GSM8K: induce a workflow for word problems, on a folder with data or on the data set openai/gsm8k.

    python examples/gsm8k/run.py [FOLDER] [options]

FOLDER holds train.jsonl and val.jsonl, with the columns `question` and `final_answer`. Without it the data set is
fetched from the Hugging Face hub (extra `datasets`). What the search may see is dealt from train; val.jsonl, or the
data set's own test split, is the sealed test.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flowbot import EndpointError, InputError, Options, ainduce
from flowbot.faces.loop import start_loop
from flowbot.faces.progress import Progress
from flowbot.faces.tables import print_result
from flowbot.store.files import load_task
from flowbot.store.rows import read_rows
from flowbot.store.splits import splits_of

HERE = Path(__file__).parent
Rows = Sequence[Mapping[str, Any]]


def rows_of(folder: Path | None) -> tuple[Rows, Rows]:
    """Return the rows that the search may see and those of the sealed test; raise `InputError`."""
    if folder is not None:
        seen, sealed = (read_rows(name, folder) for name in ("train.jsonl", "val.jsonl"))
    else:
        seen, sealed = (read_rows("openai/gsm8k", HERE, config="main", hf_split=name) for name in ("train", "test"))
    return [with_answer(row.data) for row in seen], [with_answer(row.data) for row in sealed]


def with_answer(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a row with its `final_answer`: in the data set it stands behind #### in `answer`."""
    if "final_answer" in row or "####" not in str(row.get("answer", "")):
        return row
    return {**row, "final_answer": row["answer"].rpartition("####")[2].strip().replace(",", "")}


async def solve(asked: argparse.Namespace) -> None:
    """Deal the data, induce, and print the result."""
    began, options = time.monotonic(), Options(model=asked.model, seed=asked.seed)
    task = options.over(load_task(HERE / "task.yaml")[0])
    seen, sealed = rows_of(asked.folder)
    dealt = splits_of(task, {"train": seen, "val": sealed})  # no test among them: val is sealed, train is dealt
    limits = {"train": asked.limit_train, "val": asked.limit_val, "test": asked.limit_test}
    data = {name: [example.row for example in examples[: limits[name]]] for name, examples in dealt.splits.items()}
    with Progress(stream=sys.stderr) as progress:
        result = await ainduce(task, data=data, run=asked.run, heard=progress.heard)
    print_result(result)
    print(f"{time.monotonic() - began:.0f} seconds")


def positive(text: str) -> int:
    """Read a count of at least one (argparse names this function where it is not)."""
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Induce a workflow for GSM8K.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder with train.jsonl and val.jsonl [default: the hub]")
    parser.add_argument(
        "--limit-train", type=positive, default=20, metavar="N", help="rows to learn from [%(default)s]"
    )
    parser.add_argument("--limit-val", type=positive, default=40, metavar="N", help="rows to choose by [%(default)s]")
    parser.add_argument(
        "--limit-test", type=positive, default=60, metavar="N", help="rows of the sealed test [%(default)s]"
    )
    parser.add_argument("--model", metavar="PROVIDER:NAME", help="task and meta model, instead of the task's")
    parser.add_argument("--seed", type=int, help="seed of all draws, instead of the task's")
    parser.add_argument("--run", type=Path, default=HERE / "runs" / "gsm8k", help="folder of the run [%(default)s]")
    return parser.parse_args(given)


if __name__ == "__main__":
    try:
        start_loop(solve(arguments()))
    except (InputError, EndpointError) as error:
        sys.exit(f"gsm8k: {error}")
    except KeyboardInterrupt:
        sys.exit("gsm8k: stopped; the same command goes on where it was")
