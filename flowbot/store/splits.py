"""From a task's rows to examples in splits: columns, types, ids, and a test split that stays sealed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.store.rows import READERS, Row, read_rows, refuse_half_pairs
from flowbot.task.answers import target_error
from flowbot.task.data import HIDDEN, SPLITS, Example, parsed, split_examples, unfolded
from flowbot.task.metrics import last_number
from flowbot.task.task import FolderSpec, NamedSplits, SourceSpec, Task
from flowbot.workflow.fields import FieldType, Json, Misfit, as_text, is_map
from flowbot.workflow.graph import content_hash

HALVES = {"train": 0.5, "val": 0.5}  # how train is dealt where val has to become the test


@dataclass(frozen=True)
class Data:
    """The examples of a task by split: `train`, `val`, `test` and where there is one `guard`, none of them empty.

    `notes` are what people should know about them.
    """

    splits: Mapping[str, tuple[Example, ...]]
    notes: tuple[str, ...] = ()


def load_splits(task: Task, folder: Path) -> Data:
    """Return the task's examples by split; `folder` is where the task file is.

    Ids are unique over all splits. Where there is no test split, val is kept as the sealed test and train is dealt
    into train and val by the task's seed; a note says so. Raises `InputError` with file, line and column.
    """
    if task.data is None:
        raise InputError("the task names no data", "data", "write data: {train: train.jsonl, val: val.jsonl}")
    if isinstance(task.data, SourceSpec):
        return _dealt(task, task.data, folder)
    spec = _in_folder(task.data, folder) if isinstance(task.data, FolderSpec) else task.data
    sources = {name: source for name in SPLITS if (source := getattr(spec, name))}
    limits: Mapping[str, int] = {str(name): count for name, count in spec.limit.items()}
    rows = {
        name: read_rows(source, folder, split=name, limit=limits.get(name), config=spec.config)
        for name, source in sources.items()
    }
    _refuse_same(rows)
    return _complete(task, _examples(task, rows), sources)


def splits_of(task: Task, data: Mapping[str, Iterable[Mapping[str, Json]]]) -> Data:
    """Return rows that a program gives by split as the task's examples; the same laws as for `load_splits`."""
    limits: Mapping[str, int] = {}
    if isinstance(task.data, NamedSplits | FolderSpec):
        limits = {str(name): count for name, count in task.data.limit.items()}
    rows: dict[str, list[Row]] = {}
    for name, given in data.items():
        if name not in SPLITS:
            raise InputError(f"unknown split '{name}'{nearest(name, SPLITS)} (splits: {', '.join(SPLITS)})", "data")
        rows[name] = [_row(row, f"{name}:{number}") for number, row in enumerate(given, 1)][: limits.get(name)]
    return _complete(task, _examples(task, rows), {name: name for name in rows})


def _in_folder(spec: FolderSpec, folder: Path) -> NamedSplits:
    """Return the files of a data folder as named splits; raise `InputError` where train or val is missing."""
    root = folder / spec.folder
    if not root.is_dir():
        what = "this is a file, not a folder" if root.exists() else "there is no such folder"
        raise InputError(what, spec.folder, "name a folder with train.jsonl and val.jsonl, or a file for each split")
    files = {name: f"{name}.jsonl" for name in SPLITS if (root / f"{name}.jsonl").exists()}
    missing = next((f"{name}.jsonl" for name in ("train", "val") if name not in files), None)
    if missing is not None:
        there = sorted(each.name for each in root.iterdir() if not each.name.startswith("."))
        what = f"the folder has no {missing}{nearest(missing, there)} (files: {', '.join(there[:20]) or 'none'})"
        raise InputError(what, spec.folder, "give train.jsonl and val.jsonl, or name a file for each split")
    named = {name: (Path(spec.folder) / file).as_posix() for name, file in files.items()}
    return NamedSplits.model_validate(named | {"limit": spec.limit})


def data_hash(splits: Mapping[str, Sequence[Example]]) -> str:
    """Return a hash of what the examples hold, by split and in order: ids, inputs and targets."""
    plain = {
        name: [[example.id, dict(example.inputs), example.target] for example in examples]
        for name, examples in splits.items()
    }
    return content_hash(plain)


def _refuse_same(rows: Mapping[str, Sequence[Row]]) -> None:
    """Refuse two splits from one file: what is learnt from would be what is tested on."""
    by_source: dict[str, str] = {}
    for name, found in rows.items():
        source = _source(found[0].where)
        if source in by_source:
            mend = f"let the seed deal it: data: {{source: {source}, split: {{train: 0.4, val: 0.4, test: 0.2}}}}"
            raise InputError(f"{by_source[source]} and {name} are the same rows", source, mend)
        by_source[source] = name


def _dealt(task: Task, spec: SourceSpec, folder: Path) -> Data:
    rows = read_rows(spec.source, folder, config=spec.config, hf_split=spec.hf_split)
    (examples,) = _examples(task, {"": rows}).values()
    shares = {
        name: share for name in SPLITS if (share := {str(key): each for key, each in spec.split.items()}.get(name))
    }
    try:
        splits = split_examples(examples, shares, task.seed)
    except ValueError as error:
        raise InputError(str(error), spec.source) from None
    return _complete(task, splits, {name: f"the {name} share of {spec.source}" for name in splits})


