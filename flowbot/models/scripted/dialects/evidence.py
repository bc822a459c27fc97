"""What another optimiser's request shows of runs, and what is made of it: as in FlowBot's gradients and updates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from flowbot.models.scripted.gradients import BEFORE, FREE, HERE, lacking, prompt_update
from flowbot.models.scripted.orders import notes_in
from flowbot.models.scripted.trades import TRAP
from flowbot.models.scripted.writer import Writer

MARK = re.compile(r"\b[A-Z]\d\b")
MARKS = re.compile(r"\[[^\]\n]*\]|\b[A-Z]\d\b(?:[ ,]+[A-Z]\d\b)*")
WANTED = re.compile(r"expected|correct|ground.?truth|should (?:be|have been)|gold|target|label", re.IGNORECASE)
GOT = re.compile(r"\bgot\b", re.IGNORECASE)
GAVE = re.compile(r"output|response|answer|prediction|generated|completion", re.IGNORECASE)
SAID = re.compile(r"feedback|score|critique|evaluation", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """A meta request that was understood: what to say, and the form in which to write it."""

    name: str
    say: Callable[[Writer], str]
    form: Callable[[str], str]


def marks_in(text: str) -> list[str] | None:
    """Return the first list or row of marks in a text; None where there is none."""
    for found in MARKS.finditer(text):
        marks = MARK.findall(found[0])
        if marks or found[0].strip("[] ") == "":
            return marks
    return None


def expected_in(text: str) -> list[str] | None:
    """Return the marks that a text calls the expected ones; None where it names none."""
    for found in WANTED.finditer(text):
        marks = marks_in(GOT.split(text[found.end() :].partition("\n\n")[0])[0])
        if marks is not None:
            return marks
    return None


@dataclass(frozen=True)
class Shown:
    """One run of a call as a request shows it: texts of what it read and gave, and what was said of the result."""

    read: str
    gave: str
    said: str

    @property
    def expected(self) -> list[str] | None:
        """The marks that were expected of the whole workflow; None where that is not said."""
        return expected_in(self.said)

    @property
    def given(self) -> list[str]:
        """The marks that the workflow gave where that is said, else those that this call gave."""
        got = GOT.search(self.said)
        told = marks_in(self.said[got.end() :]) if got else None
        return MARK.findall(self.gave) if told is None else told

    def here(self, stage: int) -> bool:
        """Tell whether this call did a stage: one that gave notes did those that are new in them, else all the rest."""
        before, gave = notes_in(self.read), notes_in(self.gave)
        if before is None:
            return False
        done = len(before.done)
        return done <= stage and (gave is None or stage < max(len(gave.done), done + 1))


def run_of(parts: Mapping[str, str]) -> Shown:
    """Return a run out of named parts: which of them was read, given or said, their names tell."""
    read, gave, said = list[str](), list[str](), list[str]()
    for name, text in parts.items():
        if WANTED.search(name) or SAID.search(name):
            said.append(f"{name}: {text}")
        else:
            (gave if GAVE.search(name) else read).append(text)
    return Shown("\n".join(read), "\n".join(gave), "\n\n".join(said))


def critique(instruction: str, runs: Iterable[Shown], writer: Writer) -> str:
    """Say which rules failing runs show to be missing, at this call or before it, in the words of a gradient."""
    said: dict[str, None] = {}
    for run in runs:
        if run.expected is None or run.expected == run.given:
            continue
        if TRAP.search(instruction):
            said[FREE] = None
        notes = notes_in(run.read) or notes_in(run.gave)
        for number in lacking(writer, notes.order if notes else "", run.expected, run.given):
            said[placed(number, run, writer)] = None
    return " ".join(said)


def placed(number: int, run: Shown, writer: Writer) -> str:
    """Return a rule with the word whether it belongs into the call of a run or before it."""
    return f"{HERE if run.here(writer.stage(number)) else BEFORE}{writer.line(number)}"


def rewritten(instruction: str, critiques: str, writer: Writer) -> str:
    """Return an instruction with what critiques ask for: FlowBot's own update, with its draws of skill."""
    return prompt_update({"instruction": instruction, "critiques": critiques}, writer)["instruction"]


def facts(expected: Sequence[str], given: Sequence[str]) -> str:
    """Say what was expected and what was given."""
    return f"expected {json.dumps(expected)}, got {json.dumps(given)}."
