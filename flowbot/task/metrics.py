"""The pure metrics: a number in [0, 1] for one output, with feedback in words that a gradient can use."""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from flowbot.task.data import Example, unfolded
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
_PLAIN = re.compile(r"[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?")
_MARK = r"[!\"$%&'()*,.:;?@\[\]\\_`{|}~]"
_DROPPED = re.compile(
    rf"(?<=\d),(?=\d{{3}}(?!\d))|(?<!\d){_MARK}|{_MARK}(?!\d)"  # marks, but for those between digits
    r"|(?<![\w#+])#+|(?<=[^\W\d])-(?=\w)|(?<=\w)-(?=[^\W\d])"  # `#` but after a word; a hyphen within a word
)
_ITEM = re.compile(r"^(?:[-*•]|\d+[.)])\s+")  # how a list's item begins
_BULLET = re.compile(r"^[-+#/<>=^]+ (?=.)")


def normalised(value: Json) -> str:
    """Return text in lower case without punctuation, articles and runs of spaces (SQuAD's normalisation)."""
    text = as_text(value).lower().translate(_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def exact(example: Example, output: Json) -> Score:
    """Score 1 where output and target are the same, as texts or, where both are plain numbers, as numbers.

    Texts are the same after SQuAD's normalisation, with symbols that tell two answers apart kept: `+ - / < > = ^`, a
    `#` behind a word, and any mark between digits (C++ and C#, -5 and 5, 1.5 and 15 differ; a hyphen within a word and
    a bullet do not count). A text of articles or marks alone keeps them. A target that is a list holds alternatives
    for an output that is no list; a list or a map as output is compared whole, item by item in order.
    """
    if any(_same(output, target) for target in _targets(example, output)):
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong: expected {_shown(example.target)}, got {_shown(output)}.")


def squad_exact(example: Example, output: Json) -> Score:
    """Score 1 where output and target are the same after SQuAD's normalisation alone, as DSPy and GEPA score it.

    Letters are compared in their decomposed form. A target that is a list holds alternatives.
    """
    said = normalised(_decomposed(output))
    if any(said == normalised(_decomposed(target)) for target in _targets(example, output)):
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong: expected {_shown(example.target)}, got {_shown(output)}.")


def contains(example: Example, output: Json) -> Score:
    """Score 1 where the target, normalised as for `exact`, stands in the output as whole words.

    A target of articles alone, like the label A, is looked for as it is written, in its case. Where output and target
    are lists (or maps), each item (or field) of the target must be in the output.
    """
    if any(_holds(output, target) for target in _targets(example, output)):
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
    """Score token F1 after SQuAD's normalisation, the maximum over alternative targets; a list counts as its words."""
    value = max(_token_f1(_words(output), _words(target)) for target in _targets(example, output))
    verdict = "Right." if value == 1 else "Partly right:" if value > 0 else "Wrong:"
    return Score(
        value, verdict if value == 1 else f"{verdict} expected {_shown(example.target)}, got {_shown(output)}."
    )


def drop_f1(example: Example, output: Json, bars: bool = False) -> Score:
    """Score token F1 after SQuAD's normalisation, the maximum over the alternatives: a list, or a text split on `|`.

    With `bars` an output is split likewise and its best part counts, as in AFlow: then an answer may hedge.
    This is how prompt and workflow optimizers report DROP. Its official evaluator differs: it keeps the marks within
    numbers (here 1.5 reads as 15) and splits words at hyphens, counts a token once, gives 0 where the gold has numbers
    and none of them is in the answer, and aligns several spans one to one before it takes the mean of their F1.
    """
    given = example.target
    parts = list(given) if is_list(given) else as_text(given).split("|")
    wanted = [part for part in parts if as_text(part).strip()] or [""]
    said = as_text(output).split("|") if bars and not is_list(output) else [output]
    value, best = max(
        ((_token_f1(_words(each), _words(part)), part) for part in wanted for each in said), key=lambda pair: pair[0]
    )
    if value == 1:
        return Score(1.0, "Right.")
    near = f" ({len(wanted)} alternatives are right)" if len(wanted) > 1 else ""
    if value == 0:
        return Score(0.0, f"Wrong: expected {_shown(wanted[0])}{near}, got {_shown(output)}.")
    lacking, more = _difference(_words(output), _words(best))
    notes = [f"it lacks {', '.join(lacking)}"] * bool(lacking) + [f"it has besides {', '.join(more)}"] * bool(more)
    return Score(value, f"Partly right: expected {_shown(best)}{near}, got {_shown(output)}; {'; '.join(notes)}.")


def recall(example: Example, output: Json, every: bool = False, most: int | None = None, squad: bool = False) -> Score:
    """Score the share of the gold documents that are among the retrieved; with `every`, 1 for all of them, else 0.

    The target is a list of titles, or a map with `titles`. The output is a list of titles, of texts `Title | text` or
    of objects with a `title`, in lists of any depth, or a text with one of them a line. Case and spaces do not count.
    The first `most` documents of the output count; with `squad` titles are compared by SQuAD's normalisation.
    """
    given = example.target.get("titles") if is_map(example.target) else example.target
    gold = list(dict.fromkeys(titles_of(given)))
    if not gold:
        raise ValueError(f"example '{example.id}': the target {_shown(example.target)} holds no titles")
    key = _squad_title if squad else _title
    got = {key(each) for title in titles_of(output)[:most] for each in (title, _ITEM.sub("", title))}
    found = [title for title in gold if key(title) in got]
    missed = [title for title in gold if key(title) not in got]
    said = "; ".join(f"{what}: {', '.join(some)}" for what, some in (("Found", found), ("Missed", missed)) if some)
    return Score(float(not missed) if every else len(found) / len(gold), f"{said}.")


def titles_of(value: Json) -> list[str]:
    """Return the titles of documents, in order: see `recall` for the forms they may have."""
    if is_list(value):
        return [title for each in value for title in titles_of(each)]
    if is_map(value):
        named = next((value[name] for name in ("title", "titles", "passages") if name in value), None)
        return titles_of(named if named is not None else list(value.values()))
    if not isinstance(value, str):
        return []
    opened = unfolded(value)
    if not isinstance(opened, str):
        return titles_of(opened)
    return [title for line in value.splitlines() if (title := line.split(" | ", 1)[0].strip())]


def choice(example: Example, output: Json) -> Score:
    """Score 1 where the output is the target's label, but for case and the marks around it."""
    said, wanted = as_text(output).strip().casefold(), as_text(example.target).strip().casefold()
    if said.strip(" .\"'`*\n") == wanted:
        return Score(1.0, "Right.")
    return Score(0.0, f"Wrong label: expected {_shown(example.target)}, got {_shown(output)}.")


def json_fields(example: Example, output: Json) -> Score:
    """Score the share of the target's fields that the output has with an equal value, field by field.

    A target without fields is compared whole: a list item by item in order, anything else as by `exact`.
    """
    said, wanted = _as_object(output), _as_object(example.target)
    if (is_list(said) and not is_map(wanted)) or (is_map(said) and not wanted):
        right = _equal(said, wanted)
        return Score(float(right), "Right." if right else f"Wrong: expected {_shown(wanted)}, got {_shown(said)}.")
    if not is_map(wanted) or not wanted:
        return exact(example, said if is_map(said) else output)
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
    "drop_f1": drop_f1,
    "recall": recall,
}
METRICS = (*PURE, "judge", "math", "constraints", "code_tests", "papillon")  # all that a task may name


