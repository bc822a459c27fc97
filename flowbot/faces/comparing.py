"""Workflows against each other: scored on the same examples, with paired differences and what an example costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.api import Evaluation, Rows, aevaluate, load
from flowbot.faces.induction import Heard
from flowbot.faces.options import Options
from flowbot.faces.tables import (
    Table,
    chance_text,
    count_text,
    gain_text,
    interval_text,
    is_fraction,
    money_text,
    score_text,
)
from flowbot.money import Usage
from flowbot.search.compare import Comparison, compare, flips, interval
from flowbot.store.files import load_task
from flowbot.task.task import Task
from flowbot.tools.metric import Function
from flowbot.tools.tool import Functions
from flowbot.workflow.graph import Workflow

BEST = "best.yaml"  # of a run's folder


@dataclass(frozen=True)
class Measured:
    """One workflow by its label: its evaluation, and the 95 % interval of its mean score."""

    label: str
    evaluation: Evaluation
    low: float
    high: float

    @property
    def usage(self) -> Usage:
        """What its runs cost in all, without the metric's own calls."""
        return sum((line.usage for purpose, line in self.evaluation.ledger if purpose != "judge"), Usage())

    @property
    def scores(self) -> dict[str, float]:
        """The scores by example id."""
        found = self.evaluation
        return {trace.example.id: score for trace, score in zip(found.traces, found.scores, strict=True)}

    @property
    def failed(self) -> int:
        """How many examples ended in an error, and scored 0 for it."""
        return sum(1 for trace in self.evaluation.traces if trace.error)


@dataclass(frozen=True)
class Pair:
    """Two workflows by label: the paired comparison, and the ids that `new` scores higher (fixed) or lower (broken).

    `same` says that both labels are of one workflow.
    """

    old: str
    new: str
    comparison: Comparison
    fixed: tuple[str, ...]
    broken: tuple[str, ...]
    same: bool = False

    @property
    def verdict(self) -> str:
        """`better`, `worse`, `undecided` where the interval holds 0, or `the same` where the two are one workflow."""
        if self.same:
            return "the same"
        if self.comparison.undecided:
            return "undecided"
        return "better" if self.comparison.gain > 0 else "worse"


@dataclass(frozen=True)
class Compared:
    """Workflows measured on one split, in the order given, and the pairs of them."""

    split: str
    measured: tuple[Measured, ...]
    pairs: tuple[Pair, ...]


def named_workflow(path: Path) -> Workflow:
    """Return the workflow in a file, or the best of a run's folder; raise `InputError`."""
    if not path.is_dir():
        return load(path)
    if not (path / BEST).is_file():
        raise InputError(f"this folder has no {BEST}", str(path), "name a workflow file, or the folder of a run")
    return load(path / BEST)


async def acompare(
    workflows: Sequence[tuple[str, Workflow]],
    task: str | Path | Task,
    *,
    split: str = "val",
    all_pairs: bool = False,
    data: Mapping[str, Rows] | None = None,
    metric: Function | None = None,
    tools: Functions | None = None,
    options: Options | None = None,
    heard: Heard = lambda event: None,
) -> Compared:
    """Score workflows, by label, on the same examples of a task and compare each with the first (or all pairs).

    `data`, `metric`, `tools`, `options` and `heard` are as for `aevaluate`. Bootstrap draws come from the task's seed.
    Raises `InputError` (where a workflow does not read the task's inputs, before any is run) and `EndpointError`.
    """
    if len(workflows) < 2:
        raise InputError(f"{len(workflows)} given to compare", "workflows", "name two workflows or more")
    made = task if isinstance(task, Task) else load_task(Path(task))[0]
    for label, workflow in workflows:
        if dict(workflow.inputs) != dict(made.inputs):
            theirs, ours = (
                ", ".join(f"{key}: {kind}" for key, kind in each.inputs.items()) for each in (workflow, made)
            )
            raise InputError(f"the workflow's inputs ({theirs}) are not the task's ({ours})", label)
    seed = made.seed if options is None or options.seed is None else options.seed
    how: dict[str, Any] = {"data": data, "metric": metric, "tools": tools, "options": options, "heard": heard}
    runs: dict[str, Evaluation] = {}  # one workflow named twice is run once: there is nothing to tell the two apart
    measured: list[Measured] = []
    for label, workflow in workflows:
        if workflow.id not in runs:
            runs[workflow.id] = await aevaluate(workflow, task, split=split, **how)
        found = runs[workflow.id]
        measured.append(Measured(label, found, *interval(found.scores, seed)))
    pairs = combinations(measured, 2) if all_pairs else [(measured[0], other) for other in measured[1:]]
    return Compared(split, tuple(measured), tuple(_pair(old, new, seed) for old, new in pairs))


