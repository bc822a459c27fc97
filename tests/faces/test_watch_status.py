"""flowbot watch and flowbot status: a run of another process, read from its journal alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from platform import node
from typing import Any

import pytest

from flowbot.engine.ports import Reply
from flowbot.faces.cli import code_of
from flowbot.faces.cli import watch_command as watching
from flowbot.faces.ui.book import Book
from flowbot.faces.ui.schema import LedgerLine, Phase, RunLine
from flowbot.money import Usage
from flowbot.store.journal import SqliteJournal
from flowbot.store.reading import JournalView
from tests import races
from tests.commands import begin, finish

Out = pytest.CaptureFixture[str]
BUDGET = {"usd": None, "calls": 50, "tokens": None, "seconds": None}
END = races.ending("confirmed", races.COMPARED)


class Writer:
    """The process of a run, as far as its journal shows it."""

    def __init__(self, folder: Path, pid: int | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.journal = SqliteJournal(folder / "journal.sqlite")
        self.calls = 0
        self._do(self._open(os.getpid() if pid is None else pid))

    def _do(self, work: Any) -> None:
        asyncio.run(work)

    async def _open(self, pid: int) -> None:
        facts = {"name": "routing", "metric": "exact", "models": {"vllm:m": ""}, "budget": BUDGET}
        self.journal.shown.now("run", facts | {"pid": pid, "host": node()})
        await asyncio.sleep(0)

    def decide(self, events: Sequence[Mapping[str, Any]]) -> None:
        async def work() -> None:
            for event in events:
                await self.journal.append(event)

        self._do(work())

    def pay(self, count: int, purpose: str = "task") -> None:
        async def work() -> None:
            for _ in range(count):
                self.calls += 1
                reply = asdict(Reply("yes", Usage(1, 100, 10, usd=0.002)))
                await self.journal.record(str(self.calls), purpose, reply, "vllm:m")

        self._do(work())

    def enter(self, name: str, **calls: int) -> None:
        async def work() -> None:
            self.journal.shown.now("phase", {"name": name, "calls": calls})
            await asyncio.sleep(0)

        self._do(work())

    def close(self) -> None:
        self.journal.close()


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def live(tmp_path: Path) -> Any:
    writer = Writer(tmp_path / "run")
    writer.pay(3)
    writer.decide(races.OPENING)
    writer.enter("racing", task=40)
    with closing(writer):
        yield writer


@pytest.fixture
def done(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    races.written(tmp_path / "run", [*races.OPENING, *races.SEARCH, races.front()], END)
    return tmp_path / "run"


def old(folder: Path) -> None:
    """Make a journal one of version 2."""
    db = sqlite3.connect(folder / "journal.sqlite", isolation_level=None)
    for table in ("examples", "workflows", "traces", "notes", "now", "totals"):
        db.execute(f"DROP TABLE {table}")
    db.execute("DROP INDEX IF EXISTS events_kind")
    db.execute("ALTER TABLE events DROP COLUMN calls")
    db.execute("PRAGMA user_version=2")
    db.close()


def followed(folder: Path, stream: io.StringIO) -> bool:
    with closing(Book(folder)) as book, closing(JournalView(folder / "journal.sqlite")) as view:
        return watching.follow(view, book.line(), True, stream)


# ------------------------------------------------------------------ status


def test_status_of_a_run_that_goes_on(live: Writer, capsys: Out) -> None:
    assert code_of(["status", "run"]) == 0
    out, err = capsys.readouterr()
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert lines[:5] == [
        ["run", "routing (recipe race, vllm:m)"],
        ["state", "It is running."],
        ["stage", "racing, about 40 calls"],
        ["score", "50.0 % on validation, the start 25.0 %; 2 candidates"],
        ["result", lines[4][1]],
    ]
    assert lines[4][1].startswith("25.0 % to 50.0 %: +25.0 points, 95 % interval ")
    assert lines[5][1].startswith("3 calls, 330 tokens, $0.006000, 0:0")
    assert [line.split() for line in out.splitlines()[-2:]] == [
        ["task", "3", "300", "30", "0.0", "$0.006000"],
        ["all", "3", "300", "30", "0.0", "$0.006000"],
    ]
    assert err == ""


def test_status_of_a_run_that_is_done(done: Path, capsys: Out) -> None:
    assert code_of(["status", str(done)]) == 0
    out = capsys.readouterr().out
    assert "The search ran to its end." in out
    assert "stage" not in out
    assert "25.0 % to 75.0 %: +50.0 points, 95 % interval +30.0 to +70.0, P(gain > 0) > 0.999, on examples" in out


def test_status_as_json_is_what_is_documented(live: Writer, capsys: Out) -> None:
    assert code_of(["status", "run", "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    phase, ledger = plain.pop("phase"), plain.pop("ledger")
    line = RunLine(**plain)
    assert (line.id, line.state, line.start, line.best, line.calls) == (".", "running", 0.25, 0.5, 3)
    assert Phase(**phase).calls == {"task": 40}
    assert [(each.purpose, each.model, each.calls) for each in (LedgerLine(**one) for one in ledger)] == [
        ("task", "vllm:m", 3)
    ]


@pytest.mark.parametrize("ended", ["endpoint", "interrupted"])
def test_status_says_why_a_run_ended(tmp_path: Path, ended: str, capsys: Out) -> None:
    (tmp_path / "run").mkdir()
    end = races.ending("confirmed", ended=ended, why="401: no such key")
    races.written(tmp_path / "run", races.OPENING, end)
    assert code_of(["status", "run"]) == 0
    out = capsys.readouterr().out
    assert "why     401: no such key" in out
    assert "taken up again" in out


@pytest.mark.parametrize("command", ["status", "watch"])
def test_without_a_journal_it_is_one_error(tmp_path: Path, command: str, capsys: Out) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "journal.sqlite").write_bytes(b"no journal " * 100)
    for folder in ("empty", "none", "bad"):
        assert code_of([command, folder]) == 2
        out, err = capsys.readouterr()
        assert (out, err.startswith(f"flowbot: {folder}/journal.sqlite: ")) == ("", True)
        assert "Traceback" not in err


def test_runs_of_old_versions_have_a_status_too(done: Path, capsys: Out) -> None:
    old(done)
    before = (done / "journal.sqlite").read_bytes()
    assert code_of(["status", str(done), "--json"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert (plain["state"], plain["calls"], plain["phase"]) == ("done", 1, None)
    assert [(each["purpose"], each["model"]) for each in plain["ledger"]] == [("task", "")]
    assert code_of(["watch", str(done)]) == 0
    assert (done / "journal.sqlite").read_bytes() == before


# ------------------------------------------------------------------ watch


def test_a_run_that_is_done_is_told_once(done: Path, capsys: Out) -> None:
    assert code_of(["status", str(done)]) == 0
    said = capsys.readouterr().out
    assert code_of(["watch", str(done), "--plain"]) == 0
    assert capsys.readouterr() == (said, "")


def test_a_run_is_followed_to_its_end(live: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL", 0.02)
    out = io.StringIO()

    def work() -> None:
        for event in [*races.SEARCH, races.front()]:
            live.pay(1)
            live.decide([event])
        live.journal.finish(END)

    writing = threading.Timer(0.3, work)
    writing.start()
    assert followed(Path("run"), out)
    writing.join()
    said = out.getvalue()
    place = [
        said.index(each) for each in ("best so far: 25.0 %", "(the best seed: the shape)", "iteration 2: race of 2")
    ]
    assert place == sorted(place)
    assert said.count("best so far: 100.0 %") == 1
    assert f"{races.OPEN.id[:6]} pooled, undecided" in said


def test_only_the_last_decisions_are_told_of_a_run_that_is_long_on_its_way(
    live: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "POLL", 0.02)
    live.decide(races.SEARCH)
    threading.Timer(0.3, lambda: live.journal.finish(END)).start()
    out = io.StringIO()
    assert followed(Path("run"), out)
    lines = [line for line in out.getvalue().splitlines() if "calls" not in line]
    assert len(lines) == watching.SHOWN
    assert "iteration 1: " not in out.getvalue()
    assert "pooled" in lines[-1]


def test_the_stage_is_shown_from_its_beginning(live: Writer) -> None:
    """Calls that were made in the stage before the view was opened count, with their time."""
    from flowbot.faces.progress import Progress

    trace = ("w", "val", "v1", 1.0, 0, "", 20, 0, None, 1.0, time.time())
    live.pay(20)
    live.journal._db.execute(f"INSERT INTO traces VALUES ({','.join('?' * 11)})", trace)  # pyright: ignore[reportPrivateUsage]
    live.journal._db.execute("UPDATE now SET at = at - 60 WHERE key='phase'")  # pyright: ignore[reportPrivateUsage]
    out = io.StringIO()
    with closing(JournalView(Path("run/journal.sqlite"))) as view:
        clock = watching._Clock(time.time() - 100)  # pyright: ignore[reportPrivateUsage]
        state = watching._Spent()  # pyright: ignore[reportPrivateUsage]
        progress = Progress(state, stream=out, plain=True, clock=clock)
        shown = watching._Followed(view, progress, state, clock)  # pyright: ignore[reportPrivateUsage]
        shown.catch_up()
        shown.tell_last()
        progress.beat()
        clock.began -= 60
        clock.event = time.time() + 20
        progress.beat()
    last = out.getvalue().splitlines()[-1]
    assert "racing, 20 of about 40 calls, about" in last
    assert "23 of 50 calls, $0.04600" in last
    assert "in flight" not in last


def test_a_run_whose_process_is_gone_ends_the_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL", 0.02)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with closing(Writer(tmp_path / "run", process.pid)) as writer:
        writer.decide(races.OPENING)
        ending = threading.Timer(0.3, lambda: process.communicate(b"\n"))
        ending.start()
        assert followed(tmp_path / "run", io.StringIO())
        ending.join()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="no terminals to test with")
def test_q_ends_the_view_and_leaves_the_run_alone(live: Writer) -> None:
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(watching.__file__).parents[3])}
    program = [sys.executable, "-m", "flowbot", "watch", "run"]
    process = subprocess.Popen(program, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    said = b""
    while b"validation  " not in said:
        said += os.read(ours, 4096)
    assert b"50.0 %" in said
    os.write(ours, b"xq")
    while True:
        try:
            if not os.read(ours, 4096):
                break
        except OSError:  # the other end is closed
            break
    assert process.wait(10) == 0
    os.close(ours)
    live.decide(races.SEARCH)  # nobody has the journal


@pytest.mark.slow
def test_ctrl_c_ends_the_view(live: Writer) -> None:
    import signal

    process = begin("watch", Path("run").resolve(), "--plain")
    assert process.stderr is not None
    assert "best so far" in "".join(process.stderr.readline() for _ in range(5))
    process.send_signal(signal.SIGINT)
    code, out, err = finish(process, 10)
    assert (code, "Traceback" in err) == (0, False)
    assert "It is running." in out
