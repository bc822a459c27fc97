"""The ten benchmarks from end to end, tiny, on a model that answers by script."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flowbot.bench.catalogue import BENCHMARKS
from flowbot.bench.grid import Cell
from flowbot.bench.job import Job, Outcome
from flowbot.bench.methods import installed
from flowbot.bench.records import Record
from flowbot.bench.worker import work
from flowbot.faces.cli import code_of
from tests.fitting import fitting
from tests.servers import serving
from tests.shared_data import HOME

pytestmark = pytest.mark.slow

FACTS = [["Prelude", 0], ["Opera", 1]]
CONTEXT = [["Prelude", ["It is short."]], ["Opera", ["It is long."]]]
ROWS: Mapping[str, Mapping[str, Any]] = {  # a row of each folder; the number goes into its id
    "hotpotqa_retrieval": {"question": "Which is long?", "answer": "Opera", "supporting_facts": FACTS},
    "hotpotqa_context": {"question": "Which?", "answer": "Opera", "supporting_facts": FACTS, "context": CONTEXT},
    "hover": {"claim": "An opera is long.", "supporting_facts": FACTS},
    "ifbench": {"prompt": "Say hello.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]},
    "pupa": {"user_query": "Write to Ann Lee.", "target_response": "Dear Ann", "pii_units": "Ann Lee"},
    "drop": {"passage": "The Lions scored.", "question": "Who scored?", "answers": ["the Lions"]},
    "gsm8k": {"question": "What is 6 x 7?", "answer": "6 x 7 = 42\n#### 42"},
    "math": {"problem": "Find x.", "level": "Level 5", "type": "Prealgebra", "solution": r"$\boxed{42}$"},
    "humaneval": {
        "prompt": 'def twice(x):\n    """\n    >>> twice(2)\n    4\n    """\n',
        "canonical_solution": "    return 2 * x\n",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n",
        "entry_point": "twice",
    },
    "mbpp": {
        "prompt": "Double a number.",
        "code": "def twice(x):\n  return 2 * x",
        "test_imports": [],
        "test_list": ["assert twice(3) == 6"],
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with eight rows of each benchmark, in the layout of `--data`."""
    root = tmp_path_factory.mktemp("data")
    for name, row in ROWS.items():
        (root / name).mkdir()
        for split in ("train", "val"):
            rows = [_row(name, row, f"{split}-{number}") for number in range(8)]
            (root / name / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), "utf-8")
    (root / "corpus").mkdir()
    pages = [{"id": title, "title": title, "sentences": text} for title, text in CONTEXT]
    text = "".join(json.dumps(page) + "\n" for page in pages)
    (root / "corpus" / "wiki_paragraphs.jsonl").write_text(text, "utf-8")
    return root


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let jobs run here: that each has a process of its own, other tests see, and to begin one takes a second."""

    async def child(cell: Cell, job: Job, label: str) -> Outcome:
        return await work(Job.model_validate_json(job.model_dump_json()))

    monkeypatch.setattr(Cell, "_child", child)


def _row(name: str, row: Mapping[str, Any], number: str) -> dict[str, Any]:
    return {**row, "id": number, "uid": number, "task_id": number, "key": number}


def run(names: list[str], data: Path, out: Path, methods: str, *more: str) -> dict[tuple[str, str], Record]:
    """Run benchmarks at tiny sizes and return the records."""
    sizes = ["--limit-train", "3", "--limit-val", "3", "--limit-test", "2", "--seeds", "1", "--budget-calls", "60"]
    with serving(fitting("42")) as server:
        where = ["--data", str(data), "--out", str(out), "--base-url", server.url]
        models = ["--model", "vllm:small", "--meta-model", "vllm:large"]
        assert code_of(["bench", "run", *names, "--methods", methods, *where, *models, *sizes, *more]) == 0
    found = [Record.model_validate_json(file.read_text("utf-8")) for file in (out / "records").iterdir()]
    return {(each.benchmark, each.method): each for each in found}


def test_all_ten_run_from_end_to_end(folder: Path, tmp_path: Path) -> None:
    names = [name for name in BENCHMARKS if name != "pupa"]
    found = run(names, folder, tmp_path, "start,paper,race")
    found |= run(["pupa"], folder, tmp_path / "pupa", "start,paper,race", "--answer", "openai:gpt-4.1=vllm:strong")
    assert set(found) == {(name, method) for name in BENCHMARKS for method in ("start", "paper", "race")}
    for each in found.values():
        assert not each.missing, (each.benchmark, each.method, each.missing)
        assert len(each.scores) == each.sizes["test"] == 2
        assert not each.failed or each.benchmark in ("humaneval",), (each.benchmark, each.method)
    for name in ("gsm8k", "math"):  # what the model says is right there
        assert found[name, "start"].mean == 1.0
    for name in ("humaneval", "mbpp", "hover", "drop", "hotpotqa", "hotpotqa-search"):
        assert found[name, "start"].mean == 0.0


@pytest.mark.skipif(not installed("gepa"), reason="gepa is not installed")
def test_gepa_evolves_the_prompts_of_pupa_and_leaves_the_untrusted_model_alone(folder: Path, tmp_path: Path) -> None:
    found = run(["pupa"], folder, tmp_path, "gepa", "--answer", "openai:gpt-4.1=vllm:strong")["pupa", "gepa"]
    assert not found.missing
    assert len(found.scores) == 2
    log = (tmp_path / "runs" / "pupa.gepa.s0" / "peer.log").read_text("utf-8")
    assert set(re.findall(r"Proposed new text for (\w+)", log)) == {"request", "respond"}


@pytest.mark.skipif(not (HOME / "gsm8k" / "train.jsonl").is_file(), reason="the folder of benchmark rows is not there")
def test_nine_run_on_the_folder_of_benchmark_rows(tmp_path: Path) -> None:
    names = [name for name in BENCHMARKS if name != "pupa"]
    found = run(names, HOME, tmp_path, "start")
    assert set(found) == {(name, "start") for name in names}
    assert not [each.missing for each in found.values() if each.missing]
    assert all(len(each.scores) == 2 and each.sizes["train"] == 3 for each in found.values())
