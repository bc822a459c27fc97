"""What every `Model` keeps, run against each that is listed in `MODELS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Model, Reply, Request
from flowbot.models.patience import Patience
from flowbot.models.providers import provider_of
from flowbot.models.wire import Wire
from flowbot.task.task import ModelSpec
from tests.servers import Answer, serving

Make = Callable[[], AbstractAsyncContextManager[Model]]
ASKED = Request("vllm:m", ({"role": "system", "content": "Repeat."}, {"role": "user", "content": "one two"}))
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": False}


def answer(body: dict[str, Any], index: int) -> Answer:
    """Repeat the last message; `cut` is cut short, `down` breaks, a schema gets an object."""
    prompt: str = body["messages"][-1]["content"]
    if prompt == "down":
        return Answer.error(500)
    if "response_format" in body:
        return Answer(json={"a": prompt})
    return Answer(text=prompt, finish="length" if prompt == "cut" else "stop", latency=0.002)


@asynccontextmanager
async def wire() -> AsyncGenerator[Model]:
    """The wire, at a server that repeats."""
    spec = ModelSpec(name="vllm:m")
    with serving(answer) as server:
        model = Wire(spec, provider_of(spec, server.url, {}), patience=Patience(sends=2, first_wait=0.001))
        try:
            yield model
        finally:
            await model.close()


MODELS: dict[str, Make] = {"wire": wire}


@pytest.fixture(params=MODELS)
def make(request: pytest.FixtureRequest) -> Make:
    return MODELS[request.param]


def using(make: Make, use: Callable[[Model], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with make() as model:
            return await use(model)

    return asyncio.run(main())


def says(text: str) -> Request:
    return replace(ASKED, messages=(ASKED.messages[0], {"role": "user", "content": text}))


def test_a_reply_has_text_and_what_it_cost(make: Make) -> None:
    reply: Reply = using(make, lambda model: model.complete(ASKED))
    assert (reply.text, reply.failure, reply.mode) == ("one two", "", "text")
    assert reply.usage.calls == 1
    assert reply.usage.input_tokens > 0
    assert reply.usage.output_tokens > 0
    assert reply.usage.seconds >= 0


def test_a_typed_reply_tells_its_mode(make: Make) -> None:
    reply: Reply = using(make, lambda model: model.complete(replace(ASKED, schema=SCHEMA)))
    assert reply.mode in ("schema", "json", "text")
    assert "one two" in reply.text


def test_an_examples_failure_is_data(make: Make) -> None:
    reply: Reply = using(make, lambda model: model.complete(says("cut")))
    assert "cut at" in reply.failure
    assert reply.usage.calls == 1


def test_calls_at_once_are_not_mixed_up(make: Make) -> None:
    async def many(model: Model) -> list[Reply]:
        return await asyncio.gather(*(model.complete(says(f"number {n}")) for n in range(50)))

    replies: list[Reply] = using(make, many)
    assert [reply.text for reply in replies] == [f"number {n}" for n in range(50)]


def test_equal_requests_are_not_changed(make: Make) -> None:
    before = ASKED.key()
    using(make, lambda model: model.complete(ASKED))
    assert ASKED.key() == before


def test_the_endpoints_failure_is_raised(make: Make) -> None:
    with pytest.raises(EndpointError):
        using(make, lambda model: model.complete(says("down")))


def test_a_cancelled_call_does_no_harm(make: Make) -> None:
    async def cancel(model: Model) -> Reply:
        call = asyncio.ensure_future(model.complete(ASKED))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return await model.complete(ASKED)

    assert using(make, cancel).text == "one two"
