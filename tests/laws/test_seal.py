"""Law 5: the test split is sealed; it is read once, at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import pytest

from flowbot.faces.induction import Result, run_induction
from flowbot.faces.problem import read_problem
from flowbot.search.lab import Candidate, Lab
from flowbot.store.splits import splits_of
from flowbot.task.data import Example
from tests import worlds
from tests.laboratory import Laboratory
from tests.worlds import World


class Sealed(Sequence[Example]):
    """A split whose examples may be counted, and read only once the seal is open."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples, self.open, self.reads = examples, False, 0

    def __len__(self) -> int:
        return len(self.examples)

    @overload
    def __getitem__(self, at: int) -> Example: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Example]: ...
    def __getitem__(self, at: int | slice) -> Example | Sequence[Example]:
        self._look()
        return self.examples[at]

    def __iter__(self) -> Iterator[Example]:
        self._look()
        return iter(self.examples)

    def _look(self) -> None:
        assert self.open, "the test split was read before the end"
        self.reads += 1


def induce(world: World, sealed: bool = True, **task: Any) -> tuple[Result, Sealed, list[Mapping[str, Any]]]:
    """Run with a sealed test split, which opens when the test is announced."""
    made = worlds.task(**task)
    splits = dict(splits_of(made, worlds.data()).splits)
    test = Sealed(splits["test"])
    test.open = not sealed
    problem = read_problem(made, worlds.Path(), {**splits, "test": test})
    heard: list[Mapping[str, Any]] = []

    def hear(event: Mapping[str, Any]) -> None:
        heard.append(event)
        test.open = test.open or event.get("phase") == "test"

    patch = pytest.MonkeyPatch()
    worlds.shelved(patch, world)
    try:
        return asyncio.run(run_induction(problem, None, None, hear)), test, heard
    finally:
        patch.undo()


@pytest.mark.parametrize("moves", [[], ["output_type", "demos"]])
def test_nothing_reads_it_before_the_end(moves: list[str]) -> None:
    result, test, heard = induce(World(calls=2), recipe={"name": "paper", "inner": 2, "moves": moves})
    assert result.tables["test"].n == 6
    assert test.reads == 2  # the start and the best
    assert [event["phase"] for event in heard if event["kind"] == "phase"][-1] == "test"


def test_no_request_before_the_end_holds_a_word_of_it() -> None:
    world = World(calls=2)
    _, _, heard = induce(world, sealed=False, recipe={"name": "paper", "inner": 2, "moves": ["demos"]})
    items = {f"item {2000 + n}" for n in range(6)}
    asked = [any(item in message["content"] for item in items for message in r.messages) for r in world.requests]
    assert sum(asked) == 6 * 1 + 6 * 2
    assert asked == sorted(asked)  # all of them stand at the end
    assert not any(item in str(event) for item in items for event in heard if event["kind"] != "open")


def test_where_start_is_best_it_is_read_once() -> None:
    result, test, _ = induce(World(), recipe={"name": "paper", "loops": 0})
    assert result.best == result.start
    assert test.reads == 1


def test_the_lab_has_nothing_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Laboratory(World())

    async def measure(lab: Lab) -> None:
        shown = repr(vars(lab))
        assert "train0" in shown
        assert "item 2000" not in shown
        with pytest.raises(KeyError):
            await lab.measure(Candidate(lab.start), "test")

    place.work(monkeypatch, measure)
