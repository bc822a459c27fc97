"""What stays when steps are drawn anew: prompts, settings and demos of what is the same, and all that is frozen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowbot.workflow.blocks import Vote
from flowbot.workflow.draft import Draft
from flowbot.workflow.fields import FieldType
from flowbot.workflow.prompt import frozen_blocks
from flowbot.workflow.steps import Call

SETTINGS = ("model", "temperature", "max_tokens")  # what a changed call keeps


def kept(old: Call, new: Call) -> Call:
    """Return a call drawn anew with what it keeps of the old one of its id.

    A call that reads and gives the same keeps everything but the tools that are drawn, also a type that was narrowed
    (text to choice); another keeps its model, temperature and bound, and has the prompt and the demos of `new`.
    """
    if alike(old, new.reads, new.gives):
        return old.changed({"tools": new.tools, "max_tool_calls": new.max_tool_calls})
    return new.changed({name: getattr(old, name) for name in SETTINGS if getattr(new, name) is None})


def alike(old: Call, reads: Sequence[str], gives: Mapping[str, FieldType]) -> bool:
    """Tell whether a call reads and gives the same; a type that was narrowed (text to choice) counts as the same."""
    same_names = list(old.gives) == list(gives)
    return old.reads == tuple(reads) and same_names and all(_same(old.gives[name], gives[name]) for name in gives)


def _same(old: FieldType, new: FieldType) -> bool:
    """Tell whether a field is meant to stay as it is: of its kind, or a choice that is drawn as the text it was."""
    return new.accepts(old) and (new.kind == old.kind or old.kind == "choice")


def frozen_loss(old: Draft, new: Draft) -> str:
    """Return what happens to a frozen step of the old; empty where all stay as they are, in the same blocks.

    A call whose prompt has a frozen block must stay as well; that the block does is for whoever writes the prompt.
    """
    for step_id, step in old.known.items():
        if isinstance(step, Call) and frozen_blocks(step.prompt) and not isinstance(new.known.get(step_id), Call):
            return f"the prompt of '{step_id}' has a frozen block: keep the call, under its id"
        if not step.frozen:
            continue
        if step_id not in new.known:
            return f"the step '{step_id}' is frozen: keep it as it is"
        if new.known[step_id] != step:
            return f"the step '{step_id}' is frozen: keep it as it is, with all that stands in it"
        blocks = around(old, step_id)
        if around(new, step_id) != blocks:
            place = f"inside '{blocks[0][0]}'" if blocks else "outside of blocks"
            return f"the step '{step_id}' is frozen: leave it where it stands, {place}"
    return ""


def around(draft: Draft, step_id: str) -> list[tuple[str, str]]:
    """Return the bodies that a step stands in, from the inside out: the block, and its body (none for a judge)."""
    found: list[tuple[str, str]] = []
    while (home := draft.homes[step_id]).block:
        found.append((home.block, home.body))
        step_id = home.block
    return found


def sampled(draft: Draft) -> frozenset[str]:
    """Return the ids of the steps that stand in the body of some vote."""
    votes = {step.id for step in draft.known.values() if isinstance(step, Vote)}
    return frozenset(each for each in draft.known if any(at in votes and key for at, key in around(draft, each)))
