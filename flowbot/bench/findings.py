"""Findings: what a folder of records comes to, in numbers, by benchmark and over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from flowbot.bench.conditions import Gap, gaps, grouped, models_text, sizes_text, uneven, versions
from flowbot.bench.records import Paid, Record
from flowbot.bench.statistics import (
    LEVEL,
    Difference,
    Estimate,
    Friedman,
    Scores,
    critical_difference,
    difference,
    friedman,
    holm,
    mean,
    mean_ranks,
)
from flowbot.errors import InputError
from flowbot.names import nearest

REFERENCE = "race"
BLOCKS = 5  # fewer are too few for Friedman's test


@dataclass(frozen=True)
class Cost:
    """Calls, tokens, dollars (None: not known) and seconds, the sum of all latencies, of a search or of an example."""

    calls: float
    tokens: float
    usd: float | None
    seconds: float


@dataclass(frozen=True)
class Entry:
    """A method on one benchmark. `search` is what one search took, `wall` and `cpu` are seconds of its own process;
    `test` is what one test example took. `against` compares with the reference (`holm` is its corrected p), where both
    were run. `failed` of the estimate's items had no output, `refused` calls were turned away at the wall."""

    method: str
    score: Estimate
    failed: int
    search: Cost
    refused: int
    wall: float
    cpu: float
    test: Cost
    against: Difference | None = None
    holm: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`better` or `worse` where Holm's p is at most 5 % and the interval leaves out 0, else `tied`; empty where
        there is nothing to compare with."""
        if self.against is None or self.holm is None:
            return ""
        if self.holm > LEVEL or self.against.undecided:
            return "tied"
        return "better" if self.against.value > 0 else "worse"


@dataclass(frozen=True)
class Board:
    """A benchmark: its entries, the best first. `sizes`, `models` and `budgets` are those of its runs in words, and
    `uneven` says in what the runs are not alike."""

    name: str
    entries: tuple[Entry, ...]
    seeds: tuple[int, ...]
    sizes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    uneven: tuple[str, ...] = ()

    @property
    def fraction(self) -> bool:
        """True where all means lie in [0, 1]: then they are shown as percentages."""
        return all(each.score.low >= 0 and each.score.high <= 1 for each in self.entries)


@dataclass(frozen=True)
class Standing:
    """A method over all benchmarks: benchmarks won, tied and lost against the reference; `mean` is that of the shared
    cells' benchmarks, and it and `rank` are None where the method is left out of the ranks."""

    method: str
    mean: float | None
    rank: Estimate | None
    won: int
    tied: int
    lost: int


@dataclass(frozen=True)
class Overall:
    """All benchmarks together. Ranks are over `cells`, each a (benchmark, seed) that all ranked methods share; the
    tests are over `blocks`, which are benchmarks, or these cells where there are fewer than five benchmarks (`of`)."""

    standings: tuple[Standing, ...]
    cells: tuple[tuple[str, int], ...]
    left_out: tuple[str, ...]
    of: str
    blocks: int
    friedman: Friedman | None
    critical: float | None


@dataclass(frozen=True)
class Findings:
    """Everything that a report says. `versions` are those of packages, each with the methods that ran with it."""

    reference: str
    boards: tuple[Board, ...]
    overall: Overall
    gaps: tuple[Gap, ...]
    versions: Mapping[tuple[str, str], tuple[str, ...]]


def find(records: Sequence[Record], against: str = "") -> Findings:
    """Return what records come to, compared with the method `against`, else with `race`, else with the first method.

    Raises `InputError` where there are no records, two of one run, one without scores, or no such method.
    """
    _checked(records)
    there = [record for record in records if not record.missing]
    reference = _reference([record.method for record in records], [record.method for record in there], against)
    boards = tuple(_board(name, list(runs), reference) for name, runs in grouped(there, lambda each: each.benchmark))
    return Findings(reference, boards, _overall(boards, records), gaps(records), versions(there))


def _checked(records: Sequence[Record]) -> None:
    if not records:
        raise InputError("no records", "", "run some benchmarks first")
    seen: set[tuple[str, str, int]] = set()
    for each in records:
        name = f"{each.method} on {each.benchmark}, seed {each.seed}"
        if not each.missing and not each.scores:
            raise InputError("the record has neither scores nor the reason why", name, "remove it and run it again")
        if (key := (each.benchmark, each.method, each.seed)) in seen:
            raise InputError("two records of one run", name, "keep one of them")
        seen.add(key)


def _reference(methods: Sequence[str], run: Sequence[str], against: str) -> str:
    if against and against not in methods:
        known = ", ".join(dict.fromkeys(methods))
        raise InputError(f"no record is of the method '{against}'{nearest(against, methods)}", "", f"methods: {known}")
    if against:
        return against
    return REFERENCE if REFERENCE in run else (run or methods)[0]


def _scores(runs: Iterable[Record]) -> Scores:
    return {each.seed: each.scores for each in runs}


