"""Thrift: whether a workflow that costs less is as good, sampled again where noise hides it."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.engine.tasks import together
from flowbot.search.compare import p_loss_below, pooled
from flowbot.search.lab import Lab, Row
from flowbot.search.memory import RaceSettings
from flowbot.search.pool import CHEAPER
from flowbot.task.data import Example
from flowbot.workflow.graph import Workflow

SAMPLES = 6  # of both workflows on the same examples, at most
PROBE = 8  # examples that a second sample begins with: where none of them comes out otherwise, replies do not change
HOPELESS = 0.25  # of the chance that is left at the level: below it no further sample is drawn


async def saves(lab: Lab, settings: RaceSettings, old: Row, new: Row) -> bool:
    """Tell whether a row's workflow costs so much less than another on validation, and is as good there."""
    if new.cost > CHEAPER * old.cost:
        return False
    return await as_good(lab, settings, old.candidate.workflow, new.candidate.workflow, lab.val, "val")


async def as_good(
    lab: Lab, settings: RaceSettings, old: Workflow, new: Workflow, examples: Sequence[Example], draw: str
) -> bool:
    """Tell whether `new` is no worse than `old`: nothing flipped, or a loss is surely within the margin.

    Both have marks at `draw`. Where those do not say, up to five further samples of both are drawn: a bad sample of a
    noisy model is no reason to pay more for ever. Models whose replies do not change are not asked again.
    """
    rows: tuple[list[list[float]], list[list[float]]] = ([], [])
    for number in range(1, SAMPLES + 1):
        name = sample(draw, number)
        if number == 2 and await _settled(lab, (old, new), examples[:PROBE], draw):
            return False
        left = sum(len(lab.unknown(each, examples, name)) for each in (old, new))
        if left:
            lab.admit(lab.runs(len(examples), old, new), f"sample {number} of a cheaper workflow", last=draw != "val")
        marks = await together([lab.mark(each, examples, name) for each in (old, new)])
        for row, found in zip(rows, marks, strict=True):
            row.append([mark.score for mark in found])
        before, after = pooled(rows[0]), pooled(rows[1])
        sure = p_loss_below(before, after, settings.margin, lab.seed)
        if before == after or sure >= settings.level:
            return True
        if sure <= HOPELESS * (1 - settings.level):
            return False
    return False


async def _settled(lab: Lab, workflows: Sequence[Workflow], examples: Sequence[Example], draw: str) -> bool:
    """Tell whether workflows score and cost the same again on a few examples: their replies do not change."""
    again = sample(draw, 2)
    left = sum(len(lab.unknown(each, examples, again)) for each in workflows)
    if left:
        lab.admit(lab.runs(len(examples), *workflows), "a second look at a cheaper workflow", last=draw != "val")
    found = await together([lab.mark(each, examples, name) for each in workflows for name in (draw, again)])
    rows = [[(mark.score, mark.cost) for mark in marks] for marks in found]
    return rows[::2] == rows[1::2]


def sample(draw: str, number: int) -> str:
    """Return the draw of a further sample; the first is the draw itself."""
    return draw if number == 1 else f"{draw}, sample {number}"
