"""Which operator is worth a try: drawn by what it gained before, for what it cost (Thompson sampling)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

UNUSABLE = 3  # proposals in a row that made nothing, after which an operator rests
REST = 4  # iterations


@dataclass(frozen=True)
class Record:
    """What an operator did so far: candidates raced, what they were worth (1: taken on), and what they cost.

    `price` is in runs of the parent on one example; `empty` counts the proposals since the last one of use.
    """

    raced: int = 0
    worth: float = 0.0
    price: float = 0.0
    empty: int = 0
    rests: int = 0


@dataclass
class Weights:
    """The records of all operators. Draws depend on the seed given and on the records alone."""

    records: dict[str, Record] = field(default_factory=dict[str, Record])

    def of(self, name: str) -> Record:
        """Return an operator's record."""
        return self.records.get(name, Record())

    def order(self, names: Iterable[str], seed: str, favoured: Mapping[str, float]) -> list[str]:
        """Return operators, the most promising draw first: Beta(1 + worth, 1 + rest) for the mean price of a try.

        `favoured` multiplies the draw of operators that mend what is wrong now.
        """
        rng = random.Random(seed)
        prices = [record.price / record.raced for record in self.records.values() if record.raced]
        usual = sum(prices) / len(prices) if prices else 1.0

        def draw(name: str) -> float:
            record = self.of(name)
            luck = rng.betavariate(1 + record.worth, 1 + max(0.0, record.raced - record.worth))
            price = (record.price + usual) / (record.raced + 1)  # one usual try more, so that a first one says little
            return luck * favoured.get(name, 1.0) * (usual / price if price else 1.0)

        drawn = {name: draw(name) for name in names}
        return sorted(drawn, key=lambda name: -drawn[name])

    def rests(self, name: str) -> bool:
        """Tell whether an operator rests in this iteration, because it made nothing for some time."""
        record = self.of(name)
        if record.empty < UNUSABLE:
            return False
        self.records[name] = (
            replace(record, rests=record.rests + 1) if record.rests < REST else replace(record, rests=0)
        )
        return record.rests < REST

    def proposed(self, name: str, usable: bool) -> None:
        """Note whether a proposal made anything that can be tried."""
        record = self.of(name)
        self.records[name] = replace(record, empty=0, rests=0) if usable else replace(record, empty=record.empty + 1)

    def raced(self, name: str, worth: float, price: float) -> None:
        """Note what came of a candidate."""
        record = self.of(name)
        self.records[name] = replace(
            record, raced=record.raced + 1, worth=record.worth + worth, price=record.price + price
        )
