"""The recipe `race`: structure and prompts searched together, every edit tested, the result confirmed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flowbot.search.compare import first_rung
from flowbot.search.confirm import Confirmed, hold_back, shuffled
from flowbot.search.lab import Candidate, Lab
from flowbot.search.memory import Memory, RaceSettings
from flowbot.search.operators import OPERATORS
from flowbot.search.policies import Policies
from flowbot.search.seeds import SURVIVE, Raced
from flowbot.search.slate import Drawn
from flowbot.search.taxonomy import sortings
from flowbot.search.trial import Rungs

FAILING = 0.4  # of the train items read, at the low end of an estimate
EXHAUSTED = 3  # attempts for a cluster that came to nothing


def race(lab: Lab, settings: RaceSettings) -> Policies:
    """Return the recipe's policies; the examples for confirmation leave the lab here."""
    held = hold_back(lab, settings)
    memory = Memory(settings, shuffled(lab, held), held=held)
    lab.kept_runs = len(memory.confirm)
    return Policies(Raced(memory), Stops(memory), Parents(memory), Drawn(memory), Rungs(memory), Confirmed(memory))


@dataclass(frozen=True)
class Parents:
    """Mostly the incumbent, else a member of the pool by instance wins, low cost and short prompts."""

    memory: Memory

    def choose(self, lab: Lab, number: int) -> Candidate:
        """Draw the parent of an iteration."""
        greedy = 0.0 if self.memory.restarting else self.memory.settings.greedy
        return self.memory.pool.draw(f"{lab.seed}|parent|{number}", greedy)


@dataclass(frozen=True)
class Stops:
    """Ends after enough iterations with nothing new, or where nothing is left that an edit could mend."""

    memory: Memory

    def reason(self, lab: Lab) -> str:
        """Say why to end; a first quiet time leads to a restart instead."""
        memory, settings = self.memory, self.memory.settings
        if memory.iterations >= settings.iterations:
            return f"{memory.iterations} iterations are through"
        if why := self._hopeless():
            return why
        if memory.quiet > 1 and memory.solved:
            return "on validation no further gain could be shown, and nothing cheaper was found"
        if memory.quiet < settings.patience:
            return ""
        if memory.restarts < settings.restarts and memory.taxonomy.open:
            memory.restarts, memory.quiet, memory.restarting = memory.restarts + 1, 0, True
            return ""
        after = " after a restart" if memory.restarts else ""
        return f"{memory.quiet} iterations brought nothing new{after}"

    def _saved(self) -> bool:
        """Tell whether it was tried to do the same with less, where that may be."""
        memory = self.memory
        record = memory.weights.of("cheaper")
        one = len(memory.pool.best.candidate.workflow.all_steps) == 1
        return one or not memory.uses("cheaper", meta=True, structural=True) or record.raced + record.empty > 0

    def _hopeless(self) -> str:
        """Say so where most failures are of wrong labels or of what the model cannot do, and the rest was tried."""
        clusters = self.memory.taxonomy.open
        lost = [each for each in clusters if each.hopeless]
        left = [
            each for each in clusters if not each.hopeless and len(each.examples) > 1 and len(each.attempts) < EXHAUSTED
        ]
        count, total = (sum(len(each.examples) for each in some) for some in (lost, clusters))
        if left or self.memory.quiet < 2 or count * 2 < total or not lost or not self._saved():
            return ""
        names = " and ".join(sorted({each.defect for each in lost}))
        return f"only failures of {names} are left ({count} on train), which no edit mends"


def race_calls(settings: RaceSettings, train: int, val: int, calls: int, later: int) -> Mapping[str, int]:
    """Return the calls by purpose of a whole search: `calls` LLM calls a workflow before, `later` after its edits.

    A few iterations at the low end (`later` = `calls`), where no seed goes on; all of them at the high end.
    """
    total = train + val
    held = 0 if total < settings.confirm_least else min(settings.confirm_items, round(total / 3))
    train, val = train - round(held * train / total), val - round(held * val / total)
    high = later > calls
    rounds = settings.iterations if high else min(settings.iterations, settings.patience)
    first, second = settings.seed_items
    seeds = settings.seeds - 1 if settings.structure else 0
    runs = val + seeds * 2 + (seeds * min(first, val) + min(SURVIVE[0], seeds) * min(second, val)) * high
    runs += min(SURVIVE[1], seeds) * val * high
    rung = first_rung(settings.rungs, val)
    raced = settings.slate * (rung + (val - rung) / (2 if high else 5))
    runs += rounds * (min(settings.traces, train) + raced) + 2 * held
    read = settings.credit == "verdicts"
    failing = round((1.0 if high else FAILING) * min(settings.traces, train)) * read
    named = [OPERATORS[name] for name in settings.operators] or list(OPERATORS.values())
    asked = rounds * min(settings.slate, sum(operator.meta for operator in named))
    sketch = bool(seeds) and any(operator.name == "resketch" for operator in named)
    found = {
        "task": round(runs * later),
        "verdict": rounds * failing,
        "taxonomy": rounds * sortings(failing) * settings.taxonomy,
        "proposal": asked,
        "workflow_update": int(sketch),
        "prompt_init": 2 * sketch,
    }
    return {purpose: count for purpose, count in found.items() if count}


__all__ = ["Parents", "RaceSettings", "Stops", "race", "race_calls"]
