"""The task model of a planted world: it obeys prompts by rule, slips now and then, and always keeps to the form."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowbot.engine.ports import Message, Request, ToolCall
from flowbot.models.scripted.orders import NONE, OUTPUT, Heeded, Notes, Trade, draw, notes_in, pick
from flowbot.workflow.fields import Json, is_map

HONEST = 0.8  # chance that a check says what is so
REPAIR = "That does not fit:"  # how a request begins that asks again
ANSWERED = re.compile(rf"(?:\A|\n\n)(?:\w+\.)?{OUTPUT}:\n(\[[^\n]*\])")
SAMPLED = re.compile(r"(?:\A|\n\n)samples:\n(\[.*\])")
NOTHING = "There is nothing to go by."


@dataclass(frozen=True)
class Said:
    """A request taken apart: the instruction, demos as pairs of what was read and given, and all that is read now."""

    instruction: str
    demos: tuple[tuple[str, str], ...]
    read: str
    used: bool = False


def taken_apart(messages: Sequence[Message]) -> Said:
    """Take the messages of a call apart; a request to mend a reply's form adds nothing to what is read."""
    if len(messages) == 2:
        return Said(messages[0]["content"], (), messages[1]["content"])
    asked = [
        at for at, each in enumerate(messages) if each["role"] == "user" and not each["content"].startswith(REPAIR)
    ]
    last = asked[-1]
    demos = tuple((messages[at]["content"], messages[at + 1]["content"]) for at in asked[:-1])
    results = [each["content"] for each in messages[last:] if each["role"] == "tool"]
    return Said(messages[0]["content"], demos, "\n".join([messages[last]["content"], *results]), bool(results))


@dataclass
class TaskModel:
    """Answers task calls of one world. `noise` is the chance that a call slips."""

    trade: Trade
    seed: int
    noise: float
    _heeded: dict[tuple[Any, ...], Heeded] = field(default_factory=dict[tuple[Any, ...], Heeded])

    def reply(self, request: Request) -> tuple[str, tuple[ToolCall, ...]]:
        """Return the text of the reply, or the tool that the model calls first: one, once."""
        said = taken_apart(request.messages)
        notes = notes_in(said.read)
        if request.tools and request.may_call and not said.used:
            named = next((tool for tool in request.tools if re.search(rf"\b{tool.name}\b", said.instruction)), None)
            tool = named or request.tools[0]
            properties: Any = tool.schema.get("properties") or {"query": {}}
            text = notes.text if notes else said.read
            return "", (ToolCall(tool.name, json.dumps(dict.fromkeys(properties, text))),)
        schema = request.schema
        properties: Any = {} if schema is None else schema.get("properties", {})
        last = OUTPUT in properties
        if not last and "boolean" in [_kind(each) for each in properties.values()]:
            answered = ANSWERED.search(said.read)
            if answered:
                return json.dumps(self._checked(answered[1], notes, properties, request)), ()
        if notes is not None:
            notes = self._slipped(self.trade.worked(notes, said.read, self._heed(said), last), said, request.draw)
        if schema is None:
            return (notes.text if notes else NOTHING), ()
        key = f"{said.instruction}{said.read}{request.draw}"
        filled = {name: self._filled(name, each, notes, said.read, key) for name, each in properties.items()}
        return json.dumps(filled, ensure_ascii=False, separators=(",", ":")), ()

    def _heed(self, said: Said) -> Heeded:
        key = (said.instruction, said.demos)
        if key not in self._heeded:
            self._heeded[key] = self.trade.heed(said.instruction, said.demos)
        return self._heeded[key]

    def _slipped(self, notes: Notes, said: Said, repeat: str) -> Notes:
        """Return the notes, or with the chance of noise such whose last entry is wrong."""
        if not notes.done or draw(self.seed, "slip", said.instruction, said.read, repeat) >= self.noise:
            return notes
        heading, found = notes.done[-1]
        return Notes(notes.order, (*notes.done[:-1], (heading, NONE if found != NONE else "Q9")))

    def _checked(
        self, answered: str, notes: Notes | None, properties: Mapping[str, Any], request: Request
    ) -> dict[str, Json]:
        """Say whether an answer is right: honestly with a chance; other fields say so in words."""
        try:
            right = notes is not None and json.loads(answered) == list(self.trade.right(notes.order))
        except ValueError:
            right = False
        good = right if draw(self.seed, "honest", request.messages[-1]["content"], request.draw) < HONEST else not right
        words = "It is right." if good else "Something is wrong: look again."
        return {name: good if _kind(each) == "boolean" else _fitted(each, words) for name, each in properties.items()}

    def _filled(self, name: str, schema: Any, notes: Notes | None, read: str, key: str) -> Json:
        """Return a value that fits a field's schema and holds as much of the notes as it can."""
        marks: list[Json] = list(self.trade.marks(notes)) if notes else []
        kind = _kind(schema)
        if kind == "boolean":
            return notes is not None and self.trade.complete(notes)
        if kind == "number":
            return self._judged(read, key) if SAMPLED.search(read) else len(marks)
        if name == OUTPUT and kind in ("array", ""):
            return marks
        if name == OUTPUT and "enum" not in schema:
            return " ".join(str(mark) for mark in marks) or NONE
        if "enum" in schema:
            said = " ".join(str(mark) for mark in marks)
            return said if said in schema["enum"] else pick(schema["enum"], self.seed, key)
        return _fitted(schema, notes.text if notes else NOTHING)

    def _judged(self, read: str, key: str) -> int:
        """Return the number of a sample whose marks are right, with the chance of an honest check; else the first."""
        found, notes = SAMPLED.search(read), notes_in(read)
        if found is None or notes is None or draw(self.seed, "judge", key) >= HONEST:
            return 1
        try:
            samples: Any = json.loads(found[1])
        except ValueError:
            return 1
        right = list(self.trade.right(notes.order))
        return next((at for at, each in enumerate(samples, 1) if each.get(OUTPUT) == right), 1)


def _kind(schema: Any) -> str:
    """Return the type that a JSON Schema asks for; empty where it asks for none."""
    kind = schema.get("type") if is_map(schema) else None
    return "number" if kind == "integer" else kind if isinstance(kind, str) else ""


def _fitted(schema: Any, text: str) -> Json:
    """Return a text in the form of a schema: within a list or an object where it asks for these."""
    match _kind(schema):
        case "array":
            return [_fitted(schema.get("items", {}), text)]
        case "object":
            return {name: _fitted(each, text) for name, each in schema.get("properties", {"text": {}}).items()}
        case "number":
            return 0
        case "boolean":
            return True
        case _:
            return schema["enum"][0] if is_map(schema) and "enum" in schema else text
