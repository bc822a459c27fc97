"""Rewrites of instructions, held to what the old ones knew: frozen blocks and bullets do not get lost by the way."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from flowbot.search.taxonomy import similar
from flowbot.workflow.bullets import bullets, rewritten
from flowbot.workflow.draw import changed_steps
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import loses_frozen, restored, unfrozen
from flowbot.workflow.value import head

MOST_WORDS = 0.8  # of a rule, that a sentence has where it says it
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n")
_ID = re.compile(r"\bb[0-9a-f]{4,64}\b")
_SHOWN_ID = re.compile(r"\[b[0-9a-f]{4,64}\]\s*")


def accounted(old: str, new: str, dropped: Sequence[str] = (), elsewhere: Sequence[str] = ()) -> str:
    """Return a rewrite of an instruction in which nothing is lost unsaid.

    Frozen blocks are put back, and so is each bullet that neither stands in it (or `elsewhere`), as it was or in other
    words, nor is named in `dropped` by its id or its words. Raises ValueError where a frozen block is changed or added.
    """
    text = held(old, new)
    own = set(bullets(unfrozen(old)).values())
    named = {found for each in dropped for found in _ID.findall(each)}
    said = [sentence for each in (text, *elsewhere, *dropped) for sentence in _SENTENCES.split(each)]
    lost_ones = [
        words
        for name, words in bullets(old).items()
        if words in own and name not in named and not any(_says(line, words) for line in said)
    ]
    return rewritten(text, lost_ones, {}, []) if lost_ones else text


def held(old: str, new: str) -> str:
    """Return a new instruction with the frozen blocks of the old one, and without ids of bullets in brackets.

    Raises ValueError where a frozen block is changed or added.
    """
    text = restored(old, _SHOWN_ID.sub("", new)).strip()
    if lost := loses_frozen(old, text):
        raise ValueError(lost)
    return text


def _says(sentence: str, rule: str) -> bool:
    """Tell whether a sentence says a rule: with nearly all of its words, or as another that is alike."""
    has, wanted = (set(re.findall(r"\w+", each.casefold())) for each in (sentence, rule))
    return len(has & wanted) >= MOST_WORDS * len(wanted) or similar(sentence, rule)


def neighbours(old: Workflow, new: Workflow) -> set[str]:
    """Return the ids of the steps that are new or changed, and of those that read them or are read by them."""
    changed = set(changed_steps(old, new))
    now = {step.id: step for step in new.all_steps}
    gone = [step for step in old.all_steps if step.id not in now]
    read = {head(source) for step in (*gone, *(now[each] for each in changed)) for source in step.sources}
    readers = {step.id for step in new.all_steps if any(head(source) in changed for source in step.sources)}
    return changed | readers | (read & set(now))


def instructed(
    old: Workflow, new: Workflow, said: Mapping[str, str], spare: Mapping[str, str], pending: str, fresh: bool = False
) -> Workflow:
    """Return a workflow drawn anew with its instructions, none of them `pending`.

    `said` are what the meta model writes, by step: taken for calls that are new, changed or beside one that is; a call
    that has none keeps its own, and a new one gets that of `spare`. `fresh`: all calls are taken for new ones, without
    demos. Raises ValueError where a frozen block is changed.
    """
    before, near = old.prompts, neighbours(old, new)
    made: dict[str, str] = {}
    for call in new.calls:
        had, text = before.get(call.id, ""), said.get(call.id, "").strip()
        if call.id in new.frozen_ids:
            continue
        if fresh or not had:
            text = text or spare.get(call.id, "").strip() or f"Give {', '.join(call.gives)}."
            made[call.id] = held(had, text)
        elif text and call.id in near:
            made[call.id] = accounted(had, text, elsewhere=[each for name, each in said.items() if name != call.id])
        elif call.prompt == pending:
            made[call.id] = had
    demos = {"demos": ()} if fresh else {}
    return new.with_steps({step_id: {"prompt": prompt, **demos} for step_id, prompt in made.items()})
