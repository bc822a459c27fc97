"""Rows of data with the place of each: JSONL, CSV, TSV, Parquet, and Hugging Face data sets."""

from __future__ import annotations

import base64
import contextlib
import csv
import datetime
import importlib
import itertools
import json
import math
import re
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.workflow.fields import Json, finite_number, is_list, is_map, refuse_constant

Rows = Generator["Row", None, None]

HUB_ID = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?)(?::(?P<split>.+))?")
ALIASES = {"val": ("validation", "valid", "dev"), "validation": ("val", "valid", "dev")}
WIDEST = 2**31 - 1  # bytes of one CSV field; Python's own bound of 128 KiB is less than a long document
DEEPEST = 200  # lists and maps within each other; what comes after walks through them
BATCH = 1000  # rows of a table that are turned into values at once


@dataclass(frozen=True)
class Row:
    """One row: its values by column, and where it stands, e.g. `train.jsonl:12` (a line, or a row of a table)."""

    data: dict[str, Json]
    where: str


def read_rows(
    source: str,
    folder: Path,
    *,
    config: str | None = None,
    hf_split: str | None = None,
    split: str = "",
    limit: int | None = None,
) -> list[Row]:
    """Return the rows of a source, in its order; what cannot be read whole is an error with its place.

    `source` is a path relative to `folder` (`.jsonl`, `.ndjson`, `.csv`, `.tsv`, `.parquet`, or a folder in the format
    of Hugging Face's `datasets`), or a data set's id like `openai/gsm8k`, `openai/gsm8k:train[:200]` or `hf:squad`.
    `config` and `hf_split` choose within a data set; where `hf_split` is not given, the split named like `split` is
    read (`val` also finds `validation`), or the only one. `limit` is a count of rows. Raises `InputError`.
    """
    rows = _open(source, folder, config, hf_split, split)
    with contextlib.closing(rows):
        found = list(itertools.islice(rows, limit))
    if not found:
        raise InputError("there are no rows", source)
    return found


def _open(source: str, folder: Path, config: str | None, hf_split: str | None, split: str) -> Rows:
    path = folder / source
    named = HUB_ID.fullmatch(source.removeprefix("hf:"))
    if source.startswith("hf:"):
        if not named:
            raise InputError("this is no id of a data set", source, "write hf:NAME or hf:OWNER/NAME")
        return _hub(named["id"], config, hf_split or named["split"], split)
    if path.is_dir():
        return _dataset_folder(path, source, config, hf_split, split)
    reader = READERS.get(path.suffix.lower())
    if reader and path.exists():
        return reader(path, source)
    if path.exists():
        kinds = ", ".join(READERS)
        raise InputError(f"a file that ends in '{path.suffix}' is not read (kinds: {kinds})", source, "convert it")
    if named and "/" in source and not reader and not path.parent.is_dir():
        return _hub(named["id"], config, hf_split or named["split"], split)
    raise _missing(source, path)


def _missing(source: str, path: Path) -> InputError:
    parent = path.parent
    what = f"there is no folder '{parent}'"
    if parent.is_dir():
        what = f"there is no such file in {parent}{nearest(path.name, sorted(each.name for each in parent.iterdir()))}"
    return InputError(what, source, f"looked for {path}")


