"""A folder of benchmark data: one folder a benchmark with train.jsonl and val.jsonl, and the corpus of the search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from flowbot.bench.sources_rows import Form
from flowbot.errors import InputError
from flowbot.store.rows import read_rows
from flowbot.workflow.fields import Json

Rows = Mapping[str, Iterable[Mapping[str, Json]]]

CORPUS = "corpus/wiki_paragraphs.jsonl"  # in the data folder; the tasks' tools name it so


def read_local(name: str, form: Form, corpus: bool, elsewhere: str, folder: Path) -> Rows:
    """Return train and val of the benchmark in `folder / name`, rows with the task's columns.

    The publisher's test split is not there: val is kept as the sealed test, and train is dealt by the seed (see
    `splits_of`). `elsewhere` says where the data is to be had. Raises `InputError` for a missing file or column.
    """
    found = {split: folder / name / f"{split}.jsonl" for split in ("train", "val")}
    lacking = next((path for path in found.values() if not path.is_file()), None)
    if lacking is not None:
        mend = f"{elsewhere}; or leave --data out to fetch the publisher's rows"
        raise InputError(f"there is no data of this benchmark: no {name}/{lacking.name}", str(folder), mend)
    if corpus and not (folder / CORPUS).is_file():
        mend = "give one JSON object a line with title and sentences, or leave --data out to fetch the publisher's"
        raise InputError(f"there is no corpus for the search tool: no {CORPUS}", str(folder), mend)
    return {split: list(form.rows(_placed(f"{name}/{split}.jsonl", folder))) for split in found}


def _placed(source: str, folder: Path) -> Iterable[tuple[str, Mapping[str, Json]]]:
    return ((row.where, row.data) for row in read_rows(source, folder))
