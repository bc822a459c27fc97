"""One call from what was found elsewhere: an instruction, a template, worked examples, settings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.importing.words import placeholders, taken_apart, worded
from flowbot.workflow.fields import TEXT, FieldType, Json, Misfit, is_map
from flowbot.workflow.graph import Workflow, WorkflowError, build
from flowbot.workflow.tools import ToolSpec

DEFAULT_INPUT, DEFAULT_OUTPUT = "input", "answer"


@dataclass(frozen=True)
class Wanted:
    """What the workflow is to be, as far as that is known: its inputs, the field that it gives, its model and tools.

    `fallback` is the instruction where a source has none.
    """

    name: str = "imported"
    inputs: Mapping[str, FieldType] | None = None
    gives: Mapping[str, FieldType] = field(default_factory=lambda: {DEFAULT_OUTPUT: TEXT})
    model: str | None = None
    tools: Mapping[str, ToolSpec] = field(default_factory=dict[str, ToolSpec])
    fallback: str = "Answer."


@dataclass(frozen=True)
class Found:
    """What a source says: the instruction, the template of a question, pairs of question and answer, settings."""

    instruction: str
    template: str = ""
    pairs: Sequence[tuple[str, str]] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """A workflow from elsewhere, and notes on what was changed or left out. `own`: it came with inputs and fields."""

    workflow: Workflow
    notes: tuple[str, ...] = ()
    own: bool = False


def one_call(found: Found, wanted: Wanted, where: str) -> Imported:
    """Return the workflow of one call; raise `InputError` where it is not valid."""
    notes = [*found.notes]
    named = placeholders(f"{found.instruction}\n{found.template}")
    inputs = dict(wanted.inputs) if wanted.inputs is not None else dict.fromkeys(named, TEXT)
    if not inputs:
        inputs = {DEFAULT_INPUT: TEXT}
        notes.append(f"there is no placeholder like {{name}}: the one input is called '{DEFAULT_INPUT}'")
    notes += _told(named, inputs)
    words = [worded(each, inputs) for each in (found.instruction, found.template)]
    prompt = "\n\n".join(filter(None, words))
    if not prompt:
        notes.append(f"there is no instruction; taken is '{' '.join(wanted.fallback.split())[:80]}'")
    demos, lost = _demos(found, inputs, wanted.gives)
    step = _free("answer", inputs)
    call: dict[str, Any] = {
        "id": step,
        "kind": "call",
        "reads": list(inputs),
        "gives": dict(wanted.gives),
        "prompt": prompt or wanted.fallback,
        "tools": list(wanted.tools),
        "demos": demos,
        **found.settings,
    }
    try:
        made = build(
            name=wanted.name,
            model=wanted.model or found.model,
            inputs=inputs,
            tools=dict(wanted.tools),
            steps=[call],
            output=f"{step}.{next(iter(wanted.gives))}",
        )
    except WorkflowError as error:
        raise InputError(f"it gives no valid workflow: {error}", where) from None
    return Imported(made, (*notes, *lost))


def _told(named: Sequence[str], inputs: Mapping[str, FieldType]) -> list[str]:
    read = [f"{{{name}}}" for name in named if name in inputs]
    other = [f"{{{name}}}" for name in named if name not in inputs]
    notes: list[str] = []
    if read:
        told = "nothing is filled in there: a call reads its inputs as labelled sections behind the prompt"
        notes.append(f"{', '.join(read)} {'is' if len(read) == 1 else 'are'} no part of the prompt any more; {told}")
    if other:
        known = ", ".join(inputs)
        notes.append(f"{', '.join(other)} stays in the prompt as it is: no input has that name (inputs: {known})")
    return notes


def _demos(
    found: Found, inputs: Mapping[str, FieldType], gives: Mapping[str, FieldType]
) -> tuple[list[dict[str, Json]], list[str]]:
    """Return the worked examples that fit, and a note on each other one."""
    demos: list[dict[str, Json]] = []
    notes: list[str] = []
    for number, (question, answer) in enumerate(found.pairs, 1):
        try:
            demos.append({"reads": _reads(question, found.template, inputs), "gives": _given(answer, gives)})
        except Misfit as misfit:
            notes.append(f"example {number} is left out: {misfit}")
    return demos, notes


def _reads(question: str, template: str, inputs: Mapping[str, FieldType]) -> dict[str, Json]:
    values = taken_apart(template, question) if template else None
    if values is None and len(inputs) == 1:
        values = {next(iter(inputs)): question}
    missing = [name for name in inputs if name not in (values or {})]
    if values is None or missing:
        raise Misfit(f"it does not say what '{(missing or [*inputs])[0]}' is in the form of the last user message")
    return {name: kind.fit(_plain(values[name], kind)) for name, kind in inputs.items()}


def _given(answer: str, gives: Mapping[str, FieldType]) -> dict[str, Json]:
    if [kind.kind for kind in gives.values()] == ["text"]:
        return dict.fromkeys(gives, answer)
    try:
        plain: Json = json.loads(answer)
    except (ValueError, RecursionError):
        plain = answer
    if is_map(plain) and set(gives) <= set(plain):
        return {name: kind.fit(plain[name]) for name, kind in gives.items()}
    if len(gives) > 1:
        raise Misfit(f"its answer is no JSON object with {', '.join(gives)}")
    return {name: kind.fit(answer if kind.kind in ("choice", "text") else plain) for name, kind in gives.items()}


def _plain(text: str, kind: FieldType) -> Json:
    if kind.kind in ("list", "json"):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return text


def _free(wish: str, taken: Mapping[str, FieldType]) -> str:
    names = (wish, "solve", *(f"{wish}_{number}" for number in range(2, 99)))
    return next(name for name in names if name not in taken)
