"""Spans of searches and of open workflows: their tree, their attributes, and what they must not hold."""

from __future__ import annotations

import asyncio
import http.server
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import flowbot
from flowbot.faces.observe.requests import Requests
from flowbot.faces.observe.spans import CONTENT, open_spans
from flowbot.faces.opened import open_workflow
from flowbot.faces.serve.app import app_of
from flowbot.money import Budget
from tests import worlds
from tests.commands import ROOT, begin, finish
from tests.nested import nested
from tests.servers import Answer, Body, serving
from tests.sessions import call, flow
from tests.worlds import World

RECIPE = {"name": "paper", "batches": 1, "inner": 2, "batch": 4}
SAYS = flow(call("answer", "q", gives={"a": "text"}))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Let spans be kept in memory."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    return exporter


def spans(exporter: InMemorySpanExporter, begin: str = "") -> list[ReadableSpan]:
    return [span for span in exporter.get_finished_spans() if span.name.startswith(begin)]


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def line(exporter: InMemorySpanExporter, span: ReadableSpan) -> list[str]:
    """Return the names of a span and all above it, from the top."""
    known = {each.context.span_id: each for each in spans(exporter) if each.context}
    names = [span.name]
    while span.parent is not None and span.parent.span_id in known:
        span = known[span.parent.span_id]
        names.insert(0, span.name)
    return names


def induced(patch: pytest.MonkeyPatch, run: Path | None = None, world: Any = None, **options: Any) -> flowbot.Result:
    worlds.shelved(patch, world or World())
    task = worlds.task(recipe=RECIPE)
    return flowbot.induce(task, data=worlds.data(8, 4, 2), run=run, options=flowbot.Options(**options))


def ran(inputs: dict[str, Any], url: str, workflow: flowbot.Workflow = SAYS, **how: Any) -> flowbot.Trace:
    async def work() -> flowbot.Trace:
        async with open_workflow(flowbot.bind(workflow, base_url=url)) as opened:
            return await opened(inputs, **how)

    return asyncio.run(work())


