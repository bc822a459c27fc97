"""A small world with rules: a task model that obeys prompts by rule, and a meta model that writes rules.

The task: an item's number decides its colour. The task model names the right colour only where its instruction holds
`Rule: COLOUR`; the meta model adds the rule of one colour an update, and grows the workflow to as many calls as it is
told. Everything depends on the messages alone, so equal requests get equal replies, whenever they arrive.

    world = World(calls=2)
    with serving(world.script) as server: ...      # over HTTP
    RunSession({"vllm:m": Opened(world)}, journal)  # in process
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import Message, Reply, Request
from flowbot.faces.start import direct
from flowbot.models.shelf import Shelf
from flowbot.money import Price, Usage
from flowbot.store.session import Opened
from flowbot.task.task import ModelSpec, Task
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from tests.servers import Answer

COLOURS = ("red", "green", "blue")
MODEL = "vllm:m"
META = "vllm:meta"
CRITIQUES = ("loss_gradient", "call_gradient", "workflow_gradient")
Override = Callable[[str, Sequence[Message]], "str | None"]


@dataclass
class World:
    """Both models in one. `calls` is how many calls the meta model wants the workflow to have.

    `latency` is the most seconds a reply takes, drawn anew for each by `seed`; `override` may give another reply for a
    purpose and its messages. `price` makes usage cost money.
    """

    calls: int = 1
    latency: float = 0.0
    seed: int = 0
    price: Price | None = None
    override: Override = lambda purpose, messages: None
    requests: list[Request] = field(default_factory=list[Request])
    in_flight: int = 0
    most_in_flight: int = 0
    _sent: int = 0

    async def complete(self, request: Request) -> Reply:
        """Answer in process."""
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._wait())
            text = self.reply(request.purpose, request.messages, request.schema)
            return Reply(text, self._usage(request.messages, text), mode="text" if request.schema is None else "schema")
        finally:
            self.in_flight -= 1

    def script(self, body: dict[str, Any], index: int) -> Answer:
        """Answer over HTTP: a purpose is known by the name of its schema."""
        form: dict[str, Any] = body.get("response_format", {}).get("json_schema", {})
        purpose: str = form.get("name", "task")
        purpose = purpose if purpose in WRITERS else "task"
        return Answer(text=self.reply(purpose, body["messages"], form.get("schema")), latency=self._wait())

    def reply(self, purpose: str, messages: Sequence[Message], schema: Mapping[str, Json] | None) -> str:
        """Return the reply to messages; it depends on nothing else."""
        other = self.override(purpose, messages)
        if other is not None:
            return other
        if purpose in WRITERS:
            return json.dumps(WRITERS[purpose](self, messages[1]["content"]))
        said = named_colour(messages)
        return said if schema is None else json.dumps(dict.fromkeys(schema["properties"], said))

    def _wait(self) -> float:
        self._sent += 1
        return random.Random(f"{self.seed}|{self._sent}").random() * self.latency if self.latency else 0.0

    def _usage(self, messages: Sequence[Message], text: str) -> Usage:
        given = sum(len(message["content"].split()) for message in messages)
        taken = len(text.split())
        return Usage(1, given, taken, usd=None if self.price is None else self.price.of(given, taken))

    def asked(self) -> Counter[str]:
        """Return how often each purpose was asked for, in process."""
        return Counter(request.purpose for request in self.requests)


def named_colour(messages: Sequence[Message]) -> str:
    """Return what the task model says: the item's colour where the instruction has its rule."""
    found = re.search(r"item (\d+)", messages[-1]["content"])
    right = colour(int(found[1])) if found else "none"
    return right if f"Rule: {right}" in messages[0]["content"] else "unknown"


def colour(number: int) -> str:
    """Return the colour of an item."""
    return COLOURS[number % 3]


