"""What is benchmarked: names, deals by seed, models by role, budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowbot.bench.entries import answered_by, entry, unique
from flowbot.bench.settings import Settings
from flowbot.errors import InputError
from flowbot.money import Budget

TASK = """
flowbot: 1
name: {name}
description: Name the capital of the country.
inputs: {{country: text}}
output: {{capital: text}}
metric: exact
data: {data}
models: {{task: "vllm:small"{models}}}
{more}
"""
SHARES = "{source: rows.jsonl, split: {train: 0.4, val: 0.4, test: 0.2}}"
NAMED = "{train: rows.jsonl, val: rows2.jsonl, test: rows3.jsonl}"


def written(folder: Path, name: str = "capitals", data: str = SHARES, models: str = "", more: str = "") -> str:
    for number, file in enumerate(("rows.jsonl", "rows2.jsonl", "rows3.jsonl")):
        rows = [{"id": f"{number}-{n}", "country": f"land {number} {n}", "capital": "Rome"} for n in range(20)]
        (folder / file).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    file = folder / f"{len(list(folder.iterdir()))}.yaml"
    file.write_text(TASK.format(name=json.dumps(name), data=data, models=models, more=more), "utf-8")
    return str(file)


def settings(*names: str, **more: Any) -> Settings:
    return Settings(names=names, folder=Path("out"), methods=more.pop("methods", "start"), **more)


def test_the_test_is_the_same_for_all_seeds_also_where_one_source_is_dealt(tmp_path: Path) -> None:
    found = entry(written(tmp_path), None, {})
    deals = [found.deal(seed).splits for seed in range(3)]
    assert len({tuple(each.id for each in deal["test"]) for deal in deals}) == 1
    assert len({tuple(each.id for each in deal["train"]) for deal in deals}) == 3
    for deal in deals:
        ids = [each.id for split in deal.values() for each in split]
        assert len(ids) == len(set(ids)) == 20
        assert {name: len(examples) for name, examples in deal.items()} == {"train": 8, "val": 8, "test": 4}


def test_a_task_of_ones_own_has_its_own_rows_whatever_it_is_called(tmp_path: Path) -> None:
    found = entry(written(tmp_path, "gsm8k"), None, {})
    assert found.rows is None
    assert found.deal(0).splits["test"][0].id.startswith("0-")


def test_labels_are_what_files_and_addresses_take(tmp_path: Path) -> None:
    assert entry(written(tmp_path, "größe x"), None, {}).label == "gr--e-x"
    same = [entry(written(tmp_path, name), None, {}) for name in ("a b", "a-b")]
    with pytest.raises(InputError, match="two benchmarks are called 'a b', or nearly so"):
        unique(same)


@pytest.mark.parametrize(("answer", "asked"), [((), "openai:judge"), (("openai:judge=vllm:other",), "vllm:other")])
def test_the_judge_is_the_one_that_the_task_names(tmp_path: Path, answer: tuple[str, ...], asked: str) -> None:
    file = written(tmp_path, models=', meta: "vllm:large", judge: "openai:judge"')
    chosen = settings(file, answer=answer)
    (found,) = chosen.entries()
    models = chosen.models(found)
    assert models["judge"].name == asked
    task, _ = answered_by(found.task, found.start(), models)
    assert task.models.of("judge").name == asked


def test_the_tasks_own_budget_holds_where_no_option_gives_one(tmp_path: Path) -> None:
    file = written(tmp_path, more="budget: {calls: 5}")
    (found,) = settings(file).entries()
    assert settings(file).budget_of(found) == Budget(calls=5)
    assert settings(file, budget_calls=9).budget_of(found) == Budget(calls=9)


def test_the_protocol_bounds_by_what_paper_spends() -> None:
    with pytest.raises(InputError, match="'paper' spends, and it is not among the methods"):
        _ = settings("gsm8k", methods="race,gepa", protocol="paper").like
    assert settings("gsm8k", methods="race,paper", protocol="paper").like == "paper"
    assert settings("gsm8k", methods="start", protocol="paper").like == "paper"
    assert settings("gsm8k", methods="race", protocol="paper", budget_calls=9).like == ""
