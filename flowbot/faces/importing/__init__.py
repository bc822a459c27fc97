"""Import: workflows from what people have: a prompt, chat messages, a candidate of GEPA."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.importing.call import Found, Imported, Wanted, one_call
from flowbot.faces.importing.candidate import placed, read_candidate
from flowbot.faces.importing.chat import is_chat, read_chat
from flowbot.store.files import load_workflow, read_text
from flowbot.workflow.document import read_workflow
from flowbot.workflow.fields import (
    FieldError,
    FieldType,
    Json,
    Misfit,
    finite_number,
    is_map,
    parse_type,
    refuse_constant,
)
from flowbot.workflow.graph import Workflow, rebuild

PROMPTS, DATA = (".md", ".txt", ".prompt"), (".json",)
LARGEST = 2_000_000  # characters of a file
SOURCES = (
    "a workflow (.yaml), a prompt (.md, .txt), chat messages ([{role, content}] or {messages: [...]}), "
    "or a candidate of GEPA ({component: text})"
)


def import_from(
    source: str | Path,
    *,
    model: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    gives: Mapping[str, Any] | None = None,
    onto: Workflow | str | Path | None = None,
) -> Imported:
    """Return the workflow that a file holds, with notes on what was changed or left out; raise `InputError`.

    `inputs` and `gives` are types by name (by default each placeholder is a text, and one text `answer` is given);
    `onto` is the workflow whose prompts a candidate of GEPA holds, by step. `model` wins over what the file says.
    """
    path = Path(source)
    wanted = Wanted(path.stem or "imported", model=model)
    wanted = replace(wanted, inputs=_types(inputs, "inputs")) if inputs else wanted
    wanted = replace(wanted, gives=_types(gives, "gives")) if gives else wanted
    under = onto if onto is None or isinstance(onto, Workflow) else load_workflow(Path(onto))
    made = imported(path, wanted, under)
    if made.own and (inputs or gives):
        raise InputError("a workflow says its inputs and fields itself", str(path), "leave out --inputs and --gives")
    return made if model is None else replace(made, workflow=rebuild(made.workflow, model=model))


def _types(given: Mapping[str, Any], where: str) -> dict[str, FieldType]:
    try:
        return {name: parse_type(spelled) for name, spelled in given.items()}
    except FieldError as error:
        raise InputError(str(error), where) from None


def holds_workflow(path: Path) -> bool:
    """Tell whether a file is read as a workflow, by its name."""
    return path.suffix.lower() not in (*PROMPTS, *DATA)


def imported(path: Path, wanted: Wanted, onto: Workflow | None = None, forced: bool = True) -> Imported:
    """Return the workflow that a file holds. `onto` is for a candidate; `forced`: an error where there is none."""
    where, kind = str(path), path.suffix.lower()
    if holds_workflow(path):
        _no_onto(onto, forced, where)
        return Imported(load_workflow(path), own=True)
    text = read_text(path, "prompt" if kind in PROMPTS else "JSON")
    if len(text) > LARGEST:
        raise InputError(f"the file has {len(text)} characters; at most {LARGEST}", where)
    if kind in PROMPTS:
        _no_onto(onto, forced, where)
        if not text.strip():
            raise InputError("the prompt is empty", where, "say what the model should do")
        return one_call(Found(text), wanted, where)
    plain = _json(text, where)
    if is_map(plain) and "flowbot" in plain:
        _no_onto(onto, forced, where)
        return Imported(read_workflow(text, where), own=True)
    if is_chat(plain):
        _no_onto(onto, forced, where)
        return one_call(read_chat(plain, where), wanted, where)
    found = read_candidate(plain, where)
    if found is None:
        raise InputError(f"this is none of {SOURCES}", where)
    candidate, notes = found
    if onto is not None:
        return placed(candidate, onto, where, notes)
    if len(candidate) > 1:
        what = f"the candidate has {len(candidate)} components ({', '.join(candidate)})"
        raise InputError(what, where, "name the workflow whose steps they are with --onto WORKFLOW")
    return one_call(Found(next(iter(candidate.values())), notes=notes), wanted, where)


def _json(text: str, where: str) -> Json:
    try:
        plain = json.loads(text, parse_constant=refuse_constant, parse_float=finite_number)
        json.dumps(plain, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise InputError("a text holds half a character, which no file takes", where) from None
    except (ValueError, Misfit) as error:
        raise InputError(f"not valid JSON: {error}", where) from None
    except RecursionError:
        raise InputError("not valid JSON: it nests too deep", where) from None
    return plain


def _no_onto(onto: Workflow | None, forced: bool, where: str) -> None:
    if onto is not None and forced:
        raise InputError("only a candidate ({component: text}) is set onto a workflow", where, "leave out --onto")
