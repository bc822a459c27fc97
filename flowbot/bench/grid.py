"""The parent of a benchmark: every method on every benchmark with every seed, behind one meter, kept as records."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from flowbot.bench.arena import Done
from flowbot.bench.entries import Entry, answered_by
from flowbot.bench.job import Job, Outcome
from flowbot.bench.methods import METHODS, open_method
from flowbot.bench.methods.plain import METHODS as PLAIN
from flowbot.bench.records import Paid, Record
from flowbot.bench.worker import OUTCOME
from flowbot.errors import InputError
from flowbot.faces.meter import Meter, serving
from flowbot.money import Budget
from flowbot.store.files import read_text, write_text
from flowbot.store.splits import data_hash
from flowbot.task.task import BudgetSpec, ModelSpec
from flowbot.workflow.document import write_workflow
from flowbot.workflow.graph import content_hash

LATE = 120.0  # seconds that a method has to end once its time is up
Heard = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is run: methods and seeds on every entry, each search under the entry's budget, `jobs` cells at a time.

    `names` are for each entry the models as children ask for them, by role (`task`, `meta`, `judge`) and by the names
    that its task uses for others; `shown` is what the roles are called in records. With `like`, that method runs first
    and without a wall, and the others of its cell may spend the money (else the calls) that it spent.
    """

    entries: Sequence[Entry]
    methods: Sequence[str]
    seeds: Sequence[int]
    folder: Path
    budgets: Mapping[str, Budget]
    names: Mapping[str, Mapping[str, ModelSpec]]
    shown: Mapping[str, Mapping[str, str]]
    like: str = ""
    jobs: int = 1
    concurrency: int | None = None
    unsafe_code: bool = False

    @property
    def order(self) -> list[str]:
        """The methods as they run in a cell: what others are measured by comes first."""
        known = [name for name in METHODS if name in self.methods]
        return sorted(known, key=lambda name: name != self.like)


async def run_grid(plan: Plan, meter: Meter, heard: Heard) -> list[Record]:
    """Run what has no record yet and return the records of all; raise `InputError` for another plan's folder."""
    (plan.folder / "records").mkdir(parents=True, exist_ok=True)
    _same_plan(plan)
    gate = asyncio.Semaphore(plan.jobs)

    async def cell(entry: Entry, seed: int, root: str) -> list[Record]:
        async with gate:
            return await Cell(plan, entry, seed, meter, root, heard).run()

    async with serving(meter) as root:
        cells = [cell(entry, seed, root) for entry in plan.entries for seed in plan.seeds]
        found = await asyncio.gather(*cells)
    return [record for records in found for record in records]


def _same_plan(plan: Plan) -> None:
    """Refuse a folder whose records came of other settings: they would not be comparable."""
    file = plan.folder / "plan.json"
    sizes = {entry.name: dict(entry.sizes) for entry in plan.entries}
    found: dict[str, dict[str, Any]] = {
        "sizes": sizes,
        "budget": {name: vars(budget) for name, budget in plan.budgets.items()},
        "models": {name: _dumped(models) for name, models in plan.names.items()},
        "task": {entry.name: _identity(entry) for entry in plan.entries},
        "test": {entry.name: data_hash({"test": entry.deal(0).splits["test"]}) for entry in plan.entries},
    }
    old: dict[str, Any] = json.loads(read_text(file, "plan")) if file.is_file() else {}
    differs = "" if old.get("like", plan.like) == plan.like else "method that bounds the others"
    for what, by_name in found.items():
        known = old.get(what, {})
        other = next((name for name, value in by_name.items() if known.get(name, value) != value), "")
        differs = differs or (other and f"{what} of {other}")
    if differs:
        raise InputError(f"its records were made with another {differs}", str(plan.folder), "give another --out")
    merged = {what: old.get(what, {}) | by_name for what, by_name in found.items()}
    write_text(file, json.dumps({"like": plan.like, **merged}, indent=1) + "\n")


def _identity(entry: Entry) -> str:
    """Return a hash of what an entry's task and start say, but for models, budget and seed: those stand beside."""
    task = entry.task.model_dump(mode="json", exclude={"models", "budget", "seed", "data", "start"})
    return content_hash([task, write_workflow(entry.start())])


def _dumped(models: Mapping[str, ModelSpec]) -> dict[str, Any]:
    return {name: spec.model_dump(mode="json", exclude_defaults=True) for name, spec in models.items()}


