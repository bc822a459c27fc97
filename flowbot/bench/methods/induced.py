"""FlowBot's own recipes as methods: `race` and `paper`, and `single`, the best that one call can be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flowbot.bench.arena import Arena, Tuned
from flowbot.bench.flow import Flow, Room
from flowbot.bench.methods.peer import at_wall
from flowbot.engine.ports import EndpointError
from flowbot.faces.induction import Result, run_induction
from flowbot.faces.problem import read_problem
from flowbot.faces.rundir import RunDir
from flowbot.faces.start import bounded, direct
from flowbot.money import Budget
from flowbot.store.files import load_workflow
from flowbot.task.task import BudgetSpec, RecipeSpec, Task
from flowbot.workflow.document import write_workflow
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow

BEST = "best.yaml"


@dataclass(frozen=True)
class Induced:
    """One recipe with its settings, which win over the task's own; `alone` begins from one direct call."""

    name: str
    recipe: str
    settings: Mapping[str, Json] = field(default_factory=dict[str, Json])
    alone: bool = False
    packages: tuple[str, ...] = ()

    def cannot(self, arena: Arena) -> str:
        """Express every task."""
        return ""

    async def tune(self, arena: Arena) -> Tuned:
        """Induce a workflow within the budget."""
        task = self.of(arena.task, arena.budget, arena.seed)
        splits, start = {"train": arena.train, "val": arena.val}, self.start(task, arena.start)
        problem = read_problem(task, arena.folder, splits, start=start, unsafe_code=arena.unsafe_code)
        run = arena.scratch / "run"
        try:
            result = await run_induction(problem, RunDir(run), arena.url)
        except EndpointError as error:
            if not at_wall(error) or not (run / BEST).is_file():
                raise
            best = load_workflow(run / BEST)  # the meter's wall came before its own
            return Tuned(flow(best, arena), write_workflow(best), note="ended at the meter's wall")
        return Tuned(flow(result.best, arena), write_workflow(result.best), note=said(result))

    def start(self, task: Task, start: Workflow) -> Workflow:
        """Return the workflow that the search begins from."""
        return bounded(direct(task), task) if self.alone else start

    def of(self, task: Task, budget: Budget, seed: int) -> Task:
        """Return a task with the recipe in it; what the task says of its own recipe holds for that recipe."""
        own: Mapping[str, Json] = task.recipe.settings if task.recipe.name == self.recipe else {}
        return task.model_copy(
            update={
                "recipe": RecipeSpec(name=self.recipe, settings={**own, **self.settings}),
                "budget": BudgetSpec(usd=budget.usd, calls=budget.calls, tokens=budget.tokens, seconds=budget.seconds),
                "seed": seed,
            }
        )


def flow(workflow: Workflow, arena: Arena) -> Flow:
    """Return a workflow as a program in a room of its own."""
    return Flow(workflow, Room(arena.task, arena.folder, workflow, arena.unsafe_code))


def said(result: Result) -> str:
    """Return in words how an induction ended."""
    outcome = f"{result.outcome.decision}: {result.outcome.why}" if result.outcome else ""
    wall = f"budget: {result.why}" if result.ended == "budget" else ""
    return "; ".join(part for part in (outcome, wall) if part)


METHODS = {
    "race": Induced("race", "race"),
    "paper": Induced("paper", "paper"),
    "single": Induced("single", "race", {"structure": False}, alone=True),
}