def _targets(example: Example, output: Json) -> list[Json]:
    """Return the alternatives; a target is one value where the output is a list or a map."""
    several = is_list(example.target) and example.target and not is_list(output) and not is_map(output)
    return list(example.target) if several else [example.target]


def _same(said: Json, wanted: Json) -> bool:
    if isinstance(said, str) and (is_list(wanted) or is_map(wanted)):
        said = _as_object(said)
    if isinstance(wanted, str) and (is_list(said) or is_map(said)):
        wanted = _as_object(wanted)
    if is_list(said) and is_list(wanted):
        return len(said) == len(wanted) and all(map(_same, said, wanted))
    if is_list(said) or is_map(said) or is_list(wanted) or is_map(wanted):
        return _equal(said, wanted)
    return _same_text(as_text(said), as_text(wanted))


def _same_text(said: str, wanted: str) -> bool:
    said, wanted = said.strip(), wanted.strip()
    if _PLAIN.fullmatch(said) and _PLAIN.fullmatch(wanted):
        return Decimal(said.replace(",", "")) == Decimal(wanted.replace(",", ""))
    return _telling(said) == _telling(wanted)


def _telling(text: str, *, articles: bool = False, cased: bool = False) -> str:
    """Return text as SQuAD normalises it, but with what tells two answers apart; never emptied."""
    text = " ".join(text.split()) if cased else " ".join(text.casefold().split())
    words = _BULLET.sub("", " ".join(_DROPPED.sub("", text).split())).split()
    content = [word for word in words if word not in ("a", "an", "the")]
    return " ".join((words if articles else content) or words) or text


def _holds(said: Json, wanted: Json) -> bool:
    if is_list(said) and is_list(wanted):
        return all(any(_same(item, each) for item in said) for each in wanted)
    if is_map(said) and is_map(wanted):
        return all(name in said and _same(said[name], item) for name, item in wanted.items())
    bare = not normalised(wanted)
    sought, text = (_telling(as_text(each), articles=bare, cased=bare) for each in (wanted, said))
    return f" {sought} " in f" {text} "


def _words(value: Json) -> list[str]:
    return [word for item in value for word in _words(item)] if is_list(value) else normalised(value).split()


def _token_f1(said: list[str], wanted: list[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    common = sum((Counter(said) & Counter(wanted)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(said), common / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _difference(said: list[str], wanted: list[str]) -> tuple[list[str], list[str]]:
    """Return the first words that one lacks and the other has besides."""
    here, there = Counter(said), Counter(wanted)
    return list((there - here).elements())[:8], list((here - there).elements())[:8]


def _title(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _squad_title(text: str) -> str:
    return normalised(_decomposed(text)) or _title(text)  # a title of marks or an article alone keeps them


def _decomposed(value: Json) -> Json:
    return unicodedata.normalize("NFD", as_text(value)) if not is_list(value) else value


def _as_object(value: Json) -> Json:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _equal(said: Json, wanted: Json) -> bool:
    if isinstance(said, str) and isinstance(wanted, str):
        return _same_text(said, wanted)
    if isinstance(said, bool) or isinstance(wanted, bool):
        return said is wanted
    if isinstance(said, int | float) and isinstance(wanted, int | float):
        return said == wanted or abs(said - wanted) <= 1e-9 * max(1.0, abs(wanted))
    if is_list(said) and is_list(wanted):
        return len(said) == len(wanted) and all(map(_equal, said, wanted))
    if is_map(said) and is_map(wanted):
        return set(said) == set(wanted) and all(_equal(said[name], wanted[name]) for name in wanted)
    return said == wanted


def _shown(value: Json) -> str:
    text = as_text(value) if value is not None else "nothing"
    return f"'{text}'" if len(text) <= 200 else f"'{text[:197]}...'"