def _complete(task: Task, splits: Mapping[str, tuple[Example, ...]], sources: Mapping[str, str]) -> Data:
    """Return the splits with a test among them, and the notes."""
    held = {name: splits[name] for name in SPLITS if splits.get(name)}
    for name in ("train", "val"):
        if name not in held:
            raise InputError(f"the split '{name}' is {'empty' if name in splits else 'missing'}", "data")
    if "test" in held:
        return Data(held, tuple(_shared(held)))
    try:
        halves = split_examples(held["train"], HALVES, task.seed)
    except ValueError:
        what = "one row is too few: there is no test split, so train must be split into train and val"
        raise InputError(what, sources["train"], "give more rows, or a test split") from None
    made = {**held, **halves, "test": held["val"]}
    note = f"{sources['val']} is kept as the sealed test, {sources['train']} was split into train and val"
    return Data(made, (f"no test split: {note} by seed {task.seed}", *_shared(made)))


def _shared(splits: Mapping[str, Sequence[Example]]) -> Iterable[str]:
    """Tell where examples of val, test or guard have the inputs of an example in a split before them."""
    seen: set[str] = set()
    for name in SPLITS:
        keys = [content_hash(dict(example.inputs)) for example in splits.get(name, ())]
        count = sum(key in seen for key in keys)
        if count:
            before = " or ".join(SPLITS[: SPLITS.index(name)])
            yield f"{count} of {len(keys)} {name} examples have the same inputs as one of {before}"
        seen.update(keys)


def _examples(task: Task, rows: Mapping[str, Sequence[Row]]) -> dict[str, tuple[Example, ...]]:
    """Return rows as examples, with ids that are unique over all splits."""
    stems = [_stem(found[0].where) for found in rows.values() if found]
    clash = len(set(stems)) < len(stems)
    places: dict[str, str] = {}
    made: dict[str, tuple[Example, ...]] = {}
    for split, found in rows.items():
        examples: list[Example] = []
        for number, row in enumerate(found, 1):
            stem = f"{split}-{_stem(row.where)}" if clash else _stem(row.where)
            example = _example(task, row, f"{stem}-{number}")
            if example.id in places:
                raise InputError(f"the id '{example.id}' stands twice (first at {places[example.id]})", row.where)
            places[example.id] = row.where
            examples.append(example)
        made[split] = tuple(examples)
    return made


def _stem(where: str) -> str:
    """Return what the ids of a source's rows begin with: `train` for `data/train.jsonl:12`."""
    name = _source(where).rpartition("/")[2]
    suffix = next((each for each in READERS if name.lower().endswith(each)), "")
    return name.removesuffix(name[len(name) - len(suffix) :]).replace(":", "-")


def _source(where: str) -> str:
    return where.rpartition(":")[0]


def _row(row: Mapping[str, Json], where: str) -> Row:
    if not is_map(row):
        raise InputError(f"a row must be a map with columns, not {type(row).__name__}", where)
    refuse_half_pairs(row, where)
    return Row(dict(row), where)


def _example(task: Task, row: Row, number: str) -> Example:
    inputs = {name: _input(task, name, kind, row) for name, kind in task.inputs.items()}
    return Example(_id(task, row, number), inputs, _target(task, row), row.data)


def _id(task: Task, row: Row, number: str) -> str:
    if task.id not in row.data:
        if "id" in task.model_fields_set:
            _refuse_column(task.id, row, f"the column '{task.id}' for the ids", "id: COLUMN")
        return number
    value = row.data[task.id]
    if not isinstance(value, str | int | float) or value == "":
        raise InputError(f"the column '{task.id}' must hold an id, a text or a number; got {value!r}", row.where)
    return as_text(value)


def _input(task: Task, name: str, kind: FieldType, row: Row) -> Json:
    column = task.column(name)
    if column not in row.data:
        what = f"the column '{column}'" + (f" for the input '{name}'" if column != name else "")
        _refuse_column(column, row, what, f"columns: {{{name}: COLUMN}}")
    value = row.data[column]
    return _fitted(kind, unfolded(value) if kind.kind in ("list", "json") else value, column, row)


def _target(task: Task, row: Row) -> Json:
    columns, name = task.target_columns, task.metric.name if task.metric.function is None else ""
    if isinstance(columns, str):
        value = _target_value(task, columns, row)
        value = {HIDDEN: value} if name == "code_tests" and not is_map(value) else value
        what = f"the target column '{columns}'"
    else:
        value = {part: _cell(column, row, f"{{{part}: COLUMN}}") for part, column in columns.items()}
        what = "the target"
    if wrong := target_error(name, value):
        raise InputError(f"{what} {wrong}", row.where, "mend the row or the task's target, or name another metric")
    return value


def _target_value(task: Task, column: str, row: Row) -> Json:
    kind, value = task.output_type, _cell(column, row, "COLUMN")
    if kind.kind in ("number", "bool", "choice"):
        value = _fitted(kind, value, column, row)
    elif value is None and task.metric.name != "judge" and ":" not in task.metric.name:
        raise InputError(f"the target column '{column}' is null", row.where, "give the expected value, or drop the row")
    elif kind.kind == "json" and isinstance(value, str):
        value = parsed(value)
    elif kind.kind == "list":
        value = unfolded(value)
    if task.metric.name == "number" and task.metric.function is None and last_number(value) is None:
        what = f"the target column '{column}' holds no number for the metric 'number': {as_text(value)[:60]!r}"
        raise InputError(what, row.where, "give a number, or name another metric")
    return value


def _cell(column: str, row: Row, mend: str) -> Json:
    if column not in row.data:
        _refuse_column(column, row, f"the target column '{column}'", f"target: {mend}")
    return row.data[column]


def _fitted(kind: FieldType, value: Json, column: str, row: Row) -> Json:
    try:
        return kind.fit(value)
    except Misfit as misfit:
        raise InputError(f"the column '{column}' does not fit {kind}: {misfit}", row.where) from None


def _refuse_column(column: str, row: Row, what: str, mend: str) -> NoReturn:
    known = ", ".join(row.data)
    near = nearest(column, row.data)
    raise InputError(f"{what} is missing{near} (columns: {known})", row.where, f"or name it in the task: {mend}")
