"""The recipe `paper`: FlowBot as published (arXiv 2604.26258), two loops of textual gradients."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from flowbot.engine.backward import Gradient, backward
from flowbot.engine.tasks import together
from flowbot.engine.trace import Trace
from flowbot.engine.update import sketch_gradients, update_prompts, update_sketch
from flowbot.search.lab import Candidate, Lab
from flowbot.search.moves import race_calls, try_moves
from flowbot.search.policies import Policies
from flowbot.task.data import Example
from flowbot.workflow.draw import diff
from flowbot.workflow.graph import Workflow
from flowbot.workflow.requests import critiques
from flowbot.workflow.value import Value, Whole


class PaperSettings(Value):
    """The settings of `paper`; the defaults are the published ones.

    `batches` bounds the number of batches of an epoch. `kinds` are the kinds of step that the structure may take on
    beside calls and tool steps, `moves` the model-free moves tried after the gradients. Neither is part of the
    published method, and both are off by default.
    """

    epochs: Whole = 1
    batch: Whole = 5
    batches: Whole | None = None
    loops: Annotated[int, Field(ge=0)] = 2
    inner: Annotated[int, Field(ge=0)] = 5
    kinds: tuple[Literal["code", "vote", "branch", "map", "loop"], ...] = ()
    moves: tuple[Literal["output_type", "demos"], ...] = ()
    demos: Whole = 8
    demo_sets: Whole = 4
    demo_items: Whole = 24
    accept: Annotated[float, Field(gt=0.5, lt=1)] = 0.9
    meta_tokens: Whole = 1024
    meta_clip: Whole = 6000


def paper(lab: Lab, settings: PaperSettings) -> Policies:
    """Return the published recipe as policies: an iteration is a batch, and its child is taken on as it comes.

    Validation after each batch decides what is kept; the best on validation is in `lab.best`, at any time.
    """
    published = Published(settings, list(batches(lab.train, settings, lab.seed)), Candidate(lab.start))
    return Policies(published, published, published, published, published, published)


@dataclass
class Published:
    """The policies of the published recipe; `latest` is the workflow that the last batch led to."""

    settings: PaperSettings
    batches: Sequence[Sequence[Example]]
    latest: Candidate
    done: int = 0

    async def plant(self, lab: Lab, number: int) -> None:
        """Measure the start, once."""
        if number == 1:
            await lab.keep(await lab.measure(self.latest), "the start")

    def reason(self, lab: Lab) -> str:
        """End when all batches of all epochs are through."""
        left = len(self.batches) - self.done
        return "" if left else f"all {len(self.batches)} batches are through"

    def choose(self, lab: Lab, number: int) -> Candidate:
        """Go on from where the last batch led, tested or not."""
        return self.latest

    async def propose(self, lab: Lab, parent: Candidate, number: int) -> Sequence[Candidate]:
        """Return the workflow after the two loops on the next batch: every edit is taken on as it comes."""
        workflow = parent.workflow
        for loop in range(self.settings.loops):
            name = f"batch {number}, loop {loop + 1}"
            workflow = await bilevel(lab, workflow, self.batches[number - 1], self.settings, name)
        return [Candidate(workflow, lab.start.id, ("textual gradients",), f"batch {number}")]

    async def decide(self, lab: Lab, parent: Candidate, children: Sequence[Candidate], number: int) -> None:
        """Measure the child on validation; it is the best so far where its mean is higher."""
        (self.latest,) = children
        row = await lab.measure(self.latest)
        assert lab.best is not None
        assert lab.first is not None
        if row.mean > lab.best.mean:
            await lab.keep(row, f"best on validation after batch {number}", lab.compared(lab.first, row))
        self.done = number

    async def close(self, lab: Lab, ended: str) -> None:
        """Try the moves, where there are any and the batches came to their end."""
        if ended != "done":
            return
        assert lab.best is not None
        await lab.tell("part", name="gradients", candidate=lab.best.candidate.id, mean=lab.best.mean)
        if self.settings.moves:
            await try_moves(lab, self.settings)
            await lab.tell("part", name="moves", candidate=lab.best.candidate.id, mean=lab.best.mean)


async def bilevel(
    lab: Lab, workflow: Workflow, batch: Sequence[Example], settings: PaperSettings, name: str
) -> Workflow:
    """Return the workflow after one outer step (the sketch) and the inner steps (its prompts) on a batch."""
    size = len(batch)
    lab.admit(lab.runs(size, workflow) | {"workflow_gradient": size, "workflow_update": 1}, f"{name}: outer")
    meta = lab.meta.at(f"{name}, outer")
    traces = await lab.run(workflow, batch, meta.draw)
    gradients = await sketch_gradients(traces, meta, settings.kinds)
    _note(lab, workflow, gradients, "critique", meta.draw)
    changed = await update_sketch(workflow, gradients, meta, lab.guard, settings.kinds, lab.bounds)
    await _tell_step(lab, meta.draw, traces, workflow, changed)
    workflow = changed
    for step in range(settings.inner):
        later = {"call_gradient": size * (critiques(workflow.steps) - 1), "prompt_update": len(workflow.calls)}
        lab.admit(lab.runs(size, workflow) | {"loss_gradient": size, **later}, f"{name}: inner {step + 1}")
        meta = lab.meta.at(f"{name}, inner {step + 1}")
        traces = await lab.run(workflow, batch, meta.draw)
        gradients = [each for found in await together([backward(t, meta) for t in traces]) for each in found]
        _note(lab, workflow, gradients, "gradient", meta.draw)
        changed = await update_prompts(workflow, gradients, meta, lab.guard)
        await _tell_step(lab, meta.draw, traces, workflow, changed)
        workflow = changed
    return workflow


def _note(lab: Lab, workflow: Workflow, gradients: Sequence[Gradient], kind: str, stage: str) -> None:
    """Tell what was said of each example, as `gradient` of calls or as `critique` of the sketch."""
    said = [(each.example, {"path": each.path, "critique": each.critique}) for each in gradients]
    lab.note(workflow.id, kind, stage, said)


async def _tell_step(lab: Lab, name: str, traces: Sequence[Trace], old: Workflow, new: Workflow) -> None:
    mean = sum(trace.points for trace in traces) / len(traces)
    await lab.tell("step", name=name, batch_mean=mean, workflow=new.id, changed=diff(old, new))


def batches(train: Sequence[Example], settings: PaperSettings, seed: int) -> Iterator[Sequence[Example]]:
    """Yield the batches of all epochs, each epoch in an order of its own drawn by the seed; a short tail counts."""
    for epoch in range(settings.epochs):
        deck = list(train)
        random.Random(f"{seed}|batches|{epoch}").shuffle(deck)
        cuts = range(0, len(deck), settings.batch)
        for start in cuts[: settings.batches]:
            yield deck[start : start + settings.batch]


def expected_calls(settings: PaperSettings, train: int, val: int, calls: int, later: int) -> Mapping[str, int]:
    """Return the calls by purpose of a whole search: `calls` LLM calls a workflow before, `later` after each update.

    One loop makes B*K0 + J*B*K1 task, B workflow-gradient, J*B loss-gradient, J*B*(K1-1) call-gradient, J*K1
    prompt-update, 1 workflow-update calls, and one prompt-init for each new step. Repairs and the turns after tool
    calls come on top.
    """
    total: dict[str, int] = {"task": val * calls}

    def add(purpose: str, count: int) -> None:
        total[purpose] = total.get(purpose, 0) + count

    before = calls
    sizes = [settings.batch] * (train // settings.batch) + ([train % settings.batch] if train % settings.batch else [])
    for size in sizes[: settings.batches] * settings.epochs:
        for _ in range(settings.loops):
            inner = settings.inner
            add("task", size * before + inner * size * later)
            add("workflow_gradient", size)
            add("loss_gradient", inner * size)
            add("call_gradient", inner * size * (later - 1))
            add("prompt_update", inner * later)
            add("workflow_update", 1)
            add("prompt_init", max(0, later - before))
            before = later
        add("task", val * before)
    if "output_type" in settings.moves:
        add("task", val * before)
    if "demos" in settings.moves:
        drawn = settings.demo_sets * min(settings.demos, train // 2) if before > 1 else 0  # runs to cut demos from
        add("task", (race_calls(settings.demo_sets, settings.demo_items) + val + drawn) * before)
    return {purpose: count for purpose, count in total.items() if count}
