"""The session: every paid effect behind the journal and the budget."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, TypeVar

from flowbot.engine.forward import forward
from flowbot.engine.ports import (
    Metric,
    Model,
    Program,
    Ran,
    Reply,
    Request,
    Sandbox,
    SandboxError,
    Tool,
    ToolCall,
    ToolReply,
)
from flowbot.engine.scene import Watch
from flowbot.engine.tasks import end
from flowbot.engine.trace import Trace
from flowbot.money import BudgetReached, Ledger, Price, Purse, Usage
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json, whole
from flowbot.workflow.graph import Workflow
from flowbot.workflow.tools import ToolSpec

T = TypeVar("T")
LOG = logging.getLogger(__name__)

_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=str).encode

MODES = ("schema", "json", "text")
MISFITS = 3  # replies of one stage that do not fit, before the next mode is tried
DEFAULT_REPLY = 1024  # tokens reserved for a reply without a bound


class Record(Protocol):
    """What a session needs of a journal."""

    def find(self, key: str) -> Any | None: ...

    async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None: ...


@dataclass(frozen=True)
class Opened:
    """A model ready to be asked: its price (None: unknown), a bound for replies, and what salts its keys."""

    model: Model
    price: Price | None = None
    max_tokens: int | None = None
    salt: str = ""


@dataclass
class RunSession:
    """Answers requests from the journal where they stand there, else from the model, within the budget.

    Law 2: a reply is in the journal before it is used, and what is there is never asked for again; equal keys in
    flight share one send. What is under way goes on where its caller is cancelled, until `drain` ends it: it is paid
    for. Law 4: money, tokens and calls are reserved before a call and settled after it.
    """

    models: Mapping[str, Opened]
    journal: Record
    purse: Purse = field(default_factory=Purse)
    ledger: Ledger = field(default_factory=Ledger)
    open_tool: Callable[[ToolSpec], Tool] | None = None
    open_sandbox: Callable[[], Sandbox] | None = None
    scrub: Callable[[str], str] = lambda text: text
    replayed: int = 0
    _shared: dict[str, asyncio.Task[Any]] = field(default_factory=dict[str, "asyncio.Task[Any]"])
    _sends: set[asyncio.Task[Reply]] = field(default_factory=set["asyncio.Task[Reply]"])
    _booked: set[str] = field(default_factory=set[str])
    _misfits: dict[str, int] = field(default_factory=dict[str, int])
    _tools: dict[str, Tool] = field(default_factory=dict[str, Tool])
    _sandbox: Sandbox | None = None

    @property
    def in_flight(self) -> int:
        """The count of calls that are sent and not answered yet."""
        return len(self._sends)

    async def run(
        self,
        workflow: Workflow,
        example: Example,
        draw: str = "",
        metric: Metric | None = None,
        identity: str = "",
        watch: Watch | None = None,
    ) -> Trace:
        """Return the trace of one run of a workflow, scored where there is a metric; `watch` is told of its steps."""
        trace = await forward(workflow, example, self, draw, watch=watch)
        return trace if metric is None else trace.scored(await self.score(metric, identity, trace, draw))

    async def complete(self, request: Request) -> Reply:
        """Return the reply to a request; raise `EndpointError` or `BudgetReached`."""
        opened = self.models[request.model]
        key = request.key(opened.salt)
        while key not in self._shared:
            known = self.journal.find(key)
            if known is not None:
                return self._replay(key, opened, request, _reply(known))
            estimate = estimate_of(request, opened)
            if await self._reserved(estimate):
                send = self._start(key, self._send(key, opened, request, estimate))
                self._sends.add(send)
                send.add_done_callback(self._sends.discard)
        return await asyncio.shield(self._shared[key])

    async def _reserved(self, estimate: Usage) -> bool:
        """Reserve, or wait for a call in flight to give back what it does not need; raise where none is."""
        try:
            self.purse.reserve(estimate)
        except BudgetReached:
            if not self._sends:
                raise
            await asyncio.wait(self._sends, return_when=asyncio.FIRST_COMPLETED)
            return False
        return True

    async def _send(self, key: str, opened: Opened, request: Request, estimate: Usage) -> Reply:
        actual: Usage | None = None
        try:
            reply = self._clean(await self._reply(opened, request))
            actual = reply.usage
            await self.journal.record(key, request.purpose, _plain(reply), request.model)
        finally:
            self.purse.settle(estimate, actual)
        self._book(key, request, reply)
        LOG.debug(
            "%s of %s: %d tokens, %.2f s", request.purpose, request.model, reply.usage.tokens, reply.usage.seconds
        )
        return reply

    async def _reply(self, opened: Opened, request: Request) -> Reply:
        return await opened.model.complete(request)

    def _replay(self, key: str, opened: Opened, request: Request, reply: Reply) -> Reply:
        """Use a recorded reply; what was paid in an earlier stretch of the run is settled here, once."""
        self.replayed += 1
        if request.schema is not None:
            self._restore(opened.model, reply.mode)
        if key not in self._booked:
            self.purse.replay(reply.usage)
            self._book(key, request, reply)
        return reply

    def _clean(self, reply: Reply) -> Reply:
        """Take secrets out before anything uses a reply, so that a replay sees the same (law 8)."""
        text, failure = self._scrubbed(reply.text), self._scrubbed(reply.failure)
        calls = tuple(ToolCall(self._scrubbed(each.name), self._scrubbed(each.arguments)) for each in reply.calls)
        same = text == reply.text and failure == reply.failure and calls == reply.calls
        return reply if same else replace(reply, text=text, failure=failure, calls=calls)

    def _scrubbed(self, text: str) -> str:
        """Return text without secrets and half characters, as a cut JSON escape leaves them: no store takes those."""
        return whole(self.scrub(text))

    def _book(self, key: str, request: Request, reply: Reply) -> None:
        """Book a paid reply in the ledger; a repair of a reply's form is a misfit of this stage."""
        self._booked.add(key)
        repair, turn = request.repair > 0, request.turn > 0
        self.ledger.add(request.purpose, reply.usage, repair=repair, retries=reply.retries, turn=turn)
        if request.repair == 1:
            self._misfits[request.model] = self._misfits.get(request.model, 0) + 1

    async def use_tool(self, workflow: Workflow, name: str, args: Mapping[str, Json], draw: str) -> ToolReply:
        """Return a tool's value for arguments, from the journal where it stands there."""
        spec = workflow.tools[name]
        key = _hash(["tool", spec.model_dump(mode="json"), args, draw])
        known = self.journal.find(key)
        if known is not None:
            return ToolReply(**known)
        return await self._once(key, lambda: self._run_tool(key, name, spec, args))

    async def _run_tool(self, key: str, name: str, spec: ToolSpec, args: Mapping[str, Json]) -> ToolReply:
        what = spec.model_dump_json()  # two workflows may use one name for two tools
        if what not in self._tools:
            if self.open_tool is None:
                return ToolReply(failure=f"the tool '{name}' is not available here")
            self._tools[what] = self.open_tool(spec)
        reply = await self._tools[what].call(args)
        try:
            plain = json.dumps(asdict(reply), ensure_ascii=False, allow_nan=False, default=str)
        except (TypeError, ValueError, RecursionError) as error:
            failure = f"the tool '{name}' gave a value that is not plain data: {error}"
            plain = json.dumps(asdict(ToolReply(failure=failure, seconds=reply.seconds)))
        reply = ToolReply(**json.loads(self._scrubbed(plain)))  # as a replay sees it: plain data without secrets
        await self.journal.record(key, "tool", asdict(reply))
        LOG.debug("tool %s: %s, %.2f s", name, "failed" if reply.failure else "done", reply.seconds)
        return reply

    async def run_program(self, program: Program, draw: str) -> Ran:
        """Return what came of a program in the sandbox, from the journal where it stands there."""
        key = _hash(["program", asdict(program) | {"limits": program.limits.model_dump(mode="json")}, draw])
        known = self.journal.find(key)
        if known is not None:
            return Ran(**known)
        return await self._once(key, lambda: self._run_program(key, program))

    async def _run_program(self, key: str, program: Program) -> Ran:
        if self._sandbox is None:
            if self.open_sandbox is None:
                raise SandboxError("programs cannot be run here")
            self._sandbox = self.open_sandbox()
        ran = await self._sandbox.run(program)
        plain = json.dumps(asdict(ran), ensure_ascii=False, allow_nan=False)
        ran = Ran(**json.loads(self._scrubbed(plain)))
        await self.journal.record(key, "code", asdict(ran))
        return ran

    async def score(self, metric: Metric, identity: str, trace: Trace, draw: str) -> Score:
        """Return the score of a trace, from the journal where it stands there. A failed run scores 0."""
        if trace.error:
            return Score(0.0, trace.error)
        example = trace.example
        key = _hash(["score", identity, example.id, dict(example.inputs), example.target, trace.output, draw])
        known = self.journal.find(key)
        if known is not None and not calls_of(metric):
            return Score(**known)  # a judge is asked anew: its replies come from the journal, and are booked
        return await self._once(key, lambda: self._judge(key, metric, trace))

    async def _judge(self, key: str, metric: Metric, trace: Trace) -> Score:
        score = await metric.score(trace.example, trace.output, trace, self)
        score = replace(score, feedback=self._scrubbed(score.feedback))  # as a replay sees it
        await self.journal.record(key, "score", dict(vars(score)))
        return score

    async def _once(self, key: str, work: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do work under a key once, however many ask for it at the same time."""
        return await asyncio.shield(self._shared.get(key) or self._start(key, work()))

    def _start(self, key: str, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._shared[key] = task

        def ended(done: asyncio.Task[T]) -> None:
            del self._shared[key]
            if not done.cancelled():
                done.exception()  # whoever waited for it may be gone

        task.add_done_callback(ended)
        return task

    async def drain(self, seconds: float | None = None) -> None:
        """Wait for what is under way, at most so many seconds, and end the rest."""
        if self._shared:
            await asyncio.wait(list(self._shared.values()), timeout=seconds)
        await end(list(self._shared.values()))

    def end_stage(self) -> None:
        """Decide, between stages only, whether a model's replies fit too badly for the mode they are asked in."""
        for name, misfits in self._misfits.items():
            model: Any = self.models[name].model
            mode = getattr(model, "mode", "text")
            if misfits >= MISFITS and mode in MODES[:-1]:
                model.mode = MODES[MODES.index(mode) + 1]
        self._misfits.clear()

    def _restore(self, model: Any, mode: str) -> None:
        """Go on in the mode that recorded replies were asked in."""
        now = getattr(model, "mode", None)
        if now in MODES and mode in MODES and MODES.index(mode) > MODES.index(now):
            model.mode = mode


def calls_of(metric: Metric) -> int:
    """Return the LLM calls that a metric makes for one score."""
    return int(getattr(metric, "llm_calls", 0))


def _reply(known: dict[str, Any]) -> Reply:
    usage = Usage(**known["usage"])
    calls = tuple(ToolCall(*each) for each in known.get("calls", ()))
    return Reply(known["text"], usage, known["failure"], known["mode"], known["retries"], calls)


def _plain(reply: Reply) -> dict[str, Any]:
    plain = {**vars(reply), "usage": dict(vars(reply.usage))}  # `asdict` copies deeply, at ten times the cost
    calls = [[call.name, call.arguments] for call in reply.calls]
    return plain | {"calls": calls}


def estimate_of(request: Request, opened: Opened) -> Usage:
    """Return an upper estimate of a call: text at three bytes a token, the reply at its bound."""
    texts = [message["content"] for message in request.messages]
    texts += [json.dumps(message["tool_calls"]) for message in request.messages if "tool_calls" in message]
    texts += [json.dumps(request.schema)] if request.schema is not None else []
    texts += [json.dumps(asdict(tool)) for tool in request.tools]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    given = -(-size // 3) + 8 * len(request.messages)
    taken = request.max_tokens or opened.max_tokens or DEFAULT_REPLY
    usd = opened.price.of(given, taken) if opened.price else None
    return Usage(1, given, taken, usd=usd)


def _hash(plain: Json) -> str:
    return hashlib.blake2b(_canonical(plain).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
