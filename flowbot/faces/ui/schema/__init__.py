"""What the page is told: every answer of its server, typed. The page's own types are made from these.

Scores are as the metric gives them, in [0, 1] for most; costs of an example are in dollars, or in weighted tokens
(input + 4 x output) where there is no price; times are Unix seconds. What is not known is null, never made up.
"""

from __future__ import annotations

from flowbot.faces.ui.schema.flows import Ancestor, Candidate, Decision, Demo, Edge, Field, Flow, Rung, Step
from flowbot.faces.ui.schema.runs import (
    CandidateLine,
    ClusterLine,
    Ended,
    Fate,
    FrontMember,
    Gain,
    Home,
    Iteration,
    LedgerLine,
    Move,
    Outcome,
    Phase,
    Point,
    Problem,
    Pulse,
    Run,
    RunLine,
    Split,
    State,
    Update,
)
from flowbot.faces.ui.schema.told import Told, embedded, json_text, rewritten
from flowbot.faces.ui.schema.traces import (
    Example,
    ExampleLine,
    ExamplePage,
    Note,
    Played,
    Scored,
    Spent,
    ToolUse,
    Trace,
    TryAsk,
    TryEnd,
    TryPrice,
    TryStep,
)

__all__ = [
    "ANSWERS",
    "Ancestor",
    "Candidate",
    "CandidateLine",
    "ClusterLine",
    "Decision",
    "Demo",
    "Edge",
    "Ended",
    "Example",
    "ExampleLine",
    "ExamplePage",
    "Fate",
    "Field",
    "Flow",
    "FrontMember",
    "Gain",
    "Home",
    "Iteration",
    "LedgerLine",
    "Move",
    "Note",
    "Outcome",
    "Phase",
    "Played",
    "Point",
    "Problem",
    "Pulse",
    "ReportData",
    "Run",
    "RunLine",
    "Rung",
    "Scored",
    "Spent",
    "Split",
    "State",
    "Step",
    "Told",
    "ToolUse",
    "Trace",
    "TryAsk",
    "TryEnd",
    "TryPrice",
    "TryStep",
    "Update",
    "embedded",
    "json_text",
    "rewritten",
]


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
