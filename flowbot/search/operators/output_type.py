"""The output's type: that which the targets have, so that a reply cannot be anything else."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import built, edited, output_call
from flowbot.search.operators.templates import may_reason, reasoning, thinking
from flowbot.search.targets import typed
from flowbot.workflow.edits import words


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Give a text output the type of the targets; once more with a field to reason in, which a typed reply has not."""
    parent = found.parent
    edit = typed(parent, [example.target for example in lab.train])
    if edit is None:
        return []
    why = "the answers come from a closed set of values" if edit.type.kind == "choice" else "the answers are numbers"
    made = edited(lab, found, "output_type", [edit], why)
    call = output_call(parent)
    if made and call is not None and may_reason(call):
        typed_one = made[0].workflow
        told = f"{words(edit)}; {thinking(call)}"
        why = f"{why}, and a typed reply is right more often with a reasoning before it"
        made += built(lab, found, "output_type", lambda: reasoning(lab, typed_one, call.id), told, why)
    return made[: found.variants]


OPERATOR = Operator("output_type", propose)
