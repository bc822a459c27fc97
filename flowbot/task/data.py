"""Examples and splits: values only; reading files is the store's work."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowbot.workflow.fields import Json, is_map

SPLITS = ("train", "val", "test", "guard")  # `guard`: examples that may not get worse
HIDDEN = "tests"  # the part of a target that no model reads


@dataclass(frozen=True)
class Example:
    """One row: an id, the inputs by name, the expected value."""

    id: str
    inputs: Mapping[str, Json] = field(hash=False)
    target: Json = field(default=None, hash=False)
    row: Mapping[str, Json] = field(default_factory=dict[str, Json], hash=False, compare=False, repr=False)

    @property
    def shown(self) -> Json:
        """The expected value as a model may read it: the `tests` of a target with parts stay hidden."""
        if not is_map(self.target):
            return self.target
        return {name: "(hidden)" if name == HIDDEN else value for name, value in self.target.items()}


Splits = Mapping[str, tuple[Example, ...]]


def split_examples(
    examples: Sequence[Example], shares: Mapping[str, float], seed: int
) -> dict[str, tuple[Example, ...]]:
    """Deal examples into named splits by seeded shares.

    The deal depends on ids and seed alone, not on the order of the rows. Shares are fractions that sum to at most 1;
    what is left over is not used. Raises ValueError where a share leaves its split empty.
    """
    if not shares or any(share <= 0 for share in shares.values()) or sum(shares.values()) > 1 + 1e-9:
        raise ValueError(f"the shares {dict(shares)} must be positive and sum to at most 1")
    deck = sorted(examples, key=lambda example: example.id)
    random.Random(f"{seed}|split").shuffle(deck)
    splits: dict[str, tuple[Example, ...]] = {}
    start, reach = 0, 0.0
    for name, share in shares.items():
        reach += share
        end = round(reach * len(deck))
        splits[name] = tuple(deck[start:end])
        if not splits[name]:
            raise ValueError(f"the split '{name}' gets none of {len(deck)} rows: give it a larger share or more rows")
        start = end
    return splits


def unfolded(value: Json) -> Json:
    """Return a list or a map that is written as JSON text, as in a CSV file; anything else as it is."""
    return parsed(value) if isinstance(value, str) and value.lstrip()[:1] in ("[", "{") else value


def parsed(text: str) -> Json:
    """Return what a JSON text holds; a text that is no JSON as it is."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
