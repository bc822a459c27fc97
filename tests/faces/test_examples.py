"""The examples: their tasks load, and gsm8k deals, limits and solves what it is given."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from flowbot import InputError
from flowbot.faces.loop import start_loop
from flowbot.search.induce import recipe_settings
from flowbot.store.files import load_task, load_workflow
from flowbot.store.rows import Row
from flowbot.store.splits import load_splits
from tests.fitting import fitting
from tests.servers import serving

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*/task.yaml")), ids=lambda path: path.parent.name)
def test_a_task_loads(path: Path) -> None:
    task, folder = load_task(path)
    recipe_settings(task.recipe.name, task.recipe.settings)
    if task.data is not None:
        assert set(load_splits(task, folder).splits) == {"train", "val", "test"}


def test_the_careful_workflow_is_of_the_routing_task() -> None:
    task, _ = load_task(EXAMPLES / "routing" / "task.yaml")
    assert load_workflow(EXAMPLES / "routing" / "careful.yaml").inputs == task.inputs


@pytest.fixture
def gsm8k() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gsm8k_run", EXAMPLES / "gsm8k" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small folder with problems whose answer is 7."""
    made = tmp_path / "problems"
    made.mkdir()
    for split, count in (("train", 14), ("val", 6)):
        problems = [
            {"id": f"{split}-{n}", "question": f"What is {n} more than {7 - n}?", "final_answer": "7"}
            for n in range(count)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in problems)
        (made / f"{split}.jsonl").write_text(lines, encoding="utf-8")
    return made


def solved(gsm8k: ModuleType, given: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """Solve at a scripted server; return the count of requests."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-0001")
    with serving(fitting("3 and 4 make 7.")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        start_loop(gsm8k.solve(gsm8k.arguments(["--model", "openai:gpt-4.1-mini", *given])))
        return len(server.requests)


def test_gsm8k_solves_a_folder(
    gsm8k: ModuleType,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "run"
    given = [str(folder), "--limit-train", "5", "--limit-val", "4", "--limit-test", "3", "--run", str(run)]
    assert solved(gsm8k, given, monkeypatch) > 0
    shown = capsys.readouterr().out
    assert "sealed test" in shown
    assert "100.0 %" in shown
    assert (run / "best.yaml").is_file()
    assert (run / "report.html").is_file()
    told = {line.split()[0]: line.split() for line in shown.splitlines() if line.strip()}
    assert told["validation"][-1] == "4"
    assert told["sealed"][-1] == "3"
    assert solved(gsm8k, given, monkeypatch) == 0  # all of it is in the journal


def test_gsm8k_keeps_val_sealed(
    gsm8k: ModuleType, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the search is given as train and val comes from train.jsonl alone."""
    seen: dict[str, Any] = {}

    async def ainduce(task: object, *, data: Mapping[str, list[Mapping[str, Any]]], **how: object) -> None:
        seen.update(data)
        raise InputError("far enough")

    monkeypatch.setattr(gsm8k, "ainduce", ainduce)
    with pytest.raises(InputError, match="far enough"):
        start_loop(gsm8k.solve(gsm8k.arguments([str(folder), "--seed", "3"])))
    ids = {split: [str(row["id"]) for row in rows] for split, rows in seen.items()}
    assert {split: len(each) for split, each in ids.items()} == {"train": 7, "val": 7, "test": 6}
    assert all(each.startswith("train-") for each in ids["train"] + ids["val"])
    assert all(each.startswith("val-") for each in ids["test"])
    assert not set(ids["train"]) & set(ids["val"])


def test_gsm8k_reads_the_data_set(gsm8k: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def read_rows(source: str, folder: Path, *, config: str, hf_split: str) -> list[Row]:
        asked.append((source, config, hf_split))
        row = {"question": "How many?", "answer": "12 * 100 = <<12*100=1200>>1200\n#### 1,200"}
        return [Row(row, f"{source}:{hf_split}:1")]

    monkeypatch.setattr(gsm8k, "read_rows", read_rows)
    seen, sealed = gsm8k.rows_of(None)
    assert asked == [("openai/gsm8k", "main", "train"), ("openai/gsm8k", "main", "test")]
    assert seen[0]["final_answer"] == sealed[0]["final_answer"] == "1200"


@pytest.mark.parametrize("option", ["--limit-train", "--limit-val", "--limit-test"])
def test_gsm8k_refuses_an_empty_split(gsm8k: ModuleType, option: str) -> None:
    with pytest.raises(SystemExit) as end:
        gsm8k.arguments([option, "0"])
    assert end.value.code == 2
