"""Training text in prompts: found before it can be learnt by heart (law 10)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from flowbot.task.data import Example
from flowbot.workflow.fields import Json, as_text, is_list, is_map

RUN = 5  # words
RARE = 2  # a run found in more examples than this is the task's language, not one example's
LONG_ANSWER = 12  # characters
LONGEST_PART = 200  # characters; a longer part of a target, like a test's program, is no answer
NAME = 4  # letters
LONGEST_NAME = 6  # words of a prompt that are looked up as one name
_WORD = re.compile(r"\w+")
NO_NAMES = frozenset(  # words that begin sentences, headings and code, or are as often a verb as a name
    _WORD.findall(
        """
        about above after again also although always among another answer answers apply assume avoid because before
        below between bill both calculate category chase check choose claim classify column compare compute consider
        context count dear decide define describe determine document double during each either else ensure every
        example examples explain extract false final finally find first follow following format from give given grace
        grant hello help here hence hope however identify ignore important include input instead into item jack just
        keep last least leave less list look make many mark maybe miles more most must name never next none note
        nothing once only optional otherwise output over pick please problem question read reason remember repeat
        reply respond response result return rich role rose rule rules same select show simplify since solution solve
        some sort specifically start state step steps still such suppose sure task team text than thank thanks that
        their them then there therefore these they think this those though through thus today tomorrow true tuple
        under union unless until upon using value verify very well what when whenever where whether which while whose
        will with within without word work write yesterday your monday tuesday wednesday thursday friday saturday
        sunday january february march april june july august september october november december english dict float
        json latex markdown python string unicode
        """
    )
)
_WRITES_NOUNS_LARGE = ("und", "nicht", "ist", "das", "der", "ein")  # German: a capital says nothing there
_WITHIN = re.compile(r"[ \t]*[,&/]?[ \t]+|['’-]")  # what may stand before a word that begins no sentence


@dataclass(frozen=True)
class Leaks:
    """What must not stand in a prompt: rare runs of 5 words from examples, answers of 12 characters or more, and names.

    A name is a capitalised word of 4 letters or more, or a run of such words, that stands within a sentence. `parts`
    are words of longer names, and those that only begin sentences: where one begins a sentence of a prompt, it is taken
    for a plain word.
    """

    runs: frozenset[str]
    answers: frozenset[str]
    names: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, examples: Iterable[Example], allowed: str) -> Leaks:
        """Gather from examples; what the task's own words (`allowed`) say is no leak, nor are its labels names."""
        counts: Counter[str] = Counter()
        answers: Counter[str] = Counter()
        told: list[list[str]] = []
        targets: list[list[str]] = []
        for example in examples:
            texts = [as_text(value) for value in example.inputs.values()]
            found = _answers(example.target)
            counts.update({run for text in texts for run in _runs(text)})
            answers.update({" ".join(_words(each)) for each in found})
            told.append(texts)
            targets.append(found)
        known = " ".join(_words(allowed))
        runs = frozenset(run for run, count in counts.items() if count <= RARE and run not in known)
        long = frozenset(
            each for each, count in answers.items() if len(each) >= LONG_ANSWER and count <= RARE and each not in known
        )
        labels = answers if 2 * len(answers) <= sum(map(len, targets)) else ()
        own = " ".join([known, *labels])
        return cls(runs, long, *_names([[*texts, *found] for texts, found in zip(told, targets, strict=True)], own))

    def find(self, text: str) -> str:
        """Return the first copied run, answer or name in a text, or an empty text."""
        said = " ".join(_words(text))
        found = next((run for run in _runs(text) if run in self.runs), "")
        found = found or next((each for each in sorted(self.answers) if f" {each} " in f" {said} "), "")
        return found or next((each for each, begins in _named(text) if self._is_name(each.casefold(), begins)), "")

    def _is_name(self, folded: str, begins: bool) -> bool:
        return folded in self.names or (folded in self.parts and not begins)


def _answers(target: Json) -> list[str]:
    """Return what counts as an answer: the target or its alternatives; of one with parts, their short texts."""
    if is_map(target):
        items = [item for part in target.values() for item in (part if is_list(part) else [part])]
        return [item for item in items if isinstance(item, str) and len(item) <= LONGEST_PART]
    return [as_text(each) for each in (target if is_list(target) else [target]) if each is not None]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _runs(text: str) -> Iterator[str]:
    words = _words(text)
    for start in range(len(words) - RUN + 1):
        yield " ".join(words[start : start + RUN])


def _names(examples: Sequence[Sequence[str]], own: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the rare names in the texts of examples, and words of longer ones, case folded; none are among `own`."""
    words = Counter(word for texts in examples for text in texts for word in _WORD.findall(text))
    if sum(words[each] for each in _WRITES_NOUNS_LARGE) > 0.03 * words.total():
        return frozenset(), frozenset()
    plain = {word for word in words if word.islower()} | NO_NAMES | set(own.split())
    counts: Counter[str] = Counter()
    whole: set[str] = set()
    parts: set[str] = set()
    for texts in examples:
        held: set[str] = set()
        for run, begins in (each for text in texts for each in _capitals(text)):
            folded = [word.casefold() for word in run]
            start = 1 if begins and folded[0] in plain else 0
            name = " ".join(folded[start:])
            held.update(folded, [name])
            if len(folded) - start > 1:
                whole.add(name)
                parts.update(folded[1:] if begins else folded)
            elif start or not begins:
                whole.add(name)
            else:
                parts.add(name)  # it may be large for it begins a sentence; a prompt's sentence need not begin with it
        counts.update(held)
    rare = [name for name in whole | parts if counts[name] <= RARE and _is_name(name, plain, own)]
    return frozenset(rare) & whole, frozenset(rare) - whole


def _is_name(name: str, plain: Collection[str], own: str) -> bool:
    """Tell whether one capitalised word, or a run of them, is more than plain words written large."""
    words = name.split()
    return len(name) >= NAME and any(word not in plain for word in words) and f" {name} " not in f" {own} "


def _capitals(text: str) -> Iterator[tuple[list[str], bool]]:
    """Yield the runs of capitalised words in a text, and whether each may begin a sentence."""
    run: list[str] = []
    begins, end = True, 0
    for match in _WORD.finditer(text):
        word, gap = match.group(), text[end : match.start()]
        large = word.isalpha() and word[0].isupper() and not word.isupper()
        if run and not (large and gap in (" ", "-")):
            yield run, begins
            run = []
        if large:
            begins = begins if run else not end or _WITHIN.fullmatch(gap) is None
            run.append(word)
        end = match.end()
    if run:
        yield run, begins


def _named(text: str) -> Iterator[tuple[str, bool]]:
    """Yield what may be a name in a prompt, and whether it may begin a sentence: runs, longest first, down to words."""
    for run, begins in _capitals(text):
        for size in range(min(len(run), LONGEST_NAME), 0, -1):
            for start in range(len(run) - size + 1):
                yield " ".join(run[start : start + size]), begins and not start
