"""What the recipe `race` is told, and what it remembers between its policies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from flowbot.engine.trace import Trace
from flowbot.engine.verdict import Verdict
from flowbot.names import nearest
from flowbot.search.compare import needed
from flowbot.search.findings import Attempt, Findings
from flowbot.search.operators import OPERATORS
from flowbot.search.pool import Pool
from flowbot.search.taxonomy import Taxonomy
from flowbot.search.weights import Weights
from flowbot.task.data import Example
from flowbot.workflow.value import Flag, Value, Whole

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
KEPT_RUNS = 64  # that scored 1, from which demos are cut


class RaceSettings(Value):
    """The settings of `race`.

    Sizes: `seeds` workflows begin, the start among them; `traces` train items are read in an iteration, `slate` edits
    proposed, `children` raced at most, on `rungs` items and then on all of validation; `confirm_items` at most, and
    below `confirm_least` examples in all none, are held back for confirmation. `replay` items test who is to blame.
    Ends: `iterations` at most, `patience` of them with nothing new before a restart and before the end, `restarts`.
    Choices: `prefer` ranks the workflows for confirmation; `operators` that may be used (empty: all that apply);
    `kinds` of step that may be drawn (None: all, `code` where the task has a python tool).
    The rest turns parts off, to see what they are worth: `gate` (the test of children), `taxonomy`, `structure`,
    `composite` (several changes in one edit), `model_free` operators; `credit` is by verdicts on whole traces, layer
    by layer, or nobody's: then no failure is read by the meta model.
    """

    iterations: Whole = 16
    patience: Whole = 4
    restarts: Count = 1
    seeds: Whole = 8
    seed_items: tuple[Whole, Whole] = (12, 24)
    traces: Whole = 10
    slate: Whole = 4
    children: Whole = 6
    rungs: tuple[Whole, ...] = (16, 48)
    drop: tuple[Share, ...] = (0.25, 0.5)
    accept: Annotated[float, Field(gt=0.5, lt=1)] | None = None
    confirm: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    confirm_items: Count = 150
    confirm_least: Count = 60
    margin: Share = 0.02
    level: Share = 0.8
    greedy: Share = 0.85
    resample: Count = 4
    replay: Count = 4
    prefer: Literal["score", "balanced", "cheap"] = "score"
    operators: tuple[str, ...] = ()
    kinds: tuple[Literal["code", "vote", "branch", "map", "loop"], ...] | None = None
    demos: Whole = 8
    variants: Whole = 3
    credit: Literal["verdicts", "layers", "none"] = "verdicts"
    gate: Flag = True
    taxonomy: Flag = True
    structure: Flag = True
    composite: Flag = True
    model_free: Flag = True
    meta_tokens: Whole = 1024
    meta_clip: Whole = 6000

    @field_validator("operators")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = next((name for name in names if name not in OPERATORS), None)
        if unknown is not None:
            known = ", ".join(OPERATORS)
            raise ValueError(f"there is no operator '{unknown}'{nearest(unknown, OPERATORS)} (operators: {known})")
        return names

    @field_validator("rungs")
    @classmethod
    def _rising(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if list(sizes) != sorted(set(sizes)):
            raise ValueError(f"the sizes must rise, and {', '.join(map(str, sizes))} do not")
        return sizes

    @model_validator(mode="after")
    def _some_left(self) -> Self:
        off = {"structure": not self.structure, "model_free": not self.model_free}
        for name in self.operators:
            each = OPERATORS[name]
            if (each.structural and off["structure"]) or (not each.meta and off["model_free"]):
                setting = "structure" if each.structural and off["structure"] else "model_free"
                raise ValueError(f"operators names '{name}', which {setting}: false turns off")
        return self


@dataclass
class Memory:
    """The state of one search: what was found out, what was tried, and what it was worth.

    `confirm` are the examples that nothing sees before the end. `runs` are the traces on train by workflow and example,
    `passed` those that scored 1. `tested` counts the children raced, `quiet` the iterations since one was taken on.
    """

    settings: RaceSettings
    confirm: tuple[Example, ...]
    taxonomy: Taxonomy = field(default_factory=Taxonomy)
    weights: Weights = field(default_factory=Weights)
    runs: dict[str, dict[str, Trace]] = field(default_factory=dict[str, "dict[str, Trace]"])
    verdicts: dict[tuple[str, str], Verdict | None] = field(default_factory=dict["tuple[str, str]", "Verdict | None"])
    passed: list[Trace] = field(default_factory=list[Trace])
    failed: list[Attempt] = field(default_factory=list[Attempt])
    seen: set[str] = field(default_factory=set[str])
    tested: int = 0
    quiet: int = 0
    restarts: int = 0
    iterations: int = 0
    restarting: bool = False
    planted: bool = False
    found: Findings | None = None
    held: Mapping[str, Sequence[Example]] = field(default_factory=dict[str, "Sequence[Example]"])
    lean: bool = False
    repeats: dict[str, int] = field(default_factory=dict[str, int])
    _pool: Pool | None = None

    @property
    def pool(self) -> Pool:
        """The pool, from when the seeds are planted on."""
        assert self._pool is not None
        return self._pool

    @pool.setter
    def pool(self, pool: Pool) -> None:
        self._pool = pool

    @property
    def solved(self) -> bool:
        """True where so little is left to gain on validation that no child could be shown to gain it.

        One that mends all that fails, and breaks nothing, has P(gain > 0) = 1 - exp(-n) / 2 for n items.
        """
        level = self.settings.accept or needed(self.tested)
        return self.settings.gate and 1 - math.exp(-self.pool.best.failing) / 2 < level

    def uses(self, operator: str, meta: bool = False, structural: bool = False) -> bool:
        """Tell whether the settings allow an operator; `meta` and `structural` are what it is."""
        settings = self.settings
        named = not settings.operators or operator in settings.operators
        return named and (settings.structure or not structural) and (settings.model_free or meta)

    def keep_runs(self, traces: Sequence[Trace]) -> None:
        """Keep traces on train, of a few workflows; those that scored 1 for demos, the newest of an example."""
        for trace in traces:
            self.runs.setdefault(trace.workflow.id, {})[trace.example.id] = trace
        for trace in traces:
            if trace.points >= 1.0:
                self.passed = [each for each in self.passed if each.example.id != trace.example.id] + [trace]
        self.passed = self.passed[-KEPT_RUNS:]
        alive = {row.candidate.id for row in self.pool.members} | {trace.workflow.id for trace in traces}
        self.runs = {key: found for key, found in self.runs.items() if key in alive}
