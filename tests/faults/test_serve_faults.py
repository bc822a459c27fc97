"""Clients that are slow, rude or gone, and a server that is killed: nobody else pays for it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from flowbot.faces.serve import protocol
from flowbot.faces.serve.settings import Limits
from flowbot.workflow.document import write_workflow
from tests.commands import begin, finish
from tests.served import one_call, served
from tests.servers import Answer, serving

pytestmark = pytest.mark.usefixtures("bare")
HI = {"request": "hi"}
BODY = json.dumps(HI).encode()
ASK = b"POST /run HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key, as the provider wants one."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")


def until(true: Any, seconds: float = 5.0) -> None:
    """Wait for something to be true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def closed(connection: socket.socket) -> bytes:
    """Return what comes until the other side closes."""
    found = b""
    while piece := _piece(connection):
        found += piece
    return found


def _piece(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""


def answered(connection: socket.socket) -> bytes:
    """Return one whole answer of a run."""
    found = b""
    while not found.endswith(b"}}") and (piece := _piece(connection)):
        found += piece
    return found


# ------------------------------------------------------------------ clients


def test_slow_headers_are_cut_off_and_cost_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.5)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site:
        slow = [site.raw() for _ in range(100)]
        for each in slow[:50]:
            each.sendall(b"POST /run HTTP/1.1\r\nHost: 127")
        took: list[float] = []
        for _ in range(5):
            began = time.monotonic()
            assert site.post("/run", HI).status == 200
            took.append(time.monotonic() - began)
        assert min(took) < 0.2
        for each in slow:
            assert closed(each) == b""
            each.close()


def test_connections_that_ask_nothing_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 20)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site:
        idle = [site.raw() for _ in range(60)]
        for _ in range(5):
            assert site.post("/run", HI).status == 200
        assert closed(idle[0]) == b""
        for each in idle:
            each.close()


def test_headers_between_requests_are_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site, site.raw() as client:
        client.sendall(ASK % len(BODY) + BODY)
        answer = b""
        while not answer.endswith(b"}}"):
            answer += client.recv(65536)
        client.sendall(b"POST /run HTTP/1.1\r\n")
        began = time.monotonic()
        assert closed(client) == b""
        assert time.monotonic() - began < 2


def test_headers_without_end_are_refused() -> None:
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site, site.raw() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\n")
        answer = b""
        try:
            for _ in range(64):
                client.sendall(b"X-More: " + b"x" * 4096 + b"\r\n")
            answer = closed(client)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert answer == b"" or b" 431 " in answer
        assert site.get("/healthz").status == 200


@pytest.mark.parametrize("begun", [b"", b'{"request'])
def test_a_slow_body_is_a_408(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.3)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site, site.raw() as client:
        client.sendall(ASK % 1000 + begun)
        answer = closed(client)
        assert b" 408 " in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["code"] == "too_slow"
        assert not endpoint.requests
        until(lambda: not site.service.visits)


def test_a_body_that_nobody_waits_for_holds_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.5)
    with served(one_call(), "http://127.0.0.1:9/v1", token="a-token-of-some-length") as site, site.raw() as client:
        client.sendall(ASK % 1000)
        assert b" 401 " in client.recv(65536)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 5:
                client.sendall(b"x")
                time.sleep(0.05)
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert time.monotonic() - began < 2


def test_bytes_that_begin_no_request_hold_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.3)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site, site.raw() as client:
        client.sendall(ASK % len(BODY) + BODY)
        assert b" 200 " in answered(client)
        client.sendall(b"\r\n")
        client.settimeout(3)
        assert closed(client) == b""


def test_a_request_behind_a_long_one_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "BODY_SECONDS", 0.2)
    with (
        serving([Answer(text="late", latency=0.8), Answer(text="ok")]) as endpoint,
        served(one_call(), endpoint.url) as site,
        site.raw() as client,
    ):
        client.sendall(ASK % len(BODY) + BODY + ASK % len(BODY) + BODY[:3])
        time.sleep(0.5)
        client.sendall(BODY[3:])
        answer = b""
        while answer.count(b" 200 ") < 2:
            piece = client.recv(65536)
            assert piece
            answer += piece


def test_one_that_sends_more_and_leaves_ends_its_calls() -> None:
    with serving([Answer(text="late", latency=30)]) as endpoint, served(one_call(), endpoint.url) as site:
        with site.raw() as client:
            client.sendall((ASK % len(BODY) + BODY) * 2)
            until(lambda: endpoint.in_flight == 1)
            time.sleep(0.1)
        until(lambda: endpoint.in_flight == 0)
        until(lambda: site.service.slots.running == 0)


