"""Reading data: every kind of source, and an error with its place for everything that can be wrong with one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from flowbot.errors import InputError
from flowbot.store.rows import read_rows
from flowbot.store.splits import Data, data_hash, load_splits, splits_of
from flowbot.task.data import Example
from flowbot.task.task import Task
from flowbot.workflow.fields import Json

arrow: Any = pyarrow  # partly typed libraries, seen as Any here
parquet: Any = pyarrow.parquet
hub: Any = datasets
ROWS = [{"id": "a", "message": "Hi", "team": "fern"}, {"id": "b", "message": "Ho", "team": "anvil"}]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def jsonl(rows: Iterable[Mapping[str, Json]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def numbered(count: int, start: int = 1) -> list[dict[str, Json]]:
    return [{"message": f"m{number}", "team": "fern"} for number in range(start, start + count)]


def refused(call: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def task(**changes: Any) -> Task:
    plain: dict[str, Any] = {
        "name": "routing",
        "description": "Send a message to its team.",
        "inputs": {"message": "text"},
        "output": {"team": "text"},
        "metric": "exact",
        "data": {"train": "train.jsonl", "val": "val.jsonl", "test": "test.jsonl"},
        "models": {"task": "local:small"},
    }
    return Task.model_validate(plain | changes)


def three_splits(folder: Path, train: Sequence[Mapping[str, Json]] | None = None) -> None:
    write(folder, "train.jsonl", jsonl(numbered(4) if train is None else train))
    write(folder, "val.jsonl", jsonl(numbered(3, 11)))
    write(folder, "test.jsonl", jsonl(numbered(2, 21)))


def loaded(folder: Path, row: Mapping[str, Json], **changes: Any) -> Example:
    three_splits(folder, [row])
    for name in ("val.jsonl", "test.jsonl"):
        write(folder, name, jsonl([{**row, "id": name}]))
    return load_splits(task(**changes), folder).splits["train"][0]


# Kinds of source


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.ndjson", "deep/down/ROWS.JSONL"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    write(tmp_path, name, jsonl(ROWS))
    found = read_rows(name, tmp_path)
    assert [row.data for row in found] == ROWS
    assert [row.where for row in found] == [f"{name}:1", f"{name}:2"]


def test_blank_lines_and_a_byte_order_mark_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", b'\xef\xbb\xbf{"x": "\xc3\xa9"}\r\n\r\n   \n{"x": 2}')
    found = read_rows("a.jsonl", tmp_path)
    assert [(row.data["x"], row.where) for row in found] == [("é", "a.jsonl:1"), (2, "a.jsonl:4")]


def test_csv_values_are_text_and_line_breaks_in_quotes_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", '\ufeffid,message\r\n1,"two\r\nlines, ""quoted"""\r\n\r\n2,\n3,007\n')
    found = read_rows("a.csv", tmp_path)
    assert [row.data for row in found] == [
        {"id": "1", "message": 'two\r\nlines, "quoted"'},
        {"id": "2", "message": ""},
        {"id": "3", "message": "007"},
    ]
    assert [row.where for row in found] == ["a.csv:2", "a.csv:5", "a.csv:6"]


def test_tsv_and_long_fields(tmp_path: Path) -> None:
    write(tmp_path, "a.tsv", "id\ttext\n1\t" + "x, y " * 100_000 + "\n")
    assert len(read_rows("a.tsv", tmp_path)[0].data["text"]) == 500_000


def test_parquet_values_become_plain(tmp_path: Path) -> None:
    columns = {
        "text": ["a", None],
        "number": [1.5, float("nan")],
        "day": [date(2026, 7, 1), None],
        "money": [Decimal("1.50"), Decimal("2.00")],
        "raw": [b"abc", b"\xff\x00"],
        "nested": [{"tags": ["x"]}, None],
    }
    parquet.write_table(arrow.table(columns), tmp_path / "a.parquet")
    first, second = read_rows("a.parquet", tmp_path)
    assert first.data == {
        "text": "a",
        "number": 1.5,
        "day": "2026-07-01",
        "money": 1.5,
        "raw": "abc",
        "nested": {"tags": ["x"]},
    }
    assert second.data == {"text": None, "number": None, "day": None, "money": 2, "raw": "/wA=", "nested": None}
    assert second.where == "a.parquet:2"


