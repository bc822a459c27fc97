"""flowbot watch: a run of another process, followed in the terminal from its journal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from flowbot.faces.cli.shared import FOLDER
from flowbot.money import Budget, Ledger, Purse

if TYPE_CHECKING:
    from flowbot.faces.progress import Progress
    from flowbot.faces.ui.schema import RunLine
    from flowbot.store.reading import JournalView

POLL = 0.5  # seconds between two looks at the journal
SHOWN = 8  # decisions from before, that are told at the start


@click.command("watch")
@click.argument("run", type=FOLDER)
@click.option("--plain", is_flag=True, help="Lines instead of a panel.")
@click.pass_context
def command(context: click.Context, run: Path, plain: bool) -> None:
    """Follow RUN (a folder), which another process is working on, until it ends.

    `q` or Ctrl-C ends the view and leaves the run alone. Of a run that has ended it says how, once.
    """
    from flowbot.faces.cli import status_command
    from flowbot.store.reading import JournalView

    line, _, _ = status_command.stands(run)
    if line.state == "running":
        with contextlib.suppress(KeyboardInterrupt), contextlib.closing(JournalView(run / "journal.sqlite")) as view:
            if not follow(view, line, plain, sys.stderr):
                return
    context.invoke(status_command.command, run=run, as_json=False)


def follow(view: JournalView, line: RunLine, plain: bool, stream: TextIO) -> bool:
    """Show a run until it ends (True) or the reader does not want to see more (False)."""
    from flowbot.faces.progress import Progress

    clock = _Clock(time.time() - line.seconds)
    state = _Spent()
    progress = Progress(state, stream=stream, plain=plain, clock=clock)
    followed = _Followed(view, progress, state, clock)
    followed.catch_up()
    with progress, _keys() as pressed:
        followed.tell_last()
        while followed.goes_on():
            if pressed(POLL):
                return False
            followed.look()
        followed.look()
    return True


@dataclass
class _Clock:
    """The time of a run: that of the event which is told, or now."""

    began: float
    event: float | None = field(init=False)

    def __post_init__(self) -> None:
        self.event = self.began

    def __call__(self) -> float:
        return time.time() if self.event is None else max(self.event, self.began)


@dataclass
class _Spent:
    """What a journal says was spent. What is in flight it does not say."""

    ledger: Ledger = field(default_factory=Ledger)
    purse: Purse = field(default_factory=Purse)
    in_flight: int | None = None
    replayed: int = 0


class _Followed:
    """Carries what is new in a journal to a view of it."""

    def __init__(self, view: JournalView, progress: Progress, state: _Spent, clock: _Clock) -> None:
        self._view, self._progress, self._state, self._clock = view, progress, state, clock
        self._version, self._seq, self._entered = -1, 0, 0.0
        self._last: Sequence[Mapping[str, Any]] = ()

    def catch_up(self) -> None:
        """Take what was decided before, but for the last decisions, which `tell_last` tells."""
        events = self._view.events()
        self._seq = len(events)
        first = _beginning_of_last(events, SHOWN)
        for event in events[:first]:
            self._progress.known(event)
        self._last = events[first:]

    def tell_last(self) -> None:
        """Tell the last decisions, and then how things stand."""
        self._tell(self._last)
        self.look()

    def goes_on(self) -> bool:
        """Tell whether the run has not ended and its process is there."""
        from flowbot.faces.ui.run_line import end_of, lives

        return end_of(self._view) is None and lives(self._view)

    def look(self) -> None:
        """Tell what was written since the last look."""
        view = self._view
        version = view.db.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = version
        with view.snapshot():
            events, sums = view.events(self._seq), view.sums()
            run, phase = view.now("run"), view.now("phase")
        ledger = Ledger()
        for purpose, _, usage, retries in sums:
            ledger.add(purpose, usage, retries=retries)
        budget: Mapping[str, Any] = (run[0].get("budget") if run else None) or {}
        self._state.purse = Purse(Budget(**budget), settled=ledger.total)
        if phase is not None and phase[1] != self._entered:
            self._enter(phase[0], phase[1], ledger)
        self._state.ledger = ledger
        self._seq += len(events)
        self._tell(events)

    def _enter(self, phase: Mapping[str, Any], at: float, ledger: Ledger) -> None:
        """Let the view enter a stage as it was when it began: without the calls of the workflows that ran since."""
        from flowbot.money import Usage

        self._entered = at
        row = self._view.db.execute("SELECT coalesce(sum(calls), 0) FROM traces WHERE at >= ?", (at,)).fetchone()
        self._state.ledger = Ledger(dict(ledger.lines))
        if "task" in ledger.lines:
            self._state.ledger.add("task", Usage(calls=-min(row[0], ledger.lines["task"].usage.calls)))
        self._clock.event = at
        self._progress.heard({"kind": "phase", "phase": phase["name"], "calls": phase["calls"]})
        self._clock.event = None

    def _tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        for event in events:
            self._clock.event = event["at"]
            self._progress.heard(event)
        self._clock.event = None


def _beginning_of_last(events: Sequence[Mapping[str, Any]], count: int) -> int:
    """Return the place from which on `count` events are worth a line."""
    from flowbot.faces.progress import Heard, told

    place = len(events)
    while place and count:
        place -= 1
        count -= bool(told(events[place], Heard()))
    return place


@contextlib.contextmanager
def _keys() -> Generator[Callable[[float], bool]]:
    """Yield a function that waits so many seconds for a key, and tells whether it was `q`."""
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield lambda seconds: bool(time.sleep(seconds))
        return
    import os
    import select
    import termios
    import tty

    def pressed(seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return bool(ready) and os.read(sys.stdin.fileno(), 1) in (b"q", b"Q", b"")

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield pressed
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
