"""What a step can see while it runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from flowbot.engine.ports import Session
from flowbot.engine.trace import StepTrace
from flowbot.workflow.blocks import Step
from flowbot.workflow.body import StepList
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.value import literal, reference

Runner = Callable[..., Awaitable[StepTrace]]
Watch = Callable[[str, StepTrace | None], None]  # told the path of a step as it begins, and its trace as it ends


@dataclass(frozen=True)
class Scene:
    """What a step can see while it runs: the values so far by reference, the session, and which draw this is.

    `at` is the path that leads into the body, `repeat` tells samples and turns of the same step apart where they may
    differ, `temperature` is that of calls that name none, `shuffle` the sample that shows its demos in an order of
    its own (0: as they stand), and `play` runs the steps of a body. The steps in `held` do not run: they give the
    values that stand there. `watch` is told of each step that runs, in the task that it runs in.
    """

    workflow: Workflow
    session: Session
    draw: str
    play: Callable[[StepList, Scene], Awaitable[Mapping[str, StepTrace]]]
    values: dict[str, Json] = field(default_factory=dict[str, Json])
    at: str = ""
    repeat: str = ""
    temperature: float = 0.0
    shuffle: int = 0
    held: Mapping[str, Mapping[str, Json]] = field(default_factory=dict[str, Mapping[str, Json]])
    watch: Watch | None = None

    def inside(self, place: str, values: Mapping[str, Json], **changes: str | float) -> Scene:
        """Return the scene of a body: it sees what is here, and what it gives stays within."""
        return replace(self, at=f"{self.at}{place}.", values={**self.values, **values}, **changes)

    def run(self, step: Step, runner: Runner) -> Awaitable[StepTrace]:
        """Run a step here, and tell whoever watches; of a step that is cut off the end is not told."""
        return runner(step, self) if self.watch is None else self._watched(step, runner, self.watch)

    async def _watched(self, step: Step, runner: Runner, watch: Watch) -> StepTrace:
        watch(self.at + step.id, None)
        done = await runner(step, self)
        watch(done.path, done)
        return done

    def given(self, value: Json) -> Json:
        """Return an argument's value: that of its reference, or the literal."""
        source = reference(value)
        return literal(value) if source is None else self.values[source]
