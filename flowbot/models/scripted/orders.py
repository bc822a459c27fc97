"""Orders, the marks that they carry, and the notes in which a call hands on how far it got.

Whatever is drawn here depends on the arguments alone: equal questions have equal answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol, TypeVar

T = TypeVar("T")
OUTPUT = "marks"  # the field that a workflow gives
INPUT = "order"
NOTES = re.compile(r'Order \d+[^|\n".?]*[.?](?: \| [a-z]+: \w+(?: \w+)*)*')
NONE = "none"


def draw(*parts: object) -> float:
    """Return a number in [0, 1) made of the parts."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=6).digest()) / 2**48


def pick(options: Sequence[T], *parts: object) -> T:
    """Return one of the options, drawn by the parts."""
    return options[int(draw(*parts) * len(options))]


@dataclass(frozen=True)
class Notes:
    """An order with what was done of it: pairs of a heading and the marks found, in the order of the work.

    As a text: `Order 173: 4 amber rings. | reading: B2 K7 | working: none`.
    """

    order: str
    done: tuple[tuple[str, str], ...] = ()

    @property
    def text(self) -> str:
        """The notes as a call writes them."""
        return "".join([self.order, *(f" | {heading}: {found}" for heading, found in self.done)])

    def and_then(self, heading: str, found: Sequence[str]) -> Notes:
        """Return the notes with one more thing done."""
        return Notes(self.order, (*self.done, (heading, " ".join(found) or NONE)))

    @property
    def marks(self) -> tuple[str, ...]:
        """All that was found, in order."""
        return tuple(mark for _, found in self.done if found != NONE for mark in found.split())


def notes_in(text: str) -> Notes | None:
    """Return the notes in a text that got furthest, the first of those; None where there is no order in it."""
    best: Notes | None = None
    for match in NOTES.finditer(text):
        order, *done = match.group().split(" | ")
        if best is None or len(done) > len(best.done):
            pairs = (part.partition(": ") for part in done)
            best = Notes(order, tuple((heading, found.strip()) for heading, _, found in pairs))
    return best


@dataclass(frozen=True)
class Heeded:
    """What a call heeds of its instruction and demos: conventions by number, in the order stated, and a trap."""

    stated: tuple[int, ...] = ()
    trap: str = ""


class Trade(Protocol):
    """A kind of work with orders: which marks are right, and what one call does of it.

    `description` is what the task says.
    """

    @property
    def description(self) -> str: ...

    def order(self, number: int, seed: int) -> str:
        """Return the text of an order."""
        ...

    def right(self, order: str) -> tuple[str, ...]:
        """Return the marks that an order carries."""
        ...

    def heed(self, instruction: str, demos: Sequence[tuple[str, str]]) -> Heeded:
        """Return what a call with this instruction, and demos of what was read and given, heeds."""
        ...

    def worked(self, notes: Notes, read: str, heeded: Heeded, last: bool) -> Notes:
        """Return the notes after one call that read a text; the last call does all that is left and that it can."""
        ...

    def marks(self, notes: Notes) -> tuple[str, ...]:
        """Return the marks that notes come to."""
        ...

    def complete(self, notes: Notes) -> bool:
        """Tell whether nothing is left to do."""
        ...
