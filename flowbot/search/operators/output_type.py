"""The output's type: that which the targets have, so that a reply cannot be anything else."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.search.aim import built, edited, output_call
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.templates import may_reason, reasoning, thinking
from flowbot.task.metrics import last_number
from flowbot.workflow.body import Block
from flowbot.workflow.edits import words
from flowbot.workflow.fields import NUMBER, FieldType, Json, as_text, choice
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call
from flowbot.workflow.tuning import SetOutputType

MOST_CHOICES = 30
LONGEST_CHOICE = 60


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


def typed(workflow: Workflow, targets: Sequence[Json]) -> SetOutputType | None:
    """Return the edit that gives a workflow's text output the type of the targets; None where it does not apply."""
    step_id, _, name = workflow.output.partition(".")
    found = target_type(targets)
    writes = isinstance(workflow.step(step_id), Call | Block)
    if not writes or found is None or workflow.output_type.kind != "text":
        return None
    return SetOutputType(step=step_id, field=name, type=found)


def target_type(targets: Sequence[Json]) -> FieldType | None:
    """Return `choice[...]` for texts from a small set seen again and again, `number` for numbers, else None."""
    if not targets or any(target is None or isinstance(target, list | dict) for target in targets):
        return None
    texts = [as_text(target).strip() for target in targets]
    distinct = sorted(set(texts))
    small = len(distinct) <= min(MOST_CHOICES, len(texts) // 3) and max(map(len, distinct)) <= LONGEST_CHOICE
    if all(last_number(target) is not None and _numeric(target) for target in targets) and not small:
        return NUMBER
    return choice(*distinct) if small and all(distinct) and len(distinct) > 1 else None


def _numeric(value: Json) -> bool:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return True
    try:
        float(as_text(value).replace(",", "").strip())
    except ValueError:
        return False
    return True


OPERATOR = Operator("output_type", propose)
