"""Bullets: single rules added to and taken from the instructions of all steps, for the largest clusters of failures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flowbot.engine.loose import LISTED, SAID, records
from flowbot.engine.verdict import cut, echoes, says, step_meant
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import made, proposed
from flowbot.search.operators.shown import aimed, evidence, predicted, prompts_told
from flowbot.workflow.bullets import bullets
from flowbot.workflow.draw import outline
from flowbot.workflow.edits import words
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.tuning import Bullets

REPLY = {
    "hypothesis": SAID,
    "edits": records(step=SAID, add=LISTED, remove=LISTED),
    "flips": LISTED,
}
MOST_ADDED = 6  # to one step at once
LONGEST = 400  # characters of a bullet
_LABEL = re.compile(r"^[-*•\s]*(?:(?:new )?(?:bullet|rule)\s*\d*:\s*)?", re.IGNORECASE)
LONGEST_WORDS = 200  # characters of what is said of one edit


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose rules for the two or three largest clusters, in one composite edit; nothing where nothing fails."""
    clusters = aimed(found)
    calls = [call for call in found.parent.calls if call.id not in found.parent.frozen_ids]
    if not clusters or not calls:
        return []
    sections = [
        ("workflow", outline(found.parent)),
        ("prompts", prompts_told(found.parent, lab.meta.clip, calls)),
        *evidence(lab, found, clusters),
    ]
    kept: list[tuple[str, ...]] = []

    def make(values: Mapping[str, Json]) -> Workflow:
        edits = read(lab, found.parent, values["edits"])
        child = made(lab, found.parent, edits)
        kept.append(tuple(_told(edit) for edit in edits))
        return child

    got = await proposed(lab, found, "bullets", sections, REPLY, make)
    if got is None:
        return []
    child, values, paid = got
    names = tuple(cluster.name for cluster in clusters)
    flips = predicted(values["flips"], clusters)
    return [Candidate(child, found.parent.id, kept[-1], values["hypothesis"], "bullets", names, flips, paid)]


def read(lab: Lab, workflow: Workflow, entries: Sequence[Mapping[str, Json]]) -> list[Bullets]:
    """Return the edits that a reply holds, one a step; raise ValueError where none is left.

    Passed over are unknown and frozen steps, unknown ids, empty rules, and rules that the guard refuses: what is left
    may do. The one call of a workflow is meant whatever is named.
    """
    calls = {call.id: call for call in workflow.calls if call.id not in workflow.frozen_ids}
    add: dict[str, dict[str, None]] = {}
    remove: dict[str, dict[str, None]] = {}
    reasons: list[str] = []
    for entry in entries:
        step = next(iter(calls)) if len(calls) == 1 else step_meant(entry["step"], calls)
        if not step:
            reasons.append(f"there is no step '{cut(entry['step'], 60)}' to change (steps: {', '.join(calls)})")
            continue
        known, prompt = bullets(calls[step].prompt), calls[step].prompt
        for text in entry["add"]:
            rule = _LABEL.sub("", " ".join(text.split()))
            if refused := _refused(lab, rule, prompt):
                reasons.append(refused)
            else:
                add.setdefault(step, {})[rule] = None
        for name in entry["remove"]:
            bare = name.strip(" []:`").partition("]")[0]
            bare = next((each for each, words in known.items() if words == name.lstrip("-*• ")), bare)
            if bare in known:
                remove.setdefault(step, {})[bare] = None
    edits = [
        Bullets(step=step, add=tuple(add.get(step, {}))[:MOST_ADDED], remove=tuple(remove.get(step, {})))
        for step in calls
        if step in add or step in remove
    ]
    if not edits:
        raise ValueError("; ".join(dict.fromkeys(reasons)) or "edits must add or remove at least one bullet")
    return edits


def _refused(lab: Lab, rule: str, prompt: str) -> str:
    """Return what is wrong with a new rule for an instruction; empty where nothing is."""
    if not 0 < len(rule) <= LONGEST:
        return f"a rule has 1 to {LONGEST} characters"
    if echoes(rule, lab.meta.prompts["proposal_bullets"]):
        return "say the rules in your own words"
    return f"the instruction says that already: {rule}" if says(prompt, rule) else lab.guard(rule)


def _told(edit: Bullets) -> str:
    added = f": {' | '.join(edit.add)}" if edit.add else ""
    return cut(words(edit) + added, LONGEST_WORDS)


OPERATOR = Operator("bullets", propose, meta=1)