def test_a_folder_that_save_to_disk_wrote(tmp_path: Path) -> None:
    one = hub.Dataset.from_list(ROWS)
    one.save_to_disk(str(tmp_path / "one"))
    found = read_rows("one", tmp_path)
    assert [row.data for row in found] == ROWS
    assert found[1].where == "one:2"
    hub.DatasetDict({"train": one, "validation": one.select([1])}).save_to_disk(str(tmp_path / "many"))
    assert [row.where for row in read_rows("many", tmp_path, hf_split="train")] == ["many:train:1", "many:train:2"]
    assert [row.data for row in read_rows("many/", tmp_path, split="val")] == ROWS[1:]
    error = refused(lambda: read_rows("many", tmp_path, hf_split="validaton"))
    assert "no split 'validaton'; did you mean 'validation'? (splits: train, validation)" in error.what
    assert "several splits" in refused(lambda: read_rows("many", tmp_path)).what


def test_a_folder_of_data_files(tmp_path: Path) -> None:
    write(tmp_path, "set/train.jsonl", jsonl(ROWS))
    write(tmp_path, "set/validation.jsonl", jsonl(ROWS[:1]))
    assert [row.data for row in read_rows("set", tmp_path, split="train")] == ROWS
    assert [row.where for row in read_rows("set", tmp_path, split="val")] == ["set:validation:1"]
    write(tmp_path, "single/anything.csv", "message,team\nHi,fern\n")
    assert read_rows("single", tmp_path, split="val")[0].data == {"message": "Hi", "team": "fern"}


def test_a_limit_reads_the_first_rows_only(tmp_path: Path) -> None:
    write(tmp_path, "a.jsonl", jsonl(ROWS) + "broken")
    assert [row.data for row in read_rows("a.jsonl", tmp_path, limit=2)] == ROWS


# What can be wrong with a source


@pytest.mark.parametrize(
    ("name", "content", "where", "said"),
    [
        ("a.jsonl", "", "a.jsonl", "the file is empty"),
        ("a.jsonl", "\n \n", "a.jsonl", "there are no rows"),
        ("a.jsonl", '{"x": 1}\n\n{"x": 1,}\n', "a.jsonl:3", "not valid JSON at column 9"),
        ("a.jsonl", '{"x": 1} {"x": 2}\n', "a.jsonl:1", "not valid JSON at column 10: Extra data"),
        ("a.jsonl", '{\n"x": 1}\n', "a.jsonl:1", "write one JSON object a line"),
        ("a.jsonl", '[{"x": 1}]\n', "a.jsonl:1", "must be an object with columns, not a list"),
        ("a.jsonl", '"x"\n', "a.jsonl:1", "not a text"),
        ("a.jsonl", "7\n", "a.jsonl:1", "not a number"),
        ("a.jsonl", "null\n", "a.jsonl:1", "not null"),
        ("a.jsonl", "false\n", "a.jsonl:1", "not false"),
        ("a.jsonl", '{"x": 1, "x": 2}\n', "a.jsonl:1", "the key 'x' stands twice"),
        ("a.jsonl", '{"x": NaN}\n', "a.jsonl:1", "NaN is no JSON"),
        ("a.jsonl", '{"x": 1e999}\n', "a.jsonl:1", "1e999 is too large"),
        ("a.jsonl", '{"x": ' + "9" * 5000 + "}\n", "a.jsonl:1", "not valid JSON"),
        ("a.jsonl", '{"x": ' + "[" * 100_000 + "\n", "a.jsonl:1", "nested too deep"),
        ("a.jsonl", '{"x": "\\ud83d"}\n', "a.jsonl:1", "half a surrogate pair"),
        ("a.jsonl", b'{"x": 1}\n{"x": "\xe9"}\n', "a.jsonl:2", "not UTF-8: the byte 0xe9 at offset 16 of the file"),
        ("a.jsonl", b'\xef\xbb\xbf{"x": "\xe9"}\n', "a.jsonl:1", "the byte 0xe9 at offset 10 of the file"),
        ("a.jsonl", '{"x": 1}\n'.encode("utf-16"), "a.jsonl:1", "looks like UTF-16"),
        ("a.csv", "", "a.csv", "the file is empty"),
        ("a.csv", "\n\n", "a.csv", "the file is empty"),
        ("a.jsonl", '{"x": ' + "[" * 900 + "]" * 900 + "}", "a.jsonl:1", "nested more than 200 deep"),
        ("a.jsonl", '{"x": ' + '{"y":' * 1000 + "1" + "}" * 1001, "a.jsonl:1", "nested"),
        ("a.csv", "x,y\n", "a.csv", "there are no rows"),
        ("a.csv", "x,y\n1,2\n1,2,3\n", "a.csv:3", "the row has 3 fields and the header has 2 (x, y)"),
        ("a.csv", 'x,y\n"1\n2",3\n4\n', "a.csv:4", "the row has 1 fields and the header has 2"),
        ("a.csv", "1,2\n3,4\n", "a.csv:1", "there is no header: the first line is 1, 2"),
        ("a.csv", "x,y,x\n1,2,3\n", "a.csv:1", "the header names the column 'x' twice"),
        ("a.csv", 'x,y\n1,2\n3,"4\n5,6\n', "a.csv:3", "not valid CSV: unexpected end of data"),
        ("a.csv", 'x,y\n1,"2"3\n', "a.csv:2", "not valid CSV"),
        ("a.csv", b"x,y\n1,\xff\n", "a.csv:2", "the byte 0xff at offset 6 of the file"),
        ("a.parquet", "", "a.parquet", "the file is empty"),
        ("a.parquet", "no table", "a.parquet", "not a readable Parquet file"),
        ("a.json", "[]", "a.json", "a file that ends in '.json' is not read (kinds: .jsonl, "),
        ("set/notes.xyz", "x", "set", "cannot read the data set"),
    ],
)
def test_bad_sources(tmp_path: Path, name: str, content: str | bytes, where: str, said: str) -> None:
    write(tmp_path, name, content)
    error = refused(lambda: read_rows(name.partition("/")[0], tmp_path))
    assert error.where == where
    assert said in str(error)


