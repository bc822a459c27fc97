"""What stops a run: Ctrl-C, an endpoint that dies or was never there, a refused key, bad input. All can go on."""

from __future__ import annotations

import json
import signal
import socket
import time
from functools import partial
from pathlib import Path

import pytest

from flowbot.faces.cli import code_of
from flowbot.models.patience import Patience
from flowbot.workflow.document import read_workflow
from tests import worlds
from tests.commands import begin, finish
from tests.servers import Answer, Body, Server, serving
from tests.worlds import World

RECIPE = {"name": "paper", "batches": 2, "inner": 2}
SIZES = {"train": 10, "val": 6, "test": 4}


def wait_for(server: Server, count: int) -> None:
    deadline = time.monotonic() + 30
    while len(server.requests) < count:
        assert time.monotonic() < deadline, "the requests did not come"
        time.sleep(0.005)


def best(folder: Path) -> str:
    return read_workflow((folder / "runs" / "colours" / "best.yaml").read_text()).name


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 60])
def test_ctrl_c_ends_with_130_soon_and_the_run_goes_on(tmp_path: Path, count: int) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe=RECIPE)
    with serving(World(calls=2, latency=0.05).script) as server:
        process = begin("induce", task, "--base-url", server.url)
        wait_for(server, count)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, _, err = finish(process, 10)
        assert (code, time.monotonic() - began < 5) == (130, True), err
        assert err.splitlines()[-1].startswith("flowbot: stopped")
        assert "Traceback" not in err
        assert best(tmp_path) == "colours"
        assert (tmp_path / "runs" / "colours" / "report.html").exists()
        asked = len(server.requests)
        assert code_of(["induce", str(task), "--base-url", server.url, "--quiet"]) == 0
        whole = len(server.requests)
    with serving(World(calls=2).script) as server:
        assert code_of(["induce", str(task), "--run", str(tmp_path / "calm"), "--base-url", server.url, "--quiet"]) == 0
        assert whole == len(server.requests)  # what was in flight is kept too
    assert asked >= count
    assert (tmp_path / "calm" / "best.yaml").read_bytes() == (tmp_path / "runs/colours/best.yaml").read_bytes()


@pytest.mark.slow
def test_ctrl_c_is_heard_while_an_endpoint_hangs(tmp_path: Path) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe=RECIPE)
    with serving(lambda body, index: Answer(text="late", latency=60)) as server:
        process = begin("induce", task, "--base-url", server.url)
        wait_for(server, 2)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        code, _, err = finish(process, 10)
    assert (code, time.monotonic() - began < 5) == (130, True), err
    assert best(tmp_path) == "colours"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    short = partial(Patience, first_wait=0.002, longest_wait=0.02, unreachable_seconds=3, connect_seconds=2)
    monkeypatch.setattr("flowbot.models.wire.Patience", short)


def dying(count: int, last: Answer) -> object:
    world = World(calls=2)

    def script(body: Body, index: int) -> Answer:
        return world.script(body, index) if index < count else last

    return script


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("last", "reason"),
    [
        (Answer.error(500, "out of memory"), "out of memory"),
        (Answer(text="half", cut=True), "the connection broke"),
        (Answer.error(401, "no such key"), "no such key"),
        (Answer.error(403, "not for you"), "not for you"),
        (Answer.error(404, "no such model"), "no such model"),
        (Answer.error(429, "You exceeded your current quota", "insufficient_quota"), "You exceeded your current quota"),
    ],
)
def test_an_endpoint_that_dies_ends_with_4_and_the_run_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], last: Answer, reason: str
) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe=RECIPE)
    with serving(dying(40, last)) as server:  # pyright: ignore
        assert code_of(["induce", str(task), "--base-url", server.url]) == 4
        err = capsys.readouterr().err
        assert reason in err
        assert f"vllm:m at {server.url}" in err or f"vllm:meta at {server.url}" in err
        assert "Traceback" not in err
    assert best(tmp_path) == "colours"
    world = World(calls=2)
    with serving(world.script) as server:
        assert code_of(["induce", str(task), "--base-url", server.url, "--quiet"]) == 0
        rest = len(server.requests)
    with serving(World(calls=2).script) as server:
        assert code_of(["induce", str(task), "--run", str(tmp_path / "calm"), "--base-url", server.url, "--quiet"]) == 0
        assert rest == len(server.requests) - 40
    assert (tmp_path / "calm" / "best.yaml").read_bytes() == (tmp_path / "runs/colours/best.yaml").read_bytes()


