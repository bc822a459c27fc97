"""DSPy's optimisers: MIPROv2 and GEPA, on a workflow of calls and tool steps as a DSPy program."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from flowbot.bench.arena import Arena, Solved, Tuned
from flowbot.bench.flow import Room
from flowbot.bench.methods.dspy_plan import SMALL, Plan, plan
from flowbot.bench.methods.dspy_program import Guard, Names, example_of, lasting, model, program_of
from flowbot.bench.methods.peer import SPARE, Peer, Wall, feedback, package, room_of, unstepped
from flowbot.engine.ports import EndpointError, ToolReply
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json, Misfit

PATIENT = 10**6  # errors of examples that DSPy bears: each is that example's failure
HALF = 0.5  # of the budget: what a larger search follows a smaller one below


class Stopped(RuntimeError):
    """The search is over; DSPy takes this as one more failed example."""


@dataclass
class Bench:
    """One run of an optimiser: program, examples and metric as DSPy has them."""

    peer: Peer
    names: Names
    models: list[Any] = field(default_factory=list[Any])

    def model(self, role: Literal["task", "meta"], **settings: Any) -> Any:
        """Return DSPy's client of the task or the meta model, which is closed with the bench."""
        name = self.arena.model if role == "task" else self.arena.meta
        self.models.append(model(name, self.arena.task.models.of(role), self.arena.url, self.guard(), **settings))
        return self.models[-1]

    def close(self) -> None:
        """Close the clients."""
        for each in self.models:
            each.close()

    @property
    def arena(self) -> Arena:
        """The arena."""
        return self.peer.arena

    def use(self, name: str, args: Mapping[str, Json]) -> ToolReply:
        """Run a tool of the start, from any thread."""
        return self.peer.wait(self._use(name, args))

    async def _use(self, name: str, args: Mapping[str, Json]) -> ToolReply:
        session = await self.peer.session()
        return await session.use_tool(self.arena.start, name, args, "peer")

    def examples(self, examples: list[Example]) -> list[Any]:
        """Return examples as DSPy has them."""
        return [example_of(example, self.names, self.arena.start.output_type) for example in examples]

    def judged(self, gold: Any, pred: Any) -> Score:
        """Return the metric's score of a prediction; one without an output scores 0."""
        value = pred.get(self.names.output) if pred is not None else None
        try:
            return self.peer.fitted(gold._flowbot, value)[1]
        except Wall as wall:
            raise Stopped(str(wall)) from None

    def guard(self) -> Guard:
        """Return what watches over the requests."""

        def check() -> None:
            if self.peer.over:
                raise Stopped("budget_reached")

        def refused(error: Exception) -> None:
            self.peer.failed(error)

        return Guard(check, refused)

    def rollouts(self, student: Any) -> int | None:
        """Return how many runs of the program the budget pays for."""

        def run(example: Example) -> None:
            inputs = {self.names.of[name]: value for name, value in example.inputs.items()}
            try:
                student(**inputs)
            except Exception as error:
                if self.peer.over:
                    raise Wall(str(error)) from error

        return self.peer.rollouts(run)


@dataclass
class Compiled:
    """A DSPy program as it came out of an optimiser."""

    module: Any
    names: Names
    room: Room
    name: str
    loop: asyncio.AbstractEventLoop | None = None
    pool: ThreadPoolExecutor | None = None
    models: dict[str, Any] = field(default_factory=dict[str, Any])  # by base URL, the latest last

    async def solve(self, example: Example, url: str) -> Solved:
        """Run the program on one example, in a thread. Raises `EndpointError`."""
        self.loop = asyncio.get_running_loop()
        if url not in self.models:
            self.models[url] = model(self.name, self.room.task.models.task, url, temperature=0.0)
        self.pool = self.pool or ThreadPoolExecutor(self.room.task.concurrency)
        return await self.loop.run_in_executor(self.pool, self._solved, example, url)

    def _solved(self, example: Example, url: str) -> Solved:
        inputs = {self.names.of[name]: value for name, value in example.inputs.items()}
        try:
            with package("dspy").context(lm=self.models[url]):
                found = self.module(**inputs)
            return Solved(self.room.start.output_type.fit(found.get(self.names.output)))
        except Misfit as misfit:
            return Solved(error=f"the output does not fit: {misfit}")
        except Exception as error:  # whatever a model says, and whatever DSPy makes of it, is this example's failure
            if lasting(error):
                raise EndpointError(str(error)) from error
            return Solved(error=f"{type(error).__name__}: {error}")

    def use(self, name: str, args: Mapping[str, Json]) -> ToolReply:
        """Run a tool of the workflow, from the program's thread."""
        assert self.loop is not None
        return asyncio.run_coroutine_threadsafe(self._use(name, args), self.loop).result()

    async def _use(self, name: str, args: Mapping[str, Json]) -> ToolReply:
        session = await self.room.session(next(reversed(self.models)))
        return await session.use_tool(self.room.start, name, args, "test")

    async def close(self) -> None:
        """Close what the runs opened."""
        if self.pool is not None:
            await asyncio.to_thread(self.pool.shutdown)  # threads that still run may ask the loop
        for each in self.models.values():
            each.close()
        await self.room.close()


Optimise = Callable[[Bench, Any], Any]  # from the bench and the student to the compiled program


