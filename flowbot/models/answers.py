"""Answers of an endpoint: which are replies, which are an example's failure, and which are the endpoint's own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from flowbot.engine.ports import Reply, Request, ToolCall
from flowbot.models.body import MODES, Form, estimate, input_estimate
from flowbot.models.patience import Fault, Kind, asked_wait
from flowbot.models.toolwords import MUST_ANSWER
from flowbot.money import Price, Usage

MOST_TOKENS = 10**9  # what is reported beyond is no count of one reply
LONGEST = 300  # characters of a provider's message that are shown
AGAIN = frozenset({408, 409, 425})
CUT = frozenset({"length", "max_tokens", "model_length"})
FILTERED = frozenset({"content_filter", "safety"})

OVERFLOW = re.compile(
    r"context[_ ](length|window|size|the overflow)|maximum context|exceed_context|prompt is too long|input is too long"
    r"|too many (input )?tokens|input token count|reduce the length|too large for model|maximum prompt length"
    r"|string_above_max_length",
    re.IGNORECASE,
)
FILTER = re.compile(
    r"content[_ ]filter|content[_ ]policy|content management policy|responsibleai|data_inspection"
    r"|\b(input|prompt|content|request|output)\b.{0,60}\bflagged",
    re.IGNORECASE,
)
UNSUPPORTED = re.compile(
    r"support|deprecated|only the default|not (allowed|permitted)|unknown|unrecognized|instead", re.IGNORECASE
)
SCHEMA = re.compile(
    r"response_format|json_schema|json_object|schema|\bstrict\b|structured|grammar|guided|not support|unsupported"
    r"|requested parameters",
    re.IGNORECASE,
)
TOOLS = re.compile(r"\btools?\b|tool[_-]|\bfunctions?\b|function[_-]", re.IGNORECASE)


@dataclass(frozen=True)
class Sent:
    """One send: the request, the form it went out in, the sends before it, and its latency in seconds."""

    request: Request
    form: Form
    before: int
    price: Price | None
    seconds: float

    def reply(self, text: str, failure: str, usage: Usage, calls: tuple[ToolCall, ...] = ()) -> Reply:
        """Return a reply to this send; calls are none in a failed one, nor where the model must answer."""
        mode = "text" if self.request.schema is None else self.form.mode
        if calls and not self.request.may_call:
            failure, calls = failure or ("" if text.strip() else MUST_ANSWER), ()
        return Reply(text, usage, failure, mode, self.before, () if failure else calls)

    def usage(self, reported: Mapping[str, Any] | None, text: str) -> Usage:
        """Return tokens and money: as reported, else estimated upwards and marked as such, never zero.

        Output is what the total says where that is more: some providers count reasoning only there.
        """
        reported = reported or {}
        given, made = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
        estimated = not given or made is None or (not made and bool(text))
        given = given or input_estimate(self.request)
        made = made or (estimate(text) if text or made is None else 0)
        made = max(made, (_count(reported, "total_tokens") or 0) - given)
        details: Any = reported.get("prompt_tokens_details")
        cached = _count(cast(dict[str, Any], details), "cached_tokens") if isinstance(details, dict) else None
        cached = min(given, cached or _count(reported, "prompt_cache_hit_tokens") or 0)
        usd = None if self.price is None else self.price.of(given, made, cached)
        return Usage(1, given, made, cached, usd, self.seconds, estimated)

    def unanswered(self) -> Usage:
        """Return the usage of a refused send: providers may bill the prompt, so it is counted, upwards."""
        given = input_estimate(self.request)
        return Usage(1, given, 0, 0, None if self.price is None else self.price.of(given, 0), self.seconds, True)


def read(payload: bytes, sent: Sent) -> Reply:
    """Return the reply in the body of a good answer; raise `Fault` where it has none."""
    try:
        plain: Any = json.loads(payload)
    except (ValueError, RecursionError):
        start = payload[:80].decode("utf-8", "replace")
        raise Fault("broken", f"the body is not JSON: {start!r}") from None
    try:
        choice: dict[str, Any] = plain["choices"][0]
        message: dict[str, Any] = choice["message"]
        content: Any = message.get("content")
    except (LookupError, TypeError, AttributeError):
        raise _without_choices(payload, plain) from None
    text = content if isinstance(content, str) else _parts(content)
    usage = plain.get("usage")
    reported: dict[str, Any] | None = cast(dict[str, Any], usage) if isinstance(usage, dict) else None
    calls = _calls(message) if sent.request.tools else ()
    counted = sent.usage(reported, text + "".join(call.name + call.arguments for call in calls))
    end = choice.get("finish_reason")
    if end == "stop" and not calls and text.strip() and not message.get("refusal"):
        return sent.reply(text, "", counted)
    if end == "error":  # a router tells so that the provider behind it failed
        raise Fault("broken", _Complaint.of(payload).message or "the provider failed while it answered")
    empty = not calls and not text.strip()
    return sent.reply(text, _failure(str(end).lower(), message.get("refusal"), empty, counted), counted, calls)


def refusal(status: int, headers: Mapping[str, str], payload: bytes, sent: Sent) -> Reply | tuple[Fault, Form]:
    """Return what an answer with an error status is: an example's failure, or a fault and the form to send next."""
    complaint = _Complaint.of(payload)
    reason = f"HTTP {status}: {complaint.message}" if complaint.message else f"HTTP {status}"
    if 300 <= status < 400:
        reason = f"HTTP {status}: it redirects to {headers.get('Location', 'nowhere')}; keys do not follow redirects"
    if status in (400, 413, 422) and (status == 413 or OVERFLOW.search(complaint.words)):
        return sent.reply("", "the prompt is longer than the model's context", sent.unanswered())
    if status in (400, 403, 422) and FILTER.search(complaint.words):
        return sent.reply("", f"the model refused: {complaint.message}", sent.unanswered())
    if complaint.draft:  # the provider checked its own reply against the schema; the misfit is the caller's to mend
        counted = sent.usage(None, complaint.draft)
        if sent.request.tools and "tool_use_failed" in complaint.words:
            return sent.reply("", "", counted, (ToolCall("", complaint.draft),))
        return sent.reply(complaint.draft, "", counted)
    named = status in (400, 404, 422) or "--jinja" in complaint.words  # a llama.cpp without it answers 500 to tools
    form = _other_form(complaint, sent) if named else sent.form
    kind: Kind = "final"
    if form != sent.form:
        kind = "changed"
    elif headers.get("x-should-retry") == "false":  # OpenAI's word for what no second send mends
        kind = "final"
    elif status == 429 and "insufficient_quota" not in complaint.words:
        kind = "busy"
    elif status in AGAIN or status >= 500:
        kind = "broken"
    return Fault(kind, reason, status, asked_wait(headers)), form


