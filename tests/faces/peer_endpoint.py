"""A scripted endpoint for tests of optimisers: a task model that is right only where its prompt says the magic
sentence, and a meta model that proposes it in the form that each package asks for."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from flowbot.money import Usage
from flowbot.workflow.fields import FieldType, Json

MAGIC = "Count the moons before you answer."
ORDER = re.compile(r"order (\d+)")
MARKER = re.compile(r"\[\[ ## (\w+) ## \]\]")


def right(kind: FieldType, number: int) -> Json:
    """Return the right answer for an order."""
    match kind.kind:
        case "choice":
            return kind.choices[number % len(kind.choices)]
        case "number":
            return number * 2
        case "list":
            return [f"item {number}", f"item {number + 1}"]
        case _:
            return f"shelf {number}"


def wrong(kind: FieldType, number: int) -> Json:
    """Return a wrong answer that fits."""
    return right(kind, number + 1)


@dataclass
class Endpoint:
    """Answers requests of the models `task` and `meta` for a task with outputs of one kind, up to `budget` calls."""

    kind: FieldType
    budget: int | None = None
    calls: int = 0
    refused: int = 0
    asked: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"task": [], "meta": []})
    closed: bool = False  # whether the key is refused at the test
    busy: int = 0  # requests that come too soon
    refusing: str = ""  # an order whose request is refused
    tools: bool = False  # whether an agent looks something up before it answers

    async def answer(self, request: web.Request) -> web.Response:
        body: dict[str, Any] = await request.json()
        if request.match_info["label"] == "search":
            if self.budget is not None and self.calls >= self.budget:
                self.refused += 1
                told = {"message": f"the budget of {self.budget} calls is reached", "code": "budget_reached"}
                return web.json_response({"error": told}, status=429, headers={"x-should-retry": "false"})
            if self.busy:
                self.busy -= 1
                return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "1"})
            self.calls += 1
            self.asked[body["model"]].append(body)
        elif self.closed:
            return web.json_response({"error": {"message": "no such key"}}, status=401)
        if self.refusing and body["model"] == "task" and f"order {self.refusing} " in _text(body["messages"][-1]):
            return web.json_response(
                {"error": {"message": "the prompt is longer than the maximum context length"}}, status=400
            )
        text = self.meta(body) if body["model"] == "meta" else self.task(body)
        message = text if isinstance(text, dict) else {"role": "assistant", "content": text}
        return web.json_response(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": body["model"],
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
            }
        )

    async def spent(self) -> Usage:
        """Return what the search has spent."""
        return Usage(self.calls, 100 * self.calls, 10 * self.calls)

    def task(self, body: dict[str, Any]) -> str | dict[str, Any]:
        """Answer as the task model."""
        said = [_text(message) for message in body["messages"]]
        last = next(_text(message) for message in reversed(body["messages"]) if message["role"] == "user")
        number = int(ORDER.findall(last)[-1])
        value = (right if MAGIC in said[0] else wrong)(self.kind, number)
        fields = [name for name in MARKER.findall(last.rpartition("Respond with")[2]) if name != "completed"]
        if fields:
            return _marked({name: self.field(name, value, last) for name in fields})
        if body.get("tools") and not any(message["role"] == "tool" for message in body["messages"]) and self.tools:
            called = {"name": body["tools"][0]["function"]["name"], "arguments": '{"expression": "1 + 1"}'}
            return {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "1", "type": "function", "function": called}],
            }
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema", {})
        names = list(schema.get("properties", {})) or _wanted(last)
        return json.dumps({name: self.field(name, value, last) for name in names}) if names else str(value)

    def field(self, name: str, value: Json, said: str) -> Json:
        """Return one field of a reply by its name: those of a plan and of DSPy's agent are always the same."""
        number = ORDER.findall(said)[-1]
        agent = {
            "expression": f"{number} + 1",
            "note": f"order {number} is noted",
            "reasoning": "Because.",
            "next_thought": "Next.",
            "next_tool_name": "finish" if "observation_0" in said or not self.tools else "calculator",
            "next_tool_args": {} if "observation_0" in said or not self.tools else {"expression": "1 + 1"},
        }
        return agent.get(name, value)

    def meta(self, body: dict[str, Any]) -> str:
        """Answer as the meta model."""
        system, last = _text(body["messages"][0]), _text(body["messages"][-1])
        if "<IMPROVED_VARIABLE>" in system:
            return f"<IMPROVED_VARIABLE>{_between(last, '<VARIABLE> ', ' </VARIABLE>')}\n{MAGIC}</IMPROVED_VARIABLE>"
        if "Provide the new instructions within ```" in last:
            return f"```\n{_between(last, '```', '```').strip()}\n{MAGIC}\n```"
        fields = [name for name in MARKER.findall(last.rpartition("Respond with")[2]) if name != "completed"]
        if fields:
            return _marked(dict.fromkeys(fields, f"Do it well. {MAGIC}"))
        if "json" in system.casefold() or body.get("response_format"):
            names = re.findall(r"`(\w+)`", last.rpartition("Respond with")[2]) or ["new_instruction"]
            return json.dumps(dict.fromkeys(names, f"Do it well. {MAGIC}"))
        return "Say that the moons must be counted."


def _wanted(said: str) -> list[str]:
    """Return the fields of the JSON object that a message asks for."""
    return re.findall(r'"(\w+)": ', said.partition("Reply with one JSON object only: ")[2])


def _marked(values: dict[str, Json]) -> str:
    parts = [
        f"[[ ## {name} ## ]]\n{value if isinstance(value, str) else json.dumps(value)}"
        for name, value in values.items()
    ]
    return "\n\n".join([*parts, "[[ ## completed ## ]]"])


def _text(message: dict[str, Any]) -> str:
    content: str | list[dict[str, str]] = message["content"]
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content or [])


def _between(text: str, start: str, end: str) -> str:
    return text.partition(start)[2].partition(end)[0]


@asynccontextmanager
async def serving(endpoint: Endpoint) -> AsyncGenerator[str]:
    """Serve an endpoint on loopback; give its root: `{root}/search/v1` is counted, `{root}/test/v1` is not."""
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/{label}/v1/chat/completions", endpoint.answer)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
