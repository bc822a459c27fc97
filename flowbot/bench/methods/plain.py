"""What needs no search: the start as it is, and a vote of as many samples as another method's workflow costs."""

from __future__ import annotations

from dataclasses import dataclass

from flowbot.bench.arena import Arena, Tuned
from flowbot.bench.methods.induced import flow
from flowbot.faces.start import bounded, direct
from flowbot.workflow.blocks import MOST_SAMPLES
from flowbot.workflow.document import read_workflow, write_workflow
from flowbot.workflow.edits import apply
from flowbot.workflow.wrapping import WrapVote

LIKE, ALONE = "race", "single"  # what the vote may cost an example, and what it samples, where those ran
USUAL = 3  # samples, where nothing says what the vote may cost


@dataclass(frozen=True)
class Start:
    """The workflow that all begin from, untouched."""

    name: str = "start"
    packages: tuple[str, ...] = ()

    def cannot(self, arena: Arena) -> str:
        """Express every task."""
        return ""

    async def tune(self, arena: Arena) -> Tuned:
        """Return the start."""
        return Tuned(flow(arena.start, arena), write_workflow(arena.start), note="nothing was searched")


@dataclass(frozen=True)
class Vote:
    """One call, the best one found where `single` ran, sampled so often that an example costs what it costs `race`."""

    name: str = "vote"
    packages: tuple[str, ...] = ()

    def cannot(self, arena: Arena) -> str:
        """Express every task."""
        return ""

    async def tune(self, arena: Arena) -> Tuned:
        """Return the vote; one sample where no second one can be paid for."""
        single, like = (arena.done.get(name) for name in (ALONE, LIKE))
        one = read_workflow(single.text) if single else bounded(direct(arena.task), arena.task)
        n = min(MOST_SAMPLES, round(like.cost / single.cost)) if single and like and single.cost else USUAL
        if n < 2:
            return Tuned(flow(one, arena), write_workflow(one), note=f"one sample costs as much as {LIKE}")
        voted = apply(one, [WrapVote(step=one.output.partition(".")[0], n=n)])
        call = f"the call that {ALONE} found" if single else "the direct call"
        return Tuned(flow(voted, arena), write_workflow(voted), note=f"{n} samples of {call}")


METHODS = {"start": Start(), "vote": Vote()}