def _board(name: str, records: Sequence[Record], reference: str) -> Board:
    runs = dict(grouped(records, lambda each: each.method))
    against = _differences({method: _scores(found) for method, found in runs.items()}, reference)
    chances = dict(zip(against, holm([each.p for each in against.values()]), strict=True))
    seeds = tuple(sorted({each.seed for each in records}))
    entries = [_entry(method, runs[method], seeds, against.get(method), chances.get(method)) for method in runs]
    order = sorted(entries, key=lambda each: (-each.score.value, each.method))
    sizes, models, budgets = (
        tuple(dict.fromkeys(told))
        for told in (
            [sizes_text(each.sizes) for each in records],
            [models_text(each) for each in records],
            [each.budget.words or "no bounds" for each in records],
        )
    )
    return Board(name, tuple(order), seeds, sizes, models, budgets, uneven(records))


def _differences(scores: Mapping[str, Scores], reference: str) -> dict[str, Difference]:
    """Return the comparison of each method with the reference, where they share an item."""
    found: dict[str, Difference] = {}
    if start := scores.get(reference):
        for method, each in scores.items():
            if method != reference and any(start[seed].keys() & each[seed].keys() for seed in start if seed in each):
                found[method] = difference(start, each)
    return found


def _entry(
    method: str,
    runs: Sequence[Record],
    seeds: Sequence[int],
    against: Difference | None,
    chance: float | None,
) -> Entry:
    score = mean(_scores(runs))
    failed, refused = sum(each.failed for each in runs), sum(each.search.refused for each in runs)
    notes = list(dict.fromkeys(each.note for each in runs if each.note))
    if len(runs) < len(seeds):
        notes.append(f"{len(runs)} of {len(seeds)} seeds")
    if against is not None and against.items < score.items:
        notes.append(f"compared on the {against.items} of {score.items} items that both have")
    if refused:
        notes.append(f"{refused} calls refused at the budget's wall")
    return Entry(
        method,
        score,
        failed,
        _cost([each.search for each in runs], len(runs)),
        refused,
        sum(each.wall for each in runs) / len(runs),
        sum(each.cpu for each in runs) / len(runs),
        _cost([each.test for each in runs], score.items),
        against,
        chance,
        tuple(notes),
    )


def _cost(paid: Sequence[Paid], parts: int) -> Cost:
    """Return what one of so many parts took."""
    known = [each.usd for each in paid if each.usd is not None]
    usd = sum(known) / parts if len(known) == len(paid) else None
    tokens = sum(each.input_tokens + each.output_tokens for each in paid)
    calls, seconds = sum(each.calls for each in paid), sum(each.seconds for each in paid)
    return Cost(calls / parts, tokens / parts, usd, seconds / parts)


def _overall(boards: Sequence[Board], records: Sequence[Record]) -> Overall:
    there = {(each.benchmark, each.method) for each in records if not each.missing}
    methods = sorted({method for _, method in there})
    could_not = {each.method for each in records if each.missing and (each.benchmark, each.method) not in there}
    cells = _cells(records, [method for method in methods if method not in could_not])
    by_benchmark = {
        name: {method: _average([cells[place][method] for place in places]) for method in cells[places[0]]}
        for name, places in _by_name(cells)
    }
    ranks = mean_ranks(list(cells.values())) if cells else {}
    enough = len(by_benchmark) >= BLOCKS
    blocks = list(by_benchmark.values()) if enough else list(cells.values())
    tested = len(blocks) >= BLOCKS and len(ranks) > 2
    alike = all(board.fraction for board in boards)  # else their mean says nothing
    averages = {name: _average([each[name] for each in by_benchmark.values()]) for name in ranks} if alike else {}
    verdicts = [(each.method, each.verdict) for board in boards for each in board.entries]
    standings = [
        Standing(
            method,
            averages.get(method),
            ranks.get(method),
            *(verdicts.count((method, word)) for word in ("better", "tied", "worse")),
        )
        for method in methods
    ]
    return Overall(
        tuple(sorted(standings, key=lambda each: (each.rank.value if each.rank else len(methods) + 1, each.method))),
        tuple(cells),
        tuple(method for method in methods if method in could_not),
        "benchmarks" if enough else "cells",
        len(blocks),
        friedman(blocks) if tested else None,
        critical_difference(len(ranks), len(blocks)) if tested else None,
    )


def _cells(records: Sequence[Record], methods: Sequence[str]) -> dict[tuple[str, int], dict[str, float]]:
    """Return the mean scores by method of each (benchmark, seed) where all these methods were run, two at least."""
    means = {(each.benchmark, each.seed, each.method): each.mean for each in records if not each.missing}
    places = sorted({(benchmark, seed) for benchmark, seed, _ in means})
    if len(methods) < 2:
        return {}
    return {
        place: {method: means[*place, method] for method in methods}
        for place in places
        if all((*place, method) in means for method in methods)
    }


def _by_name(cells: Iterable[tuple[str, int]]) -> list[tuple[str, list[tuple[str, int]]]]:
    return [(name, list(group)) for name, group in groupby(cells, key=lambda place: place[0])]


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)
