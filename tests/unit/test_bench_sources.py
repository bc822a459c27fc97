"""The publishers' rows, in small: their columns, how they are dealt and kept, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
import tarfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from flowbot.bench import sources_rows as rows
from flowbot.bench.catalogue import BENCHMARKS
from flowbot.bench.local import CORPUS
from flowbot.bench.sources import Pool, fetched, hub
from flowbot.bench.sources_rows import Form
from flowbot.bench.sources_web import MEMBER, claims, corpus
from flowbot.errors import InputError
from flowbot.models import download
from flowbot.store.splits import splits_of
from flowbot.tools.metric_constraints import Constraints

HOTPOT = {
    "id": "5a7a06935542990198eaf050",
    "question": "Which magazine was started first?",
    "answer": "Arthur's Magazine",
    "type": "comparison",
    "level": "medium",
    "supporting_facts": {"title": ["Arthur's Magazine", "First for Women", "Arthur's Magazine"], "sent_id": [0, 0, 1]},
    "context": {
        "title": ["Arthur's Magazine", "First for Women"],
        "sentences": [["It was a periodical.", " It began in 1844."], ["It is a magazine."]],
    },
}
GSM8K = {"question": "48 and half of it?", "answer": "48/2 = <<48/2=24>>24.\n48+24 = 72.\n#### 1,072"}
MATH = {"problem": "Find $x$.", "level": "Level 5", "type": "Number Theory", "solution": r"So $x=\boxed{\frac{1}{2}}$."}
DROP = {
    "section_id": "nfl_2201",
    "query_id": "f16c0ee7-f131-4a8b-a6ac-4d275ea68066",
    "passage": "The Lions scored twice.",
    "question": "Who scored?",
    "answers_spans": {"spans": ["the Lions", "Lions"], "types": ["span", "span"]},
}
HUMANEVAL = {
    "task_id": "HumanEval/0",
    "prompt": 'def twice(x: int) -> int:\n    """\n    >>> twice(2)\n    4\n    >>> twice(y)\n    8\n    """\n',
    "canonical_solution": "    return 2 * x\n",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
    "entry_point": "twice",
}
MBPP = {
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "task_id": 2,
    "prompt": "Write a function to find the shared elements from the given two lists.",
    "code": "def helper(a):\n  return a\n\ndef similar_elements(test_tup1, test_tup2=()):\n  return helper(test_tup1)",
    "test_imports": [],
    "test_list": ["assert set(similar_elements((3, 4), (4, 5))) == set((4, 5))"],
}
PUPA = {
    "conversation_hash": "0a",
    "predicted_category": "job, visa, and other applications",
    "user_query": "Write to Ann Lee of Oslo.",
    "target_response": "Dear Ann",
    "pii_units": "Ann Lee||Oslo||",
    "redacted_query": "Write to [1] of [2].",
}
IFBENCH = {
    "key": "7",
    "prompt": "Say hello without a comma.",
    "instruction_id_list": ["punctuation:no_comma"],
    "kwargs": [{"N": None, "keyword": None}],
}
IF_TRAIN = {
    "key": "ai2-adapt-dev/x_1",
    "messages": [{"role": "user", "content": "Say hello. In your response, hi should appear twice."}],
    "ground_truth": "[{'instruction_id': ['keywords:frequency', 'punctuation:no_comma'], "
    "'kwargs': [{'keyword': 'hi', 'frequency': 2, 'relation': 'at least'}, None]}]",
    "dataset": "ifeval",
    "constraint_type": "multi",
    "constraint": "In your response, hi should appear twice.",
}
HOVER = {
    "uid": "330ca632",
    "claim": "The artist wrote four operas.",
    "supporting_facts": [["Prelude", 0], ["Penderecki", 2], ["Penderecki", 3], ["Opera", 0]],
    "label": "SUPPORTED",
    "num_hops": 3,
    "hpqa_id": "5a879fe0",
}


def made(form: Callable[[rows.Plain, int], Any], row: Mapping[str, Any]) -> Any:
    return form(row, 1)


def test_what_becomes_of_the_publishers_rows() -> None:
    assert made(rows.gsm8k, GSM8K) == {"id": "gsm8k-1", "question": "48 and half of it?", "answer": "1072"}
    assert made(rows.math, MATH)["answer"] == r"\frac{1}{2}"
    assert made(rows.math, MATH)["id"] == "math-number_theory-1"
    assert made(rows.math, MATH | {"level": "Level 4"}) is None
    assert made(rows.hotpotqa, HOTPOT)["context"] == [
        "Arthur's Magazine | It was a periodical. It began in 1844.",
        "First for Women | It is a magazine.",
    ]
    assert made(rows.hotpotqa_search, HOTPOT)["titles"] == ["Arthur's Magazine", "First for Women"]
    assert made(rows.hover, HOVER)["documents"] == ["Prelude", "Penderecki", "Opera"]
    assert made(rows.hover_three, HOVER | {"supporting_facts": [["One", 0], ["Two", 1]]}) is None
    assert made(rows.pupa, PUPA)["pii_units"] == ["Ann Lee", "Oslo"]
    assert made(rows.constraints, IFBENCH)["kwargs"] == [{}]
    assert made(rows.constraints_to_train, IF_TRAIN) == {
        "id": "train-1",
        "prompt": "Say hello. In your response, hi should appear twice.",
        "instruction_id_list": ["keywords:frequency", "punctuation:no_comma"],
        "kwargs": [{"keyword": "hi", "frequency": 2, "relation": "at least"}, {}],
    }


def test_programs_keep_header_and_public_examples() -> None:
    program = made(rows.humaneval, HUMANEVAL)
    assert program["public_tests"] == "assert candidate(2) == 4"  # the other example is no literal
    assert program["solution"].endswith("    return 2 * x\n")
    assert made(rows.humaneval, HUMANEVAL | {"prompt": "def twice(x):\n"})["public_tests"] == (
        "assert callable(candidate)"
    )
    assert made(rows.mbpp, MBPP)["prompt"].endswith("two lists.\n\ndef similar_elements(test_tup1, test_tup2=()):")
    assert made(rows.mbpp, MBPP)["id"] == "mbpp-2"


@pytest.mark.parametrize(
    ("shown", "wanted"),
    [
        (">>> f(1)\n    2", "assert candidate(1) == 2"),
        ("f([1, ')'], b=2) == [3]", "assert candidate([1, ')'], b=2) == [3]"),
        ("f(1) ➞ (1, 2)  # a remark", "assert candidate(1) == (1, 2)"),
        ('For example f("a") should return "b".', "assert candidate(\"a\") == 'b'"),
        ("* f(-1) -> -0.5", "assert candidate(-1) == -0.5"),
        (">>> f(1)\n    __import__('os')", ""),
        (">>> f(g(1))\n    2", ""),
        ("g(1) == 2 and xf(1) == 2", ""),
        ("f(1) is odd", ""),
        ("f(", ""),
        (">>> f(1)", ""),
    ],
)
def test_public_tests_are_the_examples_that_are_literals(shown: str, wanted: str) -> None:
    prompt = f'def f(x):\n    """\n    {shown}\n    """\n'
    assert rows.examples_in(prompt, "f") == [wanted] * bool(wanted)


@pytest.mark.parametrize(
    ("spans", "types", "wanted"),
    [
        (["3", "13"], ["number", "number"], ["3", "13"]),
        (["the Vikings", "Vikings"], ["span", "span"], ["the Vikings", "Vikings"]),
        (["gold", "tin", "gold", "tin"], ["span"] * 4, ["gold and tin"]),
        (["gold", "tin"], ["span"] * 2, []),
        (["gold", "3"], ["span", "number"], []),
        (["gold", "gold"], ["span"] * 2, ["gold", "gold"]),
        ([], [], []),
    ],
)
def test_alternatives_of_drop(spans: list[str], types: list[str], wanted: list[str]) -> None:
    assert rows.alternatives(spans, types) == wanted


def test_a_constraint_without_a_verifier_leaves_the_row_out() -> None:
    for said in ("'copy:repeat_phrase'], 'kwargs': [{'phrase': 'a'}]", "'punctuation:no_comma'], 'kwargs': [{'x': 1}]"):
        assert made(rows.constraints_to_train, IF_TRAIN | {"ground_truth": f"[{{'instruction_id': [{said}}}]"}) is None


@pytest.mark.slow
def test_the_constraints_that_are_taken_are_those_of_the_verifier() -> None:
    pytest.importorskip("if_verifiable")
    pytest.importorskip("punkt")
    metric = Constraints()

    async def settings_of(name: str) -> set[str]:
        asked: dict[str, Any] = {"ids": [name], "kwargs": [{}], "response": "hi", "prompt": "Say hi."}
        problem = str((await metric.aside.ask(asked) or {}).get("problem", ""))
        lacking = re.search(r"lacks (.*) in kwargs", problem)
        return set(lacking[1].split(", ")) if lacking else {problem} - {""}

    async def run() -> dict[str, set[str]]:
        return {name: await settings_of(name) for name in rows.IFEVAL}

    assert asyncio.run(run()) == rows.IFEVAL
    metric.aside.close()


# dealing and keeping


def numbered(count: int, row: Mapping[str, Any] = GSM8K) -> Callable[[Path], Iterator[tuple[str, Mapping[str, Any]]]]:
    return lambda folder: ((f"made:{number}", {**row, "id": f"r{number}"}) for number in range(1, count + 1))


FORM = Form(("question", "answer"), rows.gsm8k)


def test_rows_are_dealt_the_same_for_everyone_and_kept(tmp_path: Path) -> None:
    pool = Pool(numbered(10), FORM, {"train": 3, "val": 5})
    found = fetched("gsm8k", [pool], None, tmp_path)
    ids = {split: [row["id"] for row in some] for split, some in found.items()}
    assert [len(some) for some in ids.values()] == [3, 5]
    assert not set(ids["train"]) & set(ids["val"])
    assert ids["train"] != ["r1", "r2", "r3"]
    assert fetched("gsm8k", [pool], None, tmp_path / "again") == found

    def broken(folder: Path) -> Any:
        raise AssertionError("fetched again")

    assert fetched("gsm8k", [Pool(broken, FORM, {})], None, tmp_path) == found


def test_rows_in_their_order(tmp_path: Path) -> None:
    found = fetched("x", [Pool(numbered(4), FORM, {"train": 1, "test": 2}, shuffled=False)], None, tmp_path)
    assert {split: [row["id"] for row in some] for split, some in found.items()} == {
        "train": ["r1"],
        "test": ["r2", "r3"],
    }


def test_nothing_is_kept_of_what_was_not_whole(tmp_path: Path) -> None:
    pools = [Pool(numbered(10), FORM, {"train": 3}), Pool(numbered(2), FORM, {"test": 3})]
    with pytest.raises(InputError, match="the source gives 2 rows and 3 are to be dealt"):
        fetched("gsm8k", pools, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_row_that_stands_twice_counts_once(tmp_path: Path) -> None:
    def twice(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
        return (each for _ in range(2) for each in numbered(3)(folder))

    assert len(fetched("x", [Pool(twice, FORM, {"train": 3})], None, tmp_path)["train"]) == 3
    with pytest.raises(InputError, match="gives 3 rows and 4"):
        fetched("y", [Pool(twice, FORM, {"train": 4})], None, tmp_path)


def test_a_column_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"made:1: the column 'answer' is missing \(columns: question, final, id\)"):
        fetched("x", [Pool(numbered(1, {"question": "q", "final": "1"}), FORM, {"train": 1})], None, tmp_path)


@pytest.mark.parametrize(
    ("form", "row"),
    [
        (rows.gsm8k, GSM8K | {"answer": "no number"}),
        (rows.math, MATH | {"solution": "no box"}),
        (rows.hotpotqa, HOTPOT | {"context": {"title": ["A"], "sentences": []}}),
        (rows.hotpotqa, HOTPOT | {"supporting_facts": None}),
        (rows.mbpp, MBPP | {"code": "x = 1"}),
        (rows.mbpp, MBPP | {"code": "def ("}),
        (rows.drop, DROP | {"answers_spans": {"spans": ["a"]}}),
        (rows.constraints_to_train, IF_TRAIN | {"ground_truth": "__import__('os').getcwd()"}),
        (rows.constraints_to_train, IF_TRAIN | {"messages": []}),
        (rows.hover, HOVER | {"supporting_facts": []}),
    ],
)
def test_a_row_that_is_not_as_published(form: Any, row: Mapping[str, Any]) -> None:
    with pytest.raises(InputError, match="here:1: the row is not as published"):
        list(Form((), form).rows([("here:1", row)]))


def test_no_row_is_left() -> None:
    with pytest.raises(InputError, match="there is no row that the benchmark takes"):
        list(Form((), rows.math).rows([("here:1", MATH | {"level": "Level 1"})]))


# the hub


class Loaded:
    """What `load_dataset` gives, as far as it is used."""

    def __init__(self, found: list[dict[str, Any]]) -> None:
        self.found = found

    def with_format(self, kind: str) -> Loaded:
        return self

    def iter(self, size: int) -> Iterator[Any]:
        yield SimpleNamespace(to_pylist=lambda: self.found)


HUB: Mapping[tuple[str, str | None, str], tuple[Mapping[str, Any], int]] = {
    ("openai/gsm8k", "main", "test"): (GSM8K, 1319),
    ("hotpotqa/hotpot_qa", "distractor", "train"): (HOTPOT, 500),
    ("hotpotqa/hotpot_qa", "distractor", "validation"): (HOTPOT, 1200),
    ("ucinlp/drop", None, "validation"): (DROP, 1100),
    ("EleutherAI/hendrycks_math", "prealgebra", "test"): (MATH | {"type": "Prealgebra"}, 193),
    ("EleutherAI/hendrycks_math", "precalculus", "test"): (MATH | {"type": "Precalculus"}, 135),
    ("EleutherAI/hendrycks_math", "number_theory", "test"): (MATH, 154),
    ("EleutherAI/hendrycks_math", "counting_and_probability", "test"): (MATH | {"type": "Counting"}, 123),
    ("openai/openai_humaneval", None, "test"): (HUMANEVAL, 164),
    ("google-research-datasets/mbpp", "sanitized", "train"): (MBPP, 120),
    ("google-research-datasets/mbpp", "sanitized", "validation"): (MBPP, 43),
    ("google-research-datasets/mbpp", "sanitized", "test"): (MBPP, 257),
    ("google-research-datasets/mbpp", "sanitized", "prompt"): (MBPP, 7),
    ("Columbia-NLP/PUPA", "pupa_new", "train"): (PUPA, 664),
    ("allenai/IFBench_test", None, "train"): (IFBENCH, 300),
    ("allenai/IF_multi_constraints_upto5", None, "train"): (IF_TRAIN, 460),
}
UNIQUE = ("id", "query_id", "task_id", "key")


def published(name: str, config: str | None = None, *, split: str) -> Loaded:
    row, count = HUB[name, config, split]
    key = next((each for each in UNIQUE if each in row), None)
    places = range(1, count + 1)
    return Loaded([{**row, key: f"{split}-{number}"} if key else dict(row) for number in places])


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=published))
    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(data=SimpleNamespace(find=str)))


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("name", [name for name in BENCHMARKS if name not in ("hotpotqa-search", "hover")])
def test_the_published_sizes(name: str, tmp_path: Path) -> None:
    bench = BENCHMARKS[name]
    data = splits_of(bench.task, bench.fetch(tmp_path))
    found = {split: len(some) for split, some in data.splits.items()}
    if "train" in bench.sizes:
        assert found == bench.sizes
    else:
        assert found["train"] + found["val"] == bench.sizes["val"]
        assert found["test"] == bench.sizes["test"]
    assert len({each.id for some in data.splits.values() for each in some}) == sum(found.values())
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]


@pytest.mark.usefixtures("packages")
def test_search_over_the_corpus_that_is_there(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / CORPUS).write_text('{"title": "A", "sentences": ["b"]}\n')
    found = BENCHMARKS["hotpotqa-search"].fetch(tmp_path)
    assert [len(list(some)) for some in found.values()] == [150, 300, 300]


@pytest.mark.usefixtures("packages")
def test_ifbench_does_not_begin_without_nltks_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def find(path: str) -> None:
        if path == "corpora/stopwords":
            raise LookupError

    monkeypatch.setitem(sys.modules, "nltk", SimpleNamespace(data=SimpleNamespace(find=find)))
    with pytest.raises(InputError, match=r"is not there: stopwords\n  python -m nltk.downloader stopwords$"):
        BENCHMARKS["ifbench"].fetch(tmp_path)


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(InputError, match=r"pip install 'flowbot\[datasets\]'"):
        BENCHMARKS["gsm8k"].fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_without_the_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(name: str, config: str | None, split: str) -> Any:
        raise ConnectionError(f"couldn't reach '{name}' on the hub")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=unreachable))
    with pytest.raises(InputError, match=r"cannot read the data set: couldn't reach 'a/b' on the hub\n.*the network"):
        list(hub("a/b", "train")(tmp_path))


# the web


@contextmanager
def serving(files: Mapping[str, bytes]) -> Generator[tuple[str, list[str]]]:
    """Serve files on loopback; yield the base URL, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = files.get(self.path.lstrip("/"))
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def archive(lines: list[Any], member: str = MEMBER) -> bytes:
    text = "".join(json.dumps(each) + "\n" for each in lines).encode()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        info = tarfile.TarInfo(member)
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return raw.getvalue()


