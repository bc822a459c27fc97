"""Answers that are more than one text: what a target must look like for a metric, and the last boxed answer."""

from __future__ import annotations

import re
from collections.abc import Mapping

from flowbot.task.data import HIDDEN, unfolded
from flowbot.task.metrics import titles_of
from flowbot.workflow.fields import Json, as_text, is_list, is_map

CLOSE = 1e-3  # how near two numbers of a mathematical answer must be

_CONSTRAINTS = ("instruction_id_list", "kwargs")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?P<brace>\{)?")
_SPACE = re.compile(r"\\[ ,;:!]|\\q?quad\b|~|\s+")
_DRESS = re.compile(r"\\left|\\right|\\\$|\$|\\%|%|\\displaystyle")
_FRACTION = re.compile(r"\\[dt]frac\b")
_PLAIN = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)")
_WORDS = re.compile(r"\\(?:text|textbf|textit|mathrm|mbox)\s*\{([^{}]*)\}")


def target_error(metric: str, target: Json) -> str:
    """Return what is wrong with a target for a metric by name, as `TARGET_IS_WRONG_SO`; empty where nothing is."""
    match metric:
        case "math" if target is None or is_map(target) or is_list(target) or not as_text(target).strip():
            return "must be a text with the answer for the metric 'math'"
        case "math" if "\n" in as_text(target).strip() and boxed(as_text(target)) is None:
            return "is a solution without \\boxed{...} for the metric 'math'"
        case "recall" if not titles_of(_part(target, "titles")):
            return "must be a list of titles (or a map with titles) for the metric 'recall'"
        case "constraints":
            return _constraints_error(target)
        case "code_tests":
            return _tests_error(target)
        case "papillon":
            return _private_error(target)
        case _:
            return ""


def boxed(text: str) -> str | None:
    r"""Return what the last `\boxed{...}` (or `\fbox{...}`, `\boxed 5`) of a text holds, or None where there is none.

    A box whose braces are not closed holds nothing, and the one before it counts.
    """
    for found in reversed(list(_BOX.finditer(text))):
        if not found["brace"]:
            held = re.split(r"\s|\$", text[found.end() :].strip(), maxsplit=1)[0]
            if held:
                return held
            continue
        end = _closing(text, found.end())
        if end is not None:
            return text[found.end() : end].strip()
    return None


def _closing(text: str, start: int) -> int | None:
    """Return where the brace that was opened before `start` is closed."""
    depth = 1
    for found in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, start):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return None


def plain_answer(text: str) -> str:
    """Return a mathematical answer without what does not tell two apart: spaces, `$`, `%`, sizes of brackets."""
    bare = _SPACE.sub("", _DRESS.sub("", _WORDS.sub(r"\1", text.strip())))
    return _FRACTION.sub(r"\\frac", bare).rstrip(".")


def same_answer(said: str, wanted: str) -> bool | None:
    """Tell whether two answers are equal as texts or as plain numbers; None where only algebra can tell."""
    said, wanted = plain_answer(said), plain_answer(wanted)
    if said == wanted:
        return bool(said)
    if _PLAIN.fullmatch(said) and _PLAIN.fullmatch(wanted):
        return abs(float(said.replace(",", "")) - float(wanted.replace(",", ""))) <= CLOSE
    return None


def constraints_of(target: Json) -> tuple[list[str], list[dict[str, Json]]]:
    """Return the ids and the settings of a prompt's constraints; what is null in the settings is left out."""
    ids, settings = (unfolded(_part(target, name)) for name in _CONSTRAINTS)
    said: list[Mapping[str, Json]] = [each or {} for each in settings]
    return list(ids), [{name: value for name, value in each.items() if value is not None} for each in said]


def hidden_tests(target: Json) -> tuple[str, str]:
    """Return the tests' text, with its imports before it, and the entry point (empty where there is none)."""
    parts = [_lines(_part(target, "imports")) if is_map(target) else "", _lines(_part(target, HIDDEN))]
    entry = (_part(target, "entry_point") if is_map(target) else None) or ""
    return "\n".join(part for part in parts if part), entry


def private_parts(target: Json) -> tuple[str, list[str]]:
    """Return the expected response and the private items, each once."""
    units = unfolded(_part(target, "units"))
    return as_text(_part(target, "response")), list(dict.fromkeys(as_text(unit) for unit in units))


def _part(target: Json, name: str) -> Json:
    return target.get(name) if is_map(target) else target


def _lines(value: Json) -> str:
    value = unfolded(value)
    return "\n".join(as_text(each) for each in value) if is_list(value) else as_text(value) if value else ""


def _constraints_error(target: Json) -> str:
    ids, settings = (unfolded(_part(target, name)) if is_map(target) else None for name in _CONSTRAINTS)
    if not is_list(ids) or not ids or not all(isinstance(each, str) for each in ids):
        return "must be a map with instruction_id_list (a list of texts) and kwargs for the metric 'constraints'"
    good = is_list(settings) and len(settings) == len(ids) and all(each is None or is_map(each) for each in settings)
    return "" if good else f"must have kwargs with one map for each of its {len(ids)} constraints"


def _tests_error(target: Json) -> str:
    tests, entry = unfolded(_part(target, HIDDEN)), _part(target, "entry_point") if is_map(target) else None
    some = isinstance(tests, str) or (is_list(tests) and all(isinstance(each, str) for each in tests))
    if not some or not _lines(tests).strip():
        return "must hold tests, a text or a list of asserts, for the metric 'code_tests'"
    if entry is not None and not (isinstance(entry, str) and entry.isidentifier()):
        return f"must name a function as its entry_point, not {entry!r}"
    return ""


def _private_error(target: Json) -> str:
    units = unfolded(_part(target, "units")) if is_map(target) else None
    if not is_list(units) or not isinstance(_part(target, "response"), str):
        return "must be a map with response (a text) and units (a list of texts) for the metric 'papillon'"
    return ""
