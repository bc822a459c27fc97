"""The catalogue: the benchmarks by name, each a task document with its published sizes and its sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path

from flowbot.bench import sources_rows as rows
from flowbot.bench.local import read_local
from flowbot.bench.sources import Pool, fetched, hub, hub_all
from flowbot.bench.sources_rows import Form
from flowbot.bench.sources_web import claims, corpus, language_data
from flowbot.document import read_document, read_record
from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.task.task import Task
from flowbot.workflow.fields import Json, is_map

Row = Mapping[str, Json]
Rows = Mapping[str, Iterable[Row]]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark. `task` is its document (in `tasks/NAME.yaml`), with the paper's model and without data and recipe.

    `sizes` are examples by split as published; `model` is the paper's. `fetch` returns the publisher's rows by split
    (downloaded once into a cache folder), `local` reads a folder in the layout of one folder a benchmark, each with
    train.jsonl and val.jsonl; both give rows that have the task's columns. The paths of the task's tools (a corpus) are
    relative to the folder that the one or the other was given. `source` and `licence` are words for people.
    """

    name: str
    title: str
    task: Task
    sizes: Mapping[str, int]
    model: str
    source: str
    licence: str
    fetch: Callable[[Path], Rows]
    local: Callable[[Path], Rows]
    notes: str = ""


ARTIFACT = "sizes of GEPA's artifact"
AFLOW = "sizes of AFlow: its validation set is dealt by the seed into train and val, its test set is the sealed test"
MINI_41, MINI_4O = "openai:gpt-4.1-mini", "openai:gpt-4o-mini"
UNTRUSTED = "openai:gpt-4.1"  # PUPA: the stronger model that is not trusted
THREE_HUNDRED = {"train": 150, "val": 300, "test": 300}

HOTPOTQA = "HotpotQA (Yang et al. 2018), hotpotqa/hotpot_qa, distractor"
_HOTPOTQA = ("question", "answer", "supporting_facts")
_CONSTRAINTS = ("prompt", "instruction_id_list", "kwargs")
_MATH = ("prealgebra", "precalculus", "number_theory", "counting_and_probability")
_FORMS = {
    "hotpotqa-search": Form(("id", *_HOTPOTQA), rows.hotpotqa_search),
    "hotpotqa": Form(("id", *_HOTPOTQA, "context"), rows.hotpotqa),
    "ifbench": Form(_CONSTRAINTS, rows.constraints),
    "hover": Form(("uid", "claim", "supporting_facts"), rows.hover),
    "pupa": Form(("user_query", "target_response", "pii_units"), rows.pupa),
    "drop": Form(("passage", "question"), rows.drop),
    "gsm8k": Form(("question", "answer"), rows.gsm8k),
    "math": Form(("problem", "level", "type", "solution"), rows.math),
    "humaneval": Form(("task_id", "prompt", "entry_point", "canonical_solution", "test"), rows.humaneval),
    "mbpp": Form(("task_id", "prompt", "code", "test_list", "test_imports"), rows.mbpp),
}
_TRAIN_CONSTRAINTS = Form(("messages", "ground_truth"), rows.constraints_to_train)
_HOVER_THREE = Form(("uid", "claim", "supporting_facts"), rows.hover_three)
_FOLDERS = {"hotpotqa": "hotpotqa_context", "hotpotqa-search": "hotpotqa_retrieval"}
_SEARCH = ("hotpotqa-search", "hover")  # their tool reads the corpus
_MORE = dict.fromkeys(_SEARCH, corpus) | {"ifbench": language_data}  # what the publisher's rows need besides


def _pools(name: str) -> list[Pool]:
    """Return the published rows of a benchmark and how they are dealt."""
    form = _FORMS[name]
    match name:
        case "hotpotqa-search":
            here = "hotpotqa/hotpot_qa"
            train, test = hub(here, "train", "distractor"), hub(here, "validation", "distractor")
            return [Pool(train, form, {"train": 150, "val": 300}), Pool(test, form, {"test": 300})]
        case "ifbench":
            train, test = hub("allenai/IF_multi_constraints_upto5", "train"), hub("allenai/IFBench_test", "train")
            first = Pool(train, _TRAIN_CONSTRAINTS, {"train": 150, "val": 300})
            return [first, Pool(test, form, {"test": 294}, shuffled=False)]
        case "hover":
            first = Pool(claims("train"), _HOVER_THREE, {"train": 150, "val": 300})
            return [first, Pool(claims("dev"), _HOVER_THREE, {"test": 300})]
        case "pupa":
            sizes = {"train": 111, "val": 111, "test": 221}
            return [Pool(hub("Columbia-NLP/PUPA", "train", "pupa_new"), form, sizes, shuffled=False)]
        case "hotpotqa":
            return [Pool(hub("hotpotqa/hotpot_qa", "validation", "distractor"), form, {"train": 200, "val": 800})]
        case "drop":
            return [Pool(hub("ucinlp/drop", "validation"), form, {"train": 200, "val": 800})]
        case "gsm8k":
            return [Pool(hub("openai/gsm8k", "test", "main"), form, {"train": 264, "val": 1055})]
        case "math":
            parts = hub_all("EleutherAI/hendrycks_math", [(each, "test") for each in _MATH])
            return [Pool(parts, form, {"train": 119, "val": 486})]
        case "humaneval":
            return [Pool(hub("openai/openai_humaneval", "test"), form, {"train": 33, "val": 131})]
        case _:
            parts = [("sanitized", each) for each in ("train", "validation", "test", "prompt")]
            return [Pool(hub_all("google-research-datasets/mbpp", parts), form, {"train": 86, "val": 341})]


