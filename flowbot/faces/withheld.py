"""What is told of a run without its texts: no prompts, messages, inputs, outputs or feedback (law 8)."""

from __future__ import annotations

from typing import Any, TypeVar

from flowbot.faces.ui.schema import Candidate, CandidateLine, ExamplePage, Flow, Run, Told

T = TypeVar("T", bound=Told)

NO_TEXT: dict[str, Any] = {"hypothesis": "", "edits": []}
STRUCTURE = ("on", "over", "until", "by", "n", "max", "cap")  # settings of steps that say nothing of what is said


def withheld(told: T) -> T:
    """Return a run, a candidate or a table of examples with its texts empty: numbers, ids and structure stay."""
    match told:
        case Run():
            return told.model_copy(update=_run(told))
        case Candidate():
            return told.model_copy(update=_candidate(told))
        case ExamplePage():
            rows = [row.model_copy(update={"inputs": "", "target": ""}) for row in told.rows]
            return told.model_copy(update={"rows": rows})
        case _:
            raise TypeError(f"nothing says what is a text in {type(told).__name__}")


def _run(run: Run) -> dict[str, Any]:
    names = {each.name: f"cluster {number}" for number, each in enumerate(run.clusters, 1)}
    return {
        "content": False,
        "description": "",
        "candidates": [_line(each, names) for each in run.candidates],
        "updates": [each.model_copy(update={"changed": ""}) for each in run.updates],
        "clusters": [each.model_copy(update={"name": names[each.name], "rule": ""}) for each in run.clusters],
    }


def _line(line: CandidateLine, names: dict[str, str]) -> CandidateLine:
    return line.model_copy(update=NO_TEXT | {"clusters": [names[each] for each in line.clusters if each in names]})


def _candidate(found: Candidate) -> dict[str, Any]:
    return {
        "line": _line(found.line, {}),
        "flow": _flow(found.flow),
        "way": [each.model_copy(update=NO_TEXT | {"steps": {}}) for each in found.way],
        "parts": [],
    }


def _flow(flow: Flow) -> Flow:
    steps = [
        step.model_copy(
            update={
                "prompt": "",
                "code": "",
                "demos": [],
                "settings": {name: value for name, value in step.settings.items() if _bare(name, value)},
            }
        )
        for step in flow.steps
    ]
    tools = {name: {"kind": spec.get("kind")} for name, spec in flow.tools.items()}
    return flow.model_copy(update={"steps": steps, "tools": tools, "yaml": ""})


def _bare(name: str, value: Any) -> bool:
    return name in STRUCTURE or isinstance(value, int | float)