def _other_form(complaint: _Complaint, sent: Sent) -> Form:
    """Return the form that the complaint asks for: without temperature, with the other bound, with tools in another
    way, a weaker mode."""
    form, words = sent.form, complaint.words
    unsupported = UNSUPPORTED.search(words)
    if form.temperature and unsupported and "temperature" in words:
        return replace(form, temperature=False)
    if unsupported and form.cap in words and "too large" not in words:
        return replace(form, cap="max_tokens" if form.cap == "max_completion_tokens" else "max_completion_tokens")
    if sent.request.tools and TOOLS.search(words):
        together = form.tools == "native" and sent.request.schema is not None and form.mode != "text"
        return replace(form, tools="alone" if together else "words")
    if sent.request.schema is not None and form.mode != "text" and SCHEMA.search(words):
        return replace(form, mode=MODES[MODES.index(form.mode) + 1])
    return form


def _failure(end: str, refused: Any, empty: bool, usage: Usage) -> str:
    if end in CUT:
        return f"the reply was cut at {usage.output_tokens} tokens (max_tokens)"
    if refused or end in FILTERED:
        return f"the model refused: {refused or 'its content filter stopped the reply'}"
    return "the reply is empty" if empty else ""


def _calls(message: Mapping[str, Any]) -> tuple[ToolCall, ...]:
    """Return the calls of a reply, in the form of today or in the older one; what is wrong with one is told later."""
    plain: Any = message.get("tool_calls") or message.get("function_call") or []
    calls = cast(list[Any], plain if isinstance(plain, list) else [plain])
    return tuple(_one_call(call) for call in calls)


def _one_call(call: Any) -> ToolCall:
    outer: dict[str, Any] = cast(dict[str, Any], call) if isinstance(call, dict) else {}
    inner: Any = outer.get("function", outer)
    function: dict[str, Any] = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
    name: Any = function.get("name")
    arguments: Any = function.get("arguments")
    if not isinstance(arguments, str):
        arguments = "{}" if arguments is None else json.dumps(arguments, ensure_ascii=False)
    return ToolCall(name if isinstance(name, str) else "", arguments or "{}")


def _parts(content: Any) -> str:
    """Join the text of a content that comes in parts, without the parts that think."""
    if not isinstance(content, list):
        return ""
    parts = [cast(dict[str, Any], part) for part in cast(list[Any], content) if isinstance(part, dict)]
    return "".join(str(part.get("text") or "") for part in parts if part.get("type") in ("text", "output_text"))


def _count(reported: Mapping[str, Any], name: str) -> int | None:
    """Return a reported count; None where it is missing, or no count that a reply can have."""
    value = reported.get(name)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _without_choices(payload: bytes, plain: Any) -> Fault:
    """Read an error that came with a good status, as routers send it; its code may be the status that was meant."""
    complaint = _Complaint.of(payload)
    error: Any = cast(dict[str, Any], plain).get("error") if isinstance(plain, dict) else None
    code: Any = cast(dict[str, Any], error).get("code") if isinstance(error, dict) else None
    kind: Kind = "busy" if code == 429 else "final" if code in (401, 402, 403) else "broken"
    return Fault(kind, f"the reply has no choices{': ' if complaint.message else ''}{complaint.message}")


@dataclass(frozen=True)
class _Complaint:
    """An error body: the message for people, the words (message and codes) to tell what it means, a refused draft."""

    message: str
    words: str
    draft: str = ""

    @classmethod
    def of(cls, payload: bytes) -> _Complaint:
        text = payload.decode("utf-8", "replace")
        try:
            plain: Any = json.loads(text)
        except (ValueError, RecursionError):
            return cls(" ".join(text.split())[:LONGEST], text[:4000].lower())
        while isinstance(plain, list) and plain:
            plain = cast(list[Any], plain)[0]
        outer: dict[str, Any] = cast(dict[str, Any], plain) if isinstance(plain, dict) else {"message": plain}
        inner: Any = outer.get("error") or outer
        error: dict[str, Any] = cast(dict[str, Any], inner) if isinstance(inner, dict) else {"message": inner}
        message = _text(error.get("message") or error.get("detail") or error.get("msg") or "")
        metadata: Any = error.get("metadata")
        raw = _text(cast(dict[str, Any], metadata).get("raw", "")) if isinstance(metadata, dict) else ""
        codes = [_text(error.get(name) or "") for name in ("code", "type", "param", "status", "innererror")]
        draft = error.get("failed_generation")
        shown = " ".join(f"{message} {raw}".split())[:LONGEST]
        words = " ".join([message, raw, *codes])[:4000].lower()
        return cls(shown, words, draft if isinstance(draft, str) else "")


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except (ValueError, RecursionError):  # nested too deep, or a number too long to write
        return ""
