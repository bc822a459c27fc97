"""The options of an induction: what the command line or a caller may say beside the task, and wins over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from flowbot.errors import InputError
from flowbot.task.task import Task
from flowbot.workflow.graph import problems_of


@dataclass(frozen=True)
class Options:
    """Overrides of the task; None leaves what the task says. `base_url` is trusted with the provider's key.

    `prefer` is what a recipe with a choice goes by at its end: `score`, `balanced` or `cheap`. `content=False` keeps
    prompts and messages out of the report; `unsafe_code` runs programs without a sandbox.
    """

    recipe: str | None = None
    prefer: str | None = None
    model: str | None = None
    meta_model: str | None = None
    base_url: str | None = None
    budget_usd: float | None = None
    budget_calls: int | None = None
    budget_tokens: int | None = None
    max_seconds: float | None = None
    concurrency: int | None = None
    seed: int | None = None
    content: bool = True
    unsafe_code: bool = False

    def over(self, task: Task) -> Task:
        """Return the task with these options in place; raise `InputError` for a value that does not fit."""
        plain: dict[str, Any] = task.model_dump(mode="json", exclude_defaults=True) | {"flowbot": 1}
        models = _given({"task": self.model, "meta": self.meta_model})
        budget = {
            "usd": self.budget_usd,
            "calls": self.budget_calls,
            "tokens": self.budget_tokens,
            "seconds": self.max_seconds,
        }
        plain["models"] = plain["models"] | {
            role: _renamed(plain["models"], role, name) for role, name in models.items()
        }
        plain["budget"] = plain.get("budget", {}) | _given(budget)
        plain |= _given({"concurrency": self.concurrency, "seed": self.seed})
        if self.recipe is not None and self.recipe != task.recipe.name:
            plain["recipe"] = self.recipe
        if self.prefer is not None:
            plain["recipe"] = self._preferring(plain.get("recipe") or task.recipe.name)
        try:
            made = Task.model_validate(plain)
        except ValidationError as error:
            first = problems_of(error)[0]
            raise InputError(f"option {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return made.model_copy(update={"metric": task.metric, "data": task.data})

    def _preferring(self, recipe: str | dict[str, Any]) -> dict[str, Any]:
        """Return a recipe with the preference among its settings; raise `InputError` where it has none."""
        from flowbot.search.induce import RECIPES

        plain: dict[str, Any] = {"name": recipe} if isinstance(recipe, str) else recipe
        found = RECIPES.get(plain["name"])
        if found is not None and "prefer" not in found.settings.model_fields:
            able = ", ".join(name for name, each in RECIPES.items() if "prefer" in each.settings.model_fields)
            raise InputError(f"the recipe '{plain['name']}' has nothing to prefer", "--prefer", f"use --recipe {able}")
        return plain | {"settings": {**plain.get("settings", {}), "prefer": self.prefer}}


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _renamed(models: dict[str, Any], role: str, name: str) -> Any:
    """Give a role another model: settings made for the old one (a base URL, a price) stay behind, but reply bounds."""
    old: Any = models.get(role)
    settings: dict[str, Any] = {} if old is None or isinstance(old, str) else old
    if settings.get("name", old) == name:
        return old
    return {"name": name, "max_tokens": settings["max_tokens"]} if "max_tokens" in settings else name
