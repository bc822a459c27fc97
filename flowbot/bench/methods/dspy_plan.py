"""How large a search with MIPROv2 is: the dearest of DSPy's presets that the budget pays for, else a smaller one."""

from __future__ import annotations

import math
from dataclasses import dataclass

PRESETS = {"heavy": (18, 1000), "medium": (12, 300), "light": (6, 100)}  # candidates, validation examples at most
SMALL, MINIBATCH = 50, 35  # validation examples up to which each trial takes all, and how many it takes beyond
LIGHT = 6  # candidates of the preset `light`
FEWEST = 3  # candidates: the start, labelled and bootstrapped demos
LEAST = 10  # validation examples that a smaller search is measured on, where there are so many
SETS = 5  # examples that a set of demos is bootstrapped from, as DSPy estimates it
ASKED = 20  # requests of MIPROv2's proposals that are not per candidate: data summary, program


@dataclass(frozen=True)
class Plan:
    """The size of a search: a preset by name, or candidates, trials and validation examples."""

    auto: str = ""
    candidates: int = 0
    trials: int = 0
    size: int = 0

    def runs(self, examples: int, calls: int) -> int:
        """Return how many runs of a program of so many calls it takes, by DSPy's own estimate."""
        if not self.auto:
            return runs_of(self.candidates, self.trials, self.size, calls)
        candidates, most = PRESETS[self.auto]
        return runs_of(candidates, trials_for(candidates, calls), min(examples, most), calls)


def runs_of(candidates: int, trials: int, size: int, calls: int) -> int:
    """Return how many runs of the program MIPROv2 takes, its proposals counted as such: DSPy's own estimate."""
    full = 0 if size <= SMALL else (trials // 5 + 1) * size
    proposals = (ASKED + 2 * candidates * calls) // calls
    return candidates * SETS + proposals + size + trials * (size if size <= SMALL else MINIBATCH) + full


def trials_for(candidates: int, calls: int) -> int:
    """Return the trials that DSPy recommends for so many candidates of so many predictors, with demos."""
    return int(max(2 * 2 * calls * math.log2(candidates), 1.5 * candidates))


def plan(limit: int | None, examples: int, calls: int) -> Plan:
    """Return the dearest preset that so many runs of the program pay for, else a smaller search than `light`.

    That has as many validation examples as it can, and gives up candidates where these would be fewer than ten.
    """
    if limit is None:
        return Plan("light")
    for auto in PRESETS:
        if Plan(auto).runs(examples, calls) <= limit:
            return Plan(auto)
    for candidates in range(LIGHT, FEWEST - 1, -1):
        trials = trials_for(candidates, calls)
        most = range(1, min(examples, PRESETS["light"][1]) + 1)
        sizes = [size for size in most if runs_of(candidates, trials, size, calls) <= limit]
        if sizes and (sizes[-1] >= min(LEAST, examples) or candidates == FEWEST):
            return Plan("", candidates, trials, sizes[-1])
    return Plan("", FEWEST, trials_for(FEWEST, calls), min(LEAST, examples))
