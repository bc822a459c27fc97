"""flowbot serve: runs, batches, chats, limits, tokens, reloads, logs and counters, over HTTP."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from flowbot.errors import InputError
from flowbot.faces.opened import Flow
from flowbot.faces.serve import chat
from flowbot.faces.serve.app import app_of
from flowbot.faces.serve.files import How, openers_of
from flowbot.faces.serve.settings import Limits
from flowbot.task.task import ModelSpec
from flowbot.workflow.document import write_workflow
from flowbot.workflow.graph import build, rebuild
from tests.served import MODEL, Got, one_call, opener, served, typed
from tests.servers import Answer, Body, serving

pytestmark = pytest.mark.usefixtures("bare")
HI = {"request": "hi"}
CHAT: dict[str, Any] = {"model": "one", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, as the provider wants one."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")


def echo(body: Body, index: int) -> Answer:
    """Answer with what was read, loudly."""
    return Answer(text=body["messages"][-1]["content"].partition(":\n")[2].upper())


def told(endpoint: Any) -> list[str]:
    return [arrival.prompt for arrival in endpoint.requests]


# ------------------------------------------------------------------ runs


def test_a_run_gives_the_output_and_what_it_cost() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        got = site.post("/run", HI)
        assert (got.status, got.json["output"], got.json["usage"]["calls"]) == (200, "HI", 1)
        assert site.post("/one/run", HI).json["output"] == "HI"
        assert told(endpoint) == ["request:\nhi", "request:\nhi"]


def test_a_batch_gives_each_row_or_its_error() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url, Limits(rows=3)) as site:
        got = site.post("/batch", {"inputs": [{"request": "a"}, {"question": "b"}, {"request": "c"}]}).json
        assert [row.get("output") for row in got["results"]] == ["A", None, "C"]
        assert got["results"][1]["error"]["code"] == "inputs_do_not_fit"
        assert got["usage"]["calls"] == 2
        assert site.post("/batch", {"inputs": [HI] * 4}).code == "batch_too_large"
        assert site.post("/batch", {"inputs": []}).json["results"] == []


GOOD = {"text": "t", "number": 1.5, "flag": True, "team": "a", "tags": ["x"], "more": {"n": 1}}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("text", 1),
        ("text", None),
        ("number", "1"),
        ("number", True),
        ("flag", "yes"),
        ("team", "c"),
        ("team", " A"),
        ("tags", "x"),
        ("tags", [1]),
        ("more", {}),
        ("more", {"n": "1"}),
    ],
)
def test_inputs_are_held_to_their_types(name: str, value: Any) -> None:
    with serving([Answer(json={"label": "x"})]) as endpoint, served(typed(), endpoint.url) as site:
        assert site.post("/run", GOOD).json["output"] == "x"
        got = site.post("/run", GOOD | {name: value})
        assert (got.status, got.code, got.json["error"]["param"]) == (422, "inputs_do_not_fit", name)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "broken_json"),
        (b'{"request": NaN}', 400, "broken_json"),
        (b'{"request": 1e999}', 400, "broken_json"),
        (b"\xff", 400, "broken_json"),
        (b"[" * 100_000, 400, "broken_json"),
        (b"[]", 422, "inputs_do_not_fit"),
        (b"{}", 422, "inputs_do_not_fit"),
        (b"", 400, "broken_json"),
        (b'{"request": "%s"}' % (b"x" * 2000), 413, "body_too_large"),
    ],
)
def test_a_bad_body_is_told(body: bytes, status: int, code: str) -> None:
    limits = Limits(body=200_000 if body.startswith(b"[[") else 1000)
    with serving(echo) as endpoint, served(one_call(), endpoint.url, limits) as site:
        got = site.ask("POST", "/run", body)
        assert (got.status, got.code) == (status, code)
        assert not endpoint.requests


def test_half_a_character_and_other_texts_pass() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        for text in ("\ud800", "", "\0", "{{x}}", "é" * 100):
            assert site.post("/run", {"request": text or "-"}).status == 200


def test_paths_and_methods_that_are_not_there() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        assert (site.get("/nowhere").status, site.get("/nowhere").code) == (404, "no_such_path")
        got = site.get("/run")
        assert (got.status, got.code, got.headers["allow"]) == (405, "method_not_allowed", "POST")
        assert site.ask("POST", "/run", b"{}", {"Content-Type": "text/plain"}).status == 415


def test_a_failing_step_and_a_failing_endpoint() -> None:
    answers = [Answer(text="", refusal="no"), Answer.error(401, "bad key")]
    with serving(answers) as endpoint, served(one_call(), endpoint.url) as site:
        got = site.post("/run", HI)
        assert (got.status, got.code) == (422, "run_failed")
        assert "step 'answer' failed" in got.json["error"]["message"]
        got = site.post("/run", HI)
        assert (got.status, got.code) == (502, "endpoint_failed")
        assert "bad key" not in got.body.decode()
        assert got.headers["x-should-retry"] == "false"


def test_ids_go_in_and_out() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        assert site.post("/run", HI, {"X-Request-ID": "mine-1"}).headers["x-request-id"] == "mine-1"
        made = [site.post("/run", HI, {"X-Request-ID": bad}).headers["x-request-id"] for bad in ("", "a b", "x" * 200)]
        assert len(set(made)) == 3
        assert not {"a b", ""} & set(made)


# ------------------------------------------------------------------ several, and their files


def test_several_workflows_have_routes_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(write_workflow(one_call()))
    (tmp_path / "two.yaml").write_text(write_workflow(rebuild(one_call(), name="other")))
    with serving(echo) as endpoint:
        openers = openers_of([str(tmp_path / "one.yaml"), f"b={tmp_path / 'two.yaml'}"], How(base_url=endpoint.url))
        with served(openers) as site:
            assert site.post("/one/run", HI).status == site.post("/b/run", HI).status == 200
            assert site.post("/run", HI).status == 404
            assert [each["id"] for each in site.get("/v1/models").json["data"]] == ["one", "b"]
            assert site.get("/v1/models/b").json["id"] == "b"
            assert site.get("/v1/models/c").code == "model_not_found"


@pytest.mark.parametrize("named", ["run=x.yaml", "../x=x.yaml", "a/b=x.yaml", "v1=x.yaml", "=x.yaml"])
def test_names_that_cannot_be_routes_are_refused(named: str) -> None:
    with pytest.raises(InputError, match="NAME=FILE"):
        app_of(openers_of([named], How()))


def test_a_reload_takes_new_files_and_keeps_the_old_where_they_are_broken(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(write_workflow(one_call()))
    slow = threading.Event()

    def script(body: Body, index: int) -> Answer:
        wait = 0.6 if body["messages"][-1]["content"].endswith("slow") else 0.0
        slow.set()
        return Answer(text=body["messages"][0]["content"], latency=wait)

    with serving(script) as endpoint, served(openers_of([str(file)], How(base_url=endpoint.url))) as site:
        found: list[Got] = []
        going = threading.Thread(target=lambda: found.append(site.post("/run", {"request": "slow"})))
        going.start()
        assert slow.wait(5)
        file.write_text(write_workflow(one_call(prompt="Anew.")))
        assert site.call(site.service.desk.reload()) == {}
        assert site.post("/run", HI).json["output"] == "Anew."
        going.join()
        assert (found[0].status, found[0].json["output"]) == (200, "Answer.")
        file.write_text("flowbot: 1\nname: broken\n")
        assert "one" in site.call(site.service.desk.reload())
        assert site.post("/run", HI).json["output"] == "Anew."


@pytest.mark.parametrize("path", ["/run", "/v1/chat/completions", "stream"])
def test_a_reload_drops_nobody_who_waits_in_line(path: str, tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(write_workflow(one_call()))
    body = HI if path == "/run" else CHAT | {"stream": path == "stream"}
    where = "/v1/chat/completions" if path == "stream" else path
    with (
        serving([Answer(text="alpha", latency=0.5), Answer(text="beta")]) as endpoint,
        served(openers_of([str(file)], How(base_url=endpoint.url)), limits=Limits(concurrency=1)) as site,
    ):
        found: list[Got] = []
        going = [threading.Thread(target=lambda: found.append(site.post(where, body))) for _ in range(2)]
        for each in going:
            each.start()
        _until(lambda: len(site.service.slots.waiting) == 1)
        assert site.call(site.service.desk.reload()) == {}
        for each in going:
            each.join()
        assert {(got.status, b"alpha" in got.body, b"beta" in got.body) for got in found} == {
            (200, True, False),
            (200, False, True),
        }  # in whatever order the two clients come to say so


def test_a_reload_drops_nobody_whose_body_is_on_its_way(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text(write_workflow(one_call()))
    raw = json.dumps(HI).encode()
    head = b"POST /run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with (
        serving([Answer(text="ok")]) as endpoint,
        served(openers_of([str(file)], How(base_url=endpoint.url))) as site,
        site.raw() as client,
    ):
        client.sendall(head % len(raw) + raw[:3])
        _until(lambda: len(site.service.visits) == 1)
        time.sleep(0.1)
        site.call(site.service.desk.reload())
        client.sendall(raw[3:])
        assert b" 200 " in client.recv(65536)


def test_a_batch_that_comes_late_is_shed_too() -> None:
    raw = json.dumps({"inputs": [HI] * 8}).encode()
    head = b"POST /batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with (
        serving([Answer(text="late", latency=0.5)]) as endpoint,
        served(one_call(), endpoint.url, Limits(concurrency=1, queue=0)) as site,
        site.raw() as client,
    ):
        client.sendall(head % len(raw) + raw[:3])
        _until(lambda: len(site.service.visits) == 1)
        time.sleep(0.1)
        going = threading.Thread(target=lambda: site.post("/run", HI))
        going.start()
        _until(lambda: endpoint.in_flight == 1)
        client.sendall(raw[3:])
        assert b" 429 " in client.recv(65536)
        going.join()


def test_a_tool_needs_trust(tmp_path: Path) -> None:
    tool: dict[str, Any] = {"kind": "function", "function": "os:getcwd", "arguments": {}}
    step = {"id": "where", "kind": "tool", "tool": "t", "args": {}, "gives": {"folder": "text"}}
    made = build(name="one", inputs={"request": "text"}, tools={"t": tool}, steps=[step], output="where.folder")
    (tmp_path / "one.yaml").write_text(write_workflow(made))
    with pytest.raises(InputError, match="--trust"), served(openers_of([str(tmp_path / "one.yaml")], How())):
        pass


# ------------------------------------------------------------------ limits


def test_what_is_over_the_limits_is_shed() -> None:
    with serving([Answer(text="late", latency=0.4)]) as endpoint:
        limits = Limits(concurrency=2, queue=1)
        with served(one_call(), endpoint.url, limits) as site:
            found: list[Got] = []
            going = [threading.Thread(target=lambda: found.append(site.post("/run", HI))) for _ in range(8)]
            for each in going:
                each.start()
            for each in going:
                each.join()
            assert sorted(got.status for got in found) == [200] * 3 + [429] * 5
            shed = next(got for got in found if got.status == 429)
            assert (shed.code, int(shed.headers["retry-after"]) >= 1) == ("overloaded", True)
            assert endpoint.most_in_flight == 2
            assert site.post("/run", HI).status == 200


def test_a_run_has_its_bounds() -> None:
    spec = ModelSpec.model_validate({"name": MODEL, "price": {"input": 1.0, "output": 1.0}, "max_tokens": 1000})
    with serving([Answer(text="late", latency=1.0)]) as endpoint:
        with served(one_call(), endpoint.url, Limits(seconds=0.2)) as site:
            got = site.post("/run", HI)
            assert (got.status, got.code) == (504, "too_long")
        for limits in (Limits(tokens=500), Limits(usd=0.0005)):
            with served(one_call(), endpoint.url, limits, specs=[spec]) as site:
                got = site.post("/run", HI)
                assert (got.status, got.code) == (402, "run_budget_reached")


def test_the_day_has_its_bounds_and_is_kept(tmp_path: Path) -> None:
    spec = ModelSpec.model_validate({"name": MODEL, "price": {"input": 0.0, "output": 1000.0}, "max_tokens": 10})
    usage = {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}
    with serving([Answer(text="ok", usage=usage)]) as endpoint:
        for _ in range(2):  # each call is one cent
            file = tmp_path / "day.sqlite"
            with served(one_call(), endpoint.url, Limits(day_usd=0.025), spent=file, specs=[spec]) as site:
                statuses = [site.post("/run", HI).status for _ in range(3)]
                last = site.post("/run", HI)
                assert last.code == "daily_budget_reached"
                assert 0 < int(last.headers["retry-after"]) <= 86400
                lines = site.get("/metrics").body.decode().splitlines()
                spent = next(float(line.split()[1]) for line in lines if line.startswith("flowbot_day_usd "))
                assert spent == pytest.approx(0.02)
            assert statuses == ([200, 200, 402] if not _ else [402, 402, 402])
        assert len(endpoint.requests) == 2


# ------------------------------------------------------------------ who may ask


def test_the_token_is_asked_for() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url, token="a-token-of-some-length") as site:
        assert site.post("/run", HI).status == 200
        for bad in ("", "Bearer", "Bearer a-token", "Basic a-token-of-some-length", "Bearer a-token-of-some-length2"):
            got = site.post("/run", HI, {"Authorization": bad})
            assert (got.status, got.code, got.headers["www-authenticate"]) == (401, "bad_token", "Bearer")
        site.token = ""
        for path in ("/openapi.json", "/docs", "/metrics", "/v1/models", "/nowhere"):
            assert site.get(path).status == 401
        assert site.get("/healthz").status == site.get("/readyz").status == 200
        assert len(endpoint.requests) == 1


def test_without_a_token_no_page_of_another_site_is_answered() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        assert site.post("/run", HI, {"Host": "evil.example"}).code == "bad_host"
        assert site.post("/run", HI, {"Origin": "https://evil.example"}).code == "bad_origin"
        assert site.ask("POST", "/run", b"{}", {"Content-Type": "text/plain"}).code == "not_json"
        assert not endpoint.requests


# ------------------------------------------------------------------ what it says of itself


def test_the_log_has_no_content_unless_asked(caplog: pytest.LogCaptureFixture) -> None:
    secret = "a very private text"
    caplog.set_level(logging.DEBUG, "flowbot.serve")
    with serving(echo) as endpoint:
        for content in (False, True):
            caplog.clear()
            with served(one_call(), endpoint.url, log_content=content) as site:
                site.post("/run", {"request": secret}, {"X-Request-ID": "mine"})
                site.post("/run", {secret: 1})
            facts = [getattr(record, "facts", {}) for record in caplog.records]
            runs = [each for each in facts if each.get("route") == "/run"]
            assert [each["status"] for each in runs] == [200, 422]
            assert (runs[0]["id"], runs[0]["calls"]) == ("mine", 1)
            assert (secret in json.dumps(facts)) is content


def test_counters() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url) as site:
        site.post("/run", HI)
        site.post("/run", {})
        text = site.get("/metrics").body.decode()
        for line in (
            'flowbot_requests_total{route="/run",status="200"} 1.0',
            'flowbot_requests_total{route="/run",status="422"} 1.0',
            'flowbot_llm_calls_total{workflow="one"} 1.0',
            'flowbot_runs_total{ended="ok",workflow="one"} 1.0',
            "flowbot_running 0.0",
        ):
            assert line in text.splitlines()


def test_the_page_holds_no_markup_of_a_workflow() -> None:
    hostile = rebuild(one_call(), inputs={"request": "text"}, name="<script>alert(1)</script>")
    with serving(echo) as endpoint, served(hostile, endpoint.url) as site:
        page = site.get("/docs").body.decode()
        assert "<script" not in page
        assert "http://" not in page.replace(site.url, "")


# ------------------------------------------------------------------ the end


def test_what_runs_is_finished_and_nothing_new_is_begun() -> None:
    with serving([Answer(text="late", latency=0.6)]) as endpoint, served(one_call(), endpoint.url) as site:
        found: list[Got] = []
        going = threading.Thread(target=lambda: found.append(site.post("/run", HI)))
        going.start()
        _until(lambda: endpoint.in_flight == 1)
        stopping = asyncio.run_coroutine_threadsafe(site.service.stop(5), site.loop)
        _until(lambda: site.service.stopping)
        assert site.post("/run", HI).code == "stopping"
        assert site.get("/readyz").status == 503
        going.join()
        stopping.result(5)
        assert (found[0].status, found[0].json["output"]) == (200, "late")


def test_what_does_not_end_in_time_is_told() -> None:
    with serving([Answer(text="late", latency=9)]) as endpoint, served(one_call(), endpoint.url) as site:
        found: list[Got] = []
        going = threading.Thread(target=lambda: found.append(site.post("/run", HI)))
        going.start()
        _until(lambda: endpoint.in_flight == 1)
        site.call(site.service.stop(0.1))
        going.join()
        assert (found[0].status, found[0].code) == (503, "stopping")
        _until(lambda: endpoint.in_flight == 0)


def test_a_stream_that_does_not_end_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "PING", 0.1)
    with serving([Answer(text="late", latency=9)]) as endpoint, served(one_call(), endpoint.url) as site:
        found: list[Got] = []
        going = threading.Thread(
            target=lambda: found.append(site.post("/v1/chat/completions", CHAT | {"stream": True}))
        )
        going.start()
        _until(lambda: endpoint.in_flight == 1)
        time.sleep(0.3)
        site.call(site.service.stop(0.1))
        going.join()
        last = found[0].body.decode().strip().splitlines()[-1]
        assert json.loads(last.removeprefix("data: "))["error"]["code"] == "stopping"
        _until(lambda: endpoint.in_flight == 0)


def test_who_has_no_token_is_told_no_names() -> None:
    with serving(echo) as endpoint, served(one_call(), endpoint.url, token="a-token-of-some-length") as site:
        site.token = ""
        assert b"one" not in site.get("/readyz").body


def test_json_that_is_too_deep_is_the_clients_fault() -> None:
    inputs = {"more": {"json": {"type": "object"}}}
    step = {"id": "a", "kind": "call", "reads": ["more"], "gives": {"reply": "text"}, "prompt": "Answer."}
    deep = build(name="deep", model=MODEL, inputs=inputs, steps=[step], output="a.reply")
    with serving([Answer(text="ok")]) as endpoint, served(deep, endpoint.url) as site:
        for depth in (50, 300, 900, 970, 990, 2000, 50_000):
            body = b'{"more": {"a": ' + b"[" * depth + b"]" * depth + b"}}"
            assert site.ask("POST", "/run", body).status in (200, 400, 422), depth


def test_a_workflow_that_cannot_be_opened_is_told_at_the_start() -> None:
    @asynccontextmanager
    async def opened() -> AsyncGenerator[Flow]:
        raise InputError("no")
        yield

    with (
        pytest.raises(InputError, match="no"),
        served({"one": opened, "two": opener(one_call(), "http://127.0.0.1:9")}),
    ):
        pass


def _until(true: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
