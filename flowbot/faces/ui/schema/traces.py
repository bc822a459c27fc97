"""Examples and traces as the page is told them, and what is asked and told where a workflow is tried."""

from __future__ import annotations

from typing import Any

from flowbot.faces.ui.schema.told import Told


class ExampleLine(Told):
    """An example in the table: the beginning of its inputs and target, and its score by candidate (null: not run)."""

    id: str
    place: int
    inputs: str
    target: str
    scores: list[float | None]


class ExamplePage(Told):
    """A window of the table of examples; `total` counts the rows that the filter leaves.

    `means` are the candidates' mean scores over all of those rows (empty: not taken).
    """

    split: str
    candidates: list[str]
    total: int
    offset: int
    rows: list[ExampleLine]
    means: list[float | None] = []


class Scored(Told):
    """One run of a candidate on an example; `draw` is the split or stage that it was run for."""

    candidate: str
    draw: str
    score: float | None
    failed: bool
    feedback: str
    calls: int
    tokens: int
    usd: float | None
    seconds: float


class Note(Told):
    """What a meta model said of a run: a verdict, gradients or critiques, each a mapping; `name` is the stage."""

    kind: str
    name: str
    workflow: str
    words: list[dict[str, Any]]


class Example(Told):
    """An example with all its runs, newest first (at most 500)."""

    split: str
    id: str
    inputs: dict[str, Any]
    target: Any
    runs: list[Scored]
    notes: list[Note]


class ToolUse(Told):
    """A tool call that a model made within its LLM call."""

    tool: str
    args: dict[str, Any]
    value: Any
    failure: str
    seconds: float


class Spent(Told):
    """What a step or a run took."""

    calls: int
    input_tokens: int
    output_tokens: int
    usd: float | None
    seconds: float


class Played(Told):
    """One run of a step: what it read, was sent, said and gave; `bodies` are the turns, samples or items of a block."""

    path: str
    step: str
    kind: str
    reads: dict[str, Any]
    gives: dict[str, Any]
    error: str
    messages: list[dict[str, Any]]
    tools: list[ToolUse]
    taken: Any
    spent: Spent
    bodies: list[list[Played]]


class Trace(Told):
    """A run of a workflow on an example, step by step. `missing` says why steps are not there."""

    workflow: str
    draw: str
    example: str
    split: str
    inputs: dict[str, Any]
    target: Any
    output: Any
    error: str
    score: float | None
    feedback: str
    spent: Spent
    steps: list[Played]
    notes: list[Note]
    missing: str


class TryAsk(Told):
    """Inputs for a workflow: of a candidate of a run, or (run empty) of the file that the page was opened on.

    `agreed` is the price in dollars or, where none is known, the count of calls that the reader agreed to.
    """

    run: str
    candidate: str
    inputs: dict[str, Any]
    agreed: bool = False


class TryPrice(Told):
    """What trying will take at most, before anything is asked: LLM calls, and dollars where prices are known."""

    calls: int
    usd: float | None
    models: list[str]
    tools: list[str]
    problem: str


class TryStep(Told):
    """A step that began (`played` null) or ended, while a workflow is tried; sent as it happens."""

    path: str
    played: Played | None


class TryEnd(Told):
    """How trying a workflow ended."""

    output: Any
    error: str
    spent: Spent
