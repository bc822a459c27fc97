"""Spans: how runs look in OpenTelemetry, by the semantic conventions for generative AI.

A search is `search TASK > stage > invoke_workflow NAME > step > chat MODEL | execute_tool NAME`; a served workflow is
`POST /run > invoke_workflow NAME > ...`. What the journal answers has no span of its own: it is not asked for again.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import flowbot
from flowbot.engine.ports import Metric, Program, Ran, Reply, Request, ToolReply
from flowbot.engine.scene import Watch
from flowbot.engine.trace import StepTrace, Trace
from flowbot.faces.observe.conventions import (
    answered,
    as_json,
    asked,
    call_messages,
    failure_of,
    operation,
    run_messages,
    tool,
)
from flowbot.faces.observe.eventlog import facts_of
from flowbot.faces.observe.measures import Measures, error_type
from flowbot.models.secrets import scrub, secrets
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.tools import ToolSpec

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanKind, Tracer

S = TypeVar("S", bound=RunSession)
Heard = Callable[[Mapping[str, Any]], None]
CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
WITH_CONTENT = ("true", "1", "span_only", "span_and_event")
NUMBERED = re.compile(r"\b[0-9a-f]{6}\b|\d+")
ITERATION = re.compile(r"iteration (\d+): ")


def open_spans(clean: Callable[[str], str] | None = None) -> Spans | None:
    """Return where spans go: to the tracer provider that the program has set; None where it has set none.

    `clean` takes secrets out of every text; without it those of the environment are. Where nobody asks for spans
    nothing of OpenTelemetry is imported.
    """
    if "opentelemetry.trace" not in sys.modules:
        return None
    from opentelemetry import trace

    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    known = secrets()
    return Spans(provider.get_tracer("flowbot", flowbot.__version__), clean or (lambda text: scrub(text, known)))


class Spans:
    """The spans of one session. `content` says whether they may hold messages, as the environment asks for it."""

    def __init__(self, tracer: Tracer, clean: Callable[[str], str]) -> None:
        self.tracer, self.clean, self.measures = tracer, clean, Measures()
        self.content = os.environ.get(CONTENT, "").strip().lower() in WITH_CONTENT
        self.root: Span | None = None  # of a search
        self.stage: Span | None = None
        self._kinds: dict[Any, Any] = {}

    def kind(self, kind: type[S]) -> type[S]:
        """Return a kind of session that tells its runs, calls and tools here."""
        if kind not in self._kinds:
            self._kinds[kind] = type(kind.__name__, (_Spanned, kind), {"spans": self})
        return self._kinds[kind]

    @contextlib.contextmanager
    def span(self, name: str, attributes: Mapping[str, Any], client: bool = False) -> Generator[Span]:
        """Open a span below the one that is open; what is raised within is its error."""
        from opentelemetry import trace

        kind = trace.SpanKind.CLIENT if client else trace.SpanKind.INTERNAL
        opened = self.begin(name, attributes, kind)
        with trace.use_span(opened, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                yield opened
            except BaseException as error:
                fail(opened, error_type(error))
                raise

    def begin(self, name: str, attributes: Mapping[str, Any], kind: SpanKind | None = None) -> Span:
        """Begin a span that the caller ends; what a search does outside of runs belongs to its stage."""
        from opentelemetry import trace

        parent: Context | None = None
        if self.stage is not None and trace.get_current_span() is self.root:
            parent = trace.set_span_in_context(self.stage)
        opened = self.tracer.start_span(self.clean(name), parent, kind or trace.SpanKind.INTERNAL)
        self.put(opened, attributes)
        return opened

    def put(self, span: Span, attributes: Mapping[str, Any]) -> None:
        """Set attributes, without secrets; None is left out."""
        for name, value in attributes.items():
            if value is not None:
                span.set_attribute(name, self.clean(value) if isinstance(value, str) else value)

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take an event of a search: a phase begins a stage, others are written down at the search."""
        if self.root is None:
            return
        if event["kind"] == "phase":
            self.end_stage()
            phase = str(event["phase"])
            number = ITERATION.match(phase)
            name = NUMBERED.sub("*", phase[number.end() :] if number else phase)
            facts = {"flowbot.stage": phase, "flowbot.iteration": int(number[1]) if number else None}
            self.stage = self.begin(f"stage {name}", facts)
            return
        self.root.add_event(str(event["kind"]), {f"flowbot.{name}": fact for name, fact in facts_of(event).items()})

    def end_stage(self) -> None:
        """End the stage that is open."""
        stage, self.stage = self.stage, None
        if stage is not None:
            stage.end()


