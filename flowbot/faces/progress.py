"""The terminal view of a run: a live panel, plain lines, or JSON lines. It shows what it hears and decides nothing."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, TextIO

from flowbot.faces.race_story import confirmation
from flowbot.faces.tables import (
    brief,
    count_text,
    gain_text,
    is_fraction,
    is_terminal,
    ledger_table,
    money_text,
    outcome_text,
    rich_table,
    score_text,
)
from flowbot.models.secrets import scrub
from flowbot.money import Ledger, Purse

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

REFRESH = 4  # pictures a second
HEARTBEAT = 10.0  # seconds without a line, before one says that the run goes on
FEWEST, SOONEST = 5, 3.0  # calls and seconds of a stage, before its time left is guessed
WIDTH_OF_BAR = 24


class SessionState(Protocol):
    """What is polled of a run: what was spent, what is in flight (None: not known), and the replies of the journal."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def purse(self) -> Purse: ...

    @property
    def in_flight(self) -> int | None: ...

    @property
    def replayed(self) -> int: ...


@dataclass
class _Nothing:
    """The state of a run that has not opened yet."""

    ledger: Ledger = field(default_factory=Ledger)
    purse: Purse = field(default_factory=Purse)
    in_flight: int = 0
    replayed: int = 0


@dataclass
class Heard:
    """What the events said so far: the stage with its expectation, and the scores on validation."""

    phase: str = "starting"
    expected: Mapping[str, int] = field(default_factory=dict[str, int])
    since: float = 0.0
    before: Mapping[str, int] = field(default_factory=dict[str, int])
    replayed: int = 0
    start: float | None = None
    best: float | None = None
    batch: float | None = None
    means: list[float] = field(default_factory=list[float])

    def take(self, event: Mapping[str, Any]) -> None:
        """Take in one event that carries a score."""
        if event["kind"] == "best":
            self.best = event["mean"]
            self.start = event["mean"] if self.start is None else self.start
        elif event["kind"] == "sampled":
            self.best = event["mean"]
        elif event["kind"] == "step":
            self.batch = event["batch_mean"]
        mean = event.get("mean", event.get("batch_mean"))
        if isinstance(mean, int | float):
            self.means.append(float(mean))

    @property
    def fraction(self) -> bool:
        """True where all scores lie in [0, 1]."""
        return is_fraction(self.means)


