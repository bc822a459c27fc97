"""Making candidates: edits applied under all guards of the lab, and meta calls that propose them, with their price."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowbot.engine.chat import Gives, Sections
from flowbot.engine.meta import Check, Meta
from flowbot.engine.ports import Reply, Request, Session
from flowbot.money import Usage
from flowbot.search.findings import Findings
from flowbot.search.lab import Candidate, Lab
from flowbot.workflow.edits import Edit, EditError, Fault, apply, words
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import unfrozen
from flowbot.workflow.steps import Call


def made(lab: Lab, parent: Workflow, edits: Sequence[Edit]) -> Workflow:
    """Return the workflow that edits make of a parent, within the lab's bounds and guards; raise `EditError`."""
    child = apply(parent, edits, lab.bounds)
    if child.id == parent.id:
        raise EditError([Fault(0, "; ".join(map(words, edits)) or "no edit", "changes nothing")])
    check(lab, parent, child)
    return child


def check(lab: Lab, parent: Workflow, child: Workflow) -> None:
    """Raise `EditError` where a new prompt is guarded against, or a call names a model that the task does not."""
    before = {call.id: call for call in parent.calls}
    faults: list[Fault] = []
    for call in child.calls:
        old = before.get(call.id)
        if (old is None or old.prompt != call.prompt) and (reason := lab.guard(unfrozen(call.prompt))):
            faults.append(Fault(0, f"the prompt of '{call.id}'", reason))
        if call.model is not None and call.model not in lab.models and (old is None or old.model != call.model):
            known = ", ".join(lab.models) or "none beside the workflow's own"
            faults.append(Fault(0, f"the model of '{call.id}'", f"'{call.model}' is not the task's (models: {known})"))
    if faults:
        raise EditError(faults)


def candidate(
    lab: Lab, found: Findings, operator: str, edits: Sequence[Edit], hypothesis: str, **facts: Any
) -> Candidate | None:
    """Return the candidate that edits of the parent make, or None where they cannot be made or change nothing.

    For operators that need no meta model: what does not apply is passed over. `facts` are further fields of it.
    """
    try:
        child = made(lab, found.parent, edits)
    except EditError:
        return None
    return Candidate(child, found.parent.id, tuple(map(words, edits)), hypothesis, operator, **facts)


@dataclass
class Counted:
    """A session that adds up what its own replies cost, wherever they came from."""

    session: Session
    usage: Usage = field(default_factory=Usage)

    async def complete(self, request: Request) -> Reply:
        """Return the reply, and count it."""
        reply = await self.session.complete(request)
        self.usage += reply.usage
        return reply

    def __getattr__(self, name: str) -> Any:
        return getattr(self.session, name)


async def proposed(
    lab: Lab,
    found: Findings,
    operator: str,
    sections: Sections,
    gives: Gives,
    make: Callable[[Mapping[str, Json]], Workflow],
) -> tuple[Workflow, Mapping[str, Json], Usage] | None:
    """Ask the meta model for a proposal by the prompt `proposal_OPERATOR`; return what it made, said and cost.

    `make` turns the reply into a workflow or raises `EditError` (or ValueError) in words that go back to the meta model
    once. None where no usable reply came.
    """
    kept: list[Workflow] = []

    def checked(values: Mapping[str, Json]) -> str:
        try:
            child = make(values)
            if child.id == found.parent.id:
                return "that changes nothing"
            check(lab, found.parent, child)
        except ValueError as error:  # EditError and WorkflowError are
            return str(error)
        kept.append(child)
        return ""

    counted = Counted(lab.meta.session)
    meta: Meta = replace(lab.meta.at(f"iteration {found.number}, {operator}"), session=counted)
    rule: Check = checked
    values = await meta.ask("proposal", sections, gives, check=rule, prompt=f"proposal_{operator}")
    return (kept[-1], values, counted.usage) if values and kept else None


def new_calls(parent: Workflow, child: Workflow) -> list[Call]:
    """Return the calls of a child that are new or whose prompt changed, in file order."""
    before = parent.prompts
    return [call for call in child.calls if before.get(call.id) != call.prompt]
