"""The catalogue: each task loads, and on its rows the gold answer scores 1 and a wrong one 0."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flowbot.bench.catalogue import BENCHMARKS, benchmark, tasks_folder
from flowbot.bench.local import CORPUS
from flowbot.engine.ports import Metric, Program, Ran
from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.faces.start import start_of
from flowbot.store.files import load_task
from flowbot.store.splits import splits_of
from flowbot.task.data import Example
from flowbot.tools.metric import open_metric
from flowbot.workflow.fields import Json
from tests.sessions import Scripted
from tests.shared_data import HOME, rows_of

FOLDERS = {name: name for name in BENCHMARKS} | {
    "hotpotqa": "hotpotqa_context",
    "hotpotqa-search": "hotpotqa_retrieval",
}
THERE = [name for name in BENCHMARKS if name != "pupa"]  # its rows hold personal data
SHOWN = 3


class Running(Scripted):
    """Runs programs here: for the rows' own solutions only, never for what a model wrote."""

    async def run_program(self, program: Program, draw: str) -> Ran:
        """Run a solution and its tests."""
        names: dict[str, Any] = {"__name__": "program"}
        try:
            exec(compile(program.code, "<program>", "exec"), names)
            exec(compile(program.tests, "<tests>", "exec"), names)
            if "check" in names:
                names["check"](names[program.entry_point])
        except Exception as error:
            return Ran(error=f"{type(error).__name__}: {error}")
        return Ran()


def score(metric: Metric, example: Example, output: Json) -> float:
    start: Any = None
    session = Running(lambda request: "")
    return asyncio.run(metric.score(example, output, Trace(start, example, (), output), session)).value


@pytest.mark.parametrize("name", list(BENCHMARKS))
def test_each_document_is_a_task_that_loads_once_it_has_data_and_models(name: str, tmp_path: Path) -> None:
    text = (tasks_folder() / f"{name}.yaml").read_text("utf-8")
    more = "data: {train: train.jsonl, val: val.jsonl}\nmodels: {task: 'openai:gpt-4.1-mini'}\n"
    (tmp_path / "task.yaml").write_text(text + more, "utf-8")
    task, _ = load_task(tmp_path / "task.yaml")
    known = BENCHMARKS[name].task
    assert task.name == known.name == name
    assert (task.metric, dict(task.inputs)) == (known.metric, dict(known.inputs))
    start = start_of(known, tasks_folder(), None, None)
    assert start.model == known.models.task.name == BENCHMARKS[name].model
    assert start.output_type == known.output_type


def test_every_file_of_the_folder_belongs_to_a_benchmark() -> None:
    assert {each.stem for each in tasks_folder().glob("*.yaml")} == {*BENCHMARKS, "pupa-start"}
    assert len(BENCHMARKS) == 10
    assert all(each.title and each.source and each.licence and each.notes for each in BENCHMARKS.values())


def test_an_unknown_name() -> None:
    with pytest.raises(InputError, match="unknown benchmark 'gsm8'; did you mean 'gsm8k'"):
        benchmark("gsm8")


def right(name: str, example: Example) -> Json:
    """Return the gold answer as a model would give it."""
    target: Any = example.target
    row = example.row
    match name:
        case "gsm8k":
            return f"So the answer is {target}."
        case "math":
            return f"So it is $\\boxed{{{target}}}$."
        case "humaneval" | "mbpp":
            return f"```python\n{row['solution']}\n```"
        case "drop":
            return target[0]
        case "hover":
            return [f"{title} | text" for title in target]
        case "ifbench":
            return KEPT[target["instruction_id_list"][0]](target["kwargs"][0])
        case _:
            return target


KEPT: Mapping[str, Callable[[Any], str]] = {  # responses that keep to one constraint
    "punctuation:no_comma": lambda said: "No such mark here.",
    "detectable_format:title": lambda said: "<<A title>>\nText.",
    "startend:quotation": lambda said: '"All of it."',
    "startend:end_checker": lambda said: f"It ends. {said['end_phrase']}",
    "change_case:english_lowercase": lambda said: "the weather is nice and we will walk to the park with our friends",
}
WRONG: Mapping[str, Json] = {
    "gsm8k": "So the answer is 123456789.",
    "math": r"So it is $\boxed{\text{no such thing}}$.",
    "humaneval": "def f(*given):\n    return None\n",
    "mbpp": "def f(*given):\n    return None\n",
    "hover": ["Zebra | text"],
    "ifbench": "",
}


