"""A planted world behind HTTP, as an OpenAI-compatible endpoint on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from flowbot.engine.ports import Reply, Request, ToolWords
from flowbot.models.body import IN_WORDS
from flowbot.models.scripted.dialects import answer
from flowbot.models.scripted.gradients import GRADIENTS
from flowbot.models.scripted.world import META, MODEL, World
from flowbot.workflow.fields import Json, is_list, is_map

PURPOSES = ("verdict", "taxonomy", "proposal", *GRADIENTS)


def request_of(body: Mapping[str, Any]) -> Request:
    """Return the logical request in a body; raise ValueError where it is none.

    The meta model's purpose is the name of the schema. A schema that is stated in words is read from there.
    """
    messages = body.get("messages")
    if not is_list(messages) or not messages:
        raise ValueError("messages must be a list with at least one message")
    plain = [{**each, "content": each.get("content") or ""} for each in messages if is_map(each)]
    if len(plain) != len(messages) or not all(isinstance(each["content"], str) for each in plain):
        raise ValueError("each message must be an object with role and content, a text")
    if all(each.get("role") != "user" for each in plain):
        raise ValueError("messages must hold one of the role user")
    if plain[0].get("role") != "system":
        plain.insert(0, {"role": "system", "content": ""})
    asked = body.get("response_format")
    form = asked.get("json_schema") if is_map(asked) else None
    schema: Json = form.get("schema") if is_map(form) else None
    instruction, told, words = plain[0]["content"].partition(f"\n\n{IN_WORDS}")
    if told and schema is None:
        plain[0] = {**plain[0], "content": instruction}
        schema = json.loads(words)
    name = str(form.get("name")) if is_map(form) else ""
    tools = tuple(
        ToolWords(each["function"]["name"], "", each["function"].get("parameters", {}))
        for each in body.get("tools") or ()
    )
    return Request(
        str(body.get("model", "")),
        tuple(plain),
        purpose=name if name in PURPOSES and body.get("model") != MODEL.partition(":")[2] else "task",
        schema=schema,
        temperature=float(body.get("temperature") or 0),
        tools=tools,
        may_call=body.get("tool_choice") != "none",
    )


def body_of(model: str, reply: Reply) -> dict[str, Any]:
    """Return the body of an answer."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [
            {"id": f"call_{at}", "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for at, call in enumerate(reply.calls)
        ]
    usage = reply.usage
    return {
        "id": "planted",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}],
        "usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.tokens,
        },
    }


def application(world: World, latency: float = 0.0) -> web.Application:
    """Return the endpoint of a world; each reply takes `latency` seconds."""

    async def completions(request: web.Request) -> web.Response:
        try:
            body: Any = await request.json()
            if not is_map(body):
                raise ValueError("the body must be a JSON object")
            asked = request_of(body)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            told = {"error": {"message": f"bad request: {error}", "type": "invalid_request_error", "code": None}}
            return web.json_response(told, status=400)
        if latency:
            await asyncio.sleep(latency)
        return web.json_response(body_of(asked.model, answer(world, asked)))

    async def models(request: web.Request) -> web.Response:
        names = [name.partition(":")[2] for name in (MODEL, META)]
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "a simulation"} for name in names]
        return web.json_response({"object": "list", "data": listed})

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/chat/completions", completions)
    app.router.add_get("/v1/models", models)
    return app


async def serve(world: World, port: int, latency: float, told: Callable[[str], None]) -> None:
    """Serve a world on a loopback port (0: a free one) until cancelled; `told` hears the base URL. Raises OSError."""
    runner = web.AppRunner(application(world, latency), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        told(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()
