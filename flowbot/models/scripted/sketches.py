"""Sketches that the meta model draws: the one that mends the planted fault, and such as mend nothing."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowbot.models.scripted.faults import SAY, Steps, chain
from flowbot.models.scripted.orders import INPUT, OUTPUT
from flowbot.models.scripted.reading import Drawn
from flowbot.models.scripted.trades import Conventions
from flowbot.models.scripted.writer import Writer
from flowbot.workflow.fields import Json


@dataclass(frozen=True)
class Sketch:
    """Steps in the flat form, the output, and an instruction for each call."""

    steps: list[dict[str, Json]]
    output: str
    instructions: Mapping[str, str]

    @property
    def plain(self) -> dict[str, Json]:
        """The steps and the output, as the reply says them."""
        return {"steps": self.steps, "output": self.output}


def solution(writer: Writer, known: Collection[int]) -> Sketch:
    """Return the sketch of the hand-written workflow; the instructions state the conventions that are `known`."""
    steps: Steps = writer.planted.best
    if isinstance(writer.trade, Conventions):
        unknown = [number for number in range(len(writer.trade.all)) if number not in known]
        steps = chain(writer.trade, unknown, ids=[str(step["id"]) for step in writer.planted.best])
    prompts = dict(_prompts(steps))
    roles = {step_id: prompt.splitlines()[0] for step_id, prompt in prompts.items()}
    flat = [{**step, "role": roles.get(str(step["id"]), "as its name says")} for step in writer.solution]
    return Sketch(flat, f"{steps[-1]['id']}.{OUTPUT}", prompts)


def two_calls(writer: Writer, known: Sequence[int]) -> Sketch:
    """Return a sketch that looks sensible and mends nothing: think, then answer."""
    lines = "".join(f"\n- {writer.line(number)}" for number in known)
    texts = {"type": "list[text]", "name": OUTPUT}
    steps: list[dict[str, Json]] = [
        {"id": "think", "role": "Think first.", "reads": [INPUT], "gives": [{"name": "thoughts", "type": "text"}]},
        {"id": "answer", "role": "Give the answer.", "reads": [INPUT, "think.thoughts"], "gives": [texts]},
    ]
    prompts = {"think": "Think about the order first.", "answer": f"Give the marks of the order.\n{lines}".strip()}
    return Sketch(steps, f"answer.{OUTPUT}", prompts)


def same(steps: Sequence[Drawn]) -> list[dict[str, Json]]:
    """Return steps as an outline shows them in the flat form; what it does not show stays as it is."""
    made: list[dict[str, Json]] = []
    for step in steps:
        kind = step.kind.partition(" ")[0].partition(",")[0]
        flat: dict[str, Json] = {"id": step.id, "kind": kind, "inside": step.block, "role": SAY.get(step.id, "as now")}
        if kind == "call":
            flat["reads"] = list(step.reads)
        if kind == "tool":
            flat["tool"] = step.kind.partition(" ")[2]
            flat["args"] = [{"name": "query", "value": f"${source}"} for source in step.reads]
        flat["gives"] = [{"name": name, "type": kind} for name, kind in step.gives.items()]
        made.append({key: value for key, value in flat.items() if value})
    return made


def _prompts(steps: Steps) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for step in steps:
        body: Any = step.get("body", [])
        found += [(step["id"], step["prompt"])] if "prompt" in step else _prompts(body)
    return found
