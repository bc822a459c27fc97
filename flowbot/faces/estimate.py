"""What an induction will cost, before paying: calls by the recipe's formula, tokens by the data, money by the price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flowbot.engine.forward import ask_of
from flowbot.faces.wiring import Problem
from flowbot.models.price import price_of
from flowbot.models.providers import provider_of
from flowbot.money import Price, Usage
from flowbot.search.induce import RECIPES
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import Workflow

LOW_BYTES, HIGH_BYTES = 4.2, 3.0  # bytes of text a token, at most and at least
GROWTH = 2  # calls more, in the high estimate, once the structure may have grown
META_READS = 1500  # tokens that a meta call reads beside the traces, at most
SHORT, LONG = 24, 400  # tokens of a task's or a judge's reply; a meta reply is as long as its bound, at most


@dataclass(frozen=True)
class Estimate:
    """Usage by purpose, at the low and the high end."""

    low: Mapping[str, Usage]
    high: Mapping[str, Usage]

    def total(self, end: Mapping[str, Usage]) -> Usage:
        """Return the sum over purposes."""
        return sum(end.values(), Usage())


def estimate(problem: Problem) -> Estimate:
    """Estimate a whole induction with its test: low if the structure stays and replies are short, else high.

    At the high end every typed reply is repaired once. Raises `InputError` for a provider that is not known.
    """
    task, start = problem.task, problem.start
    _check_provider(task.models.of("task"))
    _check_provider(task.models.of("meta"))
    if task.metric.name == "judge":
        _check_provider(task.models.of("judge"))
    sizes = {name: len(examples) for name, examples in problem.splits.items()}
    expected = RECIPES[task.recipe.name].expected
    calls = len(start.calls)
    ends: list[Mapping[str, Usage]] = []
    for growth, per_token, reply in ((0, LOW_BYTES, SHORT), (GROWTH, HIGH_BYTES, LONG)):
        counts = dict(expected(problem.settings, sizes["train"], sizes["val"], calls, calls + growth))
        counts["task"] = counts.get("task", 0) + sizes.get("test", 0) * (2 * calls + growth)
        if task.metric.name == "judge":
            counts["judge"] = counts["task"] // max(1, calls)
        if growth:
            counts = {purpose: count + _repairs(start, purpose, count) for purpose, count in counts.items()}
        read = _reads(start, problem.splits["train"], per_token)
        ends.append({purpose: _usage(problem, purpose, count, read, reply) for purpose, count in counts.items()})
    return Estimate(ends[0], ends[1])


def _check_provider(spec: ModelSpec) -> None:
    if spec.provider != "local":
        provider_of(spec, "http://localhost", {})  # at an address like this no provider needs its key


def _repairs(start: Workflow, purpose: str, count: int) -> int:
    """Return the repairs of so many calls: one of each typed reply, and what a structure grows by may be typed."""
    if purpose != "task":
        return count
    typed = sum(len(call.gives) > 1 or any(kind.kind != "text" for kind in call.gives.values()) for call in start.calls)
    return -(-count * (typed + GROWTH) // (len(start.calls) + GROWTH))


def _reads(start: Workflow, train: Sequence[Example], per_token: float) -> float:
    """Return the mean tokens that a task call reads, from the first examples and the start's prompts."""
    total = count = 0
    for example in train[:50]:
        for call in start.calls:
            reads = {source: example.inputs.get(source, "x" * 400) for source in call.reads}
            total += sum(len(message["content"].encode()) for message in ask_of(call, reads).messages())
            count += 1
    return total / max(1, count) / per_token + 10


def _usage(problem: Problem, purpose: str, count: int, read: float, reply: int) -> Usage:
    role = "task" if purpose == "task" else "judge" if purpose == "judge" else "meta"
    spec = problem.task.models.of(role)
    if role == "meta":
        bound = int(getattr(problem.settings, "meta_tokens", 1024))
        read, taken = read + META_READS * (reply / LONG), bound if reply == LONG else min(bound, reply)
    else:
        taken = min(reply, spec.max_tokens or reply)
    price: Price | None = price_of(spec)
    usage = Usage(count, round(count * read), count * taken)
    return replace(usage, usd=None if price is None else price.of(usage.input_tokens, usage.output_tokens))
