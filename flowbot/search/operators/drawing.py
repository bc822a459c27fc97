"""Structures drawn by the meta model together with their instructions: what the structural operators share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from flowbot.engine.chat import Gives, Sections
from flowbot.engine.flat import flatten, steps_type, tool_lines, words
from flowbot.engine.loose import LISTED, SAID, records
from flowbot.engine.sketch import PENDING, sketched
from flowbot.engine.verdict import echoes, step_meant
from flowbot.search.findings import Cluster, Findings
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import proposed
from flowbot.search.operators.rewrite import instructed
from flowbot.search.operators.shown import predicted, prompts_told
from flowbot.workflow.draw import diff, outline
from flowbot.workflow.fields import Json, is_list, is_map
from flowbot.workflow.graph import Workflow

LINES, LONGEST_LINE = 6, 160  # of the words that say what a drawing changed
LONGER = 2  # a sketch with its instructions may take so many times the tokens of another meta reply
VARIED = 0.7  # the least temperature of drawings that are to differ from each other


async def drawn(
    lab: Lab,
    found: Findings,
    operator: str,
    sections: Sections,
    clusters: Sequence[Cluster] = (),
    spare: Mapping[str, str] | None = None,
    fresh: bool = False,
) -> list[Candidate]:
    """Ask for a new structure with its instructions; return the one candidate that it is, or none.

    `spare` are instructions for steps that come without one. `fresh`: nothing of the parent's instructions stays, and
    the meta model is asked at some temperature.
    """
    parent, kinds = found.parent, lab.kinds

    def make(values: Mapping[str, Json]) -> Workflow:
        steps = values["steps"]
        new = sketched(parent, steps, _output(values["output"], steps, parent), kinds).within(lab.bounds)
        roles = _roles(steps)
        said = _instructions(values["instructions"], roles, lab.meta.prompts[name])
        return instructed(parent, new, said, roles | dict(spare or {}), PENDING, fresh)

    name, meta = f"proposal_{operator}", lab.meta
    told = words(meta.prompts, parent, kinds)
    meta = replace(
        meta,
        prompts={**meta.prompts, name: f"{meta.prompts[name]}\n\n{told}" if told else meta.prompts[name]},
        max_tokens=None if meta.max_tokens is None else LONGER * meta.max_tokens,
        temperature=max(VARIED, meta.temperature) if fresh else meta.temperature,
    )
    got = await proposed(replace(lab, meta=meta), found, operator, sections, _form(parent, kinds), make)
    if got is None:
        return []
    child, values, paid = got
    facts: dict[str, Any] = {
        "clusters": tuple(cluster.name for cluster in clusters),
        "flips": predicted(values["flips"], clusters),
        "paid": paid,
    }
    return [Candidate(child, parent.id, changes(parent, child), values["hypothesis"], operator, **facts)]


def _form(workflow: Workflow, kinds: Sequence[str]) -> Gives:
    """Return the form of the reply: what is thought comes before what is drawn."""
    return {
        "hypothesis": SAID,
        "steps": steps_type(workflow, kinds),
        "output": SAID,
        "instructions": records(step=SAID, instruction=SAID),
        "flips": LISTED,
    }


def structure_told(workflow: Workflow, room: int, name: str = "workflow") -> Sections:
    """Return the sections that show a workflow: its structure in words, its steps as they are written, its prompts."""
    lines = [json.dumps(each, ensure_ascii=False) for each in flatten(workflow)]
    return [
        (name, outline(workflow)),
        (f"the steps of the {name}, as you write them", "\n".join(lines)),
        (f"the instructions of the {name}", prompts_told(workflow, room)),
    ]


def tools_told(workflow: Workflow) -> Sections:
    """Return the section on tools, where there are any."""
    lines = tool_lines(workflow)
    return [("tools", "\n".join(lines))] if lines else []


def _output(said: str, steps: Json, parent: Workflow) -> str:
    """Return the output that a reply names; where that gives no field of its name, the last step that does."""
    text, field = said.lstrip("$"), parent.output.partition(".")[2]
    givers = [
        f"{each.get('id')}.{field}"
        for each in (steps if is_list(steps) else ())
        if is_map(each) and not each.get("inside") and field in _names(each.get("gives"))
    ]
    if text in givers or not givers:
        return text or parent.output
    return givers[-1]


def _names(gives: Json) -> set[str]:
    return {str(each.get("name")) for each in gives if is_map(each)} if is_list(gives) else set()


def _roles(steps: Json) -> dict[str, str]:
    """Return what each step is for, as it was drawn."""
    entries = [each for each in steps if is_map(each)] if is_list(steps) else []
    return {str(each.get("id")).strip(): str(each.get("role") or "") for each in entries}


def _instructions(entries: Sequence[Mapping[str, str]], roles: Mapping[str, str], prompt: str) -> dict[str, str]:
    """Return instructions by step, also where a step is named by its role; those that echo the meta prompt are none."""
    named = {role.casefold(): step_id for step_id, role in roles.items() if role}
    said: dict[str, str] = {}
    for entry in entries:
        step_id = named.get(entry["step"].casefold()) or step_meant(entry["step"], roles)
        if step_id and not echoes(entry["instruction"], prompt):
            said[step_id] = entry["instruction"]
    return said


def changes(old: Workflow, new: Workflow) -> tuple[str, ...]:
    """Return what a drawing changed in a few lines: steps that came, went or changed, not the texts of prompts."""
    lines = [" ".join(line.split())[:LONGEST_LINE] for line in _heads(diff(old, new))]
    more = len(lines) - LINES
    return tuple(lines if more <= 0 else [*lines[: LINES - 1], f"and {more + 1} changes more"])


def _heads(text: str) -> Iterator[str]:
    """Yield the lines of a diff, without those of prompts and demos; what changed of a step is one line."""
    step, parts = "", list[str]()
    for line in [*text.splitlines(), "."]:
        if line.startswith(" "):
            name = line.strip().partition(":")[0]
            if step and not line.startswith("     "):
                parts.append(name if name in ("prompt", "demos") else line.strip())
            continue
        if step:
            yield f"{step}: {'; '.join(parts)}"
        step, parts = (line, []) if line.startswith("~") else ("", [])
        if line != "." and not step:
            yield line