def _pair(old: Measured, new: Measured, seed: int) -> Pair:
    comparison = compare(old.evaluation.scores, new.evaluation.scores, seed)
    same = old.evaluation.workflow.id == new.evaluation.workflow.id
    return Pair(old.label, new.label, comparison, *flips(old.scores, new.scores), same)


def comparison_tables(found: Compared) -> list[Table]:
    """Return two tables: each workflow's score and what an example costs, and the paired differences."""
    fraction = is_fraction(score for each in found.measured for score in each.evaluation.scores)
    count = len(found.measured[0].evaluation.scores)
    rows = [_measured_row(each, fraction) for each in found.measured]
    failed = [f"{each.failed} of {count} examples failed: {each.label}" for each in found.measured if each.failed]
    columns = ("", "score", "95 % interval", "calls", "tokens", "cost")
    title = f"{found.split}: {count} examples; calls, tokens and cost of one"
    scores = Table(title, columns, tuple(rows), notes=tuple(failed))
    gain = "gain (points)" if fraction else "gain"
    heads = ("", "against", "", gain, "95 % interval", "P(gain > 0)", "fixed", "broken")
    undecided = any(pair.verdict == "undecided" for pair in found.pairs)
    note = f"undecided: the interval holds 0, so these {count} examples do not say which of the two is better"
    pairs = tuple(_pair_row(pair, fraction) for pair in found.pairs)
    return [scores, Table("paired differences", heads, pairs, 3, notes=(note,) if undecided else ())]


def _measured_row(each: Measured, fraction: bool) -> tuple[str, ...]:
    usage, count = each.usage, len(each.evaluation.scores)
    bounds = f"{score_text(each.low, fraction)} to {score_text(each.high, fraction)}"
    cost = money_text(None if usage.usd is None else usage.usd / count)
    mean = score_text(each.evaluation.mean, fraction)
    return each.label, mean, bounds, f"{usage.calls / count:.3g}", count_text(round(usage.tokens / count)), cost


def _pair_row(pair: Pair, fraction: bool) -> tuple[str, ...]:
    by = pair.comparison
    said = (gain_text(by.gain, fraction), interval_text(by, fraction), chance_text(by.p_gain))
    return pair.new, pair.old, pair.verdict, *said, str(len(pair.fixed)), str(len(pair.broken))


def plain_comparison(found: Compared) -> dict[str, Any]:
    """Return a comparison as plain data: workflows with every score, and pairs with the ids that flipped."""
    return {
        "split": found.split,
        "n": len(found.measured[0].evaluation.scores),
        "workflows": [_plain_measured(each) for each in found.measured],
        "pairs": [_plain_pair(pair) for pair in found.pairs],
    }


def _plain_measured(each: Measured) -> dict[str, Any]:
    usage, mean = each.usage, each.evaluation.mean
    score = {"label": each.label, "id": each.evaluation.workflow.id, "mean": mean, "low": each.low, "high": each.high}
    cost = {"calls": usage.calls, "tokens": usage.tokens, "usd": usage.usd}
    return score | {"failed": each.failed} | cost | {"scores": each.scores}


def _plain_pair(pair: Pair) -> dict[str, Any]:
    by = pair.comparison
    gain = {"gain": by.gain, "low": by.low, "high": by.high, "p_gain": by.p_gain}
    names = {"old": pair.old, "new": pair.new, "verdict": pair.verdict}
    return names | gain | {"fixed": list(pair.fixed), "broken": list(pair.broken)}
