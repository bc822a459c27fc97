"""Induction by a recipe: the loop that all recipes share, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flowbot.errors import InputError
from flowbot.money import BudgetReached
from flowbot.names import nearest
from flowbot.search.lab import Lab, Outcome, Row
from flowbot.search.paper import PaperSettings, expected_calls, paper
from flowbot.search.policies import Policies, search
from flowbot.search.race import RaceSettings, race, race_calls
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import plain_workflow, problems_of
from flowbot.workflow.value import Value


@dataclass(frozen=True)
class Recipe:
    """A search strategy: its settings, its policies, and how many calls it expects to make.

    `expected(settings, train, val, calls, later)` gives calls by purpose for a workflow of so many calls before and
    after the edits.
    """

    settings: type[Value]
    policies: Callable[[Lab, Any], Policies]
    expected: Callable[..., Mapping[str, int]]


RECIPES: Mapping[str, Recipe] = {
    "race": Recipe(RaceSettings, race, race_calls),
    "paper": Recipe(PaperSettings, paper, expected_calls),
}


@dataclass(frozen=True)
class Found:
    """What a search ended with: the best row, and why it ended (`done` or `budget`, with the reason in words).

    `outcome` says how the best was tested at the end, where the recipe does that; `front` are the rows that no other
    beats on score and cost, the cheapest first.
    """

    best: Row | None
    ended: str
    why: str = ""
    outcome: Outcome | None = None
    front: tuple[Row, ...] = ()


def recipe_settings(name: str, settings: Mapping[str, Json]) -> Value:
    """Return a recipe's settings; raise `InputError` for an unknown recipe or setting."""
    if name not in RECIPES:
        raise InputError(f"unknown recipe '{name}'{nearest(name, RECIPES)} (recipes: {', '.join(RECIPES)})", "recipe")
    kind = RECIPES[name].settings
    try:
        return kind.model_validate(dict(settings))
    except ValidationError as error:
        first = problems_of(error)[0]
        if not first["loc"]:
            raise InputError(f"the settings of the recipe '{name}': {first['msg']}", "recipe") from None
        key = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields)
            others = [each for each, recipe in RECIPES.items() if key in recipe.settings.model_fields]
            if others:
                raise InputError(
                    f"'{key}' is a setting of the recipe '{others[0]}', and this one is '{name}'", "recipe"
                ) from None
            raise InputError(
                f"the recipe '{name}' has no setting '{key}'{nearest(key, kind.model_fields)} ({known})", "recipe"
            ) from None
        said = "a value of it is missing" if first["type"] == "missing" else first["msg"]
        usual = json.dumps(kind.model_fields[key].get_default(call_default_factory=True))
        raise InputError(said, f"recipe.{key}", f"its default is {key}: {usual}") from None


async def induce(lab: Lab, recipe: str, settings: Value) -> Found:
    """Search by a recipe; return the best so far, also where the budget ends it. Raises `EndpointError`."""
    await lab.tell(
        "start",
        recipe=recipe,
        settings=settings.model_dump(mode="json"),
        workflow=plain_workflow(lab.start),
        train=len(lab.train),
        val=len(lab.val),
        seed=lab.seed,
    )
    policies = RECIPES[recipe].policies(lab, settings)
    ended, why = "done", ""
    try:
        why = await search(lab, policies)
    except BudgetReached as reached:
        ended, why = "budget", str(reached)
        lab.recording = False  # a raised budget goes on from here
    try:
        await policies.finish.close(lab, ended)
    except BudgetReached as reached:
        ended, why = "budget", str(reached)
    return Found(lab.best, ended, why, lab.outcome, lab.front)
