"""What the page is told: every answer of its server, typed. The page's own types are made from these.

Scores are as the metric gives them, in [0, 1] for most; costs of an example are in dollars, or in weighted tokens
(input + 4 x output) where there is no price; times are Unix seconds. What is not known is null, never made up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import models_json_schema
from pydantic_core import PydanticSerializationError

from flowbot.workflow.fields import is_list, is_map

_ENDING = re.compile("[<>&\u2028\u2029]")
Ended = Literal["done", "budget", "interrupted", "endpoint", "sandbox", "input", "open"]
State = Literal["running", "stopped", "done", "failed"]
Fate = Literal["start", "best", "accepted", "kept", "rejected", "undecided", "dropped", "guarded", "pending", "seed"]


T = TypeVar("T", bound=BaseModel)


class Told(BaseModel):
    """A value that goes to the page as it is."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


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


class Field(Told):
    """A field that a step or the workflow takes or gives, with its type as the file writes it."""

    name: str
    type: str


class Demo(Told):
    """A worked example in a prompt."""

    reads: dict[str, Any]
    gives: dict[str, Any]


class Step(Told):
    """A step of a workflow. `inside` are the bodies of a block: (name, step ids); `parent` is the block that it is in.

    `reads` are the references that it reads, `settings` what else the file says of it, in the words of the file.
    """

    id: str
    kind: str
    parent: str | None
    body: str
    prompt: str
    code: str
    reads: list[str]
    gives: list[Field]
    demos: list[Demo]
    tools: list[str]
    model: str
    settings: dict[str, Any]
    inside: list[tuple[str, list[str]]]


class Edge(Told):
    """A value that goes from a step (or "inputs") to another (or "output"), within one body or from around it."""

    source: str
    target: str
    label: str


class Flow(Told):
    """A workflow: its steps in file order, bodies included, and the edges between them; `yaml` is its file."""

    id: str
    name: str
    model: str
    inputs: list[Field]
    output: str
    steps: list[Step]
    edges: list[Edge]
    tools: dict[str, Any]
    yaml: str


class Decision(Told):
    """How a candidate was decided on: against the best of then. Ids are of validation, `hit` and `missed` of train."""

    decision: str
    why: str
    gain: float
    low: float
    high: float
    p_gain: float
    undecided: bool
    fixed: list[str]
    broken: list[str]
    hit: list[str]
    missed: list[str]


class Rung(Told):
    """How a candidate stood on so many items of a race, and whether it went on."""

    items: int
    gain: float
    p_gain: float
    stays: bool


class Ancestor(Told):
    """A workflow on the way from the start to a candidate, with what its steps said then (prompt or code by step id).

    `fixed` and `broken` are ids of validation examples, against its parent.
    """

    id: str
    name: str
    operator: str
    hypothesis: str
    edits: list[str]
    mean: float | None
    steps: dict[str, str]
    fixed: list[str]
    broken: list[str]


class StepCost(Told):
    """What a step took on average over the runs that were looked at: `runs` of them."""

    step: str
    runs: int
    calls: float
    tokens: float
    usd: float | None
    seconds: float


class Candidate(Told):
    """A candidate with its workflow, how it came to be and what became of it. `way` leads from the start to it.

    `parts` say for each step, setting and line of a prompt which change of `way` (its place) brought it:
    (step, kind, text, place).
    """

    line: CandidateLine
    flow: Flow
    way: list[Ancestor]
    parts: list[tuple[str, str, str, int]]
    decision: Decision | None
    rungs: list[Rung]
    flips: list[str]
    paid: dict[str, float | None]
    draws: list[Split]


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


class Home(Told):
    """What the page was opened on: a folder of runs, one run, or a workflow's file. `version` is FlowBot's."""

    kind: Literal["runs", "run", "workflow"]
    name: str
    version: str
    can_try: bool


class Pulse(Told):
    """A sign of life of a run, sent as it goes: ask again for what is behind `seq`."""

    line: RunLine
    seq: int
    phase: Phase | None
    traces: int


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


class Problem(Told):
    """What is wrong with a request, and what to do."""

    error: str
    mend: str


class ReportData(Told):
    """All that a report holds: the run, its most telling candidates whole, and some examples with traces."""

    run: Run
    candidates: list[Candidate]
    examples: list[ExamplePage]
    traces: list[Trace]


ANSWERS: tuple[type[Told], ...] = (
    Home,
    RunLine,
    Run,
    Candidate,
    Flow,
    ExamplePage,
    Example,
    Trace,
    Pulse,
    TryAsk,
    TryPrice,
    TryStep,
    TryEnd,
    Problem,
    ReportData,
)


def json_text(told: BaseModel) -> str:
    """Return what is told as JSON; halves of characters, which have no UTF-8, become `?`."""
    try:
        return told.model_dump_json()
    except PydanticSerializationError:
        return rewritten(told, lambda text: text.encode("utf-8", "replace").decode()).model_dump_json()


def rewritten(told: T, change: Callable[[str], str]) -> T:
    """Return what is told with every text in it changed, keys of maps too."""
    return type(told).model_validate(_changed(told.model_dump(), change))


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list | tuple):
        return [_changed(each, change) for each in value]  # pyright: ignore[reportUnknownVariableType]
    return {change(key): _changed(each, change) for key, each in value.items()} if is_map(value) else value


def embedded(told: BaseModel) -> str:
    """Return what is told as JSON that may stand in a script of a page: no text in it can end the script."""
    return _ENDING.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text(told))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of all answers, which the page's types are made from."""
    _, plain = models_json_schema([(each, "serialization") for each in ANSWERS])
    return {"$defs": {name: _older(each) for name, each in sorted(plain["$defs"].items())}}


def _older(schema: Any) -> Any:
    if is_list(schema):
        return [_older(each) for each in schema]
    if not is_map(schema):
        return schema
    made: dict[str, Any] = {
        key: {name: _older(each) for name, each in value.items()}
        if key == "properties" and is_map(value)
        else _older(value)
        for key, value in sorted(schema.items())
        if not (key == "title" and isinstance(value, str))
    }
    if "prefixItems" in made:
        made["items"] = made.pop("prefixItems")
    return made


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
