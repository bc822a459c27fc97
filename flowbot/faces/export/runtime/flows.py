"""What the blocks of an exported program need (samples, demos, lists), and how it is begun and ended."""

# pyright: basic
from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from openai import OpenAIError

from flowbot.faces.export.runtime.asking import CLIENTS, SAMPLE
from flowbot.faces.export.runtime.values import (
    JSON_TEXT,
    Failed,
    Kind,
    Misfit,
    as_text,
    fit_number,
)


async def together(*going: Awaitable[Any]) -> list[Any]:
    """Await all at once; where some fail, the first of these when all have ended."""
    made = await asyncio.gather(*going, return_exceptions=True)
    for each in made:
        if isinstance(each, BaseException):
            raise each
    return made


def items_of(value: Any, source: str) -> list[Any]:
    """Return the list that is mapped over."""
    if not isinstance(value, list):
        raise Failed(f"'{source}' is no list to map over")
    return value


def shuffled(
    step: str,
    demos: Sequence[tuple[str, str]],
    sample: int,
) -> Sequence[tuple[str, str]]:
    """Return demos in the order of a sample; the first one has them as they stand."""
    order = random.Random(f"{step}|{sample}")
    return order.sample(demos, len(demos)) if sample else demos


async def samples_of(
    one: Callable[[int], Awaitable[dict[str, Any]]],
    count: int,
) -> list[dict[str, Any]]:
    """Return what so many samples gave; those that fail do not count."""

    async def sampled(sample: int) -> dict[str, Any]:
        SAMPLE.set(f"{SAMPLE.get()}/{sample}")
        return await one(sample)

    going = (sampled(sample) for sample in range(count))
    made = await asyncio.gather(*going, return_exceptions=True)
    for each in made:
        if isinstance(each, BaseException) and not isinstance(each, Failed):
            raise each
    if isinstance(made[0], Failed) and all(isinstance(each, Failed) for each in made):
        raise made[0]
    return [each for each in made if not isinstance(each, BaseException)]


def majority(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first of the samples that agree with the most others."""
    said = [normal(each) for each in samples]
    counts = Counter(said)
    best = max(range(len(said)), key=lambda sample: counts[said[sample]])
    return samples[best]


def differ(samples: list[dict[str, Any]]) -> bool:
    """Tell whether not all samples say the same."""
    return len({normal(each) for each in samples}) > 1


def numbered(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return samples as their judge reads them."""
    return [{"sample": at, **each} for at, each in enumerate(samples, 1)]


def judged(samples: list[dict[str, Any]], number: float) -> dict[str, Any]:
    """Return the sample that a judge took, counted from 1."""
    if number not in range(1, len(samples) + 1):
        told = f"the judge took sample {as_text(number)}; there are {len(samples)}"
        raise Failed(told)
    return samples[int(number) - 1]


def normal(value: Any) -> str:
    """Return a value's normalised text: two that say the same have the same."""
    if isinstance(value, dict):
        fields: dict[str, Any] = value
        return "; ".join(f"{name}={normal(fields[name])}" for name in sorted(fields))
    if isinstance(value, list):
        items: list[Any] = value
        return ", ".join(normal(item) for item in items)
    marks = " ,;:!?\"'`*"
    text = " ".join(as_text(value).casefold().split()).lstrip(marks).rstrip(marks + ".")
    try:
        return as_text(fit_number(text))
    except Misfit:
        return text


def read_inputs(arguments: list[str], kinds: dict[str, Kind]) -> list[Any]:
    """Return the inputs in order: from NAME=VALUE, else from a JSON object on stdin."""
    if arguments[:1] in (["-h"], ["--help"]):
        print((__doc__ or "").strip())
        raise SystemExit
    try:
        if arguments:
            pairs = [each.partition("=") for each in arguments]
            given: dict[str, Any] = {name: value for name, _, value in pairs}
            for name, value in given.items():
                if name in kinds and kinds[name].as_json:
                    given[name] = JSON_TEXT.decode(value)
        else:
            given = JSON_TEXT.decode(sys.stdin.read())
    except (ValueError, RecursionError) as error:
        raise Failed(f"the inputs are no JSON: {error}") from None
    wrong = [name for name in {**kinds, **given} if (name in kinds) != (name in given)]
    if wrong:
        raise Failed(f"'{wrong[0]}': the inputs are {', '.join(kinds)}, as NAME=VALUE")
    try:
        return [kind.fit(given[name]) for name, kind in kinds.items()]
    except Misfit as misfit:
        raise Failed(f"an input does not fit: {misfit}") from None


async def closed(run: Coroutine[Any, Any, Any]) -> Any:
    """Return what a run gives, and close the connections."""
    try:
        return await run
    finally:
        for client in CLIENTS.values():
            await client.close()
        CLIENTS.clear()


def start(run: Callable[..., Coroutine[Any, Any, Any]], kinds: dict[str, Kind]) -> None:
    """Run on the inputs and print the output; end with 1 where that fails."""
    try:
        inputs = read_inputs(sys.argv[1:], kinds)
        print(as_text(asyncio.run(closed(run(*inputs)))))
    except (Failed, OpenAIError) as error:
        sys.exit(f"failed: {error}")
