"""Check and fix: a second call looks for the mistake, and the first tries again with its words."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import distinct, edited, output_call, suspects
from flowbot.workflow.blocks import MOST_TURNS, Loop
from flowbot.workflow.edits import Edit
from flowbot.workflow.wrapping import Resize, WrapCheckFix


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Let the output call be checked and fixed, then the call most to blame, then with one turn more."""
    parent = found.parent
    answers = output_call(parent)
    calls = [*([answers] if answers is not None else []), *suspects(found)[:1]]
    names = list(dict.fromkeys(call.id for call in calls))
    check = f"{lab.meta.description}\n\n{lab.meta.prompts['shape_check']}".strip()
    edits: list[Edit] = [WrapCheckFix(step=name, check=check) for name in names]
    edits += [WrapCheckFix(step=name, check=check, max=3) for name in names]
    loops = [step for step in parent.all_steps if isinstance(step, Loop) and step.until]
    edits += [Resize(step=step.id, size=step.max + 1) for step in loops if step.max < MOST_TURNS]
    why = "a check finds the mistakes that a second try can mend"
    made = [each for edit in edits for each in edited(lab, found, "refine", [edit], why)]
    return distinct(made, found.variants)


OPERATOR = Operator("refine", propose, structural=True)
