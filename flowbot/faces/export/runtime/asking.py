"""How an exported program asks a model: the same requests as the engine, one repair, equal ones sent once."""

# pyright: basic
from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from openai import AsyncOpenAI, OpenAIError

from flowbot.faces.export.runtime.values import Failed, Kind, Misfit, as_text, fields_of

SLOTS = asyncio.Semaphore(16)  # calls in flight at most
SAMPLE: ContextVar[str] = ContextVar("SAMPLE", default="")  # of a vote
SENT: dict[str, asyncio.Task[Any]] = {}  # what is under way
CLIENTS: dict[str, AsyncOpenAI] = {}
WORDS = "Answer with one JSON value that fits this JSON Schema, and with nothing else:"


@dataclass(frozen=True)
class Model:
    """A model and where it is asked."""

    name: str
    base_url: str
    address: str  # the environment variable that may hold another base URL
    keys: tuple[str, ...] = ()  # those that may hold the key, the first wins
    local: bool = False  # of your own machine: needs no key
    path: str = ""  # what follows an address that has no path of its own
    cap: str = "max_tokens"  # the provider's name for the bound of a reply
    mode: str = "schema"  # how it is asked for JSON: schema, json or text
    temperature: bool = True  # whether it takes one
    alone: bool = False  # whether tools come without a schema for the answer

    @property
    def url(self) -> str:
        """The base URL that is asked."""
        url = os.environ.get(self.address, "").strip() or self.base_url
        return url if urlsplit(url).path.strip("/") else url.rstrip("/") + self.path

    @property
    def own(self) -> bool:
        """True where that is the provider's own."""
        here, own = urlsplit(self.url), urlsplit(self.base_url)
        return not self.base_url or (here.scheme, here.netloc) == own[:2]


def client_of(model: Model) -> AsyncOpenAI:
    """Return the client of a model's endpoint; a key that is missing is an error."""
    url = model.url
    if not url:
        raise Failed(f"set {model.address} to the base URL of {model.name}")
    if url not in CLIENTS:
        found = (os.environ.get(name, "").strip() for name in model.keys)
        key = next(filter(None, found), "")
        if model.own and model.keys and not (key or model.local):
            raise Failed(f"set {' or '.join(model.keys)}: {model.name} needs a key")
        CLIENTS[url] = AsyncOpenAI(base_url=url, api_key=key or "none", max_retries=5)
    return CLIENTS[url]


def body_of(
    model: Model,
    messages: list[dict[str, Any]],
    temperature: float,
    max_tokens: int | None,
    form: dict[str, Any] | None,
    mode: str | None = None,
) -> dict[str, Any]:
    """Return the body of a request; `form` is the JSON Schema that its reply is held to.

    `mode` is how it is asked for JSON, if not as the model is otherwise.
    """
    body: dict[str, Any] = {"model": model.name, "messages": messages}
    if model.temperature:
        body["temperature"] = temperature
    if max_tokens is not None:
        body[model.cap if model.own else "max_tokens"] = max_tokens
    mode = mode or (model.mode if model.own else "schema")
    if form is not None and mode == "schema":
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    elif form is not None:
        words = f"{WORDS}\n{json.dumps(form['schema'], ensure_ascii=False)}"
        first = {**messages[0], "content": f"{messages[0]['content']}\n\n{words}"}
        body["messages"] = [first, *messages[1:]]
        if mode == "json":
            body["response_format"] = {"type": "json_object"}
    return body


async def sent(model: Model, body: dict[str, Any], apart: bool) -> Any:
    """Return the message that answers a request.

    Equal requests that are under way at once are sent once; `apart` those of samples.
    """
    key = json.dumps([model.url, body, SAMPLE.get() if apart else ""])
    if key not in SENT:
        SENT[key] = asyncio.create_task(post(model, body))
        SENT[key].add_done_callback(lambda _: SENT.pop(key))
    return await asyncio.shield(SENT[key])


