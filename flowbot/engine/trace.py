"""The tape: what every step of one run on one example read, sent, gave and cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from flowbot.money import Usage
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow

Message = Mapping[str, str]  # {"role": "system" | "user" | "assistant", "content": text}


@dataclass(frozen=True)
class StepTrace:
    """One step's part of the tape. `gives` is empty and `error` says why where the step failed."""

    path: str
    reads: Mapping[str, Json]
    gives: Mapping[str, Json]
    messages: tuple[Message, ...] = ()
    usage: Usage = Usage()
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True)
class Trace:
    """One run of a workflow on one example; steps stand in file order, those that did not run are absent."""

    workflow: Workflow
    example: Example
    steps: tuple[StepTrace, ...]
    output: Json = None
    error: str = ""
    score: Score | None = None

    @cached_property
    def usage(self) -> Usage:
        """The sum over the steps."""
        return sum((step.usage for step in self.steps), Usage())

    @cached_property
    def by_step(self) -> Mapping[str, StepTrace]:
        """The tape by step id."""
        return {step.path: step for step in self.steps}

    @property
    def points(self) -> float:
        """The score's number, 0 where there is none."""
        return self.score.value if self.score else 0.0

    def scored(self, score: Score) -> Trace:
        """Return the trace with its score."""
        return replace(self, score=score)