@pytest.mark.slow
def test_an_endpoint_that_goes_away_ends_with_4_within_a_minute(tmp_path: Path) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe=RECIPE)
    with serving(World(calls=2, latency=0.02).script) as server:
        process = begin("induce", task, "--base-url", server.url)
        wait_for(server, 40)
        address = server.url
    code, _, err = finish(process, 60)
    assert code == 4
    assert address in err
    assert "cannot be reached" in err
    assert best(tmp_path) == "colours"


@pytest.mark.usefixtures("impatient")
def test_an_address_where_nobody_is_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        task = worlds.write_task(tmp_path, SIZES)
        assert code_of(["induce", str(task), "--base-url", url]) == 4
    assert f"at {url}/chat/completions: it cannot be reached" in capsys.readouterr().err
    assert best(tmp_path) == "colours"


BAD: list[tuple[str, dict[str, object], str]] = [
    ("metric", {"metric": "exakt"}, "did you mean 'exact'?"),
    ("recipe", {"recipe": "papre"}, "did you mean 'paper'?"),
    ("setting", {"recipe": {"name": "paper", "inner_steps": 3}}, "has no setting 'inner_steps'"),
    ("column", {"inputs": {"question": "text"}}, "the column 'question'"),
    ("model", {"models": {"task": "gpt"}}, "must be provider:model"),
    ("provider", {"models": {"task": "opnai:x"}}, "did you mean 'openai'?"),
    ("key", {"budgett": {}}, "budgett"),
    ("price", {"budget": {"usd": 1.0}, "models": {"task": "azure:x"}}, "AZURE"),
]


@pytest.mark.parametrize(("name", "changes", "reason"), BAD, ids=[each[0] for each in BAD])
def test_bad_input_is_one_clear_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    changes: dict[str, object],
    reason: str,
) -> None:
    for variable in ("OPENAI_API_KEY", "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    task = worlds.write_task(tmp_path, SIZES, **changes)
    assert code_of(["induce", str(task)]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err
    assert captured.err.count("flowbot: ") == 1
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_a_run_under_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = {"name": "paper", "loops": 0}
    with serving(World().script) as server:
        for changes, code, words in (
            ({}, 0, ""),
            ({"description": "Say something."}, 2, "another task's description"),
            ({"metric": "f1"}, 2, "another metric"),
            ({"seed": 3}, 2, "seed"),
            ({"recipe": {"name": "paper", "loops": 1}}, 2, "settings"),
            ({"budget": {"calls": 900}, "concurrency": 3}, 0, ""),
        ):
            task = worlds.write_task(tmp_path, SIZES, **({"recipe": recipe} | changes))
            assert code_of(["induce", str(task), "--base-url", server.url, "--quiet"]) == code
            assert words in capsys.readouterr().err
        rows = [json.loads(line) for line in (tmp_path / "val.jsonl").read_text().splitlines()]
        (tmp_path / "val.jsonl").write_text("\n".join(json.dumps(row) for row in rows[1:]))
        assert code_of(["induce", str(task), "--base-url", server.url]) == 2
        assert "another data" in capsys.readouterr().err


def test_two_processes_do_not_share_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flowbot.faces.rundir import RunDir

    task = worlds.write_task(tmp_path, SIZES)
    with RunDir(tmp_path / "runs" / "colours").opened():
        assert code_of(["induce", str(task), "--base-url", "http://127.0.0.1:9/v1"]) == 2
    assert "another process works on this run" in capsys.readouterr().err
