"""Conventions: what of calls, replies and messages spans hold, under OpenTelemetry's names for generative AI."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from flowbot.engine.ports import Reply, Request
from flowbot.engine.trace import Message
from flowbot.store.session import Opened
from flowbot.workflow.fields import Json, whole
from flowbot.workflow.tools import ToolSpec

PROVIDERS = {  # whose name in the conventions is another than ours
    "azure": "azure.ai.openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
}
TOOL_TYPES = {"bm25": "datastore", "mcp": "extension"}  # all others are functions
ENDS = (  # of a failure's text: the kind of error, and the reason why the model stopped
    ("the reply was cut", "length", "length"),
    ("the model refused", "content_filter", "content_filter"),
    ("the prompt is longer", "context_overflow", ""),
    ("the reply is empty", "empty_reply", "stop"),
)


def operation(name: str) -> dict[str, Any]:
    """Return the attribute that names an operation."""
    return {"gen_ai.operation.name": name}


def tool(name: str, spec: ToolSpec) -> dict[str, Any]:
    """Return what is known of a tool's call before it runs."""
    kind = TOOL_TYPES.get(spec.kind, "function")
    return operation("execute_tool") | {"gen_ai.tool.name": name, "gen_ai.tool.type": kind}


def asked(request: Request, opened: Opened) -> dict[str, Any]:
    """Return what is known of an LLM call before its reply."""
    provider, _, model = request.model.partition(":")
    address = urlsplit(getattr(getattr(opened.model, "endpoint", None), "address", ""))
    usual = {"https": 443, "http": 80}.get(address.scheme)
    return operation("chat") | {
        "gen_ai.provider.name": PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
        "gen_ai.request.temperature": request.temperature,
        "gen_ai.request.max_tokens": request.max_tokens or opened.max_tokens,
        "gen_ai.output.type": "text" if request.schema is None else "json",
        "server.address": address.hostname,
        "server.port": (address.port or usual) if address.hostname else None,
        "flowbot.purpose": request.purpose,
        "flowbot.repair": request.repair or None,
        "flowbot.turn": request.turn or None,
    }


def answered(reply: Reply) -> dict[str, Any]:
    """Return what is known of an LLM call by its reply."""
    usage, end = reply.usage, _end(reply)
    return {
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
        "gen_ai.response.finish_reasons": (end,) if end else None,
        "flowbot.usage.usd": usage.usd,
        "flowbot.usage.estimated": usage.estimated or None,
        "flowbot.retries": reply.retries or None,
    }


def failure_of(reply: Reply) -> str:
    """Return the kind of error of a reply that failed."""
    return next((kind for begin, kind, _ in ENDS if reply.failure.startswith(begin)), "reply_failed")


def run_messages(inputs: Json, output: Json) -> dict[str, Any]:
    """Return what a run was given and gave."""
    return {
        "gen_ai.input.messages": as_json([_said("user", inputs)]),
        "gen_ai.output.messages": as_json([_said("assistant", output)]),
    }


def call_messages(request: Request, reply: Reply) -> dict[str, Any]:
    """Return what an LLM call was given and gave."""
    return {
        "gen_ai.input.messages": as_json([_parts(each) for each in request.messages]),
        "gen_ai.output.messages": as_json([_reply_parts(reply)]),
    }


def as_json(value: Any) -> str:
    """Return a value as JSON in whole characters."""
    return whole(json.dumps(value, ensure_ascii=False, default=str))


def _end(reply: Reply) -> str:
    if reply.failure:
        return next((end for begin, _, end in ENDS if reply.failure.startswith(begin)), "")
    return "tool_calls" if reply.calls else "stop"


def _said(role: str, value: Json) -> dict[str, Any]:
    text = value if isinstance(value, str) else as_json(value)
    return {"role": role, "parts": [{"type": "text", "content": text}]}


def _parts(message: Message) -> dict[str, Any]:
    """Return a message in the form of the conventions."""
    if message["role"] == "tool":
        answer = {"type": "tool_call_response", "id": message["tool_call_id"], "response": message["content"]}
        return {"role": "tool", "parts": [answer]}
    parts: list[dict[str, Any]] = [{"type": "text", "content": message["content"]}] if message["content"] else []
    for call in message.get("tool_calls", ()):
        parts.append({"type": "tool_call", "id": call["id"], **call["function"]})
    return {"role": message["role"], "parts": parts}


def _reply_parts(reply: Reply) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "content": reply.text}] if reply.text else []
    parts += [{"type": "tool_call", "name": call.name, "arguments": call.arguments} for call in reply.calls]
    return {"role": "assistant", "parts": parts, "finish_reason": _end(reply) or "error"}
