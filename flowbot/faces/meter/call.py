"""A call on its way through the meter: what it may take before it is sent, and what its answer took."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, cast

from flowbot.engine.ports import Request
from flowbot.models.answers import Sent
from flowbot.models.body import Form, estimate
from flowbot.money import Price, Usage
from flowbot.workflow.fields import is_map

PATHS = ("chat/completions", "completions", "embeddings", "responses")
BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
READ = ("messages", "prompt", "input", "instructions", "tools", "functions", "response_format", "text")  # the prompt
SAID = frozenset({"content", "text", "arguments", "refusal", "reasoning_content", "delta"})  # where an answer has text
REPLY = 1024  # tokens of a reply without a bound
PICTURE = 1500  # tokens of a picture that is sent along
_NOBODY = Request("", ())
_FORM = Form("text", "max_tokens")


class UpstreamError(Exception):
    """The upstream gave no answer that could be passed on; `status` and `code` are those of the meter's own answer."""

    def __init__(self, message: str, code: str = "upstream_failed", status: int = 502) -> None:
        self.message, self.code, self.status = message, code, status
        super().__init__(message)


@dataclass(frozen=True)
class Call:
    """One call: its path behind the base URL, its body as bytes and read, and the client's headers.

    `repeat` counts the equal calls of the same label before it: where answers are sampled they must not be one. They
    are drawn from the sequence `draws`.
    """

    path: str
    body: bytes = field(repr=False)
    plain: Mapping[str, Any] = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    repeat: int = 0
    draws: str = ""

    @property
    def model(self) -> str:
        """The model's id as the client writes it; empty where there is none."""
        model = self.plain.get("model")
        return model[:200] if isinstance(model, str) else ""

    @cached_property
    def prompt_tokens(self) -> int:
        """An upper estimate of the prompt: one token for each three bytes of text."""
        return tokens_of([self.plain.get(name) for name in READ])

    def estimate(self, price: Price | None) -> Usage:
        """Return what the call may take: its prompt, and its replies at their bound."""
        made = 0
        if self.path != "embeddings":
            bound = next((size for name in BOUNDS if (size := _whole(self.plain.get(name))) is not None), REPLY)
            made = bound * max(1, _whole(self.plain.get("n")) or 1)
        return Usage(1, self.prompt_tokens, made, usd=None if price is None else price.of(self.prompt_tokens, made))

    def usage(self, reported: Any, text: str, price: Price | None, seconds: float) -> Usage:
        """Return what the call took: as the answer reports it, and by estimate from its text where it does not."""
        named: dict[str, Any] = dict(cast(Mapping[str, Any], reported)) if isinstance(reported, Mapping) else {}
        given = named.get("prompt_tokens") or named.get("input_tokens") or 0
        made = named.get("completion_tokens", named.get("output_tokens", 0 if self.path == "embeddings" else None))
        details = named.get("prompt_tokens_details") or named.get("input_tokens_details")
        named |= {"prompt_tokens": given or self.prompt_tokens, "completion_tokens": made}
        named["prompt_tokens_details"] = details
        usage = Sent(_NOBODY, _FORM, 0, price, seconds).usage(named, text)
        return replace(usage, estimated=usage.estimated or not given)

    def key(self, upstream: str) -> str:
        """Return the cache's key: a hash of the upstream, path and body without `user`, and of which draw it is."""
        plain = {name: value for name, value in self.plain.items() if name != "user"}
        if plain.get("temperature") == 0:
            return _hash([upstream, self.path, plain])
        return _hash([upstream, self.path, plain, self.repeat, *([self.draws] if self.draws else [])])


@dataclass(frozen=True)
class Answer:
    """What an upstream answers: its status, the headers to pass on, and its body as it comes."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]

    @property
    def streams(self) -> bool:
        """Whether the body is a stream of events."""
        kind = next((value for name, value in self.headers.items() if name.lower() == "content-type"), "")
        return self.status == 200 and kind.lower().startswith("text/event-stream")


class Upstream(Protocol):
    """What stands behind a meter. `name` tells upstreams apart, without secrets; one that `samples` itself is told
    which repeat of equal calls this is, and in which sequence."""

    @property
    def name(self) -> str: ...

    @property
    def samples(self) -> bool: ...

    def price(self, model: str) -> Price | None:
        """Return the price of a model, None where it is not known."""
        ...

    def send(self, call: Call) -> AbstractAsyncContextManager[Answer]:
        """Send a call; leaving the context ends it. It and the body raise `UpstreamError`."""
        ...

    async def models(self, headers: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return the models as OpenAI lists them; raise `UpstreamError`."""
        ...

    async def close(self) -> None: ...


def tokens_of(value: Any) -> int:
    """Return an upper estimate of the tokens of JSON data."""
    tokens, left = 0, [value]
    while left:
        each = left.pop()
        if isinstance(each, str):
            tokens += PICTURE if each.startswith("data:") else estimate(each)
        elif isinstance(each, dict):
            left += [*cast(dict[str, Any], each).keys(), *cast(dict[str, Any], each).values()]
        elif isinstance(each, list):
            left += cast(list[Any], each)
        elif each is not None:
            tokens += 1
    return tokens


def text_of(answer: Any) -> str:
    """Return all text in an answer's choices, output or delta, in no order: it is only measured."""
    parts: list[str] = []
    left = [answer]
    while left:
        each = left.pop()
        if is_map(each):
            parts += [value for name, value in each.items() if name in SAID and isinstance(value, str)]
            left += each.values()
        elif isinstance(each, list):
            left += cast(list[Any], each)
    return "".join(parts)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None


def _hash(plain: Any) -> str:
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
