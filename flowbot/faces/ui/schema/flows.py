"""Workflows as the page is told them: the graph, and how a candidate came to be."""

from __future__ import annotations

from typing import Any

from flowbot.faces.ui.schema.runs import CandidateLine, Split
from flowbot.faces.ui.schema.told import Told


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
