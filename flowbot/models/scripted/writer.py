"""What the parts of the meta model share: the world's truth, and draws of skill that depend on the request alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from flowbot.models.scripted.faults import Planted, Steps
from flowbot.models.scripted.orders import Trade, draw, pick
from flowbot.models.scripted.trades import STAGES, Conventions

T = TypeVar("T")


@dataclass(frozen=True)
class Writer:
    """One reply in the making: `solution` is the hand-written workflow in the flat form, `key` the request."""

    trade: Trade
    planted: Planted
    solution: Steps
    seed: int
    skill: float
    key: str

    def skilled(self, what: str) -> bool:
        """Tell whether the model gets this right: True with the chance of its skill."""
        return draw(self.seed, "skill", what, self.key) < self.skill

    def pick(self, options: Sequence[T], what: str) -> T:
        """Return one of the options, by chance."""
        return pick(options, self.seed, what, self.key)

    def stated(self, text: str) -> tuple[int, ...]:
        """Return the numbers of the conventions that a text states; none where the work has none."""
        return self.trade.stated(text) if isinstance(self.trade, Conventions) else ()

    def line(self, number: int) -> str:
        """Return a convention as a rule."""
        assert isinstance(self.trade, Conventions)
        return self.trade.all[number].line

    def stage(self, number: int) -> int:
        """Return the place of a convention's stage in the line of work."""
        assert isinstance(self.trade, Conventions)
        return STAGES.index(self.trade.all[number].stage)
