"""What was said in each step: the messages of a run with their last reply, which no tape keeps."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from flowbot.engine.ports import Program, Ran, Reply, Request, Session, ToolReply
from flowbot.engine.trace import Message, StepTrace
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow

_STEP: ContextVar[str] = ContextVar("step", default="")  # the path of the step that runs in this task


@dataclass
class Hearing:
    """Keeps the whole exchange of each LLM call by the step's path, for one run: give `forward` the `watch` with it."""

    said: dict[str, tuple[Message, ...]] = field(default_factory=dict[str, "tuple[Message, ...]"])

    def watch(self, path: str, done: StepTrace | None) -> None:
        """Know which step is running."""
        if done is None:
            _STEP.set(path)

    def within(self, session: Session) -> Session:
        """Return the session, heard."""
        return _Heard(session, self.said)


@dataclass(frozen=True)
class _Heard:
    session: Session
    said: dict[str, tuple[Message, ...]]

    async def complete(self, request: Request) -> Reply:
        reply = await self.session.complete(request)
        self.said[_STEP.get()] = (*request.messages, {"role": "assistant", "content": reply.text})
        return reply

    async def use_tool(self, workflow: Workflow, name: str, args: Mapping[str, Json], draw: str) -> ToolReply:
        return await self.session.use_tool(workflow, name, args, draw)

    async def run_program(self, program: Program, draw: str) -> Ran:
        return await self.session.run_program(program, draw)