def _critique(world: World, text: str) -> Json:
    wanted = re.findall(r"Expected: (\w+)\n?.*?Score: 0", text, re.DOTALL) + re.findall(r"rule for (\w+)", text)
    return {"critique": f"State the rule for {sorted(wanted)[0]}." if wanted else "Keep the instruction."}


def _prompt(world: World, text: str) -> Json:
    instruction = section(text, "instruction", "critiques")
    missing = [each for each in COLOURS if f"rule for {each}" in text and f"Rule: {each}" not in instruction]
    return {"instruction": "\n".join([instruction, *(f"Rule: {each}" for each in missing[:1])])}


def _sketch(world: World, text: str) -> Json:
    steps: list[Json] = []
    for number in range(1, world.calls):
        reads = ["q"] if number == 1 else ["q", f"think{number - 1}.idea"]
        gives = [{"name": "idea", "type": "text"}]
        steps.append({"id": f"think{number}", "role": "think first", "reads": reads, "gives": gives})
    reads = ["q"] if world.calls == 1 else ["q", f"think{world.calls - 1}.idea"]
    steps.append({"id": "answer", "role": "say it", "reads": reads, "gives": [{"name": "a", "type": "text"}]})
    return {"steps": steps, "output": "answer.a"}


def section(text: str, label: str, after: str) -> str:
    """Return the text of one labelled section."""
    return text.partition(f"{label}:\n")[2].partition(f"\n\n{after}:\n")[0]


WRITERS: Mapping[str, Callable[[World, str], Json]] = {
    **dict.fromkeys(CRITIQUES, _critique),
    "prompt_update": _prompt,
    "prompt_init": lambda world, text: {"instruction": "Think about the item."},
    "workflow_update": _sketch,
}


def rows(split: str, count: int) -> list[dict[str, Json]]:
    """Return rows of a split; no input stands twice over all splits."""
    first = {"train": 0, "val": 1000, "test": 2000}[split]
    return [{"id": f"{split}{n}", "q": f"item {first + n}", "a": colour(first + n)} for n in range(count)]


def data(train: int = 10, val: int = 6, test: int = 6) -> dict[str, list[dict[str, Json]]]:
    """Return the rows of all splits."""
    return {"train": rows("train", train), "val": rows("val", val), **({"test": rows("test", test)} if test else {})}


def plain_task(**changes: Any) -> dict[str, Any]:
    """Return the task as it stands in a file, with changes."""
    return {
        "flowbot": 1,
        "name": "colours",
        "description": "Name the colour.",
        "inputs": {"q": "text"},
        "output": {"a": "text"},
        "metric": "exact",
        "models": {"task": {"name": MODEL, "max_tokens": 50}, "meta": META},
        "recipe": {"name": "paper"},
    } | changes


def task(**changes: Any) -> Task:
    """Return the task, with changes."""
    return Task.model_validate(plain_task(**changes))


def start(**changes: Any) -> Workflow:
    """Return the workflow that the task begins with: one call."""
    return direct(task(**changes))


def write_task(folder: Path, sizes: Mapping[str, int] | None = None, **changes: Any) -> Path:
    """Write the task and its data to files and return the task's; `sizes` are rows by split."""
    folder.mkdir(parents=True, exist_ok=True)
    found = data(**(sizes or {}))
    for split, made in found.items():
        lines = [json.dumps(row) for row in made]
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain = plain_task(data={split: f"{split}.jsonl" for split in found}, **changes)
    path = folder / "task.yaml"
    path.write_text(json.dumps(plain), encoding="utf-8")  # JSON is YAML
    return path


def shelved(patch: pytest.MonkeyPatch, world: Any, price: Price | None = None) -> None:
    """Let every model of a run be this world, in process."""

    def opened(specs: Sequence[ModelSpec], base_url: str | None, concurrency: int) -> Shelf:
        return Shelf({spec.name: Opened(world, price, spec.max_tokens) for spec in specs})

    patch.setattr("flowbot.faces.wiring.open_shelf", opened)
