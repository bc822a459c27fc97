"""What the page waits for: each answer about a long run, whose journal has 1 GB, read from a desk opened just now.

The journal is made first: 2,000 candidates, 100,000 runs of a workflow on an example. Exit code 1 where an answer takes
more than 2 s, its JSON included.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from figures import holds, spread
from long_run import LongRun, Size
from pydantic import TypeAdapter

from flowbot.faces.ui.book import Book
from flowbot.faces.ui.desk import Desk

BOUND = 2.0  # seconds
RUN = "long"


def questions(book: Book, seq: int, ids: tuple[str, str, str]) -> dict[str, Callable[[], Any]]:
    """Return what the page asks of a run that is open, by name; `ids` are the start, an early and a late candidate."""
    start, early, late = ids
    return {
        "what is new of the run": lambda: book.run(seq - 40),
        "a sign of life": book.pulse,
        "an early candidate": lambda: book.candidate(early),
        "the last candidate": lambda: book.candidate(late),
        "validation, 2 candidates": lambda: book.examples("val", [start, late]),
        "train, by a difference": lambda: book.examples("train", [start, late], f"{late}-{start}", True),
        "train, the last window": lambda: book.examples("train", [start, late], offset=900),
        "a text searched in train": lambda: book.examples("train", [start, late], find="Parcel refund"),
        "an example with its runs": lambda: book.example("val", "val7"),
    }


def seconds(question: Callable[[], Any]) -> tuple[float, float, int]:
    """Return how long an answer takes as JSON, its CPU time, and how many bytes it has."""
    began, used = time.perf_counter(), time.process_time()
    size = len(TypeAdapter(Any).dump_json(question()))
    return time.perf_counter() - began, time.process_time() - used, size


def measure(root: Path, rounds: int) -> dict[str, list[tuple[float, float, int]]]:
    """Return (seconds, CPU seconds, bytes) of each answer by name, for each of some desks."""
    found: dict[str, list[tuple[float, float, int]]] = {}

    def asked(name: str, question: Callable[[], Any]) -> None:
        found.setdefault(name, []).append(seconds(question))

    for _ in range(rounds):
        desk = Desk(root)
        asked("the list of runs", desk.runs)
        asked("the run, opened", lambda desk=desk: desk.book(RUN).run())
        book = desk.book(RUN)
        asked("the run again", book.run)
        run = book.run()
        listed = [line.id for line in run.candidates]
        for name, question in questions(book, run.seq, (listed[0], listed[60], listed[-1])).items():
            asked(name, question)
        desk.close()
    return found


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="100 MB, 200 candidates and 10,000 runs, once")
    short = parser.parse_args().short
    size = Size(200, 120, 1000, 8, 100) if short else Size()
    with TemporaryDirectory() as folder:
        made = LongRun(Path(folder) / RUN, size)
        began = time.perf_counter()
        path = made.write()
        took, large = time.perf_counter() - began, path.stat().st_size / 1e6
        print(f"{size.candidates} candidates, {made.traces} runs, {large:.0f} MB (made in {took:.0f} s)")
        found = measure(Path(folder), 1 if short else 3)
    print("seconds until the answer is there, median (min..max); CPU of them; size")
    medians: dict[str, float] = {}
    for name, rows in found.items():
        waited, used = [row[0] for row in rows], [row[1] for row in rows]
        medians[name] = median(waited)
        print(f"  {name:26}  {spread(waited, 3)}  {median(used):6.3f}  {rows[0][2] / 1000:9,.0f} kB")
    slowest = max(medians, key=medians.__getitem__)
    return 0 if holds(f"the slowest answer ({slowest}), in s", medians[slowest], BOUND) else 1


if __name__ == "__main__":
    sys.exit(main())
