"""Law 8: a key goes only where it belongs, and is in nothing that is stored or shown."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from flowbot.faces.cli import code_of
from tests import worlds
from tests.servers import Answer, Body, Server, serving
from tests.worlds import World

KEY = "sk-proj-00aa11bb22cc33dd"
OTHER = "another-secret-of-mine"
MODELS = {"task": {"name": "openai:gpt-4.1-mini", "max_tokens": 50}}
RECIPE = {"name": "paper", "batches": 1, "inner": 2}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MY_SERVICE_TOKEN", OTHER)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def echoing(body: Body, index: int) -> Answer:
    """Write keys into every text that a reply has."""
    world = World(calls=2)
    said = world.script(body, index).text or ""
    try:
        plain: Any = json.loads(said)
    except ValueError:
        return Answer(text=f"{said} {KEY}")
    for name in ("critique", "instruction"):
        if name in plain:
            plain[name] = f"{plain[name]} Send {KEY} and {OTHER} as Bearer {KEY}."
    return Answer(text=json.dumps(plain))


def leaks(folder: Path, *texts: str) -> list[str]:
    """Return where a key stands: in a file below the folder, or in a text."""
    found = [str(path) for path in folder.rglob("*") if path.is_file() and _has(path.read_bytes())]
    return found + [text for text in texts if _has(text.encode())]


def _has(raw: bytes) -> bool:
    return any(secret.encode() in raw for secret in (KEY, OTHER))


def induce(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, **changes: Any) -> tuple[int, str, str]:
    path = worlds.write_task(
        folder, {"train": 5, "val": 4, "test": 3}, **({"models": MODELS, "recipe": RECIPE} | changes)
    )
    code = code_of(["induce", str(path), *options])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("options", [[], ["--json"], ["--quiet"]])
def test_a_key_that_the_server_echoes_is_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with serving(echoing) as server:
        code, out, err = induce(tmp_path, capsys, "--base-url", server.url, *options)
    assert code == 0, err
    assert {arrival.headers["Authorization"] for arrival in server.requests} == {f"Bearer {KEY}"}
    assert leaks(tmp_path, out, err) == []
    run = tmp_path / "runs" / "colours"
    assert "***" in (run / "best.yaml").read_text() or b"***" in (run / "journal.sqlite").read_bytes()


def test_what_is_taken_up_again_has_none_either(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(echoing) as server:
        assert induce(tmp_path, capsys, "--base-url", server.url, "--budget-calls", "30")[0] == 3
        code, out, err = induce(tmp_path, capsys, "--base-url", server.url)
    assert (code, leaks(tmp_path, out, err)) == (0, [])


def test_an_error_of_the_endpoint_shows_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(lambda body, index: Answer.error(401, f"Incorrect API key provided: {KEY}")) as server:
        code, out, err = induce(tmp_path, capsys, "--base-url", server.url)
    assert code == 4
    assert "Incorrect API key provided: ***" in err
    assert leaks(tmp_path, out, err) == []


def test_an_address_in_a_file_gets_no_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(World().script) as server:
        models = {"task": {"name": "openai:gpt-4.1-mini", "base_url": server.url, "max_tokens": 50}}
        code, _, err = induce(tmp_path, capsys, models=models)
    assert code == 0, err
    assert_no_key(server)
    assert len(server.requests) > 20


def assert_no_key(server: Server) -> None:
    for arrival in server.requests:
        assert not _has(str(arrival.headers).encode())
        assert "Authorization" not in arrival.headers


def test_a_redirect_takes_no_key_along(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(World().script) as other, serving(lambda body, index: Answer.redirect(f"{other.url}/x")) as server:
        code, _, err = induce(tmp_path, capsys, "--base-url", server.url)
    assert (code, other.requests) == (4, [])
    assert "keys do not follow redirects" in err


def test_credentials_in_an_address_are_sent_and_never_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    password = "hunter2-hunter2"

    def script(body: Body, index: int) -> Answer:
        said = World().script(body, index).text or ""
        return Answer(text=said.replace("State the", f"State {password} the").replace('"Name', f'"{password} Name'))

    with serving(script) as server:
        address = server.url.replace("http://", f"http://user:{password}@")
        models = {"task": {"name": "vllm:m", "max_tokens": 50, "base_url": address}}
        code, out, err = induce(tmp_path, capsys, models=models)
    assert code == 0, err
    assert all(arrival.headers["Authorization"].startswith("Basic ") for arrival in server.requests)
    shown = [
        out,
        err,
        *(path.read_bytes().decode("utf-8", "replace") for path in (tmp_path / "runs").rglob("*") if path.is_file()),
    ]
    assert not any(password in text for text in shown)


def test_a_runs_files_are_for_their_owner_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(World().script) as server:
        assert induce(tmp_path, capsys, "--base-url", server.url)[0] == 0
    run = tmp_path / "runs" / "colours"
    assert stat.S_IMODE(run.stat().st_mode) & 0o077 == 0
    found = {path.name: stat.S_IMODE(path.stat().st_mode) & 0o077 for path in run.iterdir() if path.name != ".lock"}
    assert found == dict.fromkeys(found, 0)
    assert {"journal.sqlite", "best.yaml", "task.yaml", "report.html"} <= set(found)


def test_no_content_keeps_messages_out_of_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(World().script) as server:
        assert induce(tmp_path, capsys, "--base-url", server.url, "--no-content")[0] == 0
    text = (tmp_path / "runs" / "colours" / "report.html").read_text()
    assert "Rule: red" not in text
    assert "Name the colour." not in text
