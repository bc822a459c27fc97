"""Conditions: under which models, budgets, sizes and packages runs were made, whether alike, and what is lacking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from flowbot.bench.records import Record
from flowbot.task.task import BudgetSpec


@dataclass(frozen=True)
class Gap:
    """Runs that have no scores: `why` they could not be run, empty where their records are not there (yet)."""

    benchmark: str
    method: str
    seeds: tuple[int, ...]
    why: str = ""


def grouped(records: Iterable[Record], key: Callable[[Record], str]) -> list[tuple[str, tuple[Record, ...]]]:
    """Return records by a key, both in order, those of a group by seed."""
    ordered = sorted(records, key=lambda each: (key(each), each.seed))
    return [(name, tuple(found)) for name, found in groupby(ordered, key=key)]


def uneven(records: Sequence[Record]) -> tuple[str, ...]:
    """Say what is not the same for all runs of a benchmark, and the test items that are not for those of a seed."""
    parts: Mapping[str, Callable[[Record], str]] = {
        "models": models_text,
        "sizes": lambda each: sizes_text(each.sizes),
    }
    found: list[str] = []
    for name, told in parts.items():
        kinds = {text: sorted({each.method for each in runs}) for text, runs in grouped(records, told)}
        if len(kinds) > 1:
            said = "; ".join(f"{text or 'none'} ({', '.join(methods)})" for text, methods in kinds.items())
            found.append(f"not the same {name}: {said}")
    free = sorted({each.method for each in records if each.budget == BudgetSpec()})
    bound = [each for each in records if each.method not in free]
    if free and bound:
        found.append(f"no budget: {', '.join(free)}")
    if seeds := _differing(bound, lambda each: each.budget.model_dump_json()):
        found.append(f"not the same budget with {seeds_text(seeds)}")
    if seeds := _differing(records, lambda each: "\0".join(sorted(each.scores))):
        found.append(f"not the same test items with {seeds_text(seeds)}: what is compared is what both have")
    return tuple(found)


def _differing(records: Sequence[Record], key: Callable[[Record], str]) -> list[int]:
    """Return the seeds whose runs are not alike in something."""
    kinds: dict[int, set[str]] = {}
    for each in records:
        kinds.setdefault(each.seed, set()).add(key(each))
    return sorted(seed for seed, found in kinds.items() if len(found) > 1)


def models_text(record: Record) -> str:
    """Return the models of a run in words."""
    return f"{record.model}, meta {record.meta}" if record.meta and record.meta != record.model else record.model


def sizes_text(sizes: Mapping[str, int]) -> str:
    """Return the examples by split in words."""
    return ", ".join(f"{split} {count:,}" for split, count in sizes.items())


def seeds_text(seeds: Sequence[int]) -> str:
    """Return seeds in words."""
    return f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def gaps(records: Sequence[Record]) -> tuple[Gap, ...]:
    """Return the runs that could not be made, and those that others' methods, benchmarks and seeds lead to expect."""
    could_not: dict[tuple[str, str, str], list[int]] = {}
    for each in sorted(records, key=lambda each: (each.benchmark, each.method, each.seed)):
        if each.missing:
            could_not.setdefault((each.benchmark, each.method, each.missing), []).append(each.seed)
    found = [Gap(benchmark, method, tuple(seeds), why) for (benchmark, method, why), seeds in could_not.items()]
    there = {(each.benchmark, each.method, each.seed) for each in records}
    methods = sorted({each.method for each in records})
    for benchmark, runs in grouped(records, lambda each: each.benchmark):
        expected = sorted({each.seed for each in runs})
        for method in methods:
            if seeds := tuple(seed for seed in expected if (benchmark, method, seed) not in there):
                found.append(Gap(benchmark, method, seeds))
    return tuple(found)


def versions(records: Sequence[Record]) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the methods that ran with each version of each package."""
    found: dict[tuple[str, str], set[str]] = {}
    for each in records:
        for pair in each.versions.items():
            found.setdefault(pair, set()).add(each.method)
    return {pair: tuple(sorted(found[pair])) for pair in sorted(found)}
