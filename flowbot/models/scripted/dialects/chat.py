"""DSPy's form of a message: fields under markers, listed with their types in the system message."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from flowbot.engine.ports import Message
from flowbot.workflow.fields import Json, is_map

SYSTEM = re.compile(
    r"Your input fields are:\n(.*?)\nYour output fields are:\n(.*?)\nAll interactions will be structured in the "
    r"following way(.*)\nIn adhering to this structure, your objective is: ?\n?(.*)",
    re.DOTALL,
)
FIELD = re.compile(r"^\d+\. `(\w+)` \((.*?)\):", re.MULTILINE)
MARKER = re.compile(r"^\[\[ ## (\w+) ## \]\] *\n?", re.MULTILINE)
INDENT = re.compile(r"^ {8}", re.MULTILINE)
REMINDER = re.compile(r"\n\nRespond with (?:the corresponding output fields, starting|a JSON object in the following)")

Values = Mapping[str, str]


@dataclass(frozen=True)
class Chat:
    """A request in DSPy's form. `outputs` are types by name, as they are stated; `as_json` asks for one JSON object."""

    instruction: str
    inputs: Values
    outputs: Values
    demos: tuple[tuple[Values, Values], ...] = ()
    as_json: bool = False

    def written(self, values: Mapping[str, Json]) -> str:
        """Return values as the reply writes them."""
        if self.as_json:
            return json.dumps({name: values[name] for name in self.outputs}, ensure_ascii=False)
        parts = [f"[[ ## {name} ## ]]\n{_text(values[name])}" for name in self.outputs]
        return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def read_chat(messages: Sequence[Message]) -> Chat | None:
    """Return a request in DSPy's form taken apart; None where it is none."""
    found = SYSTEM.search(str(messages[0]["content"]))
    turns = [(each["role"], str(each["content"])) for each in messages[1:]]
    if found is None or not turns or turns[-1][0] != "user":
        return None
    given, asked, structure, objective = found.groups()
    as_json = "Outputs will be a JSON object" in structure
    outputs = dict(FIELD.findall(asked))
    names = {*outputs, *(name for name, _ in FIELD.findall(given)), "completed"}
    demos = tuple(
        (_values(said, names), _replied(reply, names))
        for (role, said), (other, reply) in pairwise(turns)
        if (role, other) == ("user", "assistant")
    )
    inputs = _values(REMINDER.split(turns[-1][1])[0], names)
    return Chat(INDENT.sub("", objective), inputs, outputs, demos, as_json) if outputs else None


def _values(text: str, names: set[str]) -> Values:
    """Return the values under the markers of these fields; any other marker is part of a value."""
    marks = [mark for mark in MARKER.finditer(text) if mark[1] in names]
    ends = [*(mark.start() for mark in marks[1:]), len(text)]
    found = {mark[1]: text[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)} if marks else {}
    found.pop("completed", None)
    return found


def _replied(text: str, names: set[str]) -> Values:
    """Return the values of a reply in a demo, in either form."""
    if found := _values(text, names):
        return found
    try:
        plain: Json = json.loads(text)
    except ValueError:
        return {}
    return {str(name): _text(value) for name, value in plain.items()} if is_map(plain) else {}


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
