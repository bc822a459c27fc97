"""The README's own two commands, and its figures: filled in, and consistent with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = r"[+-]?\d+(?:\.\d+)?"


@pytest.mark.parametrize("target", ["demo", "test"])
def test_the_two_commands_are_there(target: str) -> None:
    assert re.search(rf"^make {target}\b", TEXT, re.MULTILINE)
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    make = shutil.which("make")
    if make is None:
        pytest.skip("make is not installed")
    done = subprocess.run([make, "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_is_short() -> None:
    assert len(TEXT.splitlines()) <= 150


def test_no_figure_is_missing() -> None:
    assert re.findall(r"TODO-[\w-]+", TEXT) == []


def tables() -> list[list[list[str]]]:
    """Return the tables of results (those whose head names a sealed test), as cells."""
    found: list[list[list[str]]] = []
    for head in re.finditer(r"^\|[^\n]*sealed test[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", TEXT, re.MULTILINE):
        body = head[0].splitlines()
        found.append([[cell.strip() for cell in line.strip("|").split("|")] for line in (body[0], *body[2:])])
    return found


def test_there_is_a_table_of_results() -> None:
    assert [len(table) for table in tables()] == [4]


@pytest.mark.parametrize("table", tables(), ids=["routing"])
def test_a_table_of_results_is_consistent(table: list[list[str]]) -> None:
    """Scores are whole examples of the test; the gain is their difference and lies in its interval."""
    if any("TODO-" in cell for row in table for cell in row):
        pytest.skip("not filled in yet")
    head, start, best, *_ = table
    count = int(re.findall(r"sealed test of (\d+)", head[0])[0])
    scores = [number(row[1]) for row in table[1:]]
    for score in scores:
        assert abs(score - 100 * round(score * count / 100) / count) <= 0.051
    gain, (low, high) = number(best[2]), [number(part) for part in best[3].split(" to ")]
    assert abs(gain - (number(best[1]) - number(start[1]))) <= 0.11
    assert low <= gain <= high


def test_the_confirmation_is_quoted_with_its_interval() -> None:
    found = re.search(r"had not seen, before the test: (\S+) to (\S+) % \((\S+) to (\S+)\)", TEXT)
    assert found is not None
    start, best, low, high = (float(each) for each in found.groups())
    assert low <= best - start <= high


def number(cell: str) -> float:
    """Return the number in a cell such as `81.3 %`."""
    found = re.search(NUMBER, cell.replace("\u2212", "-"))
    assert found is not None, cell
    return float(found[0])
