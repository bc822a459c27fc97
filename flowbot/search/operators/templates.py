"""Shipped rules: bullets that hold for any task, and a field to reason in before the answer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import aims, built, edited, output_call, roomier, said, suspects, tried
from flowbot.workflow.change import free_name
from flowbot.workflow.fields import TEXT
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call
from flowbot.workflow.tuning import Bullets

REASONING = "reasoning"


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Let the output call reason in a field of its own, and add one or two shipped bullets to the call most to blame.

    What was not tried yet comes first.
    """
    made: list[Candidate] = []
    answers = output_call(found.parent)
    if answers is not None and may_reason(answers) and not tried(found, thinking(answers)):
        why = "an answer is right more often when the steps to it are written before it"
        workflow, step_id = found.parent, answers.id
        made += built(
            lab, found, "templates", lambda: reasoning(lab, workflow, step_id), thinking(answers), why, **aims(found)
        )
    for call in suspects(found)[:1]:
        left = _rules(lab, found, call)
        for count in cycle((1, 2)):
            if not left or len(made) >= found.variants:
                break
            rules, left = left[:count], left[count:]
            made += _told(lab, found, call, rules)
    return made[: found.variants]


def _rules(lab: Lab, found: Findings, call: Call) -> list[str]:
    """Return the shipped bullets that a call's prompt has not, in an order drawn by seed, those tried before last."""
    lines = [line.removeprefix("- ").strip() for line in lab.meta.prompts.get("bullets", "").splitlines()]
    rules = [line for line in lines if line and line not in call.prompt]
    random.Random(found.seed(lab, "templates")).shuffle(rules)
    return sorted(rules, key=lambda rule: tried(found, f'"{rule}"'))


def _told(lab: Lab, found: Findings, call: Call, rules: Sequence[str]) -> list[Candidate]:
    edit = Bullets(step=call.id, add=tuple(rules))
    quoted = " ".join(f'"{rule}"' for rule in rules)
    return said(
        edited(lab, found, "templates", [edit], f"a rule that helps in most tasks: {quoted}"),
        (f"tell '{call.id}': {quoted}"),
    )


def may_reason(call: Call) -> bool:
    """Tell whether a call gives nothing but its answer."""
    return len(call.gives) == 1


def thinking(call: Call) -> str:
    """Return in words that a call is to reason before it answers."""
    return f"let '{call.id}' write its reasoning before the answer"


def reasoning(lab: Lab, workflow: Workflow, step_id: str) -> Workflow:
    """Return the workflow in which a call gives its reasoning before its answer; demos that show none are dropped."""
    call = next(call for call in workflow.calls if call.id == step_id)
    taken = [name for step in workflow.all_steps for name in step.gives]
    settings: dict[str, Any] = {
        "gives": {free_name(REASONING, taken): TEXT, **call.gives},
        "prompt": f"{call.prompt}\n\n{lab.meta.prompts['shape_think']}",
        "demos": (),
        **roomier(call),
    }
    return workflow.with_steps({step_id: settings})


OPERATOR = Operator("templates", propose)
