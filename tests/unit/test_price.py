"""An unknown price is never zero."""

from __future__ import annotations

import pytest

from flowbot.models.price import price_of
from flowbot.money import FREE, Price
from flowbot.task.task import ModelSpec, PriceSpec


def test_the_task_wins() -> None:
    spec = ModelSpec(name="openai:gpt-4.1-mini", price=PriceSpec(input=1, output=2))
    assert price_of(spec) == Price(1, 2)


@pytest.mark.parametrize("name", ["local:qwen", "ollama:llama3", "vllm:m", "llamacpp:m", "lmstudio:m"])
def test_local_models_are_free(name: str) -> None:
    assert price_of(ModelSpec(name=name)) == FREE


@pytest.mark.parametrize(
    "name",
    [
        "openai:gpt-4.1-mini",
        "anthropic:claude-sonnet-4-5",
        "gemini:gemini-2.5-pro",
        "mistral:mistral-small-latest",
        "groq:llama-3.3-70b-versatile",
        "deepseek:deepseek-chat",
        "together:meta-llama/Llama-3.3-70B-Instruct-Turbo",
        "openrouter:openai/gpt-4.1-mini",
        "azure:gpt-4.1-mini",
    ],
)
def test_the_table_knows_every_paid_provider(name: str) -> None:
    price = price_of(ModelSpec(name=name))
    assert price is not None
    assert 0 < price.input < price.output or name.startswith("together")
    assert price.cached is None or price.cached < price.input


@pytest.mark.parametrize("name", ["openai:no-such-model", "nobody:gpt-4.1-mini"])
def test_an_unknown_price_is_none(name: str) -> None:
    assert price_of(ModelSpec(name=name)) is None
