"""How long `flowbot --help` takes to start, against bare Python, by turns. Exit code 1 where it is over 0.15 s more."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from statistics import median

from figures import holds, spread

BOUND = 0.15  # seconds above bare Python
COMMANDS = {
    "python -c pass": ("-c", "pass"),
    "import flowbot": ("-c", "import flowbot"),
    "flowbot --help": ("-c", "from flowbot.faces.cli import main; main()", "--help"),
}


def seconds(arguments: tuple[str, ...]) -> float:
    """Return the wall time of one process; its modules are compiled as those of an installed package are."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environ, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="5 runs rather than 15")
    runs = 5 if parser.parse_args().short else 15
    for arguments in COMMANDS.values():
        seconds(arguments)  # compiles what was not compiled yet
    found = [{name: seconds(arguments) for name, arguments in COMMANDS.items()} for _ in range(runs)]
    print(f"{runs} runs by turns; median (min..max)")
    for name in COMMANDS:
        print(f"  {name:14}  {spread([each[name] for each in found], 3)} s")
    bare, *_, whole = COMMANDS
    above = median(each[whole] for each in found) - median(each[bare] for each in found)
    return 0 if holds(f"{whole} above {bare}, in s", above, BOUND, digits=3) else 1


if __name__ == "__main__":
    sys.exit(main())
