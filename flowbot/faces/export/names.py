"""Names in an exported program: each thing of a workflow has one, and no two the same."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowbot.faces.export.parts import reserved

LONGEST = 40  # characters of a name, before a number that tells it from another


@dataclass
class Names:
    """Names given so far, by what they stand for: `step:plan`, `value:plan.parts`, `prompt:plan`."""

    given: dict[str, str] = field(default_factory=dict[str, str])
    taken: set[str] = field(default_factory=lambda: set(reserved()))

    def step(self, step_id: str) -> str:
        """Return the name of a step's function."""
        return self._of(f"step:{step_id}", step_id)

    def value(self, source: str) -> str:
        """Return the name of the variable with what a reference reads; `item` is its own."""
        if source == "item":
            return source
        wish = source.replace(".", "_")
        return self._of(f"value:{source}", f"input{wish}" if wish.startswith("_") else wish)

    def constant(self, step_id: str, what: str) -> str:
        """Return the name of a constant of a step: its `prompt`, its `demos`."""
        return self._of(f"{what}:{step_id}", f"{step_id}_{what}".upper())

    def model(self, name: str) -> str:
        """Return the name of the constant of a model, the first of which is `MODEL`."""
        return self._of(f"model:{name}", "MODEL")

    def _of(self, what: str, wish: str) -> str:
        if what not in self.given:
            wish = wish[:LONGEST]
            names = (wish, *(f"{wish}_{number}" for number in range(2, 10_000)))
            self.given[what] = next(name for name in names if name not in self.taken)
            self.taken.add(self.given[what])
        return self.given[what]