def test_a_missing_file_names_its_near_miss(tmp_path: Path) -> None:
    write(tmp_path, "data/train.jsonl", jsonl(ROWS))
    error = refused(lambda: read_rows("data/trian.jsonl", tmp_path))
    assert (error.where, "did you mean 'train.jsonl'?" in error.what) == ("data/trian.jsonl", True)
    assert "looked for" in error.mend
    assert "there is no folder" in refused(lambda: read_rows("dta/train.jsonl", tmp_path)).what
    assert "did you mean 'train.jsonl'?" in refused(lambda: read_rows("data/train", tmp_path)).what


def test_a_parquet_file_with_a_column_twice(tmp_path: Path) -> None:
    table = arrow.Table.from_arrays([arrow.array([1]), arrow.array([2])], names=["x", "x"])
    parquet.write_table(table, tmp_path / "a.parquet")
    assert "the column 'x' twice" in refused(lambda: read_rows("a.parquet", tmp_path)).what


@pytest.mark.parametrize(
    ("source", "module", "extra"),
    [("a.parquet", "pyarrow", "parquet"), ("folder", "datasets", "datasets"), ("hf:squad", "datasets", "datasets")],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, module: str, extra: str
) -> None:
    write(tmp_path, "a.parquet", "x")
    (tmp_path / "folder").mkdir()
    monkeypatch.setitem(sys.modules, module, None)
    error = refused(lambda: read_rows(source, tmp_path))
    assert f"the extra '{extra}'" in error.what
    assert error.mend == f"pip install 'flowbot[{extra}]'"


@pytest.mark.parametrize("source", ["flowbot-nobody/nothing", "hf:flowbot-nobody/nothing:train[:3]"])
def test_a_data_set_that_cannot_be_reached_is_one_clear_error(tmp_path: Path, source: str) -> None:
    """In a process of its own: whether the hub may be asked is decided when the library is imported."""
    code = (
        "import sys, pathlib, flowbot.store.rows as rows\n"
        "from flowbot.errors import InputError\n"
        "try: rows.read_rows(sys.argv[1], pathlib.Path('.'))\n"
        "except InputError as error: print(error)"
    )
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code, source], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
    )
    first, mend = done.stdout.splitlines()
    assert first.startswith(f"{source.removeprefix('hf:')}: cannot read the data set: ")
    assert "the network" in mend