async def post(model: Model, body: dict[str, Any]) -> Any:
    """Send one request and return the message of its reply."""
    async with SLOTS:
        reply = await client_of(model).chat.completions.create(**body)
    if not getattr(reply, "choices", None):
        raise OpenAIError("the reply has no choices")
    message, end = reply.choices[0].message, reply.choices[0].finish_reason
    if end in ("length", "max_tokens", "model_length"):
        raise Failed("the reply was cut (max_tokens)")
    if message.refusal or end in ("content_filter", "safety"):
        raise Failed(f"the model refused: {message.refusal or 'content filter'}")
    return message


def said(message: Any) -> str:
    """Return the text of a message; of one in parts without those that think."""
    content = message.content or ""
    if isinstance(content, list):
        content = "".join(part["text"] for part in content if part["type"] == "text")
    return content.encode("utf-8", "replace").decode()


def answered(message: Any) -> str:
    """Return the text of a message that must have one."""
    if not said(message).strip():
        raise Failed("the reply is empty")
    return said(message)


async def send(
    model: Model,
    messages: list[dict[str, Any]],
    temperature: float,
    max_tokens: int | None,
    form: dict[str, Any] | None = None,
) -> str:
    """Return the text of one reply; `form` is the JSON Schema that it is held to."""
    body = body_of(model, messages, temperature, max_tokens, form)
    return answered(await sent(model, body, temperature > 0))


def messages_of(
    prompt: str,
    sections: dict[str, Any],
    demos: Sequence[tuple[str, str]],
) -> list[dict[str, Any]]:
    """Return the messages: prompt, demos, then what is read as labelled sections.

    What a loop's first turn has no value for yet is left out.
    """
    messages = [{"role": "system", "content": prompt}]
    for read, given in demos:
        messages.append({"role": "user", "content": read})
        messages.append({"role": "assistant", "content": given})
    labelled = [
        f"{label}:\n{as_text(value)}"
        for label, value in sections.items()
        if value is not None or label.partition(".")[0] != "previous"
    ]
    return [*messages, {"role": "user", "content": "\n\n".join(labelled)}]


async def ask_text(
    model: Model,
    prompt: str,
    sections: dict[str, Any],
    *,
    demos: Sequence[tuple[str, str]] = (),
    temperature: float = 0.0,
    max_tokens: int | None = None,
    sending: Callable[..., Awaitable[str]] = send,
) -> str:
    """Ask for plain text."""
    messages = messages_of(prompt, sections, demos)
    return (await sending(model, messages, temperature, max_tokens)).strip()


async def ask(
    name: str,
    model: Model,
    prompt: str,
    sections: dict[str, Any],
    gives: dict[str, Kind],
    *,
    demos: Sequence[tuple[str, str]] = (),
    form_said: bool = True,
    temperature: float = 0.0,
    max_tokens: int | None = None,
    sending: Callable[..., Awaitable[str]] = send,
) -> dict[str, Any]:
    """Ask for typed fields; a reply that does not fit is asked for once again.

    Where the demos show the form well enough, the prompt need not say it.
    """
    fields = ", ".join(f'"{field}": {kind.words}' for field, kind in gives.items())
    wanted = f"Reply with one JSON object only: {{{fields}}}"
    head = f"{prompt}\n\n{wanted}" if form_said else prompt
    messages = messages_of(head, sections, demos)
    schema = {
        "type": "object",
        "properties": {field: kind.schema for field, kind in gives.items()},
        "required": list(gives),
        "additionalProperties": False,
    }
    form = {"name": name, "schema": schema, "strict": True}
    reply = await sending(model, messages, temperature, max_tokens, form)
    try:
        return fields_of(reply, gives)
    except Misfit as misfit:
        again = f"That does not fit: {misfit}. {wanted}"
    messages.append({"role": "assistant", "content": reply[:4000]})
    messages.append({"role": "user", "content": again})
    reply = await sending(model, messages, temperature, max_tokens, form)
    return fields_of(reply, gives)
