"""A long run's journal, made by hand: thousands of candidates, 100,000 runs, a gigabyte of replies."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from platform import node
from typing import Any

from flowbot.store.journal import SqliteJournal
from flowbot.workflow.graph import Workflow, build, plain_workflow

MODEL = "openai:fixed"
SLATE = 4  # candidates of an iteration
RUNG = 16  # examples of a race's first rung
WORDS = (
    "order",
    "parcel",
    "refund",
    "invoice",
    "team",
    "customer",
    "late",
    "wrong",
    "charge",
    "address",
    "error",
    "plan",
)


@dataclass(frozen=True)
class Size:
    """How long a run is. Of each slate one candidate is run on all of validation."""

    candidates: int = 2000
    val: int = 120
    train: int = 1000
    on_train: int = 8  # runs of a candidate on train
    megabytes: int = 1000  # of replies, about


@dataclass
class LongRun:
    """Writes the journal of a run that has not ended; the process that is named in it is this one."""

    folder: Path
    size: Size
    traces: int = 0
    _seq: int = 0
    _began: float = field(default_factory=time.time)
    _rng: random.Random = field(default_factory=lambda: random.Random(0))

    def write(self) -> Path:
        """Write the journal and return its file. Tables grow side by side, as in a run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "journal.sqlite"
        SqliteJournal(path).close()
        db = sqlite3.connect(path, isolation_level=None)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("PRAGMA wal_autocheckpoint=20000")
        slates = range(1, -(-self.size.candidates // SLATE) + 1)
        db.execute("BEGIN")
        self._open(db)
        for number in slates:
            self._iteration(db, number)
            self._replies(db, self.size.megabytes * 10**6 // len(slates))
            db.execute("COMMIT")
            db.execute("BEGIN")
        self._now(db)
        db.execute("COMMIT")
        db.close()
        return path

    @cached_property
    def start(self) -> Workflow:
        """The workflow of the start: four calls."""
        reads = ["message", "a.text", "b.text", "c.text"]
        steps = [
            {
                "id": name,
                "kind": "call",
                "reads": [source],
                "gives": {"text": "text"},
                "prompt": self._text(1200),
                "max_tokens": 64,
            }
            for name, source in zip("abcd", reads, strict=True)
        ]
        return build(name="long", model=MODEL, inputs={"message": "text"}, steps=steps, output="d.text")

    def _text(self, length: int) -> str:
        return " ".join(self._rng.choices(WORDS, k=length // 7))

    @property
    def _at(self) -> float:
        return self._began + 0.01 * self._seq

    def _event(self, db: sqlite3.Connection, kind: str, **facts: Any) -> None:
        value = json.dumps(facts, sort_keys=True)
        row = (self._seq, kind, value, self._at, 40 * self._seq)
        db.execute("INSERT INTO events (seq, kind, value, at, calls) VALUES (?,?,?,?,?)", row)
        self._seq += 1

    def _open(self, db: sqlite3.Connection) -> None:
        size, start = self.size, self.start
        for split, count in (("train", size.train), ("val", size.val)):
            for place in range(count):
                value = json.dumps({"inputs": {"message": self._text(600)}, "target": self._rng.choice(WORDS)})
                db.execute("INSERT INTO examples VALUES (?,?,?,?)", (split, place, f"{split}{place}", value))
        facts: dict[str, Any] = {"recipe": "race", "settings": {}, "train": size.train, "val": size.val, "seed": 0}
        self._event(db, "start", workflow=plain_workflow(start), **facts)
        self._event(db, "candidate", id=start.id, workflow=plain_workflow(start), parent=None, edits=[], hypothesis="")
        self._runs(db, start, size.val, 0.3)
        self._row(db, start, 0.3)
        self._event(db, "best", candidate=start.id, mean=0.3, why="the start")
        self._best = start

    def _iteration(self, db: sqlite3.Connection, number: int) -> None:
        """Write an iteration: what fails, a slate, its race, and the decision on the one that stays."""
        best, skill = self._best, min(0.9, 0.3 + 0.001 * number)
        clusters = [
            {
                "name": f"cluster {each}",
                "defect": "prompt",
                "rule": self._text(120),
                "examples": [f"train{self._rng.randrange(self.size.train)}" for _ in range(10)],
                "attempts": number,
            }
            for each in range(number // 50, number // 50 + 6)
        ]
        blame = [[step, 0.25] for step in "abcd"]
        told = {"number": number, "parent": best.id, "items": 10, "failed": 6}
        self._event(db, "iteration", **told, blame=blame, clusters=clusters)
        children = [best.with_prompts({"b": self._text(1200)}) for _ in range(SLATE)]
        self._event(db, "slate", number=number, children=[[child.id, "bullets"] for child in children])
        for child in children:
            plain = {"id": child.id, "workflow": plain_workflow(child), "parent": best.id}
            made = {"operator": "bullets", "clusters": [clusters[0]["name"]], "flips": [], "paid": {"calls": 1}}
            self._event(db, "candidate", **plain, edits=[self._text(80)], hypothesis=self._text(80), **made)
        last = children[-1]
        for child in children:
            self._runs(db, child, self.size.val if child is last else RUNG, skill)
        self._event(
            db,
            "race",
            number=number,
            items=RUNG,
            children=[[child.id, 0.01, 0.6, child is last] for child in children],
        )
        mean = self._row(db, last, skill)
        better = number % 20 == 0
        ids = [f"val{place}" for place in range(0, self.size.val, 7)]
        facts: dict[str, Any] = {
            "gain": 0.01,
            "p_gain": 0.9,
            "low": -0.01,
            "high": 0.03,
            "undecided": True,
            "why": "measured",
        }
        lists = {"fixed": ids, "broken": ids[:3], "hit": [], "missed": []}
        word = "accepted" if better else "rejected"
        self._event(db, "decision", number=number, candidate=last.id, decision=word, **facts, **lists)
        if better:
            self._best = last
            self._event(db, "best", candidate=last.id, mean=mean, why=f"iteration {number}")

    def _runs(self, db: sqlite3.Connection, workflow: Workflow, on_val: int, skill: float) -> None:
        value = json.dumps(plain_workflow(workflow))
        db.execute("INSERT OR IGNORE INTO workflows VALUES (?,?)", (workflow.id, value))
        places = self._rng.sample(range(self.size.train), self.size.on_train)
        drawn = [("val", f"val{at}") for at in range(on_val)] + [("train", f"train{at}") for at in places]
        for draw, example in drawn:
            score = float(self._rng.random() < skill)
            paid = (4, 1500, 0.0012, 1.5, self._at)
            row = (workflow.id, draw, example, score, 0, self._text(150), *paid)
            db.execute("INSERT OR REPLACE INTO traces VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)
            self.traces += 1
        words = json.dumps([{"blame": ["b"], "rule": self._text(200)}])
        db.execute("INSERT INTO notes VALUES (?,?,?,?,?)", (workflow.id, drawn[-1][1], "verdict", "iteration", words))

    def _row(self, db: sqlite3.Connection, workflow: Workflow, skill: float) -> float:
        scores: list[tuple[str, float]] = [
            (f"val{place}", float(self._rng.random() < skill)) for place in range(self.size.val)
        ]
        mean = sum(score for _, score in scores) / len(scores)
        cost = 0.001 + 0.001 * self._rng.random()
        told: dict[str, Any] = {"candidate": workflow.id, "split": "val", "mean": mean, "failed": 0, "cost": cost}
        self._event(db, "row", **told, scores=scores)
        return mean

    def _replies(self, db: sqlite3.Connection, size: int) -> None:
        """Write replies of about so many bytes in all."""
        for key, length in _lengths(self._rng, size):
            usage = {"calls": 1, "input_tokens": 300, "output_tokens": 90, "cached_tokens": 0, "usd": 0.0003}
            text = "x" * length
            value = json.dumps({"text": text, "usage": {**usage, "seconds": 0.4}, "mode": "json", "retries": 0})
            db.execute("INSERT OR IGNORE INTO calls VALUES (?,?,?,?)", (key, "task", value, self._at))

    def _now(self, db: sqlite3.Connection) -> None:
        facts: dict[str, Any] = {
            "name": "long",
            "description": "",
            "metric": "exact",
            "models": {MODEL: ""},
            "budget": {"usd": 100.0},
        }
        process = {"pid": os.getpid(), "host": node()}
        at = self._at
        db.execute("INSERT INTO now VALUES (?,?,?)", ("run", json.dumps(facts | process), at))
        db.execute("INSERT INTO now VALUES (?,?,?)", ("phase", json.dumps({"name": "race", "calls": {"task": 9}}), at))
        for purpose in ("task", "verdict", "proposal"):
            row = (purpose, MODEL, 40 * self._seq, 10**6, 10**5, 0, 12.5, 1e4, 3)
            db.execute("INSERT OR REPLACE INTO totals VALUES (?,?,?,?,?,?,?,?,?)", row)


def _lengths(rng: random.Random, size: int) -> Iterator[tuple[str, int]]:
    """Yield keys with the lengths of their replies, until so many bytes are full."""
    while size > 0:
        length = rng.choice((200, 1_000, 4_000, 20_000))
        yield f"{rng.getrandbits(128):032x}", length
        size -= length + 200
