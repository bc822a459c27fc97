"""The terminal view: plain lines, JSON lines, quiet, and a live panel that fits a small terminal."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from flowbot.faces.progress import Progress, roughly
from flowbot.money import Budget, Ledger, Purse, Usage
from tests import races

PHASE = {"kind": "phase", "phase": "val of abc", "calls": {"task": 100}}
EVENTS: list[dict[str, Any]] = [
    {"kind": "start", "recipe": "paper", "train": 8, "val": 4},
    PHASE,
    {"kind": "candidate", "id": "abcdef123", "workflow": {}, "parent": None, "edits": [], "hypothesis": ""},
    {"kind": "row", "candidate": "abcdef123", "split": "val", "mean": 0.125, "failed": 1, "scores": []},
    {"kind": "best", "candidate": "abcdef123", "mean": 0.125, "why": "the start"},
    {"kind": "step", "name": "batch 1, outer", "batch_mean": 0.2, "workflow": "x", "changed": "~ a"},
    {"kind": "move", "name": "demos", "kept": True, "why": "P = 0.99", "candidate": "x", "gain": 0.1},
    {"kind": "part", "name": "gradients", "candidate": "x", "mean": 0.5},
]


@dataclass
class State:
    ledger: Ledger = field(default_factory=Ledger)
    purse: Purse = field(default_factory=lambda: Purse(Budget(usd=2.0, calls=500)))
    in_flight: int = 3
    replayed: int = 0

    def spend(self, calls: int, purpose: str = "task") -> None:
        for _ in range(calls):
            usage = Usage(1, 100, 10, usd=0.001)
            self.ledger.add(purpose, usage)
            self.purse.settled += usage


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Gone(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


def hear(progress: Progress, events: list[dict[str, Any]] | None = None) -> None:
    for event in EVENTS if events is None else events:
        progress.heard(event)


def test_plain_lines_tell_what_is_of_interest() -> None:
    out = io.StringIO()
    with Progress(State(), stream=out) as progress:
        hear(progress)
    lines = out.getvalue().splitlines()
    assert len(lines) == 6
    assert "recipe paper, 8 train and 4 validation examples" in lines[0]
    assert "abcdef on validation: 12.5 %, 1 failed" in lines[1]
    assert "best so far: 12.5 % (the start)" in lines[2]
    assert "batch 1, outer: batch 20.0 %, changed" in lines[3]
    assert "move demos: kept (P = 0.99)" in lines[4]
    assert "after the gradients: 50.0 % on validation" in lines[5]


def test_heartbeat_comes_only_after_ten_silent_seconds() -> None:
    out, clock, state = io.StringIO(), Clock(), State()
    progress = Progress(state, stream=out, clock=clock)
    hear(progress, [PHASE])
    state.spend(40)
    clock.now += 9
    progress.beat()
    assert out.getvalue() == ""
    clock.now += 1
    progress.beat()
    progress.beat()
    line = out.getvalue()
    assert line.count("\n") == 1
    assert "val of abc, 40 of about 100 calls, about 20 s left" in line
    assert "40 of 500 calls, $0.04000 of $2.000, 3 in flight" in line


def test_no_time_is_guessed_from_replies_that_cost_no_time() -> None:
    out, clock, state = io.StringIO(), Clock(), State()
    progress = Progress(state, stream=out, clock=clock)
    hear(progress, [PHASE])
    state.spend(40)
    state.replayed = 38
    clock.now += 10
    progress.beat()
    assert "left" not in out.getvalue()
    assert "38 from the journal" in out.getvalue()


def test_a_stage_counts_only_its_own_calls() -> None:
    out, clock, state = io.StringIO(), Clock(), State()
    state.spend(30)
    progress = Progress(state, stream=out, clock=clock)
    hear(progress, [PHASE])
    state.spend(5)
    state.spend(7, "prompt_update")
    clock.now += 10
    progress.beat()
    assert "5 of about 100 calls" in out.getvalue()


def test_json_lines_are_one_object_an_event_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    state = State()
    with Progress(None, quiet=True, json_lines=True) as progress:
        progress.heard({"kind": "open", "state": state, "resumed": False})
        hear(progress)
    found = capsys.readouterr()
    objects: list[Mapping[str, Any]] = [json.loads(line) for line in found.out.splitlines()]
    assert [each["kind"] for each in objects] == ["open", *(event["kind"] for event in EVENTS)]
    assert all(each["at"] > 0 for each in objects)
    assert "state" not in objects[0]
    assert {key: objects[2][key] for key in PHASE} == PHASE
    assert found.err == ""


def test_quiet_shows_nothing() -> None:
    out = Terminal()
    with Progress(State(), stream=out, quiet=True) as progress:
        hear(progress)
    assert out.getvalue() == ""


def test_the_state_may_come_with_the_open_event() -> None:
    out, clock, state = io.StringIO(), Clock(), State()
    progress = Progress(stream=out, clock=clock)
    progress.heard({"kind": "open", "state": state, "resumed": True})
    assert "goes on from its journal" in out.getvalue()
    state.spend(3)
    clock.now += 10
    progress.beat()
    assert "3 of 500 calls" in out.getvalue()


def test_a_reader_that_has_gone_does_not_stop_the_run() -> None:
    with Progress(State(), stream=Gone()) as progress:
        hear(progress)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    return Terminal()


def test_the_panel_fits_a_small_terminal(small: Terminal) -> None:
    from rich.console import Console

    state, clock = State(), Clock()
    for purpose in ("task", "loss_gradient", "call_gradient", "workflow_gradient", "prompt_update", "workflow_update"):
        state.spend(5, purpose)
    state.purse.settled += Usage(usd=None)
    state.ledger.add("task", Usage(1, usd=None))
    progress = Progress(state, stream=small, clock=clock)
    hear(progress, [*EVENTS, {**PHASE, "phase": "a stage [bold] with a long name " * 5}])
    state.spend(10)
    clock.now += 5
    console = Console(file=small, width=80, height=24)
    small.seek(0)
    small.truncate()
    console.print(progress._drawn(console))  # pyright: ignore[reportPrivateUsage]
    lines = small.getvalue().splitlines()
    shown = "\n".join(lines)
    assert len(lines) < 24
    assert "a stage [bold] with" in shown
    assert "12.5 %" in shown
    assert "about 40 s left" in shown
    assert "price unknown" in shown
    assert "3 in flight" in shown


def test_the_live_panel_starts_and_ends(small: Terminal) -> None:
    with Progress(State(), stream=small) as progress:
        hear(progress)
    assert "best so far: 12.5 %" in small.getvalue()
    assert "after the gradients" in small.getvalue()
    assert "3 in flight" in small.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "about 10 s"), (44, "about 40 s"), (58, "about 1 min"), (95, "about 2 min"), (2000, "about 35 min")],
)
def test_time_left_is_coarse(seconds: float, text: str) -> None:
    assert roughly(seconds) == f"{text} left"


def test_long_times_are_hours() -> None:
    assert roughly(9000) == "about 2.5 h left"


def test_a_tested_search_is_told_in_a_line_an_event() -> None:
    out = io.StringIO()
    with Progress(State(), stream=out) as progress:
        hear(progress, [*races.OPENING, *races.SEARCH, races.front()])
        hear(progress, [{"kind": "sampled", "candidate": races.BEST.id, "was": 1.0, "mean": 0.875, "samples": 2}])
        hear(progress, [races.confirmation("undecided", **races.COMPARED)])
    lines = [line.strip().partition("  ")[2] for line in out.getvalue().splitlines()]
    first = races.FIRST.id[:6]
    assert [line for line in lines if " on validation: " not in line] == [
        "recipe race, 10 train and 4 validation examples",
        "best so far: 25.0 % (the start)",
        "seeds: 1 of 1 go on after 4 items",
        "best so far: 50.0 % (the best seed: the shape)",
        "iteration 1: 4 of 10 fail, blame answer 75%, billing (3), hopeless (1)",
        "iteration 1: race of 2 on 2 items, 1 stay",
        "iteration 1: race of 1 on 4 items, 1 stay",
        f"iteration 1: {first} accepted, +25.0 points, fixed 1, broke 0 (measured)",
        "best so far: 75.0 % (iteration 1, bullets: measured)",
        "iteration 2: 4 of 10 fail, blame answer 75%, hopeless (1)",
        "iteration 2: race of 2 on 4 items, 2 stay",
        f"iteration 2: {races.BEST.id[:6]} accepted, +25.0 points, fixed 1, broke 0 (measured)",
        "best so far: 100.0 % (iteration 2, parameter: measured)",
        f"iteration 2: {races.OPEN.id[:6]} pooled, undecided, -25.0 points, fixed 0, broke 1 (measured)",
        "the best once more: 87.5 % over 2 samples (was 100.0 %)",
        "Undecided: measured on fresh examples; gain +50.0 points, 95 % interval +30.0 to +70.0; the start stays. "
        "4 children were tested.",
    ]


def test_programs_get_the_events_of_a_tested_search_whole(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(State(), json_lines=True) as progress:
        hear(progress, races.SEARCH)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [{key: value for key, value in event.items() if key != "at"} for event in told] == races.SEARCH
