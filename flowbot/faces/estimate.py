"""What an induction will cost, before paying: calls by the recipe's formula, tokens by the data, money by the price."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from flowbot.faces.cost import LONG, SHORT, asked, check_provider, unpaid
from flowbot.faces.problem import Problem
from flowbot.models.price import price_of
from flowbot.money import Price, Usage
from flowbot.search.induce import RECIPES
from flowbot.workflow.body import Block
from flowbot.workflow.graph import Workflow
from flowbot.workflow.requests import critiques

GROWTH = 2  # calls more, in the high estimate, once the structure may have grown
META_READS = 1500  # tokens that a meta call reads beside the traces, at most; its reply is as long as its bound


@dataclass(frozen=True)
class Estimate:
    """Usage by purpose, at the low and the high end; and the tool calls and programs of the workflow's runs."""

    low: Mapping[str, Usage]
    high: Mapping[str, Usage]
    tools: tuple[int, int] = (0, 0)
    programs: tuple[int, int] = (0, 0)

    def total(self, end: Mapping[str, Usage]) -> Usage:
        """Return the sum over purposes."""
        return sum(end.values(), Usage())


def estimate(problem: Problem) -> Estimate:
    """Estimate a whole induction with its test: low if the structure stays and replies are short, else high.

    A workflow with bodies takes one item, one turn and the shortest arm at the low end, all of them at the high end,
    where every typed reply is repaired once as well. Raises `InputError` for a provider that is not known.
    """
    task, start = problem.task, problem.start
    check_provider(task.models.of("task"))
    check_provider(task.models.of("meta"))
    if task.metric.name == "judge":
        check_provider(task.models.of("judge"))
    sizes = {name: len(examples) for name, examples in problem.splits.items()}
    expected = RECIPES[task.recipe.name].expected
    calls = max(1, len(start.calls))
    ends: list[Mapping[str, Usage]] = []
    beside: list[tuple[int, int]] = []
    for growth in (0, GROWTH):
        counts = dict(expected(problem.settings, sizes["train"], sizes["val"], calls, calls + growth))
        counts["task"] = counts.get("task", 0) + sizes.get("test", 0) * (2 * calls + growth)
        if task.metric.name == "judge":
            counts["judge"] = counts["task"] // calls
        runs = counts["task"] // (calls + growth), -(-counts["task"] // calls)  # of the workflow, at the least and most
        each_run = unpaid(start, fewest=not growth)
        beside.append((each_run[0] * runs[bool(growth)], each_run[1] * runs[bool(growth)]))
        found = asked(start, problem.splits["train"], task.models.specs, fewest=not growth)
        requests = sum(each.requests for each in found)
        per_call = max(requests / calls, (requests + 2 * growth) / (calls + growth))  # what grows may be repaired too
        counts["task"] = round(counts["task"] * per_call)
        counts |= _critiques(start, counts, growth)
        if growth:
            counts |= {purpose: 2 * count for purpose, count in counts.items() if purpose != "task"}
        read = sum(each.input_tokens for each in found) / max(1, requests)
        reply = LONG if growth else SHORT
        ends.append({purpose: _usage(problem, purpose, count, read, reply) for purpose, count in counts.items()})
    tools, programs = zip(*beside, strict=True)
    return Estimate(ends[0], ends[1], tools, programs)


def _critiques(start: Workflow, counts: Mapping[str, int], growth: int) -> dict[str, int]:
    """Return the critiques of a start with bodies: each run of a call on the way back has one.

    Whether it is of the loss or of a later call depends on the run, so each may be all of them, or none.
    """
    if "loss_gradient" not in counts or not any(isinstance(step, Block) for step in start.steps):
        return {}
    examples = counts["loss_gradient"]
    if not growth:
        return {"call_gradient": 0}
    most = critiques(start.steps) + growth
    return {"loss_gradient": examples * most, "call_gradient": examples * most}


def _usage(problem: Problem, purpose: str, count: int, read: float, reply: int) -> Usage:
    role = "task" if purpose == "task" else "judge" if purpose == "judge" else "meta"
    spec = problem.task.models.of(role)
    if role == "meta":
        bound = problem.task.models.meta_bound(int(getattr(problem.settings, "meta_tokens", 1024)))
        read, taken = read + META_READS * (reply / LONG), bound if reply == LONG else min(bound, reply)
    else:
        taken = min(reply, spec.max_tokens or reply)
    price: Price | None = price_of(spec)
    usage = Usage(count, round(count * read), count * taken)
    return replace(usage, usd=None if price is None else price.of(usage.input_tokens, usage.output_tokens))