@dataclass(frozen=True)
class Dspy:
    """One of DSPy's optimisers. Programs are saved as DSPy saves them."""

    name: str
    optimise: Optimise
    packages: tuple[str, ...] = ("dspy", "gepa", "optuna", "litellm")

    def cannot(self, arena: Arena) -> str:
        """Say which steps a DSPy program cannot express."""
        shown = next((call.id for call in arena.start.calls if call.demos and call.tools), "")
        lacking = f"DSPy's agent has no form for the worked examples in '{shown}'" if shown else ""
        return unstepped(arena.start, "a DSPy program") or lacking

    async def tune(self, arena: Arena) -> Tuned:
        """Optimise within the budget; where it ends before the first trial, the program is the start."""
        dspy = package("dspy", DSPY_CACHEDIR=str(arena.scratch / "dspy"))
        dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=True)
        peer = Peer.of(arena)
        bench = Bench(peer, Names.in_workflow(arena.start))
        module = await peer.away(lambda: self._compiled(bench))
        room = room_of(arena)
        program = Compiled(None, bench.names, room, arena.model)
        program.module = program_of(arena.start, bench.names, program.use)
        state = module.dump_state()
        program.module.load_state(state)
        note = "budget: reached" if peer.reached else ""
        return Tuned(program, json.dumps(state, indent=2, ensure_ascii=False), ".json", note)

    def _compiled(self, bench: Bench) -> Any:
        dspy, arena = package("dspy"), bench.arena
        student = program_of(arena.start, bench.names, bench.use)
        with contextlib.closing(bench), dspy.context(lm=bench.model("task", temperature=0.0)):
            try:
                return self.optimise(bench, student)
            except Exception as error:
                if not bench.peer.over:
                    raise
                print(f"the budget ended the search before a program came out of it: {error}")
                return student


def evolve(bench: Bench, student: Any) -> Any:
    """Run `dspy.GEPA` at its settings: as many metric calls as the budget pays for, or the preset `light`."""
    dspy, arena = package("dspy"), bench.arena
    limit = bench.rollouts(student)

    def metric(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
        score = bench.judged(gold, pred)
        return dspy.Prediction(score=score.value, feedback=feedback(gold._flowbot, score))

    optimiser = dspy.GEPA(
        metric=metric,
        reflection_lm=bench.model("meta", temperature=1.0),
        instruction_proposer=_proposer(bench),
        num_threads=arena.task.concurrency,
        seed=arena.seed,
        gepa_kwargs={"stop_callbacks": bench.peer.ended},
        **({"auto": "light"} if limit is None else {"max_metric_calls": max(1, SPARE * limit)}),
    )
    return optimiser.compile(
        student, trainset=bench.examples(list(arena.train)), valset=bench.examples(list(arena.val))
    )


def _proposer(bench: Bench) -> Any:
    """Return DSPy's own proposer, but that a failure loses one proposal and not the search."""
    known = package("dspy.teleprompt.gepa.instruction_proposal").InstructionProposer

    class Proposer(known):
        """DSPy's own, at its settings."""

        def __call__(self, candidate: Any, reflective_dataset: Any, components_to_update: Any) -> Any:
            try:
                return known.__call__(self, candidate, reflective_dataset, components_to_update)
            except Exception as error:
                print(f"a proposal was lost: {error}")
                return {name: candidate[name] for name in components_to_update}

    return Proposer()


def mipro(bench: Bench, student: Any) -> Any:
    """Run `dspy.MIPROv2` in a size that the budget pays for, and in a larger one where that left most of it.

    DSPy's cache answers what is asked again, so a search may take much less than DSPy's own estimate, by which it is
    sized; the larger one finds in the cache what both ask. Where the wall ends that one, its program counts if it has
    the higher score on validation all the same: what was not run by then scored 0.
    """
    examples, calls = len(bench.arena.val), len(student.predictors())
    size = plan(bench.rollouts(student), examples, calls)
    found = propose(bench, student, size)
    while (share := bench.peer.share()) and share < HALF and not bench.peer.over:
        larger = plan(int(size.runs(examples, calls) * (1 - share) / share), examples, calls)
        if larger.runs(examples, calls) <= size.runs(examples, calls):
            break
        print(f"a larger search: {larger}")
        again, size = _tried(bench, student, larger), larger
        if again is not None and (not bench.peer.over or _measured(again) > _measured(found)):
            found = again
    return found


def _tried(bench: Bench, student: Any, size: Plan) -> Any:
    """Return the program of one more search, None where the wall came before there was one."""
    try:
        return propose(bench, student, size)
    except Exception as error:
        if not bench.peer.over:
            raise
        print(f"the budget ended the larger search: {error}")
        return None


def _measured(module: Any) -> float:
    """Return the score on validation that MIPROv2 notes at the program it returns."""
    return float(getattr(module, "score", 0.0))


def propose(bench: Bench, student: Any, size: Plan) -> Any:
    """Run `dspy.MIPROv2` once, at its settings, with bootstrapped and labelled demos."""
    dspy, arena = package("dspy"), bench.arena

    def metric(gold: Any, pred: Any, trace: Any = None) -> Any:
        value = bench.judged(gold, pred).value
        return value if trace is None else value >= 1  # a demo must be right: the form that DSPy's tutorials have

    val, trained = list(arena.val), bench.examples(list(arena.train))
    told: dict[str, Any] = {"auto": size.auto or None}
    compiled: dict[str, Any] = {}
    if not size.auto:
        val = bench.peer.sample(val, size.size)
        told["num_candidates"] = size.candidates
        compiled = {"num_trials": size.trials, "minibatch": len(val) > SMALL}
    optimiser = dspy.MIPROv2(
        metric=metric,
        prompt_model=bench.model("meta"),
        task_model=dspy.settings.lm,
        num_threads=arena.task.concurrency,
        max_errors=PATIENT,
        seed=arena.seed,
        **told,
    )
    return optimiser.compile(student, trainset=trained, valset=bench.examples(val), seed=arena.seed, **compiled)


METHODS = {"mipro": Dspy("mipro", mipro), "dspy-gepa": Dspy("dspy-gepa", evolve)}
