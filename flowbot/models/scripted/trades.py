"""The three kinds of work: conventions that prompts must state, facts that tools must find, parts done one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from flowbot.models.scripted.orders import Heeded, Notes, draw, pick

STAGES = ("reading", "working", "wording")
SHARE = 0.35  # of the orders that a convention concerns
HEEDED = {1: 3, 2: 3, 3: 2}  # conventions that a call keeps, by the stages that it does at once
TRAP = re.compile(r"every order carries the mark (\w+)", re.IGNORECASE)
SENTENCE = re.compile(r"[\n.;]")
SLOTS = {  # what an order says, and how a convention speaks of it; two for each stage
    "colour": (("amber", "jade", "ivory", "onyx", "coral"), "WORD goods"),
    "thing": (("rings", "bowls", "lamps", "masks", "combs"), "all WORD"),
    "city": (("Oslo", "Porto", "Gdansk", "Malmo", "Trieste"), "orders to WORD"),
    "way": (("barge", "train", "truck", "plane", "mule"), "orders that go by WORD"),
    "client": (("school", "museum", "hotel", "bakery", "chapel"), "orders for a WORD"),
    "packing": (("crates", "sacks", "baskets", "tubes", "barrels"), "goods in WORD"),
}


@dataclass(frozen=True)
class Convention:
    """A secret rule: orders with this word carry this mark; the stage in which it is seen to."""

    word: str
    mark: str
    stage: str
    line: str


@dataclass(frozen=True)
class Conventions:
    """Work in three stages. A convention is kept where the instruction of the call that does its stage states it.

    `among` are the numbers of the six conventions that are in force.
    """

    seed: int
    among: tuple[int, ...] = (0, 1, 2, 3, 4, 5)
    description: str = "Give the marks that an order carries, in order."

    @cached_property
    def all(self) -> tuple[Convention, ...]:
        """The conventions in the order of the stages."""
        made: list[Convention] = []
        letters = sorted("BCDFGHKLMNPRSTVW", key=lambda letter: draw(self.seed, "letter", letter))
        for number, (slot, (values, said)) in enumerate(SLOTS.items()):
            word = pick(values, self.seed, "word", slot)
            mark = f"{letters[number]}{int(2 + 7 * draw(self.seed, 'digit', slot))}"
            line = f"{said.replace('WORD', word)} carry the mark {mark}"
            made.append(Convention(word, mark, STAGES[number // 2], line[0].upper() + line[1:] + "."))
        return tuple(made[number] for number in self.among)

    def of(self, stage: str) -> tuple[int, ...]:
        """Return the numbers of the conventions of a stage."""
        return tuple(number for number, each in enumerate(self.all) if each.stage == stage)

    def order(self, number: int, seed: int) -> str:
        words = {each.word for each in self.all}
        count = int(2 + 8 * draw(seed, number, "count"))
        said: dict[str, str] = {}
        for slot, (values, _) in SLOTS.items():
            key = [value for value in values if value in words]
            others = [value for value in values if value not in words]
            concerned = key and draw(seed, number, slot) < SHARE
            said[slot] = pick(key if concerned else others, seed, number, slot, "which")
        goods = f"{count} {said['colour']} {said['thing']} in {said['packing']}"
        return f"Order {number:04}: {goods}, to {said['city']} by {said['way']}, for a {said['client']}."

    def concerned(self, order: str) -> tuple[int, ...]:
        """Return the numbers of the conventions that concern an order."""
        return tuple(number for number, each in enumerate(self.all) if each.word in order)

    def right(self, order: str) -> tuple[str, ...]:
        return tuple(self.all[number].mark for number in self.concerned(order))

    def stated(self, text: str) -> tuple[int, ...]:
        """Return the numbers of the conventions that a text states: a sentence with both its word and its mark."""
        found: dict[int, None] = {}
        for sentence in SENTENCE.split(text):
            words = set(re.findall(r"\w+", sentence.lower()))
            for number, each in enumerate(self.all):
                if each.word.lower() in words and each.mark.lower() in words:
                    found[number] = None
        return tuple(found)

    def heed(self, instruction: str, demos: Sequence[tuple[str, str]]) -> Heeded:
        stated = dict.fromkeys(self.stated(instruction))
        for read, given in demos:
            for number, each in enumerate(self.all):
                if each.word in read and re.search(rf"\b{each.mark}\b", given) and each.mark not in read:
                    stated[number] = None
        trap = TRAP.search(instruction)
        return Heeded(tuple(stated), trap[1] if trap else "")

    def worked(self, notes: Notes, read: str, heeded: Heeded, last: bool) -> Notes:
        left = STAGES[len(notes.done) :]
        todo = left if last else left[:1]
        if not todo:
            return notes
        kept = heeded.stated[: HEEDED[len(todo)]]
        for stage in todo:
            found = [heeded.trap] if heeded.trap else []
            if not heeded.trap:
                found = [
                    self.all[number].mark for number in self._of[stage] if number in kept and self._in(number, notes)
                ]
            notes = notes.and_then(stage, found)
        return notes

    @cached_property
    def _of(self) -> dict[str, tuple[int, ...]]:
        return {stage: self.of(stage) for stage in STAGES}

    def _in(self, number: int, notes: Notes) -> bool:
        return self.all[number].word in notes.order

    def marks(self, notes: Notes) -> tuple[str, ...]:
        return notes.marks

    def complete(self, notes: Notes) -> bool:
        return len(notes.done) >= len(STAGES)


THINGS = ("rings", "bowls", "lamps", "masks", "combs", "drums", "chairs", "flutes")
COUNTED = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class Parts:
    """Orders of two to four parts, half of them of four. The model knows the marks, but a call does one part."""

    seed: int
    description: str = "Give the mark of each part of an order, in order."

    @cached_property
    def known(self) -> dict[str, str]:
        """The mark of each thing."""
        return {thing: f"{'BCDFGHKL'[at]}{int(2 + 7 * draw(self.seed, thing))}" for at, thing in enumerate(THINGS)}

    def order(self, number: int, seed: int) -> str:
        count = pick((2, 3, 4, 4), seed, number, "parts")
        things = sorted(THINGS, key=lambda thing: draw(seed, number, thing))[:count]
        parts = ", ".join(f"{int(2 + 8 * draw(seed, number, thing, 'count'))} {thing}" for thing in things)
        return f"Order {number:04}: {parts}."

    def right(self, order: str) -> tuple[str, ...]:
        return tuple(self.known[thing] for thing in re.findall(r"\d+ ([a-z]+)", order) if thing in self.known)

    def heed(self, instruction: str, demos: Sequence[tuple[str, str]]) -> Heeded:
        return Heeded()

    def worked(self, notes: Notes, read: str, heeded: Heeded, last: bool) -> Notes:
        at, right = len(notes.done), self.right(notes.order)
        return notes.and_then(COUNTED[at], [right[at]]) if at < len(right) else notes

    def marks(self, notes: Notes) -> tuple[str, ...]:
        return notes.marks

    def complete(self, notes: Notes) -> bool:
        return len(notes.done) >= len(self.right(notes.order))


FIRMS = ("Halden", "Brask", "Cordell", "Dunmore", "Estrup", "Farrow", "Galvin", "Hoxley", "Ibsen", "Jarrow")
PORTS = ("Ansa", "Borkum", "Calder", "Drava", "Elbing", "Fano")
FIRM = re.compile(r"of the firm (\w+)")
SHIPS = re.compile(r"The firm (\w+) ships through (\w+)")
CARRY = re.compile(r"Goods (?:of the firm|that pass) (\w+) carry the mark (\w+)")
NAMES = re.compile("|".join([*FIRMS, *PORTS]))
ONE_HOP = 3  # firms whose mark stands in the first document already; the archive is right for them


def port_of(firm: str) -> str:
    """Return the port that a firm ships through."""
    return PORTS[FIRMS.index(firm) % len(PORTS)]


def mark_of(name: str) -> str:
    """Return the mark of a port or, of a firm that ships through it, the port's."""
    port = name if name in PORTS else port_of(name)
    return f"{port[0]}{3 + PORTS.index(port)}"


