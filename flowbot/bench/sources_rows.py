"""From rows as they are published, or as a folder of ours holds them, to rows with a task's columns."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.task.answers import boxed
from flowbot.task.metrics import last_number, normalised
from flowbot.workflow.fields import is_map

Plain = Mapping[str, Any]  # a row as it was read: its values are looked at before they are used
Made = dict[str, Any]

_CALL = re.compile(r"\b([A-Za-z_]\w*)\s*\(")
_SHOWN = re.compile(r"\s*(?:==|=>|->|➞|→|➡|returns?\b|should (?:return|be)\b)\s*")
_NO_PUBLIC_TEST = "assert callable(candidate)"  # where the prompt shows no example
IFEVAL: Mapping[str, set[str]] = {  # the settings of IFEval's constraints
    "change_case:capital_word_frequency": {"capital_frequency", "capital_relation"},
    "change_case:english_capital": set(),
    "change_case:english_lowercase": set(),
    "combination:repeat_prompt": {"prompt_to_repeat"},
    "combination:two_responses": set(),
    "detectable_content:number_placeholders": {"num_placeholders"},
    "detectable_content:postscript": {"postscript_marker"},
    "detectable_format:constrained_response": set(),
    "detectable_format:json_format": set(),
    "detectable_format:multiple_sections": {"section_spliter", "num_sections"},
    "detectable_format:number_bullet_lists": {"num_bullets"},
    "detectable_format:number_highlighted_sections": {"num_highlights"},
    "detectable_format:title": set(),
    "keywords:existence": {"keywords"},
    "keywords:forbidden_words": {"forbidden_words"},
    "keywords:frequency": {"keyword", "frequency", "relation"},
    "keywords:letter_frequency": {"letter", "let_frequency", "let_relation"},
    "language:response_language": {"language"},
    "length_constraints:nth_paragraph_first_word": {"num_paragraphs", "nth_paragraph", "first_word"},
    "length_constraints:number_paragraphs": {"num_paragraphs"},
    "length_constraints:number_sentences": {"num_sentences", "relation"},
    "length_constraints:number_words": {"num_words", "relation"},
    "punctuation:no_comma": set(),
    "startend:end_checker": {"end_phrase"},
    "startend:quotation": set(),
}


@dataclass(frozen=True)
class Form:
    """The form of a source's rows: the columns that it must have, and what is made of a row.

    `make` gets the row and its number (from 1). It may raise KeyError, TypeError or ValueError for a row that is not
    as published; `rows` tells it with its place.
    """

    columns: tuple[str, ...]
    make: Callable[[Plain, int], Made | None]

    def rows(self, found: Iterable[tuple[str, Plain]]) -> Iterator[Made]:
        """Yield rows with a task's columns from pairs (place, row); what `make` gives None for is left out.

        Raises `InputError` where the columns changed, or no row is left.
        """
        count, where = 0, "the source"
        for number, (where, row) in enumerate(found, 1):
            lacking = next((each for each in self.columns if each not in row), None)
            if lacking is not None:
                near, known = nearest(lacking, row), ", ".join(row)
                what = f"the column '{lacking}' is missing{near} (columns: {known})"
                raise InputError(what, where, "the source changed its columns, or this is another one")
            try:
                made = self.make(row, number)
            except (KeyError, TypeError, ValueError, AttributeError, IndexError, SyntaxError) as error:
                what = f"the row is not as published: {type(error).__name__}: {error}"
                raise InputError(what, where, "the source changed, or this is another one") from None
            if made is not None:
                count += 1
                yield made
        if not count:
            raise InputError("there is no row that the benchmark takes", where)


def _context(context: Any) -> list[str]:
    """Return HotpotQA's paragraphs as `Title | text`: pairs, or the hub's map of titles and sentences."""
    pairs = zip(context["title"], context["sentences"], strict=True) if is_map(context) else context
    return [f"{title} | {' '.join(str(each).strip() for each in sentences)}" for title, sentences in pairs]


def _titles(facts: Any) -> list[str]:
    """Return the titles of supporting facts in order, each once: pairs, the hub's maps, or HoVer's maps with `key`."""
    if is_map(facts):
        return list(dict.fromkeys(map(str, facts["title"])))
    return list(dict.fromkeys(str(each["key"] if is_map(each) else each[0]) for each in facts))


def gsm8k(row: Plain, number: int) -> Made:
    """Return a row of GSM8K: the number after `####` is the answer."""
    final = str(row["answer"]).rpartition("####")[2].strip()
    if last_number(final) is None:
        raise ValueError(f"no number behind '####' in {final[:60]!r}")
    return {"id": _id(row, f"gsm8k-{number}"), "question": row["question"], "answer": final.replace(",", "")}


def math(row: Plain, number: int) -> Made | None:
    r"""Return a row of MATH, where it is of level 5: what the last \boxed{} of its solution holds is the answer."""
    if row["level"] != "Level 5":
        return None
    answer = boxed(row["solution"])
    if not answer:
        raise ValueError("no \\boxed{} in the solution")
    return {
        "id": _id(row, f"math-{_slug(row['type'])}-{number}"),
        "problem": row["problem"],
        "answer": answer,
        "solution": row["solution"],
    }


def drop(row: Plain, number: int) -> Made | None:
    """Return a row of DROP with its alternatives; one whose alternatives are not known is left out."""
    answers = list(row["answers"]) if "answers" in row else alternatives(**row["answers_spans"])
    answers = list(dict.fromkeys(text for each in answers if (text := str(each).strip())))
    name = row.get("id", row.get("query_id", f"drop-{number}"))
    made = {"id": str(name), "passage": row["passage"], "question": row["question"], "answer": answers}
    return made if answers else None


def alternatives(spans: Sequence[str], types: Sequence[str]) -> list[str]:
    """Return what each annotator of a question of DROP answered, or nothing where that cannot be told.

    The hub's copy has the spans of all annotators in one list. Numbers and dates are answers of their own. Spans are
    parts of one answer where the list repeats itself (a, b, a, b), and answers of their own where all share a word.
    """
    if not all(kind == "span" for kind in types):
        return list(spans) if "span" not in types else []
    for length in range(2, len(spans) // 2 + 1):
        unit = spans[:length]
        if len(set(unit)) > 1 and len(spans) % length == 0 and list(unit) * (len(spans) // length) == list(spans):
            return [" and ".join(unit)]
    words = [set(normalised(span).split()) for span in spans]
    return list(spans) if words and words[0].intersection(*words) else []


def hotpotqa(row: Plain, number: int) -> Made:
    """Return a question of HotpotQA with its paragraphs as `Title | text`."""
    return {**hotpotqa_search(row, number), "context": _context(row["context"])}


def hotpotqa_search(row: Plain, number: int) -> Made:
    """Return a question of HotpotQA without its paragraphs."""
    titles = _titles(row["supporting_facts"])
    return {"id": str(row["id"]), "question": row["question"], "answer": row["answer"], "titles": titles}


def hover(row: Plain, number: int) -> Made:
    """Return a claim of HoVer with the titles of the articles that it needs."""
    titles = _titles(row["supporting_facts"])
    if not titles:
        raise ValueError("no supporting facts")
    return {"id": str(row.get("id") or row["uid"]), "claim": row["claim"], "documents": titles}


def hover_three(row: Plain, number: int) -> Made | None:
    """Return a claim of HoVer that needs three articles, as DSPy's and GEPA's benchmark takes them; else None."""
    made = hover(row, number)
    return made if len(made["documents"]) == 3 else None


def humaneval(row: Plain, number: int) -> Made:
    """Return a row of HumanEval; `public_tests` are asserts of the examples that its prompt shows."""
    shown: Sequence[str] | None = row.get("public_tests")
    tests = list(shown) if shown is not None else examples_in(row["prompt"], row["entry_point"])
    return {
        "id": str(row["task_id"]),
        "prompt": row["prompt"],
        "entry_point": row["entry_point"],
        "public_tests": "\n".join(tests) or _NO_PUBLIC_TEST,
        "test": row["test"],
        "solution": row["prompt"] + row["canonical_solution"],
    }


def examples_in(prompt: str, entry: str) -> list[str]:
    """Return the examples of a docstring (`>>> f(1)` and the value below it, `f(1) == 2`, `f(1) ➞ 2`) as asserts.

    The function is called `candidate` in them. Nothing is run: arguments and value must be Python literals.
    """
    found: list[str] = []
    lines = prompt.splitlines()
    for line, below in zip(lines, [*lines[1:], ""], strict=True):
        for call in re.finditer(rf"(?<![\w.]){re.escape(entry)}\(", line):
            args, rest = _literal_call(line[call.end() - 1 :])
            shown = _SHOWN.match(rest)
            told = below if not rest.strip() and ">>>" in line else rest[shown.end() :] if shown else ""
            value = _literal(told)
            if args and value:
                found.append(f"assert candidate{args} == {value}")
    return list(dict.fromkeys(found))


def _literal_call(text: str) -> tuple[str, str]:
    """Return the arguments in brackets that a text begins with, and the rest; none where they are no literals."""
    for end in (found.end() for found in re.finditer(r"\)", text)):
        try:
            tree = ast.parse(f"f{text[:end]}", mode="eval").body
            if isinstance(tree, ast.Call):
                _ = [ast.literal_eval(each) for each in [*tree.args, *(each.value for each in tree.keywords)]]
                return text[:end], text[end:]
        except (SyntaxError, ValueError):
            continue
    return "", text


def _literal(text: str) -> str:
    """Return the Python literal in a line, without a remark or a full stop behind it; empty where there is none."""
    for said in (text, text.strip().removesuffix(".")):
        try:
            return repr(ast.literal_eval(said.strip()))
        except (SyntaxError, ValueError):
            continue
    return ""


def mbpp(row: Plain, number: int) -> Made:
    """Return a row of sanitized MBPP; its prompt ends in the header of the function that the tests call."""
    tests = list(row["test_list"])
    return {
        "id": f"mbpp-{row['task_id']}",
        "prompt": row.get("aflow_prompt") or f"{row['prompt']}\n\n{header_of(row['code'], tests)}",
        "test_list": tests,
        "test_imports": list(row["test_imports"]),
        "solution": row["code"],
    }


def header_of(code: str, tests: Sequence[str]) -> str:
    """Return the line `def NAME(...):` of the function in `code` that the tests call, or of its last one."""
    made = [each for each in ast.parse(code).body if isinstance(each, ast.FunctionDef)]
    called = {name for test in tests for name in _CALL.findall(test)}
    chosen = next((each for each in made if each.name in called), made[-1] if made else None)
    if chosen is None:
        raise ValueError("no function in the solution")
    return f"def {chosen.name}({ast.unparse(chosen.args)}):"


def constraints(row: Plain, number: int) -> Made:
    """Return a prompt with the ids and settings of its constraints, as IFEval and IFBench publish them."""
    return {
        "id": _id(row, f"ifbench-{row.get('key', number)}"),
        "prompt": row["prompt"],
        "instruction_id_list": list(row["instruction_id_list"]),
        "kwargs": [_said(each) for each in row["kwargs"]],
    }


def constraints_to_train(row: Plain, number: int) -> Made | None:
    """Return a prompt of IF_multi_constraints_upto5 whose constraints are all IFEval's; else None.

    Its `ground_truth` is a Python literal, read as data. Its other constraints, made for training, have no verifier
    among the packages.
    """
    truth = row["ground_truth"]
    read: Any = ast.literal_eval(truth) if isinstance(truth, str) else truth
    ids: list[str] = list(read[0]["instruction_id"])
    settings = [_said(each) for each in read[0]["kwargs"]]
    if any(IFEVAL.get(name) != set(said) for name, said in zip(ids, settings, strict=True)):
        return None
    prompt = row["messages"][0]["content"]
    return {"id": f"train-{number}", "prompt": prompt, "instruction_id_list": ids, "kwargs": settings}


def pupa(row: Plain, number: int) -> Made:
    """Return a row of PUPA: the private items are a text with `||` between them."""
    units = [item for each in str(row["pii_units"] or "").split("||") if (item := each.strip())]
    return {
        "id": _id(row, f"pupa-{number}"),
        "query": row["user_query"],
        "target_response": row["target_response"],
        "pii_units": units,
    }


def _said(settings: Any) -> Made:
    given: Plain = settings or {}
    return {name: value for name, value in given.items() if value is not None}


def _id(row: Plain, name: str) -> str:
    return str(row.get("id") or name)


def _slug(text: str) -> str:
    return re.sub(r"\W+", "_", text.strip().lower())