def examples_of(name: str) -> list[Example]:
    rows_of(FOLDERS[name])  # skips where they are not there
    found = BENCHMARKS[name]
    data = splits_of(found.task, found.local(HOME))
    assert data.notes[0].startswith("no test split: val is kept as the sealed test, train was split into train and val")
    return [each for some in data.splits.values() for each in some]


@pytest.fixture
def metric(name: str) -> Iterator[Metric]:
    if name in ("math", "ifbench"):
        pytest.importorskip({"math": "math_verify", "ifbench": "if_verifiable"}[name])
    made = open_metric(BENCHMARKS[name].task.metric, HOME, "vllm:judge")
    yield made
    aside: Any = getattr(made, "aside", None)
    if aside is not None:
        aside.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::SyntaxWarning")
@pytest.mark.parametrize("name", THERE)
def test_gold_scores_one_and_wrong_scores_zero(name: str, metric: Metric, capsys: pytest.CaptureFixture[str]) -> None:
    examples = examples_of(name)
    if name == "ifbench":  # only where a response is easily written
        ids: dict[str, list[str]] = {each.id: list(each.row["instruction_id_list"]) for each in examples}
        examples = [each for each in examples if len(ids[each.id]) == 1 and ids[each.id][0] in KEPT]
    assert len(examples) >= 20
    with capsys.disabled():
        for each in examples[:SHOWN]:
            shown = {key: str(value)[:60] for key, value in each.inputs.items()}
            print(f"\n{name} {each.id}: {shown} -> {str(each.shown)[:60]!r}", end="")
    for each in examples[:60]:
        assert score(metric, each, right(name, each)) == 1.0, each.id
        assert score(metric, each, WRONG.get(name, "Zebra crossing")) == 0.0, each.id


def test_public_tests_hold_for_the_solution() -> None:
    for each in examples_of("humaneval"):
        names: dict[str, Any] = {}
        exec(str(each.row["solution"]), names)
        names["candidate"] = names[str(each.inputs["entry_point"])]
        exec(str(each.inputs["public_tests"]), names)
        assert str(each.row["test"]) not in json.dumps(each.inputs)


def test_pupa_says_where_its_rows_are_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no pupa/train.jsonl\n.*Columbia-NLP/PUPA.*or leave --data out"):
        BENCHMARKS["pupa"].local(tmp_path)


def lay(folder: Path, **rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for split, some in rows.items():
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in some), "utf-8")
    return folder


ROW = {"question": "1 + 1?", "answer": "#### 2"}


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    lay(tmp_path / "gsm8k", train=[ROW | {"id": "a"}, ROW | {"id": "b"}], val=[ROW | {"id": "c"}])
    found = BENCHMARKS["gsm8k"].local(tmp_path)
    assert {split: [row["id"] for row in some] for split, some in found.items()} == {"train": ["a", "b"], "val": ["c"]}


def test_a_file_or_a_column_that_is_missing(tmp_path: Path) -> None:
    lay(tmp_path / "gsm8k", train=[ROW])
    with pytest.raises(InputError, match="there is no data of this benchmark: no gsm8k/val"):
        BENCHMARKS["gsm8k"].local(tmp_path)
    lay(tmp_path / "gsm8k", val=[{"question": "q", "answers": "1"}])
    with pytest.raises(InputError, match=r"gsm8k/val.jsonl:1: the column 'answer' is missing.*did you mean 'answers'"):
        BENCHMARKS["gsm8k"].local(tmp_path)


def test_a_corpus_that_is_missing(tmp_path: Path) -> None:
    row = {"uid": "u", "claim": "c", "supporting_facts": [["A", 0]]}
    lay(tmp_path / "hover", train=[row | {"uid": "1"}, row | {"uid": "2"}], val=[row])
    with pytest.raises(InputError, match=f"there is no corpus for the search tool: no {CORPUS}"):
        BENCHMARKS["hover"].local(tmp_path)
    (tmp_path / "corpus").mkdir()
    (tmp_path / CORPUS).write_text('{"title": "A", "sentences": ["b"]}\n')
    assert [len(list(some)) for some in BENCHMARKS["hover"].local(tmp_path).values()] == [2, 1]
