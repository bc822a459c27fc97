"""The meta model of a planted world: right with the chance of its skill, useless with the chance of garbage."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowbot.engine.ports import Request
from flowbot.models.scripted.causes import Cause, cause_of
from flowbot.models.scripted.faults import Planted, Steps
from flowbot.models.scripted.gradients import GRADIENTS
from flowbot.models.scripted.orders import Trade, draw, pick
from flowbot.models.scripted.proposals import proposal
from flowbot.models.scripted.reading import marks_after, order_in, outlined, runs, sections
from flowbot.models.scripted.trades import Conventions
from flowbot.models.scripted.writer import Writer
from flowbot.workflow.fields import Json, is_map

OFF_TOPIC = ("The weather is fine today.", "Here is a poem about the sea.", "As asked, I have done nothing.")
VAGUE = (
    "Work with more care and look at every detail.",
    "Keep to the form that is asked for.",
    "Think of the customer before you answer.",
)
DEFECTS = ("prompt", "parameter", "tool", "structure")
VERDICT = re.compile(r"^(\d+)\. \[(\w+) at ([^\]]*)\] (.*)$", re.MULTILINE)
KNOWN = re.compile(r"^- (.+?) \((\d+)\): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class MetaModel:
    """Writes verdicts, taxonomies, proposals, and the paper's gradients and updates."""

    trade: Trade
    planted: Planted
    solution: Steps
    seed: int
    skill: float
    garbage: float

    def reply(self, request: Request) -> str:
        """Return the text of the reply to a meta request; it depends on the request alone."""
        asked = "\n".join(str(message["content"]) for message in request.messages)
        key = f"{request.purpose}|{request.draw}|{asked}"
        if (text := self.useless(key)) is not None:
            formed = request.schema is not None and self.formed(key)
            return json.dumps(nonsense(request.schema, text, key)) if formed else text
        writer = self.writer(key)
        told = sections(str(request.messages[1]["content"]))
        properties: Any = (request.schema or {}).get("properties", {})
        match request.purpose:
            case "verdict":
                found = self.verdict(told, writer)
            case "taxonomy":
                found = self.taxonomy(told, writer)
            case "proposal":
                found = proposal(told, writer, tuple(properties))
            case purpose if purpose in GRADIENTS:
                found = GRADIENTS[purpose](told, writer)
            case _:
                found = nonsense(request.schema, "I do not know.", key)
        return json.dumps(found, ensure_ascii=False)

    def useless(self, key: str) -> str | None:
        """Return, with the chance of garbage, a text that says nothing; None where the reply to this key has use."""
        if draw(self.seed, "garbage", key) >= self.garbage:
            return None
        return pick(OFF_TOPIC, self.seed, "off topic", key)

    def formed(self, key: str) -> bool:
        """Tell whether a useless reply keeps to the form: half of them do."""
        return draw(self.seed, "formed", key) < 0.5

    def writer(self, key: str) -> Writer:
        """Return what writes the reply to this key."""
        return Writer(self.trade, self.planted, self.solution, self.seed, self.skill, key)

    def verdict(self, told: Mapping[str, str], writer: Writer) -> Json:
        """Return the verdict on a failure."""
        result = told.get("result", "")
        parts = runs(told.get("steps", ""))
        order, expected = order_in(told.get("inputs", "")), marks_after("Expected", result)
        ids = [step.id for step in outlined(told.get("workflow", ""))]
        if not writer.skilled("verdict") or expected is None or not ids:
            blame = writer.pick(ids or ["answer"], "blame")
            cause = Cause(blame, writer.pick(DEFECTS, "defect"), writer.pick(VAGUE, "rule"))
        else:
            cause = cause_of(self.trade, order, expected, parts)
        others = [each for each in ids if each != cause.step]
        more = [writer.pick(others, "second")] if others else []
        said = {"blame": [cause.step, *more], "defect": cause.defect, "rule": cause.rule, "should": cause.should}
        return dict(said)

    def taxonomy(self, told: Mapping[str, str], writer: Writer) -> Json:
        """Return numbered verdicts sorted by cause; each is put where it belongs with the chance of skill."""
        names = {self._cause(rule): name for name, _, rule in KNOWN.findall(told.get("clusters", ""))}
        sorted_in: dict[str, list[Json]] = {}
        for number, defect, _, rule in VERDICT.findall(told.get("verdicts", "")):
            cause = self._cause(rule)
            name = names.setdefault(cause, " ".join([defect, *cause.split()[:5]]))
            if not writer.skilled(f"verdict {number}"):
                name = writer.pick([*names.values(), "various"], number)
            sorted_in.setdefault(name, []).append(int(number))
        return {"clusters": [{"name": name, "verdicts": found} for name, found in sorted_in.items()]}

    def _cause(self, rule: str) -> str:
        """Return what tells the cause of a rule from others: the mark that it speaks of, else its words."""
        stated = self.trade.stated(rule) if isinstance(self.trade, Conventions) else ()
        marks = [self.trade.all[number].mark for number in stated] if isinstance(self.trade, Conventions) else []
        return f"mark {marks[0]}" if marks else rule


def nonsense(schema: Any, text: str, key: str) -> Json:
    """Return a value that fits a JSON Schema and says nothing."""
    if not is_map(schema):
        return text
    if "enum" in schema:
        return pick(schema["enum"], key, "enum")
    match schema.get("type"):
        case "object":
            return {name: nonsense(each, text, f"{key}{name}") for name, each in schema.get("properties", {}).items()}
        case "array":
            return [nonsense(schema.get("items", {}), text, key)]
        case "number" | "integer":
            return 1
        case "boolean":
            return True
        case _:
            return text