def test_an_id_of_a_data_set_is_asked_for_as_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def load_dataset(name: str, config: str | None, split: str | None) -> Any:
        asked.append((name, config, split))
        made = hub.Dataset.from_list(ROWS)
        return made if split else hub.DatasetDict({"train": made, "test": made.select([0])})

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert read_rows("openai/gsm8k", tmp_path, config="main", split="test")[0].where == "openai/gsm8k:test:1"
    assert read_rows("openai/gsm8k:train[:2]", tmp_path)[1].where == "openai/gsm8k:train[:2]:2"
    assert [row.data for row in read_rows("hf:squad", tmp_path, hf_split="train")] == ROWS
    assert asked == [("openai/gsm8k", "main", None), ("openai/gsm8k", None, "train[:2]"), ("squad", None, "train")]
    assert "no id of a data set" in refused(lambda: read_rows("hf:a/b/c", tmp_path)).what
    named = task(data={"train": "openai/gsm8k", "val": "openai/gsm8k:train[:1]", "test": "openai/gsm8k"}, id="team")
    assert "stands twice" in refused(lambda: load_splits(named, tmp_path)).what


# From rows to examples


def test_named_splits(tmp_path: Path) -> None:
    three_splits(tmp_path)
    data = load_splits(task(), tmp_path)
    assert {name: len(examples) for name, examples in data.splits.items()} == {"train": 4, "val": 3, "test": 2}
    assert data.notes == ()
    first = data.splits["train"][0]
    assert (first.id, first.inputs, first.target) == ("train-1", {"message": "m1"}, "fern")
    assert first.row == {"message": "m1", "team": "fern"}
    assert data.splits["val"][2].id == "val-3"


def test_limits_keep_the_first_rows(tmp_path: Path) -> None:
    three_splits(tmp_path)
    named = {"train": "train.jsonl", "val": "val.jsonl", "test": "test.jsonl", "limit": {"train": 2, "test": 1}}
    splits = load_splits(task(data=named), tmp_path).splits
    assert [[each.inputs["message"] for each in splits[name]] for name in ("train", "test")] == [["m1", "m2"], ["m21"]]


def test_columns_target_and_id_are_as_the_task_says(tmp_path: Path) -> None:
    row = {"key": 7, "body": "Hi", "label": "fern", "other": [1]}
    example = loaded(tmp_path, row | {"id": "x"}, columns={"message": "body"}, target="label")
    assert (example.id, example.inputs, example.target) == ("x", {"message": "Hi"}, "fern")
    assert example.row["other"] == [1]


def test_an_id_column_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "a.csv", "key,message,team\n" + "".join(f"k{index},m{index},fern\n" for index in range(10)))
    spec = {"source": "a.csv", "split": {"train": 0.4, "val": 0.4, "test": 0.2}}
    splits = load_splits(task(data=spec, id="key"), tmp_path).splits
    assert sorted(each.id for examples in splits.values() for each in examples) == [f"k{index}" for index in range(10)]
    error = refused(lambda: load_splits(task(data=spec, id="kye"), tmp_path))
    assert (error.where, "did you mean 'key'?" in error.what) == ("a.csv:2", True)


def test_shares_are_dealt_by_seed(tmp_path: Path) -> None:
    write(tmp_path, "rows.jsonl", jsonl(numbered(20)))
    spec = {"source": "rows.jsonl", "split": {"test": 0.2, "val": 0.4, "train": 0.4}}
    first = load_splits(task(data=spec), tmp_path)
    assert {name: len(examples) for name, examples in first.splits.items()} == {"train": 8, "val": 8, "test": 4}
    assert load_splits(task(data=spec), tmp_path) == first
    assert load_splits(task(data=spec, seed=1), tmp_path) != first
    assert first.notes == ()


