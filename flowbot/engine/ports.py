"""The seam: the protocols through which every effect reaches the engine, one method each, all async."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from flowbot.engine.trace import Message, Trace
from flowbot.money import Usage
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.limits import Limits

_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode


@dataclass(frozen=True)
class ToolWords:
    """What a model is told about a tool that it may call; `schema` is the JSON Schema of its arguments."""

    name: str
    description: str
    schema: Mapping[str, Json]


@dataclass(frozen=True)
class ToolCall:
    """A model's wish to call a tool: `arguments` is the JSON text as the model wrote it, not checked yet."""

    name: str
    arguments: str


@dataclass(frozen=True)
class Request:
    """One logical LLM call: what is asked, for which purpose, and which repeat of it this is.

    `model` is `provider:name`. `schema` is the JSON Schema of the reply, None for plain text. `draw` tells repeats of
    an otherwise equal request apart (batch, loop and step in `paper`; the sample of a vote). `repair` is 0, or why this
    is the one repair request: 1 for a reply's form, 2 for what it says. `tools` are those that the model may call;
    with `may_call` false it must answer now. `turn` counts the requests of one call before this one.
    """

    model: str
    messages: tuple[Message, ...]
    purpose: str = "task"
    schema: Mapping[str, Json] | None = None
    schema_name: str = "reply"
    temperature: float = 0.0
    max_tokens: int | None = None
    draw: str = ""
    repair: int = 0
    tools: tuple[ToolWords, ...] = ()
    may_call: bool = True
    turn: int = 0

    def key(self, salt: str = "") -> str:
        """Return the journal's key: a hash of the logical request with its draw, before any schema fall-back."""
        plain = (
            self.model,
            self.messages,
            self.purpose,
            self.schema,
            self.temperature,
            self.max_tokens,
            self.draw,
            self.repair,
            salt,
            *([[asdict(tool) for tool in self.tools], self.may_call] if self.tools else ()),
        )
        return hashlib.blake2b(_canonical(plain).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class Reply:
    """What came back: `text`, or `calls` of tools that the model wants before it answers.

    `failure` is set where the reply is an example's failure: refusal, overflow or length cut.
    `mode` is how the reply was asked for: `schema`, `json` or `text`. `retries` counts the sends before this one.
    """

    text: str
    usage: Usage = Usage(calls=1)
    failure: str = ""
    mode: str = "text"
    retries: int = 0
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class ToolReply:
    """A tool's value, or its failure as text. `arguments` are bad where `failure` says so; nothing is raised."""

    value: Json = None
    failure: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Program:
    """One program for the sandbox: Python text, the values it finds as globals, and which globals it gives back.

    With `tests` (Python text) the program is held to them: the tests run in a process of their own, where the program's
    functions are stand-ins that ask the program's process and get plain data back; `entry_point` is the function that
    the tests know as `candidate`, and which `check(candidate)` is called with where they define one.
    """

    code: str
    args: Mapping[str, Json] = field(default_factory=dict[str, Json])
    wants: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    tests: str = ""
    entry_point: str = ""


@dataclass(frozen=True)
class Ran:
    """What came of a program: what it printed, the wanted globals it set, and an error (empty where it ended well).

    With tests, `error` is empty where all passed, and only the tests' process decides that.
    """

    output: str = ""
    values: Mapping[str, Json] = field(default_factory=dict[str, Json])
    error: str = ""
    seconds: float = 0.0


class Sandbox(Protocol):
    """Where programs run: without network, without the host's files, within limits. Never raises for what a program
    does; raises `SandboxError` where the sandbox itself cannot be had."""

    async def run(self, program: Program) -> Ran: ...


class SandboxError(Exception):
    """The sandbox cannot be started or broke; the run stops and can be resumed."""


class EndpointError(Exception):
    """The endpoint fails: unreachable, key refused, or retries ran out. The run stops (exit 4) and can be resumed."""


class Model(Protocol):
    """Something that answers requests. Raises `EndpointError`; everything else is data in the reply."""

    async def complete(self, request: Request) -> Reply: ...


class Tool(Protocol):
    """Something that a workflow may call with arguments."""

    async def call(self, args: Mapping[str, Json]) -> ToolReply: ...


class Session(Protocol):
    """What the engine is given: models, tools and the sandbox behind journal and budget.

    Raises `EndpointError`, `SandboxError` and `BudgetReached`.
    """

    async def complete(self, request: Request) -> Reply: ...

    async def use_tool(self, workflow: Workflow, name: str, args: Mapping[str, Json], draw: str) -> ToolReply: ...

    async def run_program(self, program: Program, draw: str) -> Ran: ...


class Metric(Protocol):
    """The score of one output, in [0, 1], with feedback that a gradient can use."""

    async def score(self, example: Example, output: Json, trace: Trace, session: Session) -> Score: ...


class Journal(Protocol):
    """The append-only record of what was decided. On resume an event that differs from the record is an error.

    The `free` keys of an event may differ: what stands in the record is returned and holds.
    """

    async def append(self, event: Mapping[str, Any], free: Collection[str] = ()) -> Mapping[str, Any]: ...


class Workers(Protocol):
    """Where examples are run: yields traces in the order of the examples, each scored where a metric is set."""

    def evaluate(self, workflow: Workflow, examples: Sequence[Example], draw: str) -> AsyncIterator[Trace]: ...
