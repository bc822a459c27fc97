"""What a benchmark is asked for, as the command line or a program says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flowbot.bench.catalogue import BENCHMARKS
from flowbot.bench.entries import Entry, entry, others, unique
from flowbot.bench.methods import METHODS
from flowbot.bench.methods.plain import METHODS as PLAIN
from flowbot.errors import InputError
from flowbot.money import Budget
from flowbot.names import nearest
from flowbot.task.task import ModelSpec
from flowbot.workflow.value import is_model

JUDGED = ("judge", "papillon")  # metrics that ask a model
LIKE = "paper"  # the method whose spending bounds the others where the protocol says so


@dataclass(frozen=True)
class Settings:
    """The options of `flowbot bench run`; see there. None leaves what the benchmark says."""

    names: Sequence[str]
    folder: Path
    methods: str
    seeds: Sequence[int] = (0, 1, 2)
    data: Path | None = None
    protocol: str | None = None
    model: str | None = None
    meta_model: str | None = None
    max_tokens: int | None = None
    answer: Sequence[str] = ()
    base_url: str | None = None
    budget_usd: float | None = None
    budget_calls: int | None = None
    budget_tokens: int | None = None
    max_seconds: float | None = None
    limit_train: int | None = None
    limit_val: int | None = None
    limit_test: int | None = None
    concurrency: int | None = None
    latency_ms: float = 0.0
    cache: Path | None = None
    jobs: int = 1
    dry_run: bool = False
    unsafe_code: bool = False

    @property
    def budget(self) -> Budget:
        """The budget of each search that the options give."""
        return Budget(self.budget_usd, self.budget_calls, self.budget_tokens, self.max_seconds)

    def budget_of(self, each: Entry) -> Budget:
        """Return the budget of each search on an entry: that of the options, else the task's own."""
        return each.task.budget.budget() if self.budget == Budget() else self.budget

    @property
    def like(self) -> str:
        """The method whose spending is the others' budget, where the protocol says so and no budget is given."""
        if self.protocol != "paper" or self.budget != Budget():
            return ""
        if LIKE not in self.chosen and not set(self.chosen) <= set(PLAIN):
            what = f"the others may spend what '{LIKE}' spends, and it is not among the methods"
            mend = f"name '{LIKE}' too (a run that has a record is not run again), or give a budget"
            raise InputError(what, "--protocol paper", mend)
        return LIKE

    @property
    def chosen(self) -> list[str]:
        """The methods, in the order in which they are known; raise `InputError` for an unknown one."""
        named = [name.strip() for name in self.methods.split(",") if name.strip()]
        unknown = next((name for name in named if name not in METHODS), None)
        if unknown is not None or not named:
            told = f"unknown method '{unknown}'{nearest(unknown, METHODS)}" if unknown else "no method is named"
            raise InputError(f"{told} (methods: {', '.join(METHODS)})", "--methods")
        return [name for name in METHODS if name in named]

    def entries(self) -> Sequence[Entry]:
        """Return the benchmarks made ready; raise `InputError`."""
        limits = {"train": self.limit_train, "val": self.limit_val, "test": self.limit_test}
        sizes = {split: count for split, count in limits.items() if count is not None}
        if self.protocol and sizes:
            raise InputError("the protocol sets the sizes", "--protocol paper", "leave --limit-* out")
        own = [name for name in self.names if name not in BENCHMARKS]
        if self.protocol and own:
            raise InputError(f"'{own[0]}' is none of the paper's benchmarks", "--protocol paper", "leave it out")
        return unique([entry(name, self.data, sizes) for name in dict.fromkeys(self.names)])

    def models(self, each: Entry) -> dict[str, ModelSpec]:
        """Return the models that answer for an entry, by role and by the names that its task uses for others."""
        task = each.task
        model = (
            task.models.task
            if self.model is None
            else ModelSpec(name=self.model, max_tokens=task.models.task.max_tokens)
        )
        meta = task.models.meta if self.model is None else None
        if self.meta_model:
            meta = ModelSpec(name=self.meta_model)
        meta = meta or model.model_copy(update={"max_tokens": None})  # the bound is that of the task's replies
        answers, judge = self._answers(), task.models.judge
        start = each.start()
        named = {name: answers.get(name, ModelSpec(name=name)) for name in others(task, start)}
        asked = [*named, *([judge.name] if judge else [])]
        unused = next((name for name in answers if name not in asked), None)
        if unused is not None:
            known = ", ".join(asked) or "none"
            raise InputError(f"the benchmark names no model '{unused}' beside its task model ({known})", "--answer")
        found = {"task": model, "meta": meta, **named}
        if judge is not None or task.metric.name in JUDGED:
            found["judge"] = meta if judge is None else answers.get(judge.name, judge)
        if self.max_tokens is None:
            return found
        return {role: spec.model_copy(update={"max_tokens": self.max_tokens}) for role, spec in found.items()}

    def _answers(self) -> dict[str, ModelSpec]:
        found: dict[str, ModelSpec] = {}
        for each in self.answer:
            name, _, model = each.partition("=")
            if not is_model(model):
                raise InputError(f"'{each}' must be NAME=PROVIDER:NAME", "--answer")
            found[name] = ModelSpec(name=model)
        return found
