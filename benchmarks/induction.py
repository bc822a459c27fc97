"""What a search finds in planted worlds, a simulation: how often it mends what is known to be wrong, and at what cost.

Each run is one induction with a seed of its own for world, data and search; true scores are measured on 400 orders that
no search has looked at. Rates have Wilson's interval, means that of a bootstrap over runs, both at 95 %.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from planted import CHEAPER, FRESH, GAINED, Job, run

from flowbot.models.scripted.faults import FAULTS
from flowbot.search.compare import wilson

Runs = Sequence[Mapping[str, Any]]
SKILLED, HALF_GARBAGE = "fair", "half garbage"
BUDGETS = (0.10, 0.30)  # dollars, the same for both recipes: a tight bound, and one that suffices
ALONE = {"seeds": 1, "iterations": 1, "slate": 1, "children": 1}  # to hear who is blamed for the start itself
ABLATIONS: Mapping[str, Mapping[str, Any]] = {
    "race": {},
    "without the gate": {"gate": False},
    "without the taxonomy": {"taxonomy": False},
    "without structure": {"structure": False},
    "without composite edits": {"composite": False},
    "without model-free operators": {"model_free": False},
    "blame layer by layer": {"credit": "layers"},
    "without other seeds": {"seeds": 1},
}
BLAMED = ("missing_instruction", "missing_hop", "wrong_tool", "lossy_type", "small_loop", "bad_seed")
MIXED = ("missing_instruction", "lossy_type", "bad_seed", "blank", "nothing")
DUEL = tuple(FAULTS)
FEW_CALLS, FEW_ITEMS = (150, 300), 30


@dataclass(frozen=True)
class Size:
    """How many runs there are of each kind, for each fault."""

    faults: int
    nothing: int
    blame: int
    garbage: int
    duel: int
    scarce: int
    ablations: int

    @classmethod
    def of(cls, every: int) -> Size:
        """Return the same number for all."""
        return cls(*[every] * len(fields(cls)))


SHORT = Size(faults=8, nothing=40, blame=15, garbage=4, duel=5, scarce=5, ablations=3)
LONG = Size(faults=40, nothing=200, blame=200, garbage=40, duel=40, scarce=40, ablations=40)


def jobs(part: str, size: Size, only: str | None) -> list[Job]:
    """Return the runs of one part."""
    made: list[Job] = []
    for fault in [only] if only else FAULTS:
        if part == "faults":
            count = size.nothing if fault == "nothing" else size.faults
            made += [Job(fault, seed, label=SKILLED) for seed in range(count)]
        if part == "garbage":
            made += [Job(fault, seed, garbage=0.5, label=HALF_GARBAGE) for seed in range(size.garbage)]
        if part == "blame" and fault in BLAMED:
            made += [Job(fault, seed, settings=ALONE, label=SKILLED) for seed in range(size.blame)]
        if part == "duel" and fault in (only, *DUEL):
            made += [
                Job(fault, seed, recipe, usd=usd, label=f"{100 * usd:.0f} cents")
                for usd in BUDGETS
                for recipe in ("race", "paper")
                for seed in range(size.duel)
            ]
        if part == "scarce" and fault in (only, *MIXED):
            made += [
                Job(fault, seed, recipe, calls=calls, items=FEW_ITEMS, label=f"{calls} calls")
                for calls in FEW_CALLS
                for recipe in ("race", "paper")
                for seed in range(size.scarce)
            ]
        if part == "ablations" and fault in (only, *MIXED):
            made += [
                Job(fault, seed, settings=settings, label=name)
                for name, settings in ABLATIONS.items()
                for seed in range(size.ablations)
            ]
    return made


# ------------------------------------------------------------------ figures


def rate(found: Iterable[bool]) -> str:
    """Return a rate in percent with its interval; a dash where there is nothing."""
    given = list(found)
    if not given:
        return "-"
    low, high = wilson(sum(given) / len(given), len(given))
    return f"{100 * sum(given) / len(given):.0f} ({100 * low:.0f}..{100 * high:.0f})"


def mean(found: Iterable[float | None], digits: int = 0, scale: float = 1.0) -> str:
    """Return a mean with the interval of a bootstrap over runs; a dash where there is nothing."""
    import numpy as np

    given = np.array([scale * each for each in found if each is not None])
    if not given.size:
        return "-"
    draws = np.random.default_rng(0).integers(0, given.size, (4000, given.size))
    low, high = np.percentile(given[draws].mean(axis=1), (2.5, 97.5))
    return f"{given.mean():,.{digits}f} ({low:,.{digits}f}..{high:,.{digits}f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns; the first one has the names."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(f"  {line}" for line in lines)


def grouped(runs: Runs, *keys: str) -> Iterator[tuple[tuple[str, ...], Runs]]:
    """Yield the runs that are alike in some of their facts, in the order in which these first come."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for each in runs:
        groups.setdefault(tuple(str(each[key]) for key in keys), []).append(each)
    yield from groups.items()


def gained(each: Mapping[str, Any]) -> float | None:
    """Return the share of the gain that there is which a run found; None where there is none to find."""
    room = each["ceiling"] - each["start"]
    return (each["found"] - each["start"]) / room if room > 0.05 else None


# ------------------------------------------------------------------ tables


