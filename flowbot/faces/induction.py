"""One induction from end to end: search, seal broken once, files written, whatever ends it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from platform import node
from typing import Any

from flowbot import __version__
from flowbot.document import write_document
from flowbot.engine.ports import EndpointError, SandboxError
from flowbot.errors import InputError
from flowbot.faces.front import Front, front_of_rows, plain_front
from flowbot.faces.observe.eventlog import LOG, logged
from flowbot.faces.observe.spans import searching
from flowbot.faces.problem import Problem
from flowbot.faces.race_story import Race, confirmation_of, tell_race
from flowbot.faces.report import write_report
from flowbot.faces.rundir import RunDir
from flowbot.faces.wiring import Journal, Site, site
from flowbot.models.secrets import scrub
from flowbot.money import BudgetReached, Ledger, Line
from flowbot.search.compare import Comparison, compare
from flowbot.search.induce import Found, induce
from flowbot.search.lab import Lab, Outcome, Row
from flowbot.store.journal import MemoryJournal
from flowbot.workflow.graph import Workflow, plain_workflow

Heard = Callable[[Mapping[str, Any]], None]
GRACE = 2.0  # seconds for what is paid for and under way, where a run is broken off


@dataclass(frozen=True)
class Result:
    """What an induction came to.

    `ended` is `done` or `budget` (`why` says which bound). `tables` holds the paired comparison of start and best by
    split: `test` where there is one, and `val`; where a finalist was measured on examples that nobody had seen, that
    of start and finalist as `confirm` in place of `val`, which the search chose by. `outcome` says how that came out
    (None for a recipe that confirms nothing). `front` has the rows that no other beats on score and cost, `members` the
    same with intervals, sizes and files; `race` what was tried. `parts` are the validation means of the start and after
    each part of the search. `ledger` counts everything paid, `folder` is the run's (None for a run kept in memory).
    """

    best: Workflow
    start: Workflow
    ended: str
    why: str = ""
    tables: Mapping[str, Comparison] = field(default_factory=dict[str, Comparison])
    parts: Mapping[str, float] = field(default_factory=dict[str, float])
    ledger: Ledger = field(default_factory=Ledger)
    folder: Path | None = None
    notes: Sequence[str] = ()
    outcome: Outcome | None = None
    front: tuple[Row, ...] = ()
    members: Front = field(default_factory=Front)
    race: Race = field(default_factory=Race)

    @property
    def measured(self) -> Comparison | None:
        """The comparison that tells most: on the test, else the confirmation, else on validation; None without any."""
        return next((self.tables[name] for name in ("test", "confirm", "val") if name in self.tables), None)


async def run_induction(
    problem: Problem,
    rundir: RunDir | None,
    base_url: str | None = None,
    heard: Heard = lambda event: None,
    content: bool = True,
) -> Result:
    """Search for a problem's workflow in a run's folder (None: in memory) and return what came of it.

    A run that was stopped goes on from its journal. Without `content` no messages are in the spans of its calls. Raises
    `InputError`, `EndpointError` and what cancels it; the best so far is in the folder all the same.
    """
    if rundir is None:
        return await _run(problem, MemoryJournal(), None, base_url, heard, content)
    with rundir.opened() as journal:
        journal.scrub = scrub
        journal.identify(problem.hashes())
        rundir.keep_task(write_document(_standing_alone(problem)))
        return await _run(problem, journal, rundir, base_url, heard, content)


def _standing_alone(problem: Problem) -> dict[str, Any]:
    """Return the task as it was run, its paths made absolute so that it works from the run's folder."""
    plain: dict[str, Any] = {"flowbot": 1} | problem.task.model_dump(mode="json", exclude_defaults=True)

    def absolute(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: absolute(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]
        there = isinstance(value, str) and (problem.folder / value).exists()
        return str((problem.folder / value).resolve()) if there else value

    for spec in plain.get("tools", {}).values():
        if "corpus" in spec:
            spec["corpus"] = absolute(spec["corpus"])
    return plain | {key: absolute(plain[key]) for key in ("data", "start", "prompts") if key in plain}


async def _run(
    problem: Problem, journal: Journal, rundir: RunDir | None, base_url: str | None, heard: Heard, content: bool
) -> Result:
    async with AsyncExitStack() as stack:
        place = await stack.enter_async_context(site(problem, journal, base_url, problem.task.budget.budget()))
        heard = stack.enter_context(searching(place.session, problem.task.name, logged(heard), content))
        heard({"kind": "open", "state": place.session, "resumed": journal.resumed})
        ending = Ending(place, rundir)
        lab = place.lab(lambda event: (ending.note(event), heard(event))[1])
        ending.lab = lab
        _show(place)
        try:
            found = await induce(lab, problem.task.recipe.name, problem.settings)
            await place.session.drain()
            test = await _open_seal(place, lab, ending)
            await place.session.drain()
            found = found if ending.untested is None else replace(found, ended="budget", why=str(ending.untested))
            return ending.close(found, test)
        except (EndpointError, SandboxError, InputError) as error:
            await place.session.drain(GRACE)
            ending.close(Found(lab.best, _broken_by(error), str(error), lab.outcome, lab.front), None)
            raise
        except (asyncio.CancelledError, KeyboardInterrupt):
            await place.session.drain(GRACE)
            ending.close(Found(lab.best, "interrupted", "stopped by hand", lab.outcome, lab.front), None)
            raise


def _show(place: Site) -> None:
    """Write down what a page shows of a run from its first moment on: what it is, and what it is made on."""
    shown, task = place.journal.shown, place.problem.task
    models = {name: opened.salt for name, opened in place.session.models.items()}
    facts = {"name": task.name, "description": task.description, "metric": task.metric.name, "models": models}
    shown.now("run", facts | {"budget": asdict(place.session.purse.budget), "pid": os.getpid(), "host": node()})
    for split in ("train", "val", "guard"):
        shown.examples(split, place.problem.splits.get(split, ()))


def _broken_by(error: Exception) -> str:
    """Return what broke a run off, as its last record says it."""
    return "endpoint" if isinstance(error, EndpointError) else "sandbox" if isinstance(error, SandboxError) else "input"


async def _open_seal(place: Site, lab: Lab, ending: Ending) -> Comparison | None:
    """Score the start and the best on the test split: the only place that reads it, once, at the end."""
    test = place.problem.splits.get("test", ())
    if not test:
        ending.notes.append("there is no test split: the figures are those of validation, which the search has seen")
        return None
    best = lab.best.candidate.workflow if lab.best else lab.start
    rows: list[list[float]] = []
    try:
        lab.admit_test(best)
        place.journal.shown.examples("test", test)
        for workflow in [lab.start] if best.id == lab.start.id else [lab.start, best]:
            traces = [trace async for trace in place.workers.evaluate(workflow, test, "test")]
            rows.append([trace.points for trace in traces])
    except BudgetReached as reached:
        ending.untested = reached
        ending.notes.append(f"the test split was not scored: {reached}")
        return None
    return compare(rows[0], rows[-1], lab.seed)


class Ending:
    """Gathers what the end of a run needs, and writes it once: workflows, last record, report."""

    def __init__(self, place: Site, rundir: RunDir | None) -> None:
        self.place, self.rundir = place, rundir
        self.lab: Lab | None = None
        self.untested: BudgetReached | None = None
        self.parts: dict[str, float] = {}
        self.events: list[Mapping[str, Any]] = []
        self.notes: list[str] = list(place.problem.notes)

    def note(self, event: Mapping[str, Any]) -> None:
        """Hear an event of the search: keep the best on disk as soon as it is known."""
        self.events.append({key: value for key, value in event.items() if key not in ("workflow", "scores")})
        if event["kind"] == "phase":
            self.place.journal.shown.now("phase", {"name": event["phase"], "calls": event["calls"]})
        if event["kind"] == "best":
            self.parts.setdefault("start", event["mean"])
            known = self.place.journal.replaying  # what a finished or later stretch found stays until there is more
            if self.rundir is not None and self.lab is not None and self.lab.best is not None and not known:
                self.rundir.keep(self.lab.best.candidate.workflow)
        elif event["kind"] == "part":
            self.parts[event["name"]] = event["mean"]

    def close(self, found: Found, test: Comparison | None) -> Result:
        """Write the files of the end and return the result."""
        problem, session = self.place.problem, self.place.session
        assert self.lab is not None
        best = found.best.candidate.workflow if found.best else problem.start
        tables = _tables(self.lab, found) | ({"test": test} if test is not None else {})
        result = Result(
            best,
            problem.start,
            found.ended,
            found.why,
            tables,
            self.parts,
            session.ledger,
            self.rundir.folder if self.rundir else None,
            tuple(self.notes),
            found.outcome,
            found.front,
            front_of_rows(found.front, session.ledger),
            tell_race(self.events),
        )
        seconds = round(self.place.seconds - self.place.spent, 3)
        self.place.journal.finish(_facts(result, problem) | {"seconds": seconds})
        LOG.info("ended: %s, best %s, %d calls", found.ended, best.id, session.ledger.total.calls)
        if self.rundir is not None:
            self.rundir.keep(best)
            _keep_others(self.rundir, result)
            write_report(self.rundir.journal, self.rundir.report, content=self.rundir.content)
        return result


def _tables(lab: Lab, found: Found) -> dict[str, Comparison]:
    """Return the comparison with the start: of the finalist where it was confirmed or not, else of the best."""
    outcome = found.outcome
    if outcome is not None and outcome.comparison is not None:
        return {"val" if outcome.decision == "unconfirmed" else "confirm": outcome.comparison}
    if found.best is None or lab.first is None:
        return {}
    return {"val": lab.compared(lab.first, found.best)}


def _keep_others(rundir: RunDir, result: Result) -> None:
    """Write what a search left beside its best, where it came to an end of its own."""
    outcome = result.outcome
    if outcome is None:
        return
    undecided = outcome.decision == "undecided" and outcome.finalist
    rundir.keep_undecided(undecided.workflow if undecided else None)
    rundir.keep_front(result.members)


def _facts(result: Result, problem: Problem) -> dict[str, Any]:
    """Return the last record of a run, as the report reads it."""
    outcome = None if result.outcome is None else confirmation_of(result.outcome).plain()
    return {
        "ended": result.ended,
        "why": scrub(result.why),
        "task": {"name": problem.task.name, "description": problem.task.description},
        "start": result.start.id,
        "best": result.best.id,
        "best_workflow": plain_workflow(result.best),
        "parts": dict(result.parts),
        "tables": {split: asdict(table) | {"gain": table.gain} for split, table in result.tables.items()},
        "outcome": outcome,
        "front": plain_front(result.members),
        "ledger": [ledger_line(purpose, line) for purpose, line in result.ledger],
        "notes": list(result.notes),
        "version": __version__,
    }


def ledger_line(purpose: str, line: Line) -> dict[str, Any]:
    """Return one line of the ledger as plain data."""
    counts = {"repairs": line.repairs, "retries": line.retries, "turns": line.turns}
    return {"purpose": purpose} | counts | asdict(line.usage)
