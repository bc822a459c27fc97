"""Traces for people and programs: every step by its path, with the tool calls within it and what a block chose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowbot.engine.trace import StepTrace, Trace
from flowbot.money import Usage
from flowbot.workflow.blocks import Branch, Loop, Map, Vote
from flowbot.workflow.fields import Json, as_text


def told(trace: Trace) -> Iterator[str]:
    """Yield a line for each step that ran, those of bodies behind their block, and for each tool call of a model."""
    for part in trace.walk():
        taken = _taken(trace, part)
        yield f"{part.path}{f' ({taken})' if taken else ''}: {part.error or as_text(dict(part.gives))}"
        for use in part.tools:
            came = f"failed: {use.failure}" if use.failure else f"gave {as_text(use.value)}"
            yield f"  {part.path} > {use.tool} {as_text(dict(use.args))} {came}"


def _taken(trace: Trace, part: StepTrace) -> str:
    """Say what a block chose: an arm, a sample, how many items or turns."""
    match trace.workflow.step(part.step):
        case Branch():
            return "no arm" if part.taken is None else f"arm {part.taken}"
        case Vote() as vote:
            return f"sample {part.taken} of {vote.n}" if part.taken is not None else f"none of {vote.n} samples"
        case Map():
            return f"{part.taken} item{'s' * (part.taken != 1)}"
        case Loop() as loop:
            return f"{part.taken} of at most {loop.max} turns"
        case _:
            return ""


def plain_trace(trace: Trace) -> dict[str, Json]:
    """Return a trace as plain data, its messages left out: usage, and each step with those of its bodies in it."""
    return {"usage": plain_usage(trace.usage), "steps": [_plain(part) for part in trace.steps]}


def plain_usage(usage: Usage) -> dict[str, Json]:
    """Return usage as plain data; `usd` is null where the price is not known."""
    return {
        "calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usd": usage.usd,
        "seconds": round(usage.seconds, 3),
    }


def _plain(part: StepTrace) -> dict[str, Json]:
    plain: dict[str, Any] = {"path": part.path, "reads": dict(part.reads), "gives": dict(part.gives)}
    if part.error:
        plain["error"] = part.error
    if part.usage.calls:
        plain["usage"] = plain_usage(part.usage)
    plain["seconds"] = round(part.seconds, 3)
    if part.tools:
        plain["tools"] = [
            {"tool": use.tool, "args": dict(use.args)}
            | ({"failure": use.failure} if use.failure else {"value": use.value})
            for use in part.tools
        ]
    if part.bodies:
        plain["taken"] = part.taken
        plain["bodies"] = [[_plain(inner) for inner in body.values()] for body in part.bodies]
    return plain
