"""The pure metrics: a number in [0, 1] for one output, with feedback in words that a gradient can use."""

from __future__ import annotations

import json
import re
import string
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from flowbot.task.data import Example
from flowbot.workflow.fields import Json, as_text, is_list, is_map


@dataclass(frozen=True)
class Score:
    """The metric's number for one example, in [0, 1], with written feedback."""

    value: float
    feedback: str = ""

    def __post_init__(self) -> None:
        if not 0.0 <= self.value <= 1.0:
            raise ValueError(f"a score must lie in [0, 1], got {self.value!r}")


Pure = Callable[[Example, Json], Score]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_NUMBER = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def normalised(value: Json) -> str:
    """Return text in lower case without punctuation, articles and runs of spaces (SQuAD's normalisation)."""
    text = as_text(value).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact(example: Example, output: Json) -> Score:
    """Score 1 where output and target are equal after normalisation; a list of targets holds alternatives."""
    if any(normalised(output) == normalised(target) for target in _targets(example)):
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong: expected {_shown(example.target)}, got {_shown(output)}.")


def contains(example: Example, output: Json) -> Score:
    """Score 1 where the normalised target stands in the normalised output, as whole words."""
    said = f" {normalised(output)} "
    if any(f" {normalised(target)} " in said for target in _targets(example)):
        return Score(1.0, "Right: the expected text is there.")
    return Score(0.0, f"Wrong: {_shown(example.target)} does not stand in the output {_shown(output)}.")


def last_number(value: Json) -> float | None:
    """Return the last number in a text, or None; the commas of 1,234 and a percent sign behind it are dropped."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(as_text(value))  # by way of text: a whole number may be larger than a float
    found = _NUMBER.findall(as_text(value))
    return float(found[-1].replace(",", "")) if found else None


def number(example: Example, output: Json, tolerance: float = 1e-6) -> Score:
    """Score 1 where the last number of the output equals the target's within `tolerance` (absolute)."""
    said, wanted = last_number(output), last_number(example.target)
    if wanted is None:
        raise ValueError(f"example '{example.id}': the target {_shown(example.target)} holds no number")
    if said is None:
        return Score(0.0, f"Wrong: no number in the output; expected {wanted:g}.")
    if abs(said - wanted) <= tolerance:
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong: expected {wanted:.12g}, got {said:.12g}.")


def f1(example: Example, output: Json) -> Score:
    """Score token F1 after SQuAD's normalisation, the maximum over alternative targets."""
    value = max(_token_f1(normalised(output).split(), normalised(target).split()) for target in _targets(example))
    verdict = "Right." if value == 1 else "Partly right:" if value > 0 else "Wrong:"
    return Score(
        value, verdict if value == 1 else f"{verdict} expected {_shown(example.target)}, got {_shown(output)}."
    )


def choice(example: Example, output: Json) -> Score:
    """Score 1 where the output is the target's label, but for case and the marks around it."""
    said, wanted = as_text(output).strip().casefold(), as_text(example.target).strip().casefold()
    if said.strip(" .\"'`*\n") == wanted:
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong label: expected {_shown(example.target)}, got {_shown(output)}.")


def json_fields(example: Example, output: Json) -> Score:
    """Score the share of the target's fields that the output has with an equal value, field by field."""
    said, wanted = _as_object(output), _as_object(example.target)
    if not is_map(wanted) or not wanted:
        return exact(example, output)
    if not is_map(said):
        return Score(0.0, f"Wrong: expected an object with {', '.join(wanted)}, got {_shown(output)}.")
    missing = [name for name in wanted if name not in said]
    differing = [name for name in wanted if name in said and not _equal(said[name], wanted[name])]
    right = len(wanted) - len(missing) - len(differing)
    notes = [f"{name} is missing" for name in missing]
    notes += [f"{name}: expected {_shown(wanted[name])}, got {_shown(said[name])}" for name in differing]
    return Score(right / len(wanted), "Right." if not notes else "; ".join(notes) + ".")


PURE: dict[str, Pure] = {
    "exact": exact,
    "contains": contains,
    "number": number,
    "f1": f1,
    "choice": choice,
    "json": json_fields,
}


def _targets(example: Example) -> list[Json]:
    return list(example.target) if is_list(example.target) and example.target else [example.target]


def _token_f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _as_object(value: Json) -> Json:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _equal(said: Json, wanted: Json) -> bool:
    if isinstance(said, str) and isinstance(wanted, str):
        return normalised(said) == normalised(wanted)
    if isinstance(said, bool) or isinstance(wanted, bool):
        return said is wanted
    if isinstance(said, int | float) and isinstance(wanted, int | float):
        return abs(said - wanted) <= 1e-9 * max(1.0, abs(wanted))
    return said == wanted


def _shown(value: Json) -> str:
    text = as_text(value) if value is not None else "nothing"
    return f"'{text}'" if len(text) <= 200 else f"'{text[:197]}...'"