def search(query: str) -> list[str]:
    """Search documents about firms and ports: what is said of the last name in the query."""
    names = NAMES.findall(query)
    if not names:
        return ["Nothing was found."]
    name = next((each for each in reversed(names) if each in PORTS), names[-1])
    if name in PORTS:
        return [f"Goods that pass {name} carry the mark {mark_of(name)}."]
    if FIRMS.index(name) < ONE_HOP:
        return [f"Goods of the firm {name} carry the mark {mark_of(name)}."]
    return [f"The firm {name} ships through {port_of(name)}."]


def register(query: str) -> list[str]:
    """Look a firm up in the register: its mark of today."""
    names = [name for name in NAMES.findall(query) if name in FIRMS]
    return [f"Goods of the firm {name} carry the mark {mark_of(name)}." for name in names[:1]] or ["Nothing was found."]


def archive(query: str) -> list[str]:
    """Look a firm up in the archive: the mark that it had long ago, which for most is another today."""
    names = [name for name in NAMES.findall(query) if name in FIRMS]
    if not names:
        return ["Nothing was found."]
    old = mark_of(names[0]) if FIRMS.index(names[0]) < ONE_HOP else f"Z{FIRMS.index(names[0])}"
    return [f"Goods of the firm {names[0]} carry the mark {old}."]


@dataclass(frozen=True)
class Lookup:
    """Orders whose one mark stands in documents. A call notes all that follows from what it read."""

    description: str = "Give the mark that the goods of the firm carry."

    def order(self, number: int, seed: int) -> str:
        return f"Order {number:04} of the firm {pick(FIRMS, seed, number, 'firm')}."

    def right(self, order: str) -> tuple[str, ...]:
        firm = FIRM.search(order)
        return (mark_of(firm[1]),) if firm and firm[1] in FIRMS else ()

    def heed(self, instruction: str, demos: Sequence[tuple[str, str]]) -> Heeded:
        return Heeded()

    def worked(self, notes: Notes, read: str, heeded: Heeded, last: bool) -> Notes:
        firm, done = FIRM.search(notes.order), dict(notes.done)
        marks = dict(CARRY.findall(read))
        if firm is None or "mark" in done:
            return notes
        if firm[1] in marks:
            return notes.and_then("mark", [marks[firm[1]]])
        port = done.get("port") or dict(SHIPS.findall(read)).get(firm[1])
        if port is None:
            return notes
        notes = notes if "port" in done else notes.and_then("port", [port])
        return notes.and_then("mark", [marks[port]]) if port in marks else notes

    def marks(self, notes: Notes) -> tuple[str, ...]:
        return tuple(found for heading, found in notes.done if heading == "mark")

    def complete(self, notes: Notes) -> bool:
        return "mark" in dict(notes.done)