def of_faults(runs: Runs) -> str:
    """Return the table of repairs by fault."""
    head = (
        "fault",
        "runs",
        "repaired %",
        "within 3 iterations %",
        "iterations",
        "calls",
        "start",
        "found",
        "ceiling",
        "optimism",
    )
    rows: list[Sequence[str]] = [head]
    for (fault,), found in grouped(runs, "fault"):
        at = [each["repaired_at"] for each in found if each["repaired"]]
        labels = fault != "contradictory_labels"  # there the confirmation's labels are wrong as well
        flattery = [each["confirmed"] - each["finalist"] for each in found if labels and each["finalist"] is not None]
        rows.append(
            (
                fault,
                str(len(found)),
                rate(each["repaired"] for each in found),
                rate(each["repaired"] and (each["repaired_at"] or 0) <= 3 for each in found),
                mean(at, 1),
                mean(each["calls"] for each in found),
                mean((each["start"] for each in found), 1, 100),
                mean((each["found"] for each in found), 1, 100),
                mean((each["ceiling"] for each in found), 1, 100),
                mean(flattery, 1, 100),
            )
        )
    lines = [table(rows)]
    for fault in ("nothing", "contradictory_labels"):
        still = [each for each in runs if each["fault"] == fault]
        if still:
            worse = rate(each["found"] < each["start"] - 0.02 for each in still)
            other = rate(each["changed"] for each in still)
            lines.append(f"  {fault}: another workflow returned {other} %, a worse one {worse} %")
    return "\n".join(lines)


def of_blame(runs: Runs) -> str:
    """Return the table of who is blamed first, for the start itself."""
    rows: list[Sequence[str]] = [("fault", "runs", "first blame right %")]
    for (fault,), found in grouped(runs, "fault"):
        rows.append((fault, str(len(found)), rate(each["blame_right"] for each in found)))
    rows.append(("all", str(len(runs)), rate(each["blame_right"] for each in runs)))
    return table(rows)


def of_duel(runs: Runs) -> str:
    """Return the table of two recipes at one budget."""
    head = ("fault", "bound", "recipe", "runs", "repaired %", "found", "calls to the repair", "calls", "spent")
    rows: list[Sequence[str]] = [head]
    for (fault, bound, recipe), found in grouped(runs, "fault", "label", "recipe"):
        rows.append(
            (
                fault,
                bound,
                recipe,
                str(len(found)),
                rate(each["repaired"] for each in found),
                mean((each["found"] for each in found), 1, 100),
                mean(each["repaired_calls"] for each in found if each["repaired"]),
                mean(each["calls"] for each in found),
                mean((each["usd"] for each in found), 1, 100),
            )
        )
    return table(rows)


def of_ablations(runs: Runs) -> str:
    """Return the table of what each part of `race` is worth, over several faults together."""
    rows: list[Sequence[str]] = [("race", "runs", "repaired %", "of the gain %", "false accepts %", "calls")]
    for (label,), found in grouped(runs, "label"):
        faulty = [each for each in found if each["fault"] != "nothing"]
        still = [each["changed"] for each in found if each["fault"] == "nothing"]
        rows.append(
            (
                label,
                str(len(found)),
                rate(each["repaired"] for each in faulty),
                mean((gained(each) for each in faulty), 0, 100),
                rate(still),
                mean(each["calls"] for each in found),
            )
        )
    return table(rows)


PARTS: Mapping[str, tuple[str, Callable[[Runs], str]]] = {
    "faults": ("Faults, with a fair meta model (right in 80 % of what it says)", of_faults),
    "blame": ("Who is blamed first", of_blame),
    "garbage": ("Faults, with a meta model of whose replies half are useless", of_faults),
    "duel": ("Two recipes with the same cents, at 0.40 and 1.60 dollars a million tokens", of_duel),
    "scarce": (f"Two recipes with few calls, {FEW_ITEMS} examples of train and of validation", of_duel),
    "ablations": (f"What the parts of race are worth, over {', '.join(MIXED)}", of_ablations),
}


def main() -> int:
    """Run what is asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--short", action="store_true", help="a few runs of each kind, within 20 minutes (the default)")
    how.add_argument("--long", action="store_true", help="200 runs for blame and false accepts, 40 for all else")
    how.add_argument("--runs", type=int, metavar="N", help="N runs of each kind")
    parser.add_argument("--only", choices=[*FAULTS], metavar="FAULT", help=f"one of {', '.join(FAULTS)}")
    parser.add_argument("--part", choices=[*PARTS], action="append", help="one table; may be given again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the facts of all runs there, a line each")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    chosen = parser.parse_args()
    if (chosen.runs is not None and chosen.runs < 1) or chosen.workers < 1:
        parser.error("--runs and --workers must be at least 1")
    size = Size.of(chosen.runs) if chosen.runs else LONG if chosen.long else SHORT
    began = time.monotonic()
    written: list[str] = []
    print(
        f"Planted worlds: a simulation. Repaired: {GAINED:.0%} of what the hand-written workflow gains on {FRESH} fresh"
    )
    print(
        f"orders (useless_step: at most {CHEAPER:.0%} of the calls, no worse). Points of 100; 95 % intervals.",
        flush=True,
    )
    with multiprocessing.get_context("spawn").Pool(chosen.workers) as pool:
        for part in chosen.part or PARTS:
            wanted = jobs(part, size, chosen.only)
            if not wanted:
                continue
            runs = pool.map(run, wanted, chunksize=1)
            title, told = PARTS[part]
            print(f"\n{title}\n{told(runs)}\n  [{time.monotonic() - began:.0f} s]", flush=True)
            written += [json.dumps({"part": part} | each) for each in runs]
    if chosen.json:
        chosen.json.write_text("\n".join(written) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
