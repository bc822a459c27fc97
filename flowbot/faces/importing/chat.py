"""Chat messages as JSON: OpenAI's, a whole request of theirs, or LangChain's pairs of role and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.importing.call import Found
from flowbot.faces.importing.words import placeholders
from flowbot.models.providers import providers
from flowbot.workflow.fields import Json, is_list, is_map

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"
ROLES = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "human": USER, "assistant": ASSISTANT, "ai": ASSISTANT}
TAKEN = ("messages", "model", "temperature", "max_tokens", "max_completion_tokens")


def is_chat(plain: Json) -> bool:
    """Tell whether a JSON value is meant as messages."""
    if is_map(plain):
        return "messages" in plain
    return is_list(plain) and bool(plain) and (is_map(plain[0]) or is_list(plain[0]))


def read_chat(plain: Json, where: str) -> Found:
    """Return what messages say; raise `InputError` for what has no place in a workflow, with the message's number."""
    request: Mapping[str, Json] = plain if is_map(plain) else {"messages": plain}
    turns = [_message(each, number, where) for number, each in enumerate(_messages(request, where), 1)]
    instruction = "\n\n".join(text for role, text in turns if role == SYSTEM)
    pairs, last, notes = _pairs([turn for turn in turns if turn[0] != SYSTEM])
    template = ""
    if last and placeholders(last):
        template = last
    elif last and not instruction and not pairs:
        instruction = last
    elif last:
        notes.append("the last user message has no placeholder: taken for an example without an answer, and left out")
    model, settings, more = _settings(request)
    return Found(instruction, template, pairs, settings, model, (*notes, *more))


def _messages(request: Mapping[str, Json], where: str) -> Sequence[Json]:
    messages = request["messages"]
    if not is_list(messages) or not messages:
        raise InputError("messages must be a list with at least one message", where)
    return messages


def _message(plain: Json, number: int, where: str) -> tuple[str, str]:
    """Return the role and the text of a message."""
    here = f"message {number}"
    if is_list(plain) and len(plain) == 2:
        plain = {"role": plain[0], "content": plain[1]}
    if not is_map(plain):
        raise InputError(f"{here} must be an object with role and content, or a pair of them", where)
    role, content = plain.get("role", plain.get("type")), plain.get("content")
    if role not in ROLES:
        mend = "messages of tools and functions have no place in a prompt: leave them out" if role else ""
        raise InputError(f"{here} has the role {role!r} (roles: {', '.join(ROLES)})", where, mend)
    if plain.get("tool_calls") or plain.get("function_call"):
        raise InputError(f"{here} calls a tool, which no prompt can show", where, "leave it out, with what it gave")
    if is_list(content):
        parts = [each for each in content if is_map(each)]
        other = next((part.get("type") for part in parts if part.get("type") != "text"), None)
        if other is not None or len(parts) != len(content):
            raise InputError(f"{here} holds a part of type {other!r}: a workflow reads text alone", where)
        content = "\n".join(str(part.get("text", "")) for part in parts)
    if not isinstance(content, str) or not content.strip():
        raise InputError(f"{here} has no text as its content", where)
    return ROLES[role], content


def _pairs(turns: Sequence[tuple[str, str]]) -> tuple[list[tuple[str, str]], str, list[str]]:
    """Return pairs of question and answer, the last question that has none, and notes on what is neither."""
    pairs: list[tuple[str, str]] = []
    question, dropped = "", 0
    for role, text in turns:
        if role == USER:
            question = f"{question}\n\n{text}" if question else text
        elif question:
            pairs.append((question, text))
            question = ""
        else:
            dropped += 1
    told = f"{dropped} message{'s' if dropped > 1 else ''} of the assistant answer no user message: left out"
    return pairs, question, [told] if dropped else []


def _settings(request: Mapping[str, Json]) -> tuple[str | None, dict[str, Any], list[str]]:
    """Return the model, the settings of the call, and notes on what is left out."""
    notes: list[str] = []
    model = request.get("model")
    if isinstance(model, str) and model and model.partition(":")[0] not in (*providers(), "local"):
        notes.append(f"the model '{model}' is taken for openai:{model}")
        model = f"openai:{model}"
    settings: dict[str, Any] = {}
    heat, cap = request.get("temperature"), request.get("max_completion_tokens") or request.get("max_tokens")
    if isinstance(heat, int | float) and not isinstance(heat, bool):
        settings["temperature"] = heat
    if type(cap) is int:
        settings["max_tokens"] = cap
    if other := [str(key) for key in request if key not in TAKEN]:
        notes.append(f"left out: {', '.join(other)}")
    return model if isinstance(model, str) and model else None, settings, notes
