"""GEPA (the package `gepa`): reflective evolution of a workflow's prompts, which FlowBot's engine runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flowbot.bench.arena import Arena, Tuned
from flowbot.bench.methods.induced import flow
from flowbot.bench.methods.peer import REFUSED, SPARE, Peer, Run, client_of, feedback, package
from flowbot.engine.trace import Trace
from flowbot.search.operators.rewrite import held
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.document import write_workflow
from flowbot.workflow.fields import as_text
from flowbot.workflow.graph import Workflow

USUAL = 150  # metric calls where no budget bounds them: the figure of the package's own first example
FEW = 5  # times validation at least: the start alone takes it once
Candidate = Mapping[str, str]  # instructions by step id


@dataclass
class Adapter:
    """What GEPA asks of a system: to run a candidate on examples, and to show what each of its prompts did."""

    peer: Peer
    propose_new_texts: None = None  # the package's own proposal

    def evaluate(self, batch: Sequence[Example], candidate: Candidate, capture_traces: bool = False) -> Any:
        """Return outputs, scores and traces of a candidate on examples."""
        made = package("gepa.core.adapter")
        runs = self._runs(batch, candidate)
        return made.EvaluationBatch(
            outputs=[trace.output if trace else None for trace, _ in runs],
            scores=[score.value for _, score in runs],
            trajectories=runs if capture_traces else None,
        )

    def _runs(self, batch: Sequence[Example], candidate: Candidate) -> Sequence[Run]:
        try:
            workflow = prompted(self.peer.arena.start, candidate)
        except ValueError as error:  # an empty instruction, one that is too long, or a changed frozen block
            return [(None, Score(0.0, str(error))) for _ in batch]
        return self.peer.wait(self.peer.runs(workflow, batch))

    def make_reflective_dataset(
        self, candidate: Candidate, eval_batch: Any, components_to_update: Sequence[str]
    ) -> dict[str, list[dict[str, Any]]]:
        """Return by prompt what its step read and gave on each example, with the metric's feedback."""
        runs: Sequence[Run] = eval_batch.trajectories
        return {
            name: [shown for trace, score in runs if trace and (shown := _shown(trace, name, score))]
            for name in components_to_update
        }


def _shown(trace: Trace, step: str, score: Score) -> dict[str, Any] | None:
    """Return one record in the form that the package recommends; None where the step did not run."""
    part = next(iter(trace.of(step)), None)
    if part is None:
        return None
    told = feedback(trace.example, score)
    if trace.output is not None and trace.workflow.output.partition(".")[0] != step:
        told = f"The whole system's final output: {as_text(trace.output)}\n{told}"
    return {
        "Inputs": {name: as_text(value) for name, value in part.reads.items()},
        "Generated Outputs": {name: as_text(value) for name, value in part.gives.items()} or part.error,
        "Feedback": told,
    }


@dataclass
class Reflection:
    """The model that reflects, at the sampling settings of the provider, as the package asks it."""

    peer: Peer
    client: Any

    def __call__(self, prompt: str | list[dict[str, Any]]) -> str:
        """Return the reply to a prompt. Raises `Wall`."""
        self.peer.check()
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        bound = self.peer.arena.task.models.of("meta").max_tokens
        told = {"max_tokens": bound} if bound else {}
        try:
            reply = self.client.chat.completions.create(model=self.peer.arena.meta, messages=messages, **told)
        except package("openai").OpenAIError as error:
            if getattr(error, "status_code", 0) in REFUSED:
                raise  # this proposal is lost, as the package has it
            raise self.peer.failed(error) from error
        return reply.choices[0].message.content or ""


class Log:
    """A log that goes where prints go."""

    def log(self, message: str) -> None:
        """Print one message."""
        print(message)


@dataclass(frozen=True)
class Gepa:
    """GEPA at the package's settings; its budget is the wall."""

    name: str = "gepa"
    packages: tuple[str, ...] = ("gepa", "openai")

    def cannot(self, arena: Arena) -> str:
        """Express every workflow with a prompt that may change: FlowBot's engine runs it."""
        return "" if _seed(arena.start) else "there is no prompt that may change"

    async def tune(self, arena: Arena) -> Tuned:
        """Evolve the prompts until the budget is spent, and return the best on validation."""
        peer = Peer.of(arena)
        best = await peer.away(lambda: _evolved(peer))
        workflow = prompted(arena.start, best)
        return Tuned(flow(workflow, arena), write_workflow(workflow), note="budget: reached" if peer.reached else "")


def prompted(start: Workflow, candidate: Candidate) -> Workflow:
    """Return the start with a candidate's instructions, its frozen blocks put back; raise ValueError for a bad one."""
    return start.with_prompts({name: held(start.prompts[name], text) for name, text in candidate.items()})


def _seed(start: Workflow) -> dict[str, str]:
    return {name: prompt for name, prompt in start.prompts.items() if name not in start.frozen_ids}


def _evolved(peer: Peer) -> Candidate:
    """Run the package; return the candidate that is best on validation."""
    arena, seed = peer.arena, _seed(peer.arena.start)
    limit = peer.rollouts(lambda example: peer.wait(peer.run(arena.start, example)))
    with client_of(arena.url, arena.task.models.of("meta")) as client:
        result = package("gepa").optimize(
            seed_candidate=seed,
            trainset=list(arena.train),
            valset=list(arena.val),
            adapter=Adapter(peer),
            reflection_lm=Reflection(peer, client),
            max_metric_calls=max(USUAL, FEW * len(arena.val)) if limit is None else SPARE * limit,
            stop_callbacks=peer.ended,
            cache_evaluation=True,
            raise_on_exception=False,
            logger=Log(),
            seed=arena.seed,
        )
    return result.best_candidate


METHODS = {"gepa": Gepa()}