class Progress:
    """Shows a run while it goes on. It never changes and never stops a run: a stream that fails is left alone.

    On a terminal a live panel on `stream` (stderr); elsewhere plain lines and a heartbeat; with `json_lines` one JSON
    object an event on stdout and nothing else; with `quiet` nothing (JSON lines are not silenced by it); with `plain`
    lines on a terminal too. The `session_state` may come later, as `state` of an event of the kind `open`.
    """

    def __init__(
        self,
        session_state: SessionState | None = None,
        *,
        stream: TextIO | None = None,
        quiet: bool = False,
        json_lines: bool = False,
        plain: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state: SessionState = session_state or _Nothing()
        self._stream = sys.stdout if json_lines else stream or sys.stderr
        self._json, self._quiet, self._clock = json_lines, quiet and not json_lines, clock
        self._plain = plain
        self._heard = Heard()
        self._began = self._spoke = clock()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._live: Live | None = None
        self._beats: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._json or self._quiet:
            return self
        if is_terminal(self._stream) and not self._plain:
            self._live = self._panel()
            self._live.start()
        else:
            self._beats = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
            self._beats.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._beats:
            self._beats.join()
        if self._live:
            with contextlib.suppress(OSError, ValueError):
                self._live.stop()
            self._live = None

    def heard(self, event: Mapping[str, Any]) -> None:
        """Take one event of the run, and show it."""
        if event["kind"] == "open":
            self._state = event["state"]
            event = {key: value for key, value in event.items() if key != "state"}
        if self._json:
            self._write(json.dumps({"at": round(time.time(), 3), **event}, default=str))
            return
        if event["kind"] == "phase":
            self._enter_stage(event)
        else:
            self._heard.take(event)
        line = told(event, self._heard)
        if self._quiet or not line:
            return
        if self._live is None:
            self._write(f"{duration(self._clock() - self._began):>9}  {line}")
        elif event["kind"] != "step":
            from rich.text import Text

            with contextlib.suppress(OSError, ValueError):
                self._live.console.print(Text(f"{duration(self._clock() - self._began):>9}  {line}"))

    def known(self, event: Mapping[str, Any]) -> None:
        """Take one event from before this view was opened: its score counts, nothing is shown."""
        self._heard.take(event)

    def beat(self) -> None:
        """Write a heartbeat line, unless a line was written within the last ten seconds."""
        if self._clock() - self._spoke >= HEARTBEAT:
            self._write(f"{duration(self._clock() - self._began):>9}  {self._stage()}; {self._spent()}")

    def _keep_beating(self) -> None:
        while not self._over.wait(0.5):
            self.beat()

    def _enter_stage(self, event: Mapping[str, Any]) -> None:
        self._heard.phase, self._heard.expected = str(event["phase"]), dict(event["calls"])
        self._heard.since, self._heard.before = self._clock(), self._snapshot().requests()
        self._heard.replayed = self._state.replayed

    def _write(self, line: str) -> None:
        with self._lock:
            self._spoke = self._clock()
            with contextlib.suppress(OSError, ValueError):  # whoever listened has gone; the run goes on
                self._stream.write(scrub(line) + "\n")
                self._stream.flush()

    def _snapshot(self) -> Ledger:
        """Return the ledger as it is now: it grows in another thread than the one that draws."""
        return Ledger(dict(self._state.ledger.lines))

    def _done(self) -> tuple[int, int]:
        """Return the calls of this stage that are done and those that it expects, of the purposes that it names."""
        now = self._snapshot().requests()
        done = sum(now.get(name, 0) - self._heard.before.get(name, 0) for name in self._heard.expected)
        return max(0, done), sum(self._heard.expected.values())

    def _left(self) -> str:
        """Return a rough time left for the stage; nothing where there is too little to go by."""
        done, expected = self._done()
        paid = done - (self._state.replayed - self._heard.replayed)
        took = self._clock() - self._heard.since
        if paid < FEWEST or took < SOONEST or done >= expected:
            return ""
        return roughly((expected - done) * took / paid)

    def _stage(self) -> str:
        done, expected = self._done()
        count = f"{count_text(done)} of about {count_text(expected)} calls" if expected else ""
        return ", ".join(part for part in (self._heard.phase, count, self._left()) if part)

    def _spent(self) -> str:
        """Return what was spent against each bound of the budget, and what is in flight."""
        total, purse = self._snapshot().total, self._state.purse
        budget, used = purse.budget, purse.settled
        money = money_text(total.usd) + (f" of {money_text(budget.usd)}" if budget.usd is not None else "")
        calls = f"{count_text(total.calls)} calls"
        if budget.calls is not None:
            calls = f"{count_text(used.calls)} of {count_text(budget.calls)} calls"
        parts = [calls]
        if budget.tokens is not None:
            parts.append(f"{count_text(used.tokens)} of {count_text(budget.tokens)} tokens")
        parts.append(money)
        if budget.seconds is not None:
            parts.append(f"{duration(self._clock() - self._began)} of {duration(budget.seconds)}")
        if self._state.replayed:
            parts.append(f"{count_text(self._state.replayed)} from the journal")
        if self._state.in_flight is not None:
            parts.append(f"{self._state.in_flight} in flight")
        return ", ".join(parts)

    def _panel(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        return Live(
            console=console,
            get_renderable=lambda: self._drawn(console),
            refresh_per_second=REFRESH,
            redirect_stdout=False,  # stdout may be piped: it is not this view's
            redirect_stderr=self._stream is sys.stderr,
            vertical_overflow="crop",
        )

    def _drawn(self, console: Console) -> RenderableType:
        """Return the panel: stage, score, ledger (where there is room for it), cost."""
        from rich.console import Group
        from rich.text import Text

        heard, snapshot = self._heard, self._snapshot()
        done, expected = self._done()
        full = round(WIDTH_OF_BAR * min(1.0, done / expected)) if expected else 0
        bar = Text.assemble(("━" * full, "green"), ("━" * (WIDTH_OF_BAR - full), "bright_black"))
        count = f"{count_text(done)} of about {count_text(expected)} calls" if expected else ""
        head = Text.assemble((f"{duration(self._clock() - self._began)}  ", "bright_black"), (heard.phase, "bold"))
        stage = Text.assemble(bar, "  ", count, f"  {left}" if (left := self._left()) else "")
        lines: list[RenderableType] = [Text(), head, stage, self._scores()]
        if len(snapshot.lines) + 13 <= console.size.height and snapshot.lines:
            lines.append(rich_table(ledger_table(snapshot, title="", brief=True)))
        lines.append(Text(self._spent(), style="bright_black"))
        for line in lines:
            if isinstance(line, Text):
                line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    def _scores(self) -> Any:
        from rich.text import Text

        heard = self._heard
        if heard.best is None or heard.start is None:
            return Text("no score yet", style="bright_black")
        line = Text.assemble("validation  ", (score_text(heard.best, heard.fraction), "bold green"))
        if heard.best != heard.start:
            line.append(f"  {gain_text(heard.best - heard.start, heard.fraction)} on the start's ")
            line.append(score_text(heard.start, heard.fraction))
        if heard.batch is not None:
            line.append(f"  last batch {score_text(heard.batch, heard.fraction)}", style="bright_black")
        return line


def told(event: Mapping[str, Any], heard: Heard) -> str:
    """Return an event in one line of words; empty for what is not worth a line."""
    fraction = heard.fraction
    match event["kind"]:
        case "open":
            return "the run goes on from its journal" if event.get("resumed") else ""
        case "start":
            return f"recipe {event['recipe']}, {event['train']} train and {event['val']} validation examples"
        case "row" if event["split"] == "val":
            failed = f", {event['failed']} failed" if event.get("failed") else ""
            return f"{event['candidate'][:6]} on validation: {score_text(event['mean'], fraction)}{failed}"
        case "step":
            change = "changed" if event.get("changed") else "no change"
            return f"{event['name']}: batch {score_text(event['batch_mean'], fraction)}, {change}"
        case "best":
            return f"best so far: {score_text(event['mean'], fraction)} ({event.get('why') or 'measured'})"
        case "move":
            return f"move {event['name']}: {'kept' if event['kept'] else 'not kept'} ({event.get('why') or ''})"
        case "part":
            return f"after the {event['name']}: {score_text(event['mean'], fraction)} on validation"
        case _:
            return told_of_race(event, fraction)


def told_of_race(event: Mapping[str, Any], fraction: bool) -> str:
    """Return an event of a tested search in one line of words; empty for what is not worth a line."""
    match event["kind"]:
        case "seeds" if not event["means"]:
            return ""
        case "plan" if event["what"] in ("validation", "confirmation"):
            return f"{event['what']}: {event['examples']} examples"
        case "seeds":
            return f"seeds: {len(event['kept'])} of {len(event['means'])} go on after {event['items']} items"
        case "iteration":
            clusters = ", ".join(
                f"{brief(each['name'], 32)} ({len(each['examples'])})" for each in event["clusters"][:2]
            )
            blame = "".join(f", blame {step} {share:.0%}" for step, share in event["blame"][:1])
            fails = f"iteration {event['number']}: {event['failed']} of {event['items']} fail"
            return f"{fails}{blame}{f', {clusters}' if clusters else ''}"
        case "race":
            stay = sum(bool(stays) for *_, stays in event["children"])
            raced = f"race of {len(event['children'])} on {event['items']} items"
            return f"iteration {event['number']}: {raced}, {stay} stay"
        case "decision":
            open_one = ", undecided" if event["undecided"] and event["decision"] in ("pooled", "rejected") else ""
            gain = f"{gain_text(event['gain'], fraction)}{' points' * fraction}"
            flips = f"fixed {len(event['fixed'])}, broke {len(event['broken'])}"
            said = f"{event['candidate'][:6]} {event['decision']}{open_one}"
            return f"iteration {event['number']}: {said}, {gain}, {flips} ({event['why']})"
        case "sampled":
            now, was = score_text(event["mean"], fraction), score_text(event["was"], fraction)
            return f"the best once more: {now} over {event['samples']} samples (was {was})"
        case "confirmation":
            return outcome_text(confirmation(event), fraction)
        case _:
            return ""


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them: `0:07`, `12:40`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def roughly(seconds: float) -> str:
    """Return a time left in the coarse steps that a guess deserves."""
    for bound, step in ((60, 10), (600, 60), (3600, 300)):
        if seconds < bound:
            up = max(step, round(seconds / step) * step)
            return f"about {up} s left" if up < 60 else f"about {up // 60} min left"
    return f"about {seconds / 3600:.1f} h left"
