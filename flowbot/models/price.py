"""What a model's tokens cost: from the task, else from an offline table kept by others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowbot.models.providers import providers
from flowbot.money import FREE, Price
from flowbot.task.task import ModelSpec

if TYPE_CHECKING:
    from decimal import Decimal

    from genai_prices.types import TieredPrices


def price_of(spec: ModelSpec) -> Price | None:
    """Return the price of a model, and None where nobody knows it: an unknown price is never zero.

    The task's own `price` wins; models on one's own machine are free; else the genai-prices table, offline. Where a
    price rises with the prompt's length (above 200,000 tokens at the earliest), it is the price of shorter prompts.
    """
    if spec.price is not None:
        return spec.price.price()
    provider = providers().get(spec.provider)
    if spec.provider == "local" or (provider is not None and provider.local):
        return FREE
    return None if provider is None else _from_table(provider.prices or provider.name, spec.model)


def _from_table(provider: str, model: str) -> Price | None:
    from genai_prices import Usage, calc_price

    try:
        found = calc_price(Usage(), model, provider_id=provider).model_price
    except LookupError:
        return None
    fresh, output = _dollars(found.input_mtok), _dollars(found.output_mtok)
    if fresh is None or output is None:
        return None
    return Price(fresh, output, _dollars(found.cache_read_mtok))


def _dollars(price: Decimal | TieredPrices | None) -> float | None:
    if price is None:
        return None
    return float(str(getattr(price, "base", price)))  # the lowest tier, where there are tiers