def test_a_newcomer_does_not_cut_off_who_has_just_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "CONNECTIONS", 20)
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site, site.raw() as client:
        idle = [site.raw() for _ in range(19)]
        for _ in range(2):
            client.sendall(ASK % len(BODY) + BODY)
            assert b" 200 " in answered(client)
            idle += [site.raw() for _ in range(10)]
            time.sleep(0.05)
        client.sendall(ASK % len(BODY) + BODY)
        assert b" 200 " in answered(client)
        for each in idle:
            each.close()


def test_an_answer_that_nobody_reads_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "SEND_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "SLOWEST", 1e9)
    with (
        serving([Answer(text="x" * 3_000_000)]) as endpoint,
        served(one_call(), endpoint.url) as site,
        socket.socket() as client,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", site.port))
        client.sendall((ASK % len(BODY) + BODY) * 3)
        until(lambda: len(endpoint.requests) == 2)
        time.sleep(0.5)
        until(lambda: not site.service.visits)
        assert len(closed(client)) < 3 * 3_000_000
        assert len(endpoint.requests) == 2


@pytest.mark.parametrize("chunked", [False, True])
def test_a_huge_body_is_refused_before_it_is_read(chunked: bool) -> None:
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url, Limits(body=10_000)) as site:
        with site.raw() as client:
            head = ASK % 10**9
            if chunked:
                head = head.replace(b"Content-Length: 1000000000", b"Transfer-Encoding: chunked")
            client.sendall(head)
            sent = 0
            try:
                for _ in range(1000):
                    piece = b"x" * 65536
                    client.sendall(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    sent += len(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass
            assert sent < 32 * 2**20
        assert site.post("/run", HI).status == 200
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /run HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"\r\n" * 99,
    ],
)
def test_what_is_no_http_is_refused(sent: bytes) -> None:
    with serving([Answer(text="ok")]) as endpoint, served(one_call(), endpoint.url) as site:
        with site.raw() as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            assert b" 200 " not in closed(client)
        assert site.get("/healthz").status == 200


@pytest.mark.parametrize("path", ["/run", "/batch", "/v1/chat/completions", "stream"])
def test_a_client_that_leaves_ends_its_calls(path: str) -> None:
    body: dict[str, Any] = {"/run": HI, "/batch": {"inputs": [HI, HI]}}.get(
        path, {"model": "one", "messages": [{"role": "user", "content": "x"}], "stream": path == "stream"}
    )
    raw = json.dumps(body).encode()
    where = b"/v1/chat/completions" if path == "stream" else path.encode()
    with serving([Answer(text="late", latency=30)]) as endpoint, served(one_call(), endpoint.url) as site:
        with site.raw() as client:
            client.sendall((ASK % len(raw)).replace(b"/run", where) + raw)
            until(lambda: endpoint.in_flight >= 1)
        until(lambda: endpoint.in_flight == 0)
        until(lambda: site.service.slots.running == 0)
        text = site.get("/metrics").body.decode()
        assert 'flowbot_runs_total{ended="cancelled",workflow="one"}' in text
        assert f'flowbot_llm_calls_total{{workflow="one"}} {len(endpoint.requests)}.0' in text  # they may be billed


def test_one_that_waits_in_line_and_leaves_is_never_asked_for() -> None:
    with (
        serving([Answer(text="late", latency=0.6)]) as endpoint,
        served(one_call(), endpoint.url, Limits(concurrency=1)) as site,
    ):
        going = threading.Thread(target=lambda: site.post("/run", HI))
        going.start()
        until(lambda: endpoint.in_flight == 1)
        with site.raw() as client:
            client.sendall(ASK % len(BODY) + BODY)
            until(lambda: len(site.service.slots.waiting) == 1)
        until(lambda: len(site.service.slots.waiting) == 0)
        going.join()
        assert len(endpoint.requests) == 1
        assert site.service.slots.running == 0


def test_many_at_once_keep_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        serving([Answer(text="ok", latency=0.02)]) as endpoint,
        served(one_call(), endpoint.url, Limits(concurrency=4, queue=4)) as site,
    ):
        statuses: list[int] = []

        def ask() -> None:
            for _ in range(5):
                statuses.append(site.post("/run", HI).status)

        going = [threading.Thread(target=ask) for _ in range(40)]
        for each in going:
            each.start()
        for each in going:
            each.join()
        assert set(statuses) == {200, 429}
        assert endpoint.most_in_flight <= 4
        assert site.post("/run", HI).status == 200
        assert (site.service.slots.running, len(site.service.slots.waiting)) == (0, 0)