def test_without_a_test_split_val_is_sealed_and_train_is_split(tmp_path: Path) -> None:
    three_splits(tmp_path)
    data = load_splits(task(data={"train": "train.jsonl", "val": "val.jsonl"}, seed=5), tmp_path)
    assert data.notes == (
        "no test split: val.jsonl is kept as the sealed test, train.jsonl was split into train and val by seed 5",
    )
    assert [each.id for each in data.splits["test"]] == ["val-1", "val-2", "val-3"]
    dealt = [each.id for name in ("train", "val") for each in data.splits[name]]
    assert sorted(dealt) == ["train-1", "train-2", "train-3", "train-4"]
    assert len(data.splits["train"]) == 2
    spec = {"source": "train.jsonl", "split": {"train": 0.5, "val": 0.5}}
    assert "the val share of train.jsonl is kept as" in load_splits(task(data=spec), tmp_path).notes[0]
    write(tmp_path, "train.jsonl", jsonl(numbered(1)))
    error = refused(lambda: load_splits(task(data={"train": "train.jsonl", "val": "val.jsonl"}), tmp_path))
    assert (error.where, "too few" in error.what) == ("train.jsonl", True)


def test_equal_inputs_in_two_splits_are_noted(tmp_path: Path) -> None:
    three_splits(tmp_path, numbered(4, 19))
    notes = load_splits(task(), tmp_path).notes
    assert notes == ("2 of 2 test examples have the same inputs as one of train or val",)


@pytest.mark.parametrize(
    ("output", "target", "held"),
    [
        ("text", "fern", "fern"),
        ("text", ["fern", "moss"], ["fern", "moss"]),
        ("text", 7, 7),
        ("number", "1,234", 1234),
        ("bool", "yes", True),
        ("choice[Fern, Moss]", " fern", "Fern"),
        ("json", '{"a": [1]}', {"a": [1]}),
        ("json", "no JSON", "no JSON"),
        ("json", {"a": 1}, {"a": 1}),
        ("list[text]", '["a"]', ["a"]),
        ("list[text]", ["a"], ["a"]),
    ],
)
def test_targets(tmp_path: Path, output: str, target: Json, held: Json) -> None:
    example = loaded(tmp_path, {"message": "m", "team": target}, output={"team": output})
    assert example.target == held
    assert type(example.target) is type(held)


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        ("text", 7, "7"),
        ("number", "7", 7),
        ("list[number]", "[1, 2]", [1, 2]),
        ("json", '{"a": 1}', {"a": 1}),
        ("json", "7", "7"),
    ],
)
def test_inputs_are_fitted(tmp_path: Path, kind: str, value: Json, held: Json) -> None:
    assert loaded(tmp_path, {"message": value, "team": "x"}, inputs={"message": kind}).inputs == {"message": held}


@pytest.mark.parametrize("metric", [{"name": "judge", "rubric": "good?"}, "checks:run"])
def test_a_metric_that_needs_no_target_takes_null(tmp_path: Path, metric: Json) -> None:
    assert loaded(tmp_path, {"message": "m", "team": None}, metric=metric).target is None


@pytest.mark.parametrize(
    ("row", "changes", "said"),
    [
        ({"mesage": "m", "team": "x"}, {}, "the column 'message' is missing; did you mean 'mesage'? (columns: mesage"),
        ({"message": "m"}, {"columns": {"message": "body"}}, "the column 'body' for the input 'message' is missing"),
        ({"message": "m", "teem": "x"}, {}, "the target column 'team' is missing; did you mean 'teem'?"),
        ({"message": None, "team": "x"}, {}, "the column 'message' does not fit text: expected text, got null"),
        ({"message": "m", "team": None}, {}, "the target column 'team' is null"),
        (
            {"message": "m", "team": "x"},
            {"output": {"team": "number"}},
            "'team' does not fit number: expected a number",
        ),
        (
            {"message": "m", "team": "none"},
            {"metric": "number"},
            "the target column 'team' holds no number for the metric 'number': 'none'",
        ),
        ({"message": "m", "team": "x"}, {"output": {"team": "choice[a, b]"}}, "expected one of a, b; got 'x'"),
        ({"message": "m", "team": "x", "id": None}, {}, "the column 'id' must hold an id"),
        ({"message": "m", "team": "x", "id": ""}, {}, "the column 'id' must hold an id"),
        ({"message": "m", "team": "x", "id": [1]}, {}, "the column 'id' must hold an id"),
    ],
)
def test_rows_that_do_not_fit(tmp_path: Path, row: Mapping[str, Json], changes: Mapping[str, Any], said: str) -> None:
    three_splits(tmp_path, [{"message": "ok", "team": "1", "id": "1"}, row])
    if changes:
        three_splits(tmp_path, [row])
    error = refused(lambda: load_splits(task(**changes), tmp_path))
    assert error.where == f"train.jsonl:{1 if changes else 2}"
    assert said in error.what