@dataclass
class Cell:
    """One benchmark with one seed: its methods one after the other, on the same examples."""

    plan: Plan
    entry: Entry
    seed: int
    meter: Meter
    root: str
    heard: Heard

    async def run(self) -> list[Record]:
        """Run the methods that have no record yet."""
        records: list[Record] = []
        done = {name: found for name in METHODS if (found := self._done(name))}
        budget, unbounded = self.plan.budgets[self.entry.name], ""
        for method in self.plan.order:
            record = self._kept(method)
            if record is None or record.missing:
                record = await self._one(method, budget if method != self.plan.like else Budget(), done, unbounded)
                write_text(self._file(method), record.model_dump_json(indent=1) + "\n")
            records.append(record)
            self.heard(f"{record.benchmark}, {method}, seed {self.seed}: {_told(record)}")
            if method == self.plan.like and record.missing:
                unbounded = f"{method} was not run, so nobody knows what others may spend"
            elif method == self.plan.like:
                spent = record.search
                budget = replace(budget, usd=spent.usd) if spent.usd else replace(budget, calls=max(1, spent.calls))
            if found := self._done(method):
                done[method] = found
        return records

    def _done(self, method: str) -> Done | None:
        record = self._kept(method)
        return None if record is None or record.missing else Done(text=self._program(method), cost=_cost(record))

    def _name(self, method: str) -> str:
        return f"{self.entry.label}.{method}.s{self.seed}"

    @property
    def _draws(self) -> str:
        """The sequence that sampled answers come from: the same for all methods, another for each seed."""
        return f"seed {self.seed}, "

    def _file(self, method: str) -> Path:
        return self.plan.folder / "records" / f"{self._name(method)}.json"

    def _scratch(self, method: str) -> Path:
        return self.plan.folder / "runs" / self._name(method)

    def _kept(self, method: str) -> Record | None:
        file = self._file(method)
        return Record.model_validate_json(read_text(file, "record")) if file.is_file() else None

    def _program(self, method: str) -> str:
        found = next(self._scratch(method).glob("program.*"), None)
        return read_text(found, "program") if found else ""

    async def _one(self, method: str, budget: Budget, done: Mapping[str, Done], unbounded: str = "") -> Record:
        """Run one method in a process of its own and return its record; `unbounded` says why it has no budget."""
        plan, data = self.plan, self.entry.deal(self.seed)
        sizes = {name: len(examples) for name, examples in data.splits.items()}
        facts: dict[str, Any] = {
            "benchmark": self.entry.name,
            "method": method,
            "seed": self.seed,
            "budget": BudgetSpec(**vars(budget)),
            "model": plan.shown[self.entry.name]["task"],
            "meta": plan.shown[self.entry.name]["meta"],
            "judge": plan.shown[self.entry.name].get("judge", ""),
            "sizes": sizes,
        }
        if unbounded and method not in PLAIN:
            return Record(**facts, missing=unbounded)
        try:
            open_method(method)
        except InputError as error:
            return Record(**facts, missing=str(error))
        label = self._name(method)
        self.meter.bound(label, replace(budget, seconds=None), self._draws)
        self.meter.bound(f"{label}.test", Budget(), self._draws)
        examples = {name: [dict(example.row) for example in found] for name, found in data.splits.items()}
        outcome = await self._child(self._job(method, budget, label, examples, done), label)
        search, test = (self.meter.tally(name) for name in (label, f"{label}.test"))
        paid: dict[str, Any] = {
            "search": Paid.of(search.usage, search.refused),
            "test": Paid.of(test.usage, test.refused),
        }
        return Record(**facts, **paid, **outcome.model_dump())

    def _job(
        self, method: str, budget: Budget, label: str, examples: Mapping[str, Any], done: Mapping[str, Done]
    ) -> Job:
        """Write what the child needs into a folder of its own, emptied before: what a broken run spent was not kept."""
        scratch = self._scratch(method)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        rows = scratch / "rows.json"
        write_text(rows, json.dumps(examples, ensure_ascii=False))
        names = self.plan.names[self.entry.name]
        task, start = answered_by(self.entry.task, self.entry.start(), names)
        changes: dict[str, Any] = {"seed": self.seed, "data": None, "start": None}
        if self.plan.concurrency is not None:
            changes["concurrency"] = self.plan.concurrency
        task = task.model_copy(update=changes)
        return Job(
            method=method,
            seed=self.seed,
            task={"flowbot": 1} | task.model_dump(mode="json", exclude_defaults=True),
            folder=str(self.entry.folder.resolve()),
            start=write_workflow(start),
            rows=str(rows.resolve()),
            url=f"{self.root}/{label}/v1",
            test_url=f"{self.root}/{label}.test/v1",
            tally=f"{self.root}/{label}/meter",
            model=names["task"].model,
            meta=names["meta"].model,
            budget=BudgetSpec(**vars(budget)),
            scratch=str(scratch.resolve()),
            done=dict(done),
            unsafe_code=self.plan.unsafe_code,
        )

    async def _child(self, job: Job, label: str) -> Outcome:
        """Run a job in a process; its output goes to a log in its folder. When time is up, calls are refused."""
        scratch = Path(job.scratch)
        file = scratch / "job.json"
        write_text(file, job.model_dump_json())
        with (scratch / "log.txt").open("wb") as log:
            child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "flowbot.bench.worker",
                str(file),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
            late = asyncio.create_task(self._late(child, job, label))
            try:
                code = await child.wait()
            finally:
                late.cancel()
                if child.returncode is None:
                    child.kill()
                    await child.wait()
        found = scratch / OUTCOME
        if not found.is_file():
            return Outcome(missing=f"its process ended with {code} (see {scratch.name}/log.txt)")
        return Outcome.model_validate_json(read_text(found, "outcome"))

    async def _late(self, child: asyncio.subprocess.Process, job: Job, label: str) -> None:
        """Refuse what a search still asks once its time is up; end one that does nothing more, and does not stop."""
        if job.budget.seconds is None:
            return
        await asyncio.sleep(job.budget.seconds)
        self.meter.bound(label, Budget(calls=0), self._draws)
        while not self._program(job.method):  # it is there when the search is over and the test begins
            before = self.meter.tally(label).refused
            await asyncio.sleep(LATE)
            idle = not self.meter.in_flight(label) and self.meter.tally(label).refused == before
            if idle and not self._program(job.method):
                child.kill()
                return


def _cost(record: Record) -> float:
    """Return input tokens + 4 x output tokens for an example of the test."""
    return (record.test.input_tokens + 4 * record.test.output_tokens) / max(1, len(record.scores))


def _told(record: Record) -> str:
    if record.missing:
        return f"not run: {record.missing}"
    return f"{100 * record.mean:.1f} on {len(record.scores)} test items, {record.search.calls} calls to search"