# ------------------------------------------------------------------ the process

TASK = """flowbot: 1
name: t
description: d
inputs: {request: text}
output: {reply: text}
metric: exact
data: {train: t.jsonl, val: t.jsonl}
models: {task: {name: "openai:m", price: {input: 0, output: 1000}, max_tokens: 10}}
"""


class Running:
    """`flowbot serve` as a process."""

    def __init__(self, folder: Path, url: str, *more: str, **environ: str) -> None:
        (folder / "one.yaml").write_text(write_workflow(one_call()))
        (folder / "task.yaml").write_text(TASK)
        command = ["serve", folder / "one.yaml", "--base-url", url, "--task", folder / "task.yaml", *more]
        self.process: subprocess.Popen[str] = begin(*command, OPENAI_API_KEY="sk-a-key-of-the-test", **environ)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def run(self) -> int:
        """Return the status of one run."""
        sent = urllib.request.Request(f"{self.url}/run", BODY, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(sent, timeout=20) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code


@pytest.mark.slow
def test_the_days_budget_survives_a_kill_under_load(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 10, "total_tokens": 15}  # each call is one cent
    with serving([Answer(text="ok", usage=usage)] * 5 + [Answer(text="late", usage=usage, latency=60)]) as endpoint:
        first = Running(tmp_path, endpoint.url, "--port", "0", "--day-usd", "0.1")
        assert [first.run() for _ in range(5)] == [200] * 5
        going = threading.Thread(target=lambda: _quietly(first))
        going.start()
        until(lambda: len(endpoint.requests) == 6)
        os.kill(first.process.pid, signal.SIGKILL)
        finish(first.process, 10)
        going.join()
    port = first.url.rpartition(":")[2]
    with serving([Answer(text="ok", usage=usage)]) as endpoint:
        began = time.monotonic()
        again = Running(tmp_path, endpoint.url, "--port", port, "--day-usd", "0.1")
        assert again.run() == 200
        took = time.monotonic() - began
        statuses = [again.run() for _ in range(6)]
        assert statuses == [200, 200, 200, 402, 402, 402] or statuses == [200, 200, 402, 402, 402, 402]
        assert took < 6  # 2 on a machine that does nothing else
        again.process.terminate()
        code, _, err = finish(again.process, 10)
        assert code == 0
        assert all(json.loads(line) for line in err.splitlines())


def _quietly(running: Running) -> None:
    try:
        running.run()
    except OSError:
        return


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="needs SIGHUP")
def test_signals_reload_and_end_it(tmp_path: Path) -> None:
    with serving(lambda body, index: Answer(text=body["messages"][0]["content"], latency=0.5)) as endpoint:
        running = Running(tmp_path, endpoint.url, "--port", "0")
        assert running.run() == 200
        (tmp_path / "one.yaml").write_text("broken: true\n")
        running.process.send_signal(signal.SIGHUP)
        assert running.run() == 200
        found: list[int] = []
        going = threading.Thread(target=lambda: found.append(running.run()))
        going.start()
        until(lambda: endpoint.in_flight == 1)
        running.process.send_signal(signal.SIGTERM)
        code, _, err = finish(running.process, 20)
        going.join()
        assert (code, found) == (0, [200])
        events = [json.loads(line)["event"] for line in err.splitlines()]
        assert {"not reloaded: the old one goes on", "request", "stopping"} <= set(events)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        (["--host", "0.0.0.0"], {}, "holds no token"),
        ([], {"FLOWBOT_SERVE_TOKEN": "short"}, "at least 16 characters"),
        (["--max-usd", "1"], {}, "the price of openai:m is not known"),
        (["--port", "1"], {}, ""),
    ],
)
def test_bad_options_are_told_in_one_error(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    (tmp_path / "one.yaml").write_text(write_workflow(one_call()))
    held = socket.create_server(("127.0.0.1", 0))
    if arguments == ["--port", "1"]:
        arguments, said = ["--port", str(held.getsockname()[1])], "cannot serve at 127.0.0.1"
    process = begin("serve", tmp_path / "one.yaml", *arguments, OPENAI_API_KEY="sk-a-key-of-the-test", **environ)
    code, out, err = finish(process, 20)
    held.close()
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
