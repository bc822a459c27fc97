"""What is benchmarked: one of the catalogue on a folder of data or the publisher's, or a task file of one's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from flowbot.bench.catalogue import BENCHMARKS, benchmark, tasks_folder
from flowbot.errors import InputError
from flowbot.faces.start import start_of
from flowbot.models.catalogue import home
from flowbot.store.files import load_task
from flowbot.store.splits import Data, load_splits, splits_of
from flowbot.task.data import Example, split_examples
from flowbot.task.task import Models, ModelSpec, SourceSpec, Task
from flowbot.workflow.fields import Json, is_list, is_map
from flowbot.workflow.graph import Workflow, plain_workflow

Sizes = Mapping[str, int]
SPLITS = ("train", "val", "test")
LONGEST = 80  # characters of a label
_UNSAID = re.compile(r"[^A-Za-z0-9._~+@=-]")


@dataclass(frozen=True)
class Entry:
    """A benchmark made ready: its task, the folder of the task's files, and where its rows come from.

    `sizes` are the most examples of each split; `data` is the folder that `--data` named (None: the publisher's rows).
    `own` is one with a task file: its rows are those that the task names.
    """

    name: str
    task: Task
    folder: Path
    begins: Path
    sizes: Sizes = field(default_factory=dict[str, int])
    data: Path | None = None
    own: bool = False

    @property
    def label(self) -> str:
        """The name as files and the meter's addresses take it."""
        return _UNSAID.sub("-", self.name)[:LONGEST]

    @cached_property
    def rows(self) -> Mapping[str, list[Mapping[str, Any]]] | None:
        """The catalogue's rows by split; None for a task that names its own data."""
        if self.own:
            return None
        found = benchmark(self.name)
        given = found.fetch(self.folder) if self.data is None else found.local(self.data)
        return {split: list(rows) for split, rows in given.items()}

    def deal(self, seed: int) -> Data:
        """Return train, val and test for a seed: the test is the same for all seeds. Raises `InputError`."""
        one_source = self.own and isinstance(self.task.data, SourceSpec)  # dealt by the task's seed, test and all
        task = self.task if one_source else self.task.model_copy(update={"seed": seed})
        found = load_splits(task, self.folder) if self.rows is None else splits_of(task, self.rows)
        splits = found.splits
        if one_source:
            rest = [*splits["train"], *splits["val"]]
            share = len(splits["train"]) / len(rest)
            splits = {**splits, **split_examples(rest, {"train": share, "val": 1 - share}, seed)}
        return Data({name: self._cut(name, splits[name]) for name in SPLITS}, found.notes)

    def _cut(self, split: str, examples: Sequence[Example]) -> tuple[Example, ...]:
        return tuple(examples[: self.sizes.get(split)])

    def start(self) -> Workflow:
        """Return the workflow that all methods begin from."""
        return start_of(self.task, self.begins, None, None)


def entry(name: str, data: Path | None, sizes: Sizes) -> Entry:
    """Return a benchmark of the catalogue, or the task in a file, made ready; raise `InputError`."""
    if name in BENCHMARKS or not name.endswith((".yaml", ".yml")):
        found = benchmark(name)
        folder = home() / "data" if data is None else data
        return Entry(name, found.task, folder, tasks_folder(), {**found.sizes, **sizes}, data)
    task, folder = load_task(Path(name))
    return Entry(task.name, task, folder, folder, sizes, own=True)


def unique(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return entries whose names tell them apart; raise `InputError` where two are called the same."""
    labels = [each.label for each in entries]
    twice = next((each.name for each in entries if labels.count(each.label) > 1), None)
    if twice is not None:
        raise InputError(f"two benchmarks are called '{twice}', or nearly so", mend="give each task a name of its own")
    return entries


def answered_by(task: Task, start: Workflow, names: Mapping[str, ModelSpec]) -> tuple[Task, Workflow]:
    """Return task and start with their models put in place of those that they name.

    `names` has the models by role (`task`, `meta`, and `judge` where a metric asks one), and by their names those that
    a step or the task names besides.
    """
    models = task.models
    made = Models(
        task=names["task"],
        meta=names["meta"],
        judge=names.get("judge"),
        also=tuple(names[spec.name] for spec in models.also),
    )
    known = {name: spec.name for name, spec in names.items()} | {models.task.name: names["task"].name}
    plain: dict[str, Any] = _renamed(plain_workflow(start), known)
    return task.model_copy(update={"models": made}), Workflow.model_validate(plain | {"model": names["task"].name})


def others(task: Task, start: Workflow) -> list[str]:
    """Return the models that a task and its start name beside the task model, each once."""
    named = [spec.name for spec in task.models.also] + [call.model for call in start.calls if call.model]
    return [name for name in dict.fromkeys(named) if name not in (task.models.task.name, start.model)]


def _renamed(value: Json, names: Mapping[str, str]) -> Any:
    if is_map(value):
        return {
            key: names.get(item, item) if key == "model" and isinstance(item, str) else _renamed(item, names)
            for key, item in value.items()
        }
    return [_renamed(each, names) for each in value] if is_list(value) else value
