"""What an iteration proposes: a slate of composite edits, by operators that the meta model writes and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from flowbot.engine.tasks import together
from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.memory import Memory
from flowbot.search.operators import OPERATORS
from flowbot.search.shapes import shapes
from flowbot.search.study import Study

FIRST = ("bullets", "fix", "structure")  # one slot each, the others are drawn
SAVING = ("cheaper", "model")  # what is left to try where validation is solved
FAVOUR = 4.0  # times as likely: an operator that is for the defect of the largest clusters
FOR: Mapping[str, Sequence[str]] = {
    "prompt": ("demos", "templates"),
    "parameter": ("parameter", "output_type"),
    "tool": ("parameter", "resketch"),
    "structure": ("resketch", "refine", "run_code", "contrast", "merge"),
    "capability": ("vote", "refine", "run_code", "model"),
}


@dataclass(frozen=True)
class Drawn:
    """Studies the parent, then lets operators propose: three have a slot each, others are drawn by gain per price."""

    memory: Memory

    async def propose(self, lab: Lab, parent: Candidate, number: int) -> Sequence[Candidate]:
        """Return the children, those of different operators first, none that is known already."""
        memory = self.memory
        found = await Study(memory).findings(lab, parent, number)
        memory.found = found
        lists: list[Sequence[Candidate]] = []
        for wanted in self.rounds(lab, found):
            lab.admit({"proposal": sum(each.meta for each in wanted)}, f"iteration {number}: proposals")
            made = await together([each.propose(lab, found) for each in wanted])
            for each, children in zip(wanted, made, strict=True):
                fresh = [child for child in children if child.id not in lab.known]
                memory.weights.proposed(each.name, bool(fresh))
                lists.append(fresh)
            if len(_dealt(lists)) >= memory.settings.slate:
                break
        if memory.restarting:
            memory.restarting = False
            seeds = shapes(lab) if memory.settings.structure else []
            lists.insert(0, [seed for seed in seeds if seed.id not in lab.known])
        children = _dealt(lists)[: memory.settings.children]
        await lab.tell("slate", number=number, children=[[child.id, child.operator] for child in children])
        return children

    def rounds(self, lab: Lab, found: Findings) -> list[list[Operator]]:
        """Return who proposes: a slate, then operators that cost nothing to ask, one by one, to fill it."""
        memory, settings = self.memory, self.memory.settings
        usable = [each for each in OPERATORS.values() if memory.uses(each.name, each.meta > 0, each.structural)]
        if memory.lean:
            usable = [each for each in usable if not each.meta]
        if memory.solved:
            usable = [each for each in usable if each.name in SAVING]
        first = [each for each in usable if each.name in FIRST and not memory.weights.rests(each.name)]
        drawn = [each for each in usable if each.name not in FIRST]
        order = memory.weights.order(
            [each.name for each in drawn], found.seed(lab, "operators"), _favoured(memory, found)
        )
        if memory.restarting:
            order.sort(key=lambda name: name != "resketch")
        ranked = [OPERATORS[name] for name in order if not memory.weights.rests(name)]
        first = first if found.clusters else []
        count = max(1, settings.slate - len(first))
        free = [each for each in ranked[count:] if not each.meta]
        slots = [each for pair in zip_longest(first, ranked[:count]) for each in pair if each is not None]
        return [slots, *([each] for each in free)]  # by turns: where few can be raced, one of either kind is among them


def _favoured(memory: Memory, found: Findings) -> dict[str, float]:
    """Return the operators that are for the defects of the open clusters, by the share of failures that have them."""
    clusters = memory.taxonomy.open
    total = sum(len(each.examples) for each in clusters) or 1
    favoured: dict[str, float] = {}
    for cluster in clusters:
        for name in FOR.get(cluster.defect, ()):
            favoured[name] = favoured.get(name, 1.0) + FAVOUR * len(cluster.examples) / total
    if not any(not cluster.hopeless for cluster in clusters):
        favoured["cheaper"] = 1.0 + FAVOUR  # nothing is left to gain but cost
    return favoured


def _dealt(lists: Sequence[Sequence[Candidate]]) -> list[Candidate]:
    """Return the candidates of all lists, the first of each before the second of any, each workflow once."""
    found: dict[str, Candidate] = {}
    for place in range(max(map(len, lists), default=0)):
        for row in lists:
            if place < len(row):
                found.setdefault(row[place].id, row[place])
    return list(found.values())
