"""Splits beside the usual three: the guard, a folder of files, and the models that a task names beside its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from flowbot.errors import InputError
from flowbot.store.splits import data_hash, load_splits, splits_of
from flowbot.task.task import Models, Task
from flowbot.workflow.fields import Json

FILES = {"train": "train.jsonl", "val": "val.jsonl", "test": "test.jsonl", "guard": "guard.jsonl"}


def task(data: Json, **changes: Any) -> Task:
    plain: dict[str, Any] = {
        "name": "routing",
        "description": "Send a message to its team.",
        "inputs": {"message": "text"},
        "output": {"team": "text"},
        "metric": "exact",
        "models": {"task": "local:small"},
    }
    return Task.model_validate(plain | {"data": data} | changes)


def rows(count: int, word: str) -> list[dict[str, Json]]:
    return [{"message": f"{word} {at}", "team": "fern"} for at in range(count)]


def write(folder: Path, **counts: int) -> None:
    folder.mkdir(exist_ok=True)
    for name, count in counts.items():
        text = "".join(json.dumps(row) + "\n" for row in rows(count, name))
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def refused(call: Callable[[], object]) -> InputError:
    with pytest.raises(InputError) as caught:
        call()
    return caught.value


def sizes(found: Any) -> dict[str, int]:
    return {name: len(examples) for name, examples in found.splits.items()}


# ------------------------------------------------------------------ guard


def test_a_guard_is_a_split_beside_the_three(tmp_path: Path) -> None:
    write(tmp_path, train=4, val=3, test=2, guard=5)
    found = load_splits(task(FILES | {"limit": {"guard": 2}}), tmp_path)
    assert sizes(found) == {"train": 4, "val": 3, "test": 2, "guard": 2}
    assert [each.inputs["message"] for each in found.splits["guard"]] == ["guard 0", "guard 1"]
    assert found.notes == ()
    without = load_splits(task({name: FILES[name] for name in ("train", "val", "test")}), tmp_path)
    assert data_hash(found.splits) != data_hash(without.splits)


def test_a_guard_is_never_part_of_the_others(tmp_path: Path) -> None:
    write(tmp_path, train=4, val=3, guard=5)
    found = load_splits(task({name: FILES[name] for name in ("train", "val", "guard")}), tmp_path)
    assert sizes(found) == {"train": 2, "val": 2, "guard": 5, "test": 3}
    for name in ("train", "val", "test"):
        assert not any("guard" in str(each.inputs["message"]) for each in found.splits[name])


def test_a_guard_may_be_a_share(tmp_path: Path) -> None:
    write(tmp_path, rows=20)
    spec: dict[str, Json] = {"source": "rows.jsonl", "split": {"train": 0.4, "val": 0.3, "test": 0.2}}
    three = load_splits(task(spec), tmp_path)
    spec["split"] = {"guard": 0.1, "train": 0.4, "val": 0.3, "test": 0.2}
    four = load_splits(task(spec), tmp_path)
    assert sizes(four) == {"train": 8, "val": 6, "test": 4, "guard": 2}
    assert {name: four.splits[name] for name in three.splits} == three.splits  # the deal of the others stays


def test_a_guard_of_a_program() -> None:
    data = {"train": rows(2, "a"), "val": rows(2, "b"), "test": rows(2, "c")}
    assert sizes(splits_of(task(FILES), data | {"guard": rows(1, "d")}))["guard"] == 1
    assert "guard" not in splits_of(task(FILES), data | {"guard": []}).splits


def test_a_guard_with_inputs_of_the_test_is_noted(tmp_path: Path) -> None:
    write(tmp_path, train=4, val=3, test=2)
    (tmp_path / "guard.jsonl").write_text((tmp_path / "test.jsonl").read_text())
    notes = load_splits(task(FILES), tmp_path).notes
    assert notes == ("2 of 2 guard examples have the same inputs as one of train or val or test",)
    error = refused(lambda: load_splits(task(FILES | {"guard": "test.jsonl"}), tmp_path))
    assert "test and guard are the same rows" in error.what


# ------------------------------------------------------------------ a folder


def test_a_folder_with_all_splits(tmp_path: Path) -> None:
    write(tmp_path / "data", train=4, val=3, test=2, guard=1)
    found = load_splits(task({"folder": "data", "limit": {"train": 3}}), tmp_path)
    assert sizes(found) == {"train": 3, "val": 3, "test": 2, "guard": 1}
    assert found.splits["val"][0].id == "val-1"
    assert found.notes == ()
    assert sizes(load_splits(task({"folder": str(tmp_path / "data")}), Path("elsewhere")))["train"] == 4


def test_a_folder_with_train_and_val_only_seals_val(tmp_path: Path) -> None:
    write(tmp_path / "data", train=6, val=3)
    found = load_splits(task({"folder": "data/"}, seed=3), tmp_path)
    assert sizes(found) == {"train": 3, "val": 3, "test": 3}
    assert {each.id for each in found.splits["test"]} == {"val-1", "val-2", "val-3"}
    assert found.notes == (
        "no test split: data/val.jsonl is kept as the sealed test, data/train.jsonl was split into train and val "
        "by seed 3",
    )
    again = load_splits(task({"folder": "data"}, seed=4), tmp_path)
    assert again.splits["test"] == found.splits["test"]
    assert again.splits["train"] != found.splits["train"]


def test_folders_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "data", train=6, vall=3)
    error = refused(lambda: load_splits(task({"folder": "data"}), tmp_path))
    said = "the folder has no val.jsonl; did you mean 'vall.jsonl'? (files: train.jsonl, vall.jsonl)"
    assert (error.where, error.what) == ("data", said)
    assert refused(lambda: load_splits(task({"folder": "none"}), tmp_path)).what == "there is no such folder"
    error = refused(lambda: load_splits(task({"folder": "data/train.jsonl"}), tmp_path))
    assert error.what == "this is a file, not a folder"
    with pytest.raises(ValidationError, match="train"):
        task({"folder": "data", "train": "train.jsonl"})
    with pytest.raises(ValidationError, match="limit"):
        task({"folder": "data", "limit": {"dev": 3}})


# ------------------------------------------------------------------ models beside


def test_models_beside_the_tasks_own() -> None:
    models = Models.model_validate({"task": "vllm:a", "also": ["vllm:b", {"name": "vllm:c", "max_tokens": 9}]})
    assert [spec.name for spec in models.specs] == ["vllm:a", "vllm:b", "vllm:c"]
    assert models.model_dump(mode="json", exclude_defaults=True) == {
        "task": "vllm:a",
        "also": ["vllm:b", {"name": "vllm:c", "max_tokens": 9}],
    }
    same = Models.model_validate({"task": "vllm:a", "meta": "vllm:b", "also": ["vllm:b"]})
    assert [spec.name for spec in same.specs] == ["vllm:a", "vllm:b"]
    with pytest.raises(ValidationError, match="names 'vllm:b' twice"):
        Models.model_validate({"task": "vllm:a", "also": ["vllm:b", "vllm:b"]})
    with pytest.raises(ValidationError, match="must be provider:model"):
        Models.model_validate({"task": "vllm:a", "also": ["b"]})


def test_tasks_without_them_are_written_as_before() -> None:
    assert "also" not in Models.model_validate({"task": "vllm:a"}).model_dump(mode="json")


def test_rows_of_a_program_hold_no_half_of_a_character() -> None:
    half = [{"message": "fern", "team": "\ud83d\ude00"}]
    error = refused(lambda: splits_of(task(FILES), {"train": rows(2, "a"), "val": half}))
    assert (error.where, "half a surrogate pair" in error.what) == ("val:1", True)