def test_a_search_is_a_tree_of_stages_runs_steps_and_calls(
    told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World()
    result = induced(monkeypatch, world=world)
    [top] = spans(told, "search")
    assert (top.name, top.parent) == ("search colours", None)
    assert {event.name for event in top.events} >= {"start", "row", "best"}
    calls = spans(told, "chat")
    assert len(calls) == len(world.requests) == result.ledger.total.calls
    lines = {tuple(line(told, span)) for span in calls}
    assert ("search colours", "stage val of *", "invoke_workflow colours", "step answer", "chat m") in lines
    assert ("search colours", "stage test", "invoke_workflow colours", "step answer", "chat m") in lines
    writers = [each for each in calls if facts(each)["flowbot.purpose"] == "prompt_update"]
    assert {line(told, each)[-1] for each in writers} == {"chat meta"}
    assert all(line(told, each)[1].startswith("stage") for each in writers)
    used = result.ledger.total
    assert sum(facts(each)["gen_ai.usage.input_tokens"] for each in calls) == used.input_tokens
    scores = [facts(each)["flowbot.score"] for each in spans(told, "invoke_workflow")]
    assert 0.0 in scores
    assert 1.0 in scores


def test_a_call_has_the_attributes_of_the_conventions(told: InMemorySpanExporter) -> None:
    with serving(["red"]) as server:
        ran({"q": "item 0"}, server.url)
    [chat] = spans(told, "chat")
    known = facts(chat)
    assert chat.kind == trace.SpanKind.CLIENT
    assert known["gen_ai.operation.name"] == "chat"
    assert known["gen_ai.provider.name"] == "vllm"
    assert known["gen_ai.request.model"] == "m"
    assert known["gen_ai.request.temperature"] == 0.0
    assert known["gen_ai.output.type"] == "text"
    assert known["gen_ai.usage.output_tokens"] == 1
    assert known["gen_ai.response.finish_reasons"] == ("stop",)
    assert (known["server.address"], known["server.port"]) == ("127.0.0.1", server.port)
    assert "error.type" not in known
    [run] = spans(told, "invoke_workflow")
    assert facts(run)["gen_ai.operation.name"] == "invoke_workflow"
    assert facts(run)["gen_ai.workflow.name"] == SAYS.name


def test_tokens_and_seconds_of_calls_are_measured(told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    with serving(["red", "red", Answer("red", usage=None), Answer.error(401)]) as server:
        for _ in range(3):
            ran({"q": "item 0"}, server.url)
        with pytest.raises(flowbot.EndpointError):
            ran({"q": "item 0"}, server.url)
    data: Any = reader.get_metrics_data()
    [scope] = data.resource_metrics[0].scope_metrics
    points = {each.name: list(each.data.data_points) for each in scope.metrics}
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    sums: list[Any] = [
        span.attributes["gen_ai.usage.input_tokens"] for span in spans(told, "chat")[:2] if span.attributes
    ]
    assert (tokens["input"].count, tokens["input"].sum) == (2, sum(sums))  # what is only estimated is left out
    assert tokens["output"].sum == 2
    seconds = {point.attributes.get("error.type"): point for point in points["gen_ai.client.operation.duration"]}
    assert (seconds[None].count, seconds["401"].count) == (3, 1)
    assert seconds[None].attributes["gen_ai.request.model"] == "m"
    assert seconds[None].explicit_bounds[:2] == (0.01, 0.02)


def whole(body: Body, index: int) -> Answer:
    match str(body["messages"][0]["content"]).split(".")[0]:
        case "Plan" if body["messages"][-1]["role"] != "tool":
            return Answer(calls=[("calc", {"expression": "2 * 3"})])
        case "Plan":
            return Answer(json={"parts": ["a", "b"], "hard": True})
        case "Check":
            return Answer(json={"ok": True, "why": "good"})
        case _:
            return Answer("said")


def test_steps_of_bodies_and_tools_stand_where_they_run(told: InMemorySpanExporter) -> None:
    with serving(whole) as server:
        assert not ran({"question": "why"}, server.url, nested("whole")).error
    [tool] = spans(told, "execute_tool")
    assert line(told, tool) == ["invoke_workflow whole", "step plan", "execute_tool calc"]
    assert facts(tool)["gen_ai.tool.name"] == "calc"
    assert facts(tool)["gen_ai.tool.type"] == "function"
    solved = spans(told, "step solve")
    assert [facts(each)["flowbot.step"] for each in solved] == [f"refine[1].tries[{n}].solve" for n in (1, 2, 3)]
    for each in solved:
        assert line(told, each) == ["invoke_workflow whole", "step refine", "step tries", "step solve"]
    assert line(told, spans(told, "step polish")[0]) == ["invoke_workflow whole", "step route", "step polish"]


def test_errors_have_their_kind_and_no_words(told: InMemorySpanExporter) -> None:
    with serving([Answer.error(401, "bad secret-word")]) as server, pytest.raises(flowbot.EndpointError):
        ran({"q": "item 0"}, server.url)
    assert facts(spans(told, "chat")[0])["error.type"] == "401"
    assert facts(spans(told, "step")[0])["error.type"] == "cut_off"
    assert facts(spans(told, "invoke_workflow")[0])["error.type"] == "401"
    told.clear()
    with serving([Answer("cut", finish="length")]) as server:
        assert ran({"q": "item 0"}, server.url).error
    assert facts(spans(told, "chat")[0])["error.type"] == "length"
    assert facts(spans(told, "chat")[0])["gen_ai.response.finish_reasons"] == ("length",)
    assert facts(spans(told, "invoke_workflow")[0])["flowbot.failed_step"] == "answer"
    told.clear()
    with serving([Answer("late", latency=5)]) as server, pytest.raises(TimeoutError):
        ran({"q": "item 0"}, server.url, budget=Budget(seconds=0.2))
    assert {facts(each)["error.type"] for each in spans(told)} == {"cancelled", "cut_off"}
    assert not any("secret-word" in str(facts(each)) for each in spans(told))


def test_messages_are_there_only_where_they_are_asked_for(
    told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(whole) as server:
        ran({"question": "why-not"}, server.url, nested("whole"))
        assert "why-not" not in str([facts(each) for each in spans(told)])
        told.clear()
        monkeypatch.setenv(CONTENT, "true")
        ran({"question": "why-not"}, server.url, nested("whole"))
    chat = next(each for each in spans(told, "chat") if facts(each).get("flowbot.turn") == 1)
    messages = json.loads(facts(chat)["gen_ai.input.messages"])
    assert [each["role"] for each in messages] == ["system", "user", "assistant", "tool"]
    assert messages[2]["parts"][-1]["type"] == "tool_call"
    assert messages[3]["parts"][0]["type"] == "tool_call_response"
    [said] = json.loads(facts(chat)["gen_ai.output.messages"])
    assert (said["role"], said["finish_reason"]) == ("assistant", "stop")
    assert json.loads(facts(spans(told, "execute_tool")[0])["gen_ai.tool.call.arguments"]) == {"expression": "2 * 3"}
    told.clear()
    induced(monkeypatch)
    assert any("item 1" in str(facts(each)) for each in spans(told))
    told.clear()
    induced(monkeypatch, content=False)
    assert spans(told, "chat")
    assert not any("item 1" in str(facts(each)) for each in spans(told))


def test_no_secret_is_in_a_span(told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-0123456789abcdef")
    monkeypatch.setenv(CONTENT, "span_only")
    with serving(["your key is sk-0123456789abcdef"]) as server:
        ran({"q": "is it sk-0123456789abcdef"}, server.url)
    text = str([facts(each) for each in spans(told)])
    assert "sk-0123" not in text
    assert "your key is ***" in text


def test_what_a_journal_answers_has_no_span(
    told: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    induced(monkeypatch, tmp_path / "run")
    told.clear()
    induced(monkeypatch, tmp_path / "run")
    assert spans(told, "search")
    assert not spans(told, "chat")


def test_without_a_provider_there_are_no_spans_and_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    assert open_spans() is None
    program = (
        "import sys, flowbot.faces.api, flowbot.faces.opened, flowbot.faces.observe.spans as s;"
        "assert s.open_spans() is None; print(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_a_request_has_a_span_below_the_one_that_it_names(told: InMemorySpanExporter) -> None:
    found = open_spans()
    assert found is not None

    class Endpoint:
        name = "/run"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["endpoint"] = Endpoint()
        with found.span("inner", {}):
            await send({"type": "http.response.start", "status": 503, "headers": []})

    async def sent(message: Any) -> None:
        pass

    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    scope = {"type": "http", "method": "POST", "path": "/run", "headers": [(b"traceparent", parent.encode())]}
    asyncio.run(Requests(app, found)(scope, None, sent))
    [inner], [request] = spans(told, "inner"), spans(told, "POST")
    assert request.name == "POST /run"
    assert request.parent is not None
    assert f"{request.parent.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert line(told, inner) == ["POST /run", "inner"]
    assert facts(request)["http.response.status_code"] == 503
    assert facts(request)["error.type"] == "503"


def test_a_served_workflow_is_below_its_request(told: InMemorySpanExporter) -> None:
    async def work(url: str) -> None:
        app = app_of({"says": lambda: open_workflow(flowbot.bind(SAYS, base_url=url))})
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client,
        ):
            assert (await client.post("/run", json={"q": "item 0"})).json()["output"] == "red"
            assert (await client.get("/nowhere")).status_code == 404

    with serving(["red"]) as server:
        asyncio.run(work(server.url))
    [chat] = spans(told, "chat")
    assert line(told, chat) == ["POST /run", f"invoke_workflow {SAYS.name}", "step answer", "chat m"]
    [missing] = spans(told, "GET")
    assert facts(missing)["http.response.status_code"] == 404
    assert "http.route" not in facts(missing)


@pytest.fixture
def collector() -> Generator[tuple[str, list[str]]]:
    """Yield an OTLP endpoint's URL, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            paths.append(self.path)
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_the_command_line_exports_where_the_environment_says(collector: tuple[str, list[str]], tmp_path: Path) -> None:
    url, paths = collector
    flowbot.save(SAYS, tmp_path / "says.yaml")
    with serving(["red"]) as server:
        command = ["run", tmp_path / "says.yaml", "--input", "q=item 0", "--base-url", server.url]
        assert finish(begin(*command, OTEL_EXPORTER_OTLP_ENDPOINT=url))[:2] == (0, "red\n")
        assert paths == ["/v1/traces"]
        assert finish(begin(*command, OTEL_EXPORTER_OTLP_ENDPOINT=url, OTEL_SDK_DISABLED="true"))[0] == 0
        assert len(paths) == 1
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_METRICS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": ""}
        assert finish(begin(*command, **told))[:2] == (0, "red\n")
        assert sorted(paths) == ["/v1/metrics", "/v1/traces", "/v1/traces"]
        code, out, err = finish(begin(*command, "--otel", OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"))
        assert (code, out) == (0, "red\n")
        assert err.count("flowbot: spans are not exported") == 1
        assert len(err.splitlines()) == 1


def test_a_search_logs_its_stages_and_no_content(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert logging.getLogger("flowbot").handlers == []
    with caplog.at_level(logging.INFO, "flowbot"):
        induced(monkeypatch, tmp_path / "run")
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("flowbot.")]
    assert any(each.startswith("stage: val of ") for each in lines)
    assert any(each.startswith("best candidate=") for each in lines)
    assert lines[-1].startswith("ended: done, best ")
    assert not any("item " in each or "Rule" in each for each in lines)


def test_a_retry_is_logged_without_what_the_endpoint_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "flowbot"), serving([Answer.busy(0), "red"]) as server:
        ran({"q": "item 0"}, server.url)
    lines = [record.getMessage() for record in caplog.records]
    assert any(each.startswith("vllm:m is asked at http://127.0.0.1") for each in lines)
    assert any(each.startswith("HTTP 429: send 2 follows in ") for each in lines)
    assert not any("rate limit" in each or "item 0" in each for each in lines)
