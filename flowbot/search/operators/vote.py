"""Votes: several samples of what makes the output, and the answer given most often is taken."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import distinct, edited, output_chain, writer_of
from flowbot.workflow.blocks import MOST_SAMPLES, Branch, Loop, Step, Vote
from flowbot.workflow.draft import Draft
from flowbot.workflow.edits import Edit
from flowbot.workflow.graph import Workflow
from flowbot.workflow.restructure import Reorder
from flowbot.workflow.steps import Call, CodeStep
from flowbot.workflow.tuning import SetTemperature
from flowbot.workflow.wrapping import Resize, WrapVote

SIZES = (3, 5, 7, 9, 11, MOST_SAMPLES)  # odd where they can be: fewer ties


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Wrap what makes the output in a vote of 3 and of 5, with demos over their orders too; a vote there gets more."""
    why = "the answer given most often is right more often than a single one"
    made = [each for edits in _composites(found.parent) for each in edited(lab, found, "vote", edits, why)]
    return distinct(made, found.variants)


def _composites(workflow: Workflow) -> Iterator[Sequence[Edit]]:
    chain = output_chain(workflow)
    vote = next((step for step in chain if isinstance(step, Vote)), None)
    if vote is not None:
        yield from ([Resize(step=vote.id, size=size)] for size in SIZES if size > vote.n)
        return
    yield from _wrapped(workflow, chain, 3)
    if isinstance(call := chain[-1], Call) and len(call.demos) > 1:
        cold = SetTemperature(step=call.id, temperature=0.0)  # the order alone makes the samples differ
        yield [*([] if call.temperature == 0 else [cold]), WrapVote(step=call.id, n=3, shuffle_demos=True)]
    yield from _wrapped(workflow, chain, 5)


def _wrapped(workflow: Workflow, chain: Sequence[Step], n: int) -> Iterator[Sequence[Edit]]:
    """Yield the edits that let a vote take one of `n` samples of what makes the output: a program with its writer."""
    *outer, last = chain
    if isinstance(last, Call | Branch):
        yield [WrapVote(step=last.id, n=n)]
    elif isinstance(last, CodeStep) and outer and isinstance(outer[-1], Loop):
        yield [WrapVote(step=outer[-1].id, n=n)]
    elif isinstance(last, CodeStep) and (writer := writer_of(workflow, last)) is not None:
        name = Draft.of(workflow).new_id(None, f"{last.id}_vote")
        warm = [SetTemperature(step=writer.id, temperature=None)] if writer.temperature == 0 else []
        yield [*warm, WrapVote(step=last.id, id=name, n=n), Reorder(step=writer.id, inside=name, at=1)]


OPERATOR = Operator("vote", propose, structural=True)