def _made(
    name: str, title: str, sizes: Mapping[str, int], model: str, source: str, licence: str, notes: str
) -> Benchmark:
    where = files("flowbot.bench").joinpath("tasks", f"{name}.yaml")
    document = read_document(where.read_text("utf-8"), f"{name}.yaml")
    plain = dict(document.data) if is_map(document.data) else {}
    models: Json = {"task": model} | ({"also": [UNTRUSTED]} if name == "pupa" else {})
    task = read_record(replace(document, data={**plain, "models": models}), Task, "task")
    searches = name in _SEARCH
    elsewhere = f"the data is {source}"
    local = partial(read_local, _FOLDERS.get(name, name), _FORMS[name], searches, elsewhere)
    fetch = partial(fetched, name, _pools(name), _MORE.get(name))
    return Benchmark(name, title, task, sizes, model, source, licence, fetch, local, notes)


def benchmark(name: str) -> Benchmark:
    """Return a benchmark by name; raise `InputError` for an unknown one."""
    if name not in BENCHMARKS:
        known = ", ".join(BENCHMARKS)
        raise InputError(f"unknown benchmark '{name}'{nearest(name, BENCHMARKS)} (benchmarks: {known})")
    return BENCHMARKS[name]


def tasks_folder() -> Path:
    """Return the folder of the task documents; a task's `start` lies beside it."""
    return Path(str(files("flowbot.bench").joinpath("tasks")))


_ALL = (
    _made(
        "hotpotqa-search",
        "HotpotQA with search",
        THREE_HUNDRED,
        MINI_41,
        f"{HOTPOTQA}; abstracts of Wikipedia of October 2017",
        "CC BY-SA 4.0",
        f"{ARTIFACT}; train and val are drawn from the train split, test from validation",
    ),
    _made(
        "hotpotqa",
        "HotpotQA with its ten paragraphs",
        {"val": 200, "test": 800},
        MINI_4O,
        HOTPOTQA,
        "CC BY-SA 4.0",
        f"{AFLOW}; drawn from validation by a seed of ours; paragraphs have their titles, which AFlow leaves out",
    ),
    _made(
        "ifbench",
        "IFBench",
        {"train": 150, "val": 300, "test": 294},
        MINI_41,
        "IFBench (Pyatkin et al. 2025), allenai/IFBench_test; train and val allenai/IF_multi_constraints_upto5",
        "ODC-BY 1.0",
        f"{ARTIFACT}; test is the first 294 of its 300 prompts; of the training prompts those that have IFEval's "
        "constraints alone, for the others have no verifier among the packages; --data has prompts of IFEval",
    ),
    _made(
        "hover",
        "HoVer",
        THREE_HUNDRED,
        MINI_41,
        "HoVer (Jiang et al. 2020), hover-nlp/hover release 1.1; abstracts of Wikipedia of October 2017",
        "CC BY-SA 4.0",
        f"{ARTIFACT}; claims that need three articles; train and val from train, test from dev. Its claims derive from "
        "questions of HotpotQA: do not train on one and report on the other",
    ),
    _made(
        "pupa",
        "PUPA (PAPILLON)",
        {"train": 111, "val": 111, "test": 221},
        MINI_41,
        "PUPA (Li et al. 2025), Columbia-NLP/PUPA, pupa_new, from the Hugging Face hub",
        "MIT; its rows hold personal data",
        f"{ARTIFACT}: the first 443 rows in their order; the untrusted model is GPT-4.1",
    ),
    _made(
        "drop",
        "DROP",
        {"val": 200, "test": 800},
        MINI_4O,
        "DROP (Dua et al. 2019), ucinlp/drop, validation",
        "CC BY-SA 4.0",
        f"{AFLOW}; drawn from validation by a seed of ours, questions whose alternatives cannot be told left out",
    ),
    _made(
        "gsm8k",
        "GSM8K",
        {"val": 264, "test": 1055},
        MINI_4O,
        "GSM8K (Cobbe et al. 2021), openai/gsm8k main, test; with --data rows of train",
        "MIT",
        f"{AFLOW}; all of the publisher's test split",
    ),
    _made(
        "math",
        "MATH, level 5",
        {"val": 119, "test": 486},
        MINI_4O,
        "MATH (Hendrycks et al. 2021), EleutherAI/hendrycks_math, test: level 5 of four subjects",
        "MIT",
        f"{AFLOW}; all rows of these subjects at that level",
    ),
    _made(
        "humaneval",
        "HumanEval",
        {"val": 33, "test": 131},
        MINI_4O,
        "HumanEval (Chen et al. 2021), openai/openai_humaneval",
        "MIT",
        f"{AFLOW}; public tests are the examples of the docstring",
    ),
    _made(
        "mbpp",
        "MBPP, sanitized",
        {"val": 86, "test": 341},
        MINI_4O,
        "MBPP (Austin et al. 2021), google-research-datasets/mbpp sanitized, all splits",
        "CC BY 4.0",
        f"{AFLOW}; the prompt ends in the function's header, as AFlow's does",
    ),
)
BENCHMARKS: Mapping[str, Benchmark] = {each.name: each for each in _ALL}
