"""Runs as the page is told them: the list, one of them, and its signs of life."""

from __future__ import annotations

from typing import Any, Literal

from flowbot.faces.ui.schema.told import Told

Ended = Literal["done", "budget", "interrupted", "endpoint", "sandbox", "input", "open"]
State = Literal["running", "stopped", "done", "failed"]
Fate = Literal["start", "best", "accepted", "kept", "rejected", "undecided", "dropped", "guarded", "pending", "seed"]


class Gain(Told):
    """Two workflows on the same examples: their means, the gain with its 95 % interval, and P(gain > 0)."""

    n: int
    old: float
    new: float
    gain: float
    low: float
    high: float
    p_gain: float


class RunLine(Told):
    """A run in the list of runs. `id` is its folder, relative to the folder that is shown ("." for that one itself).

    `state` is `running` where its process is there, `stopped` where it is not and the run can go on, `failed` where
    something broke it off. `start` and `best` are mean scores on validation, `result` is that of the sealed test, of
    confirmation or of validation, as `where` says.
    """

    id: str
    name: str
    state: State
    ended: Ended
    why: str
    recipe: str
    metric: str
    models: list[str]
    start: float | None
    best: float | None
    result: Gain | None
    where: str
    fraction: bool
    calls: int
    tokens: int
    usd: float | None
    seconds: float
    candidates: int
    began: float | None
    last: float | None
    error: str


class Point(Told):
    """One measurement: after so many `calls` of the run, at `seconds` from its beginning.

    `batch` is the mean of a batch of train, `validation` that of a candidate on validation; `best` is the mean of the
    best so far, with its interval.
    """

    kind: Literal["batch", "validation"]
    label: str
    candidate: str | None
    value: float
    calls: int
    seconds: float
    best: float | None
    low: float | None
    high: float | None


class CandidateLine(Told):
    """A candidate in the list of a run. `fate` is what became of it, `said` the same in words.

    `mean` with its interval is of validation; where it left the race early, of the `items` that it was run on.
    """

    id: str
    parent: str | None
    number: int
    operator: str
    hypothesis: str
    edits: list[str]
    clusters: list[str]
    fate: Fate
    said: str
    mean: float | None
    low: float | None
    high: float | None
    items: int
    cost: float | None
    gain: float | None
    p_gain: float | None
    failed: int
    at: float | None


class FrontMember(Told):
    """A workflow that no other beats on score and cost."""

    candidate: str
    mean: float
    low: float
    high: float
    cost: float
    calls: int
    length: int
    steps: int
    file: str


class LedgerLine(Told):
    """What one purpose cost with one model ("" where that is not known)."""

    purpose: str
    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    usd: float | None
    seconds: float
    retries: int


class ClusterLine(Told):
    """Failures with one cause over the iterations: `counts` has (iteration, failing examples, edits tried)."""

    name: str
    defect: str
    rule: str
    examples: list[str]
    counts: list[tuple[int, int, int]]
    open: bool


class Iteration(Told):
    """What an iteration read of its parent on train: how many failed, and the shares of blame by step."""

    number: int
    parent: str
    items: int
    failed: int
    blame: list[tuple[str, float]]


class Update(Told):
    """One step of the gradients: the mean of its batch before it, and what it changed."""

    name: str
    batch_mean: float
    workflow: str
    changed: str


class Move(Told):
    """A change without a meta model that was tried, whether it was kept, and why."""

    name: str
    kept: bool
    why: str
    candidate: str | None
    gain: float | None


class Outcome(Told):
    """How a tested search ended: `confirmed`, `undecided`, `unconfirmed` or `start`."""

    decision: str
    why: str
    finalist: str | None
    tested: int
    comparison: Gain | None


class Phase(Told):
    """The stage that a run is in, since when, and the calls by purpose that it was admitted with."""

    name: str
    calls: dict[str, int]
    at: float


class Split(Told):
    """A split of the data and how many examples of it are kept in the journal."""

    name: str
    count: int


class Run(Told):
    """All of a run but its workflows, examples and traces. `seq` counts its events; `headline` is the result in words.

    `dollars` says whether costs are money. `parts` are validation means after each part of the search. `notes` are
    what the run has to say of itself. `content` is false where texts were left out on request.

    Where only what is behind a place was asked for, `points` and `updates` take the place of those known from
    `points_from` and `updates_from` on (a point may change once: when its candidate becomes the best), and `candidates`
    that of those with the same id.
    """

    line: RunLine
    seq: int
    description: str
    headline: tuple[str, str]
    settings: dict[str, Any]
    budget: dict[str, float | None]
    seed: int | None
    version: str
    stretches: int
    start_id: str | None
    best_id: str | None
    tables: dict[str, Gain]
    outcome: Outcome | None
    parts: list[tuple[str, float]]
    points: list[Point]
    candidates: list[CandidateLine]
    front: list[FrontMember]
    dollars: bool
    ledger: list[LedgerLine]
    clusters: list[ClusterLine]
    iterations: list[Iteration]
    updates: list[Update]
    moves: list[Move]
    splits: list[Split]
    phase: Phase | None
    notes: list[str]
    content: bool
    points_from: int = 0
    updates_from: int = 0


class Pulse(Told):
    """A sign of life of a run, sent as it goes: ask again for what is behind `seq`."""

    line: RunLine
    seq: int
    phase: Phase | None
    traces: int


class Home(Told):
    """What the page was opened on: a folder of runs, one run, or a workflow's file. `version` is FlowBot's."""

    kind: Literal["runs", "run", "workflow"]
    name: str
    version: str
    can_try: bool


class Problem(Told):
    """What is wrong with a request, and what to do."""

    error: str
    mend: str