def _lines(path: Path, name: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a text file with their numbers (from 1); a byte order mark is dropped."""
    offset = 0
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                line = raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw
                offset += len(raw) - len(line)
                yield number, _decoded(line, offset, f"{name}:{number}")
                offset += len(line)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", name) from None


def _decoded(line: bytes, offset: int, where: str) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        what = f"not UTF-8: the byte 0x{line[at]:02x} at offset {offset + at} of the file"
        mend = "the file looks like UTF-16: " if line.startswith((b"\xff\xfe", b"\xfe\xff")) else ""
        raise InputError(what, where, f"{mend}save it as UTF-8") from None


def _jsonl(path: Path, name: str) -> Rows:
    """Yield the objects of a JSON Lines file; blank lines are skipped."""
    number = 0
    for number, line in _lines(path, name):
        if line.strip():
            where = f"{name}:{number}"
            yield Row(_object(line, where), where)
    if not number:
        raise InputError("the file is empty", name)


def _object(line: str, where: str) -> dict[str, Json]:
    mend = "write one JSON object a line"
    try:
        value = json.loads(line, object_pairs_hook=_unique, parse_constant=refuse_constant, parse_float=finite_number)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON at column {error.colno}: {error.msg}", where, mend) from None
    except RecursionError:
        raise InputError("not valid JSON: nested too deep", where) from None
    except ValueError as error:
        raise InputError(f"not valid JSON: {error}", where) from None
    if _nests(value, DEEPEST):
        raise InputError(f"not valid: nested more than {DEEPEST} deep", where)
    if not is_map(value):
        raise InputError(f"a row must be an object with columns, not {_kind(value)}", where, mend)
    if "\\u" in line:
        refuse_half_pairs(value, where)
    return dict(value)


def _nests(value: Json, depth: int) -> bool:
    """Tell whether lists and maps nest deeper than `depth`."""
    level = [value]
    for _ in range(depth + 1):
        level = [
            item
            for each in level
            if isinstance(each, dict | list)
            for item in (each.values() if is_map(each) else each)
        ]
        if not level:
            return False
    return True


def _kind(value: Json) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return "a list" if is_list(value) else "a text" if isinstance(value, str) else "a number"


def refuse_half_pairs(value: Json, where: str) -> None:
    r"""Refuse half a surrogate pair (an escape like "\ud800"): it is no character and cannot be stored or sent."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise InputError("half a surrogate pair (\\ud800 to \\udfff) is no text", where, "remove the escape") from None
    except (TypeError, ValueError, RecursionError):
        return  # no plain data: what reads it says so


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key '{_first_twice(names)}' stands twice")
    return made


def _first_twice(names: Sequence[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)


def _csv(path: Path, name: str, delimiter: str) -> Rows:
    """Yield the rows of a CSV file under its header; every value is text, and blank lines are skipped."""
    before = csv.field_size_limit(WIDEST)
    try:
        records = _records(path, name, delimiter)
        first = next(records, None)
        if first is None:
            raise InputError("the file is empty", name)
        where, header = first
        _check_header(header, where)
        for where, values in records:
            if len(values) != len(header):
                what = f"the row has {len(values)} fields and the header has {len(header)} ({', '.join(header)})"
                raise InputError(what, where, f"put quotes around values that hold '{delimiter}' or a line break")
            yield Row(dict(zip(header, values, strict=True)), where)
    finally:
        csv.field_size_limit(before)


def _records(path: Path, name: str, delimiter: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the records of a CSV file with the place of the line on which each begins."""
    reader = csv.reader((line for _, line in _lines(path, name)), delimiter=delimiter, strict=True)
    while True:
        where = f"{name}:{reader.line_num + 1}"
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise InputError(f"not valid CSV: {error}", where, "look for a quote that is not closed") from None
        if values:
            yield where, values


def _check_header(header: Sequence[str], where: str) -> None:
    twice = _first_twice(header)
    if twice is not None:
        raise InputError(f"the header names the column '{twice}' twice", where, "rename one")
    if not any(re.search(r"[^\W\d]", column) for column in header):
        raise InputError(f"there is no header: the first line is {', '.join(header)}", where, "name the columns there")


def _parquet(path: Path, name: str) -> Rows:
    """Yield the rows of a Parquet file, in batches."""
    arrow, parquet = _extra("pyarrow", "parquet", name), _extra("pyarrow.parquet", "parquet", name)
    if not path.stat().st_size:
        raise InputError("the file is empty", name)
    try:
        with parquet.ParquetFile(path) as file:
            twice = _first_twice(file.schema_arrow.names)
            if twice is not None:
                raise InputError(f"the file has the column '{twice}' twice", name, "rename one")
            yield from _table_rows(file.iter_batches(BATCH), name)
    except (OSError, arrow.ArrowException) as error:
        raise InputError(f"not a readable Parquet file: {_first_line(error)}", name) from None


def _table_rows(batches: Iterable[Any], name: str) -> Rows:
    rows = (row for batch in batches for row in batch.to_pylist())
    for number, row in enumerate(rows, 1):
        yield Row({column: _plain(value) for column, value in row.items()}, f"{name}:{number}")


def _plain(value: object) -> Json:
    """Return a table's value as plain data: dates as ISO text, NaN as null, bytes as text (Base64 if they are none)."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if is_map(value):
        return {name: _plain(item) for name, item in value.items()}
    if is_list(value):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int) else str(value)


def _hub(name: str, config: str | None, hf_split: str | None, split: str) -> Rows:
    """Yield the rows of a data set on the Hugging Face hub (from its local cache, where it is there)."""
    datasets = _extra("datasets", "datasets", name)
    shown = f"{name}:{hf_split}" if hf_split else name
    with _told(shown, "check the id, its config and its split, and the network"):
        loaded = datasets.load_dataset(name, config, split=hf_split)
        if hf_split is None:
            loaded, shown = _picked(loaded, name, None, split)
        yield from _table_rows(loaded.with_format("arrow").iter(BATCH), shown)


def _dataset_folder(path: Path, name: str, config: str | None, hf_split: str | None, split: str) -> Rows:
    """Yield the rows of a folder: one that `save_to_disk` wrote, or one of data files. No copy of it is kept."""
    datasets = _extra("datasets", "datasets", name)
    name = name.rstrip("/") or name
    mend = "a folder holds what save_to_disk wrote, or data files (.jsonl, .csv, .parquet)"
    with _told(name, mend), tempfile.TemporaryDirectory() as scratch:
        if (path / "state.json").exists() or (path / "dataset_dict.json").exists():
            loaded = datasets.load_from_disk(str(path))
        else:
            loaded = datasets.load_dataset(str(path), config, streaming=True, cache_dir=scratch)
        loaded, shown = _picked(loaded, name, hf_split, split)
        yield from _table_rows(loaded.with_format("arrow").iter(BATCH), shown)


@contextlib.contextmanager
def _told(name: str, mend: str) -> Generator[None, None, None]:
    """Tell in one error what a library reports in many kinds."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"cannot read the data set: {_first_line(error)}", name, mend) from error


def _picked(loaded: Any, name: str, hf_split: str | None, split: str) -> tuple[Any, str]:
    """Return one split of what was loaded, and its name for people."""
    if not isinstance(loaded, dict):
        return loaded, name
    found: dict[str, Any] = dict(loaded)  # pyright: ignore[reportUnknownArgumentType]
    wanted = hf_split or split
    chosen = next((each for each in (wanted, *ALIASES.get(wanted, ())) if each in found), None)
    if chosen is None and not hf_split and len(found) == 1:
        chosen = next(iter(found))
    if chosen is None:
        what = f"has no split '{wanted}'{nearest(wanted, found)}" if wanted else "has several splits"
        raise InputError(f"the data set {what} (splits: {', '.join(found)})", name, "name one as hf_split")
    return found[chosen], f"{name}:{chosen}"


def _extra(module: str, extra: str, name: str) -> Any:
    """Import an optional library, whose types are partial: seen as Any here."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"reading this needs the extra '{extra}'", name, f"pip install 'flowbot[{extra}]'") from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__


READERS: dict[str, Callable[[Path, str], Rows]] = {
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".csv": partial(_csv, delimiter=","),
    ".tsv": partial(_csv, delimiter="\t"),
    ".parquet": _parquet,
}
