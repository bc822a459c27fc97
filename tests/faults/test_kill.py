"""Law 2: no paid call twice. A run killed at any instant and started again asks again at most for what was in flight.

`FLOWBOT_KILLS=30` gives the long form.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from flowbot.faces.cli import code_of
from flowbot.store.journal import JournalReader
from tests import worlds
from tests.commands import begin, finish
from tests.servers import Arrival, Server, serving
from tests.worlds import World

KILLS = int(os.environ.get("FLOWBOT_KILLS", "6"))
CONCURRENCY = 4
RECIPE = {"name": "paper", "batches": 2, "inner": 2, "moves": ["demos"], "demos": 3, "demo_items": 6}
SIZES = {"train": 10, "val": 6, "test": 4}


def induce(task: Path, url: str, folder: Path) -> list[str]:
    options = ["--base-url", url, "--concurrency", str(CONCURRENCY), "--quiet"]
    return ["induce", str(task), "--run", str(folder), *options]


def recorded(folder: Path) -> int:
    """Return how many replies are committed."""
    if not (folder / "journal.sqlite").exists():
        return 0
    db = sqlite3.connect(folder / "journal.sqlite")
    try:
        found = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'calls'").fetchone()[0]
        return db.execute("SELECT count(*) FROM calls WHERE purpose != 'score'").fetchone()[0] if found else 0
    finally:
        db.close()


def bodies(arrivals: Sequence[Arrival]) -> Counter[str]:
    return Counter(json.dumps(arrival.body, sort_keys=True) for arrival in arrivals)


def decisions(folder: Path) -> list[dict[str, object]]:
    reader = JournalReader(folder / "journal.sqlite")
    found = [{name: value for name, value in event.items() if name != "at"} for event in reader.events()]
    reader.close()
    return found


def killed(server: Server, task: Path, folder: Path, instant: float) -> int:
    """Run until `instant` seconds after the first request of this stretch, kill, and return what was lost."""
    before, kept = len(server.requests), recorded(folder)
    process = begin(*induce(task, server.url, folder))
    deadline = time.monotonic() + 30
    while len(server.requests) == before and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(instant)
    process.kill()
    process.communicate()
    time.sleep(0.05)  # what was sent arrives
    return len(server.requests) - before - (recorded(folder) - kept)


@pytest.mark.slow
def test_a_run_killed_at_any_instant_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe=RECIPE)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    with serving(World(calls=2, latency=0.03).script) as server:
        assert code_of(induce(task, server.url, whole)) == 0
        calm = bodies(server.requests)
        took = server.requests[-1].at - server.requests[0].at
    draw = random.Random(f"kill|{KILLS}")
    lost: list[int] = []
    with serving(World(calls=2, latency=0.03, seed=1).script) as server:
        for _ in range(KILLS):
            lost.append(killed(server, task, broken, draw.uniform(0, 1.2 * took / KILLS)))
        code, out, err = finish(begin(*induce(task, server.url, broken)))
        assert code == 0, err
        stormy = bodies(server.requests)
    assert out.strip() == str(broken / "best.yaml")
    assert all(0 <= each <= CONCURRENCY for each in lost), lost
    assert not calm - stormy
    assert sum((stormy - calm).values()) == sum(lost)
    assert (broken / "best.yaml").read_bytes() == (whole / "best.yaml").read_bytes()
    assert decisions(broken) == decisions(whole)


@pytest.mark.slow
def test_a_finished_run_asks_nothing_when_it_is_started_again(tmp_path: Path) -> None:
    task = worlds.write_task(tmp_path, SIZES, recipe={"name": "paper", "batches": 1, "loops": 1, "inner": 1})
    with serving(World().script) as server:
        command = induce(task, server.url, tmp_path / "run")
        assert code_of(command) == 0
        best, count = (tmp_path / "run" / "best.yaml").read_bytes(), len(server.requests)
        assert finish(begin(*command))[0] == 0
        assert len(server.requests) == count
    assert code_of(induce(task, "http://127.0.0.1:9/v1", tmp_path / "run")) == 0
    assert (tmp_path / "run" / "best.yaml").read_bytes() == best
