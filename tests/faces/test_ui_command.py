"""flowbot ui: what it opens, what it prints, and how it ends; with real journals behind the page."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.faces.cli import code_of, ui_command
from flowbot.faces.ui import server
from tests import races
from tests.commands import begin, finish

Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    (tmp_path / "runs" / "a" / "b").mkdir(parents=True)
    races.written(tmp_path / "runs" / "a" / "b", [*races.OPENING, *races.SEARCH], races.ending("confirmed"))
    return tmp_path / "runs"


class Opened:
    """A page that was opened by the command."""

    def __init__(self, *arguments: str | Path) -> None:
        self.process: subprocess.Popen[str] = begin("ui", "--no-browser", *arguments)
        assert self.process.stdout is not None
        self.link = self.process.stdout.readline().strip()
        self.root, _, self.token = self.link.partition("/?token=")

    def get(self, path: str, body: Any = None) -> Any:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.root}/api/{path}", data, headers)) as answer:
            return json.load(answer)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        self.process.send_signal(number)
        return finish(self.process, 20)


@pytest.fixture
def opened() -> Iterator[list[Opened]]:
    pages: list[Opened] = []
    yield pages
    for page in pages:
        if page.process.poll() is None:
            page.process.kill()
            page.process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_folder_of_runs_is_shown_until_it_is_interrupted(
    runs: Path, opened: list[Opened], number: signal.Signals
) -> None:
    opened.append(page := Opened(runs))
    assert page.root.startswith("http://127.0.0.1:")
    assert len(page.token) >= 32
    assert page.get("home")["kind"] == "runs"
    assert [each["id"] for each in page.get("runs")] == ["a/b"]
    run = page.get("runs/a%2Fb")
    assert run["best_id"] == races.BEST.id
    assert page.get(f"runs/a%2Fb/candidates/{races.BEST.id}")["line"]["fate"] == "best"
    assert [each["id"] for each in page.get("runs/a%2Fb/examples?split=val")["rows"]] == ["v1", "v2", "v3", "v4"]
    for way in ("..%2Foutside", "..", "%2Fetc", "a%2Fb%2F..%2F..%2F..", "a%5C..%5C..", "%00", "~"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            page.get(f"runs/{way}")
        assert refused.value.code in (400, 404)
        refused.value.close()
    code, out, err = page.end(number)
    assert (code, out, err) == (0, "", "Ctrl-C ends it\n")


@pytest.mark.slow
def test_one_run_is_shown(runs: Path, opened: list[Opened]) -> None:
    opened.append(page := Opened(runs / "a" / "b"))
    assert page.get("home")["kind"] == "run"
    assert [each["id"] for each in page.get("runs")] == ["."]
    assert page.get("runs/~")["line"]["id"] == "."


@pytest.mark.slow
def test_a_workflow_is_shown_and_priced(tmp_path: Path, opened: list[Opened]) -> None:
    flowbot.save(races.START, tmp_path / "flow.yaml")
    opened.append(page := Opened("flow.yaml"))
    assert page.get("home")["kind"] == "workflow"
    assert [each["id"] for each in page.get("flow")["steps"]] == ["answer"]
    assert page.get("price", {"run": "", "candidate": "", "inputs": {"message": "x"}})["models"] == ["vllm:m"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none"], "there is no such folder or file"),
        (["notes.txt"], "notes.txt"),
        (["--host", "no host"], "cannot serve at no host"),
        (["--port", "99999"], "--port"),
    ],
)
def test_bad_options_are_one_error(arguments: list[str], said: str, capsys: Out) -> None:
    Path("notes.txt").write_text("- no workflow")
    assert code_of(["ui", "--no-browser", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, "Traceback" in err) == ("", False)


def test_a_port_that_is_taken_is_one_error(capsys: Out) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert code_of(["ui", "--no-browser", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_a_page_that_is_not_built_says_how_to_build_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr(server, "STATIC", tmp_path)
    assert code_of(["ui", "--no-browser"]) == 2
    err = capsys.readouterr().err
    assert "the page is not built: index.html is missing" in err
    assert "make ui" in err


@pytest.mark.parametrize(
    ("environ", "terminal", "opens"),
    [
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "w"}, True, True),
        ({"DISPLAY": ":0", "CI": "1"}, True, False),
        ({"DISPLAY": ":0"}, False, False),
        ({}, True, False),
    ],
)
def test_a_browser_is_opened_where_somebody_sits_before_a_screen(
    environ: dict[str, str], terminal: bool, opens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "CI"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert ui_command._has_browser() is opens  # pyright: ignore[reportPrivateUsage]


@pytest.mark.slow
def test_another_host_says_who_can_reach_it(runs: Path, opened: list[Opened]) -> None:
    opened.append(page := Opened(runs, "--host", "0.0.0.0"))
    assert page.get("home")["kind"] == "runs"
    assert "whoever can reach 0.0.0.0 and has the link sees these runs" in page.end()[2]
