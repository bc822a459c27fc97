"""Sources: the publishers' rows of a benchmark, fetched once, dealt into the published sizes, and kept in a folder."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from flowbot.bench.sources_rows import Form, Made, Plain
from flowbot.errors import InputError
from flowbot.store.rows import read_rows

Placed = Iterable[tuple[str, Plain]]
DEAL = "benchmark|0"  # the seed of all deals of published rows: the same test items for everyone


@dataclass(frozen=True)
class Pool:
    """Rows of one published split: `open` fetches them (into a folder, where they come as a file), `form` reads them.

    `sizes` are how many of them go to which split of the benchmark; the others are left out, and a row that stands
    twice counts once. With `shuffled` they are drawn by a fixed seed, else taken in the order of the source.
    """

    open: Callable[[Path], Placed]
    form: Form
    sizes: Mapping[str, int]
    shuffled: bool = True


def hub(name: str, split: str, config: str | None = None) -> Callable[[Path], Placed]:
    """Return what reads one split of a data set of the Hugging Face hub (or of its local cache)."""

    def read(folder: Path) -> Placed:
        return ((row.where, row.data) for row in read_rows(f"hf:{name}", folder, config=config, hf_split=split))

    return read


def hub_all(name: str, pairs: Iterable[tuple[str | None, str]]) -> Callable[[Path], Placed]:
    """Return what reads several parts (config, split) of a data set one after the other."""
    parts = [hub(name, split, config) for config, split in pairs]

    def read(folder: Path) -> Placed:
        return (row for part in parts for row in part(folder))

    return read


def fetched(name: str, pools: Iterable[Pool], more: Callable[[Path], object] | None, folder: Path) -> Made:
    """Return the benchmark's rows by split, from `folder / name` where they were kept before.

    What is fetched is kept whole or not at all, as JSON Lines with the task's columns. `more` fetches what the task's
    tools read. Raises `InputError` where the network, a package or a column is missing, or rows are too few.
    """
    kept = folder / name
    if not kept.is_dir():
        rows: dict[str, list[Made]] = {}
        for pool in pools:
            rows |= _dealt(pool, folder, name)
        _keep(kept, rows)
    if more is not None:
        more(folder)
    splits = [split for split in ("train", "val", "test") if (kept / f"{split}.jsonl").is_file()]
    return {split: [row.data for row in read_rows(f"{split}.jsonl", kept)] for split in splits}


def _dealt(pool: Pool, folder: Path, name: str) -> dict[str, list[Made]]:
    found = list({row["id"]: row for row in pool.form.rows(pool.open(folder))}.values())
    wanted = sum(pool.sizes.values())
    if len(found) < wanted:
        what = f"the source gives {len(found)} rows and {wanted} are to be dealt"
        raise InputError(what, name, "the source changed, or this is another one")
    if pool.shuffled:
        found.sort(key=lambda row: str(row["id"]))
        random.Random(DEAL).shuffle(found)
    dealt: dict[str, list[Made]] = {}
    for split, size in pool.sizes.items():
        dealt[split], found = found[:size], found[size:]
    return dealt


def _keep(kept: Path, rows: Mapping[str, list[Made]]) -> None:
    """Write the folder of a benchmark whole or not at all."""
    fresh = kept.with_name(f".{kept.name}.{secrets.token_hex(8)}")
    try:
        fresh.mkdir(parents=True)
        for split, some in rows.items():
            text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in some)
            (fresh / f"{split}.jsonl").write_text(text, encoding="utf-8")
        os.replace(fresh, kept)
    except OSError as error:
        if not kept.is_dir():  # else another process was first
            raise InputError(f"cannot keep the rows: {error.strerror}", str(kept)) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