ABSTRACTS = [{"id": 0, "title": "A b", "text": ["One.", " Two."]}, {"id": 1, "title": "Ö", "text": ["Three."]}]


def test_claims_are_downloaded_once(tmp_path: Path) -> None:
    name = "hover_dev_release_v1.1.json"
    with serving({name: json.dumps([HOVER, HOVER]).encode()}) as (url, asked):
        form = Form(("uid", "claim", "supporting_facts"), rows.hover_three)
        for _ in range(2):
            assert len(list(form.rows(claims("dev", url)(tmp_path)))) == 2
        assert asked == [f"/{name}"]
        with pytest.raises(InputError, match="answers with status 404"):
            claims("train", url)(tmp_path)


def test_what_is_no_list_of_claims_is_not_kept(tmp_path: Path) -> None:
    page = {"hover_dev_release_v1.1.json": b"<html>sign in</html>"}
    with serving(page) as (url, _), pytest.raises(InputError, match="what came is not HoVer's list of claims"):
        claims("dev", url)(tmp_path)
    assert list((tmp_path / "downloads").iterdir()) == []


def test_the_corpus_comes_whole(tmp_path: Path) -> None:
    with serving({"wiki.tar.gz": archive(ABSTRACTS)}) as (url, asked):
        path = corpus(tmp_path, f"{url}/wiki.tar.gz", documents=2)
        assert corpus(tmp_path, f"{url}/wiki.tar.gz", documents=2) == path
        assert asked == ["/wiki.tar.gz"]
    assert path == tmp_path / CORPUS
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == [
        {"title": "A b", "sentences": ["One.", " Two."]},
        {"title": "Ö", "sentences": ["Three."]},
    ]
    assert list((tmp_path / "downloads").iterdir()) == []
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (archive(ABSTRACTS)[:-40], "the archive is not the one expected"),
        (archive(ABSTRACTS[:1]), "1 documents, expected at least 2"),
        (archive(ABSTRACTS, "other.jsonl"), "no wiki.abstracts.2017.jsonl in it"),
        (archive([{"title": "A"}, {"title": "B"}]), "the archive is not the one expected: 'text'"),
        (b"<html>", "the archive is not the one expected"),
    ],
)
def test_another_archive_leaves_nothing(body: bytes, says: str, tmp_path: Path) -> None:
    with serving({"wiki.tar.gz": body}) as (url, _), pytest.raises(InputError, match=says):
        corpus(tmp_path, f"{url}/wiki.tar.gz", documents=2)
    assert [each for each in tmp_path.rglob("*") if each.is_file()] == []


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download, "PAUSE", 0.0)
    with serving({}) as (url, _):
        gone = url
    with pytest.raises(InputError, match=r"cannot fetch the data: 127\.0\.0\.1: .*\n.*--data DIR"):
        corpus(tmp_path, f"{gone}/wiki.tar.gz")
