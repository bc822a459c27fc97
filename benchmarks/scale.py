"""How memory grows with the number of examples: each count in a process of its own, from a generator of examples.

Everything runs as in a real run (session, SQLite journal, scores) but for the model, which answers at once. What grows
is the set of keys that are booked (about 150 bytes an example) and, up to its bound, SQLite's page cache. Exit code 1
where ten times the examples take more than 1.25 times the memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from figures import holds
from problem import MODEL, Fixed, examples, one_call, workers

from flowbot.faces.loop import start_loop
from flowbot.store.journal import SqliteJournal
from flowbot.store.session import Opened, RunSession

BOUND = 1.25
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


async def run(path: Path, count: int) -> None:
    """Run and score examples, keeping none."""
    journal = SqliteJournal(path)
    session = RunSession({MODEL: Opened(Fixed())}, journal)
    async for trace in workers(session, 32).evaluate(one_call(), examples(0, count), ""):
        assert trace.score is not None, trace.error
    journal.close()


def peak(count: int) -> int:
    """Return the peak of resident memory, in bytes, of a process that runs so many examples."""
    command = [sys.executable, __file__, "--count", str(count)]
    return int(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="500 and 5,000 examples rather than 2,000 and 20,000")
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.count is not None:
        with TemporaryDirectory() as folder:
            start_loop(run(Path(folder) / "journal.sqlite", options.count))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT)
        return 0
    few, many = (500, 5_000) if options.short else (2_000, 20_000)
    small, large = peak(few), peak(many)
    print(f"  {few:6,} examples  peak {small / 2**20:.1f} MiB")
    print(f"  {many:6,} examples  peak {large / 2**20:.1f} MiB")
    print(f"  {(large - small) / (many - few):.0f} bytes for each further example")
    return 0 if holds("the ratio of memory", large / small, BOUND, digits=3) else 1


if __name__ == "__main__":
    sys.exit(main())
