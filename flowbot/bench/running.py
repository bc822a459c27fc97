"""From settings to records: the models opened once behind a meter, then the grid."""

from __future__ import annotations

from collections.abc import Sequence

from flowbot.bench.entries import Entry, answered_by
from flowbot.bench.grid import Heard, Plan, run_grid
from flowbot.bench.methods.induced import METHODS as INDUCED
from flowbot.bench.methods.plain import METHODS as PLAIN
from flowbot.bench.records import Record
from flowbot.bench.settings import Settings
from flowbot.errors import InputError
from flowbot.faces.estimate import estimate
from flowbot.faces.meter import Meter, upstream_of
from flowbot.faces.problem import read_problem
from flowbot.faces.tables import Table
from flowbot.models.price import price_of
from flowbot.task.data import Splits
from flowbot.task.task import ModelSpec, PriceSpec

PROVIDER = "vllm"  # as children ask the meter: no key, and every setting passes
ROLES = ("task", "meta", "judge")
PATIENCE = 3600.0  # seconds that a child waits for a call: what stands behind the meter has limits of its own


async def bench(settings: Settings, heard: Heard) -> list[Record]:
    """Run what settings ask for and return all records; raise `InputError` and `EndpointError`."""
    entries = settings.entries()
    plan = plan_of(settings, entries)
    specs = {spec.name: spec for each in entries for spec in settings.models(each).values()}
    bounded = any(budget.usd is not None for budget in plan.budgets.values())
    prices = {spec.model: price for spec in specs.values() if (price := price_of(spec)) is not None}
    unknown = next((name for name, spec in specs.items() if spec.model not in prices), None)
    if unknown is not None and bounded:
        mend = (
            "give it in the task file (models: {task: {name: ..., price: {input: 0.4, output: 1.6}}}), or bound calls"
        )
        raise InputError(f"a money budget is set, and the price of {unknown} is not known", "--budget-usd", mend)
    meter = Meter(
        upstream_of(specs.values(), settings.base_url),
        prices,
        latency=settings.latency_ms / 1000,
        cache=settings.cache,
    )
    try:
        return await run_grid(plan, meter, heard)
    finally:
        await meter.close()


def plan_of(settings: Settings, entries: Sequence[Entry]) -> Plan:
    """Return the plan of a grid."""
    found = {each.name: settings.models(each) for each in entries}
    return Plan(
        entries=entries,
        methods=settings.chosen,
        seeds=settings.seeds,
        folder=settings.folder,
        budgets={each.name: settings.budget_of(each) for each in entries},
        names={name: {key: _as_asked(spec) for key, spec in models.items()} for name, models in found.items()},
        shown={name: {role: models[role].name for role in ROLES if role in models} for name, models in found.items()},
        like=settings.like,
        jobs=settings.jobs,
        concurrency=settings.concurrency,
        unsafe_code=settings.unsafe_code,
    )


def _as_asked(spec: ModelSpec) -> ModelSpec:
    """Return a model as a child asks the meter for it: by its id, at the price that the meter counts by."""
    price = price_of(spec)
    told = None if price is None else PriceSpec(input=price.input, output=price.output, cached=price.cached)
    return ModelSpec(
        name=f"{PROVIDER}:{spec.model}",
        price=told,
        max_tokens=spec.max_tokens,
        timeout=PATIENCE,
        reasoning_effort=spec.reasoning_effort,
        extra_body=spec.extra_body,
    )


def planned(settings: Settings) -> list[Table]:
    """Return what would be run, a table a benchmark: calls, tokens and US dollars of one run of each method.

    What a recipe of FlowBot takes is estimated as `flowbot estimate` does it; other methods spend their budget at most.
    Asks no model; raises `InputError`.
    """
    made: list[Table] = []
    for each in settings.entries():
        models, data = settings.models(each), each.deal(0)
        rows = [(name, *_expected(name, each, settings, data.splits)) for name in settings.chosen]
        sizes = ", ".join(f"{len(examples)} {split}" for split, examples in data.splits.items())
        title = f"{each.name}: {sizes}, {len(settings.seeds)} seeds; {models['task'].name}, meta {models['meta'].name}"
        made.append(Table(title, ("method", "calls of one run", "tokens", "US dollars"), tuple(rows), notes=data.notes))
    return made


def _expected(name: str, each: Entry, settings: Settings, splits: Splits) -> tuple[str, str, str]:
    """Return calls, tokens and money of one run in words."""
    method = INDUCED.get(name)
    if name in PLAIN:
        return "0", "0", "0"
    if method is None:
        budget = settings.budget_of(each)
        bounds = (budget.calls, budget.tokens, budget.usd)
        none = f"as {settings.like}" if settings.like else "no bound"
        return tuple(none if bound is None else f"at most {bound:,g}" for bound in bounds)  # pyright: ignore[reportReturnType]
    models = settings.models(each)
    task, start = answered_by(each.task, each.start(), models)
    budget = settings.budget_of(each)
    task = method.of(task, budget, 0)
    found = estimate(read_problem(task, each.folder, splits, start=method.start(task, start)))
    low, high, bounds = found.total(found.low), found.total(found.high), budget
    share = 1.0 if bounds.calls is None else min(1.0, bounds.calls / max(1, high.calls))  # of the calls, so of the rest
    tokens, usd = round(share * high.tokens), None if high.usd is None else share * high.usd
    money = "price unknown" if usd is None else _between(min(low.usd or 0, usd), usd, bounds.usd, ",.2f")
    calls = _between(low.calls, high.calls, bounds.calls)
    return calls, _between(min(low.tokens, tokens), tokens, bounds.tokens), money


def _between(low: float, high: float, bound: float | None, form: str = ",") -> str:
    """Return a range in words, as far as a bound lets it go."""
    if bound is not None and low >= bound:
        return f"at most {bound:{form}}"
    return f"{low:{form}} to {high if bound is None else min(high, bound):{form}}"