def test_ids_that_stand_twice_name_both_places(tmp_path: Path) -> None:
    three_splits(tmp_path, [{"id": "x", "message": "a", "team": "b"}, {"id": "x", "message": "a", "team": "b"}])
    error = refused(lambda: load_splits(task(), tmp_path))
    assert str(error) == "train.jsonl:2: the id 'x' stands twice (first at train.jsonl:1)"
    three_splits(tmp_path, [{"id": "val-2", "message": "a", "team": "b"}])
    error = refused(lambda: load_splits(task(), tmp_path))
    assert str(error) == "val.jsonl:2: the id 'val-2' stands twice (first at train.jsonl:1)"


def test_files_of_one_name_in_several_folders_have_ids_of_their_own(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        write(tmp_path, f"{name}/data.jsonl", jsonl(numbered(1, ord(name[0]))))
    named = {name: f"{name}/data.jsonl" for name in ("train", "val", "test")}
    splits = load_splits(task(data=named), tmp_path).splits
    assert [splits[name][0].id for name in splits] == ["train-data-1", "val-data-1", "test-data-1"]


def test_one_file_for_two_splits_is_refused(tmp_path: Path) -> None:
    three_splits(tmp_path)
    error = refused(lambda: load_splits(task(data={"train": "train.jsonl", "val": "train.jsonl"}), tmp_path))
    assert error.what == "train and val are the same rows"
    assert "source: train.jsonl" in error.mend


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    three_splits(tmp_path)
    write(tmp_path, "val.jsonl", "")
    assert refused(lambda: load_splits(task(), tmp_path)).where == "val.jsonl"
    spec = {"source": "train.jsonl", "split": {"train": 0.9, "val": 0.05, "test": 0.05}}
    error = refused(lambda: load_splits(task(data=spec), tmp_path))
    assert "the split 'val' gets none of 4 rows" in error.what
    spec = {"source": "train.jsonl", "split": {"train": 0.9}}
    assert "the split 'val' is missing" in refused(lambda: load_splits(task(data=spec), tmp_path)).what


def test_rows_of_a_program() -> None:
    data: Data = splits_of(task(), {"train": iter(numbered(3)), "val": numbered(2, 11), "test": numbered(1, 21)})
    assert [each.id for each in data.splits["train"]] == ["train-1", "train-2", "train-3"]
    assert (
        splits_of(task(), {"train": numbered(4), "val": numbered(2, 11)}).notes[0].startswith("no test split: val is")
    )
    error = refused(lambda: splits_of(task(), {"train": [{"mesage": "x"}], "val": []}))
    assert (error.where, "did you mean 'mesage'?" in error.what) == ("train:1", True)
    assert "did you mean 'val'?" in refused(lambda: splits_of(task(), {"vla": []})).what
    assert "the split 'val' is empty" in refused(lambda: splits_of(task(), {"train": numbered(2), "val": []})).what
    no_rows: Any = ["text"]
    assert "must be a map" in refused(lambda: splits_of(task(), {"train": no_rows})).what


def test_the_hash_of_data_follows_what_is_in_it(tmp_path: Path) -> None:
    three_splits(tmp_path)
    splits = load_splits(task(), tmp_path).splits
    assert data_hash(splits) == data_hash(dict(reversed(list(splits.items()))))
    hashes = {data_hash(splits)}
    first, *rest = splits["train"]
    for changed in (
        Example("other", first.inputs, first.target),
        Example(first.id, {"message": "other"}, first.target),
        Example(first.id, first.inputs, "other"),
    ):
        hashes.add(data_hash({**splits, "train": (changed, *rest)}))
    hashes.add(data_hash({**splits, "train": (*rest, first)}))
    hashes.add(data_hash({"val": splits["train"], "train": splits["val"], "test": splits["test"]}))
    assert len(hashes) == 6
    unseen = Example(first.id, first.inputs, first.target, {"more": 1})
    assert data_hash({**splits, "train": (unseen, *rest)}) == data_hash(splits)
