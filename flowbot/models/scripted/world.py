"""A planted world: a task with a fault whose place is known, and both models of it in one object. A simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flowbot.engine.flat import flatten
from flowbot.engine.ports import Reply, Request, ToolCall
from flowbot.errors import InputError
from flowbot.models.scripted.faults import FAULTS, MARKS, Fault, Planted, Steps
from flowbot.models.scripted.meta_model import MetaModel
from flowbot.models.scripted.orders import INPUT, OUTPUT, Trade, draw
from flowbot.models.scripted.task_model import TaskModel
from flowbot.money import Price, Usage
from flowbot.names import nearest
from flowbot.task.data import Example
from flowbot.task.task import Task
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow, build

MODEL = "vllm:planted"
META = "vllm:planted-meta"
FIRST = {"train": 0, "val": 3000, "test": 6000, "fresh": 10_000}  # numbers of orders: no order stands in two splits
TOKEN = 4  # characters


@dataclass(frozen=True)
class World:
    """A world with one planted fault; a `Model` for both roles.

    `skill` is the chance that what the meta model says is right, `garbage` that a reply of it is useless, `noise` that
    a task call slips. A reply depends on the world's seed and the request alone. `price` makes usage cost money.
    """

    fault: str = "missing_instruction"
    seed: int = 0
    skill: float = 0.8
    garbage: float = 0.0
    noise: float = 0.02
    price: Price | None = None

    def __post_init__(self) -> None:
        if self.fault not in FAULTS:
            raise InputError(f"unknown fault '{self.fault}'{nearest(self.fault, FAULTS)} (faults: {', '.join(FAULTS)})")
        for name in ("skill", "garbage", "noise"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is a chance: give a number from 0 to 1, not {getattr(self, name):g}")

    @cached_property
    def kind(self) -> Fault:
        """The kind of fault."""
        return FAULTS[self.fault]

    @cached_property
    def trade(self) -> Trade:
        """The work that orders need."""
        return self.kind.trade(self.seed)

    @cached_property
    def planted(self) -> Planted:
        """The start, the steps to blame, and the hand-written workflow."""
        return self.kind.plant(self.trade, self.seed)

    @cached_property
    def task_model(self) -> TaskModel:
        """The model that the workflow calls."""
        return TaskModel(self.trade, self.seed, self.noise)

    @cached_property
    def meta_model(self) -> MetaModel:
        """The model that writes verdicts, proposals, gradients and updates."""
        return MetaModel(self.trade, self.planted, flatten(self.best), self.seed, self.skill, self.garbage)

    async def complete(self, request: Request) -> Reply:
        """Answer a request of either role, by its purpose."""
        return self.answer(request)

    def answer(self, request: Request) -> Reply:
        """Return the reply to a request."""
        if request.purpose in ("task", ""):
            text, calls = self.task_model.reply(request)
        else:
            text, calls = self.meta_model.reply(request), ()
        return self.replied(request, text, calls)

    def replied(self, request: Request, text: str, calls: Sequence[ToolCall] = ()) -> Reply:
        """Return a text, or the tools that are called, as the reply to a request, with what it costs."""
        given = sum(len(message["content"]) for message in request.messages) // TOKEN + 1
        taken = (len(text) + sum(len(call.arguments) for call in calls)) // TOKEN + 1
        usd = None if self.price is None else self.price.of(given, taken)
        mode = "text" if request.schema is None else "schema"
        return Reply(text, Usage(1, given, taken, usd=usd), mode=mode, calls=tuple(calls))

    # ------------------------------------------------------------------ the task

    def plain_task(self, recipe: str = "paper", **settings: Json) -> dict[str, Any]:
        """Return the task as it stands in a file, without data."""
        return {
            "flowbot": 1,
            "name": f"planted-{self.fault}",
            "description": self.trade.description,
            "inputs": {INPUT: "text"},
            "output": dict(MARKS),
            "metric": "exact",
            "tools": self.tools,
            "models": {"task": MODEL, "meta": META},
            "recipe": {"name": recipe, **settings},
            "seed": self.seed,
        }

    def task(self, recipe: str = "paper", **settings: Json) -> Task:
        """Return the task, with a recipe and its settings."""
        return Task.model_validate(self.plain_task(recipe, **settings))

    @property
    def tools(self) -> dict[str, Any]:
        """The tools of the task, as they stand in a file."""
        said: Mapping[str, Callable[..., Any]] = {name: _function(name) for name in self.kind.tools}
        return {
            name: {
                "kind": "function",
                "function": f"flowbot.models.scripted:{name}",
                "description": " ".join((function.__doc__ or "").split()),
                "arguments": {"query": "text"},
            }
            for name, function in said.items()
        }

    @cached_property
    def start(self) -> Workflow:
        """The workflow with the fault."""
        return self._workflow("start", self.planted.start)

    @cached_property
    def best(self) -> Workflow:
        """A workflow without a fault, written by hand: how well it does is the ceiling."""
        return self._workflow("best", self.planted.best)

    def _workflow(self, name: str, steps: Steps) -> Workflow:
        output = f"{steps[-1]['id']}.{OUTPUT}"
        return build(name=name, model=MODEL, inputs={INPUT: "text"}, tools=self.tools, steps=steps, output=output)

    # ------------------------------------------------------------------ data

    def data(self, train: int = 90, val: int = 90, test: int = 0, seed: int = 0) -> dict[str, list[dict[str, Json]]]:
        """Return rows by split; of the labels a share is wrong where the fault says so."""
        sizes = {"train": train, "val": val, "test": test}
        return {
            split: [self._row(FIRST[split] + at, split, seed, self.kind.wrong_labels) for at in range(size)]
            for split, size in sizes.items()
            if size
        }

    def fresh(self, count: int, seed: int = 0) -> list[Example]:
        """Return a fresh sample with right labels, on which no search has looked."""
        rows = [self._row(FIRST["fresh"] + at, "fresh", seed, 0.0) for at in range(count)]
        return [Example(str(row["id"]), {INPUT: row[INPUT]}, row[OUTPUT]) for row in rows]

    def _row(self, number: int, split: str, seed: int, wrong: float) -> dict[str, Json]:
        order = self.trade.order(number, self.seed * 1009 + seed)
        right = list(self.trade.right(order))
        if wrong and draw(self.seed, seed, number, "label") < wrong:
            other = self.trade.order(number + 500_000, self.seed * 1009 + seed)
            right = list(self.trade.right(other))
        return {"id": f"{split}{number}", INPUT: order, OUTPUT: right}


def _function(name: str) -> Callable[..., Any]:
    from flowbot.models.scripted import trades

    return getattr(trades, name)
