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
from flowbot.bench.records import Paid, Record
from flowbot.bench.worker import OUTCOME
from flowbot.errors import InputError
from flowbot.faces.meter import Meter, serving
from flowbot.money import Budget
from flowbot.store.files import read_text, write_text
from flowbot.task.task import BudgetSpec, ModelSpec
from flowbot.workflow.document import write_workflow

LATE = 120.0  # seconds that a method has to end once its time is up
Heard = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What is run: methods and seeds on every entry, each search under one budget, `jobs` cells at a time.

    `names` are for each entry the models as children ask for them, by role (`task`, `meta`) and by the names that its
    task uses for others; `shown` is what the two are called in records. With `like`, that method runs first and without
    a wall, and the others of its cell may spend the money (else the calls) that it spent.
    """

    entries: Sequence[Entry]
    methods: Sequence[str]
    seeds: Sequence[int]
    folder: Path
    budget: Budget
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
    settings: dict[str, Any] = {"budget": vars(plan.budget), "like": plan.like}
    models = {name: dict(found) for name, found in plan.shown.items()}
    old: dict[str, Any] = (
        json.loads(read_text(file, "plan")) if file.is_file() else {**settings, "sizes": {}, "models": {}}
    )
    differs = next((name for name, value in settings.items() if old[name] != value), "")
    for name in sizes:
        if differs or old["sizes"].get(name, sizes[name]) != sizes[name]:
            differs = differs or f"sizes of {name}"
        if old["models"].get(name, models[name]) != models[name]:
            differs = differs or f"models of {name}"
    if differs:
        raise InputError(f"its records were made with another {differs}", str(plan.folder), "give another --out")
    merged = {"sizes": old["sizes"] | sizes, "models": old["models"] | models}
    write_text(file, json.dumps(settings | merged, indent=1) + "\n")


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
        done: dict[str, Done] = {}
        budget = self.plan.budget
        for method in self.plan.order:
            record = self._kept(method)
            if record is None or record.missing:
                record = await self._one(method, budget if method != self.plan.like else Budget(), done)
                write_text(self._file(method), record.model_dump_json(indent=1) + "\n")
            records.append(record)
            self.heard(f"{record.benchmark}, {method}, seed {self.seed}: {_told(record)}")
            if method == self.plan.like and not record.missing:
                spent = record.search
                budget = replace(budget, usd=spent.usd) if spent.usd else replace(budget, calls=spent.calls)
            if not record.missing:
                done[method] = Done(text=self._program(method), cost=_cost(record))
        return records

    def _name(self, method: str) -> str:
        return f"{self.entry.name}.{method}.s{self.seed}".replace(" ", "-")

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

    async def _one(self, method: str, budget: Budget, done: Mapping[str, Done]) -> Record:
        """Run one method in a process of its own and return its record."""
        plan, data = self.plan, self.entry.deal(self.seed)
        sizes = {name: len(examples) for name, examples in data.splits.items()}
        facts: dict[str, Any] = {
            "benchmark": self.entry.name,
            "method": method,
            "seed": self.seed,
            "budget": BudgetSpec(**vars(budget)),
            "model": plan.shown[self.entry.name]["task"],
            "meta": plan.shown[self.entry.name]["meta"],
            "sizes": sizes,
        }
        try:
            open_method(method)
        except InputError as error:
            return Record(**facts, missing=str(error))
        label = self._name(method)
        self.meter.bound(label, replace(budget, seconds=None))
        self.meter.bound(f"{label}.test", Budget())
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
            late = asyncio.create_task(self._late(child, job.budget.seconds, label))
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

    async def _late(self, child: asyncio.subprocess.Process, seconds: float | None, label: str) -> None:
        """Refuse what a search still asks once its time is up; end one that does not stop then."""
        if seconds is None:
            return
        await asyncio.sleep(seconds)
        self.meter.bound(label, Budget(calls=0))
        while self.meter.tally(f"{label}.test").usage.calls == 0:
            before = self.meter.tally(label).refused
            await asyncio.sleep(LATE)
            if self.meter.tally(f"{label}.test").usage.calls == 0 and self.meter.tally(label).refused == before:
                child.kill()
                return


def _cost(record: Record) -> float:
    """Return input tokens + 4 x output tokens for an example of the test."""
    return (record.test.input_tokens + 4 * record.test.output_tokens) / max(1, len(record.scores))


def _told(record: Record) -> str:
    if record.missing:
        return f"not run: {record.missing}"
    return f"{100 * record.mean:.1f} on {len(record.scores)} test items, {record.search.calls} calls to search"
