"""A job: one run of one method, as the parent writes it for a child process, and what the child writes back."""

from __future__ import annotations

from typing import Any

from flowbot.bench.arena import Done
from flowbot.task.task import BudgetSpec
from flowbot.workflow.value import Value


class Job(Value):
    """One run. `task` is the task document with the models as the meter knows them, `start` the workflow's text.

    `rows` is the file with the rows by split; `url` and `test_url` are the meter's base URLs for search and test, and
    `tally` is where it tells what the search has spent. `scratch` is a folder that is the run's own.
    """

    method: str
    seed: int
    task: dict[str, Any]
    folder: str
    start: str
    rows: str
    url: str
    test_url: str
    tally: str
    model: str
    meta: str
    budget: BudgetSpec
    scratch: str
    done: dict[str, Done] = {}
    unsafe_code: bool = False


class Outcome(Value):
    """What came of a job: see `Record`."""

    missing: str = ""
    note: str = ""
    scores: dict[str, float] = {}
    failed: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    test_wall: float = 0.0
    versions: dict[str, str] = {}