@contextlib.contextmanager
def searching(session: RunSession, task: str, heard: Heard, content: bool) -> Generator[Heard]:
    """Open the span of a search where its session tells spans; yield what hears its events, and hands them on.

    Without `content` no message is in a span, whatever the environment says. A stretch of the run that the journal
    answers has no stages.
    """
    if not isinstance(session, _Spanned):
        yield heard
        return
    spans = session.spans
    spans.content = spans.content and content

    def both(event: Mapping[str, Any]) -> None:
        if not _replaying(session):
            spans.hear(event)
        heard(event)

    with spans.span(f"search {task}", {"flowbot.task": task}) as root:
        spans.root = root
        try:
            yield both
        finally:
            spans.end_stage()
            spans.root = None


class _Spanned(RunSession):
    """A session whose runs, calls, tools and programs have spans; mixed into its kind by `Spans.kind`."""

    spans: Spans

    async def run(
        self,
        workflow: Workflow,
        example: Example,
        draw: str = "",
        metric: Metric | None = None,
        identity: str = "",
        watch: Watch | None = None,
    ) -> Trace:
        if _replaying(self):
            return await super().run(workflow, example, draw, metric, identity, watch)
        spans = self.spans
        facts = {"flowbot.workflow.id": workflow.id, "flowbot.example": example.id, "flowbot.draw": draw or None}
        with spans.span(f"invoke_workflow {workflow.name}", operation("invoke_workflow") | facts) as span:
            spans.put(span, {"gen_ai.workflow.name": workflow.name})
            steps = _Steps(spans, watch)
            try:
                trace = await super().run(workflow, example, draw, metric, identity, steps.watch)
            finally:
                steps.close()
            failed = next((part.path for part in trace.walk() if part.error), None) if trace.error else None
            spans.put(span, {"flowbot.score": trace.score and trace.score.value, "flowbot.failed_step": failed})
            if trace.error:
                fail(span, "step_failed")
            if spans.content:
                spans.put(span, run_messages(dict(example.inputs), trace.output))
        return trace

    async def _reply(self, opened: Opened, request: Request) -> Reply:
        spans, provider = self.spans, request.model.partition(":")[0]
        facts = asked(request, opened)
        named, client = f"chat {facts['gen_ai.request.model']}", provider != "local"
        with spans.measures.call(facts) as replies, spans.span(named, facts, client) as span:
            reply = await super()._reply(opened, request)
            replies.append(reply)
            spans.put(span, answered(reply))
            if reply.failure:
                fail(span, failure_of(reply))
            if spans.content:
                spans.put(span, call_messages(request, reply))
        return reply

    async def _run_tool(self, key: str, name: str, spec: ToolSpec, args: Mapping[str, Json]) -> ToolReply:
        spans = self.spans
        with spans.span(f"execute_tool {name}", tool(name, spec)) as span:
            if spans.content:
                spans.put(span, {"gen_ai.tool.call.arguments": as_json(args)})
            reply = await super()._run_tool(key, name, spec, args)
            if reply.failure:
                fail(span, "tool_error")
            if spans.content:
                spans.put(span, {"gen_ai.tool.call.result": reply.failure or as_json(reply.value)})
        return reply

    async def _run_program(self, key: str, program: Program) -> Ran:
        with self.spans.span("run_program", {"flowbot.program.tested": bool(program.tests)}) as span:
            ran = await super()._run_program(key, program)
            if ran.error:
                fail(span, "program_error")
        return ran


def _replaying(session: RunSession) -> bool:
    return bool(getattr(session.journal, "replaying", False))


class _Steps:
    """The spans of one run's steps. A step that is cut off ends with the run."""

    def __init__(self, spans: Spans, watch: Watch | None) -> None:
        self.spans, self.also = spans, watch
        self.open: dict[str, tuple[Span, Token[Context]]] = {}

    def watch(self, path: str, done: StepTrace | None) -> None:
        """Begin or end the span of a step, in the task that the step runs in."""
        from opentelemetry import context, trace

        if done is None:
            span = self.spans.begin(f"step {path.rpartition('.')[2]}", {"flowbot.step": path})
            self.open[path] = span, context.attach(trace.set_span_in_context(span))
        else:
            span, token = self.open.pop(path)
            context.detach(token)
            if done.error:
                fail(span, "step_failed")
            span.end()
        if self.also is not None:
            self.also(path, done)

    def close(self) -> None:
        """End what was cut off."""
        for span, _ in self.open.values():
            fail(span, "cut_off")
            span.end()


def fail(span: Span, kind: str) -> None:
    """Mark a span as failed, with the kind of its error; its words may hold what a user sent, and stay out."""
    from opentelemetry.trace import Status, StatusCode

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
