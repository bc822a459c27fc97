"""How many LLM requests one example makes: what a stage is admitted by. Repairs and tool turns come on top."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowbot.workflow.blocks import Branch, Loop, Map, Step, Vote
from flowbot.workflow.body import Block
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call

ITEMS = 3  # of a map that get a gradient: those that mattered most


def requests(steps: Sequence[Step]) -> int:
    """Return the most first requests that one example makes: every sample, item and turn, the longest arm."""

    def times(block: Block) -> int:
        match block:
            case Vote():
                return block.n
            case Map():
                return block.cap
            case Loop():
                return block.max
            case _:
                return 1

    return _counted(steps, times)


def critiques(steps: Sequence[Step]) -> int:
    """Return how many calls the way back passes on one example: one sample of a vote, few items of a map."""

    def times(block: Block) -> int:
        match block:
            case Map():
                return min(block.cap, ITEMS)
            case Loop():
                return block.max
            case _:
                return 1

    return _counted(steps, times)


def _counted(steps: Sequence[Step], times: Callable[[Block], int]) -> int:
    total = 0
    for step in steps:
        if isinstance(step, Call):
            total += 1
        elif isinstance(step, Block):
            bodies = [_counted(body.steps, times) for body in step.bodies.values()]
            inside = max(bodies, default=0) if isinstance(step, Branch) else sum(bodies)
            total += times(step) * inside + len(step.judges)
    return total


def length(workflow: Workflow) -> int:
    """Return the characters that a workflow's prompts and demos take."""
    return sum(len(call.prompt) + sum(len(demo.model_dump_json()) for demo in call.demos) for call in workflow.calls)
