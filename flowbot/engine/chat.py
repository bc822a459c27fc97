"""One exchange with a model: from an instruction, labelled sections and typed fields to a value or a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, zip_longest
from typing import Any, Protocol

from flowbot.engine.ports import Message, Reply, Request, Session, ToolCall, ToolWords
from flowbot.engine.tasks import together
from flowbot.engine.trace import ToolUse
from flowbot.money import Usage
from flowbot.workflow.fields import FieldType, Json, Misfit, as_text, finite_number, refuse_constant, whole

LONGEST_BROKEN = 20_000  # characters of broken JSON that are mended: the time grows with length times depth
LONGEST_RESULT = 8_000  # characters of what a tool gave that the model is shown
DEEPEST = 100  # brackets that stand open in broken JSON that is mended
MISFIT, UNFIT = 1, 2  # why a repair is asked for: the reply's form, or what it says
Gives = Mapping[str, FieldType]
Sections = Sequence[tuple[str, Json]]  # (label, value)


@dataclass(frozen=True)
class Ask:
    """What is asked: an instruction, the sections that follow it, and what must come back.

    `demos` are pairs (sections, values). Nothing of it is ever interpreted: sections are appended, not filled in.
    """

    prompt: str
    sections: Sections
    gives: Gives
    demos: Sequence[tuple[Sections, Mapping[str, Json]]] = ()

    @property
    def plain(self) -> bool:
        """True where the reply is plain text: one field of type `text`."""
        return len(self.gives) == 1 and next(iter(self.gives.values())).kind == "text"

    def messages(self) -> tuple[Message, ...]:
        """Return the messages: the fixed part first, so that prompt caches hit."""
        head = self.prompt if self.plain or self._shown else f"{self.prompt}\n\n{form(self.gives)}"
        turns: list[Message] = [{"role": "system", "content": head}]
        for sections, values in self.demos:
            turns.append({"role": "user", "content": sectioned(sections)})
            turns.append({"role": "assistant", "content": self.written(values)})
        turns.append({"role": "user", "content": sectioned(self.sections)})
        return tuple(turns)

    @property
    def _shown(self) -> bool:
        """True where the demos show every choice there is: then naming the form again only draws from the task."""
        return bool(self.demos) and all(
            set(kind.choices) <= {str(values.get(name)) for _, values in self.demos}
            for name, kind in self.gives.items()
        )

    def written(self, values: Mapping[str, Json]) -> str:
        """Return values as the model should write them."""
        if self.plain:
            return as_text(values[next(iter(self.gives))])
        ordered = {name: values[name] for name in self.gives}
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))

    def parse(self, text: str) -> dict[str, Json]:
        """Return the reply's fields; raise `Misfit`. Text around a JSON object is passed over."""
        if self.plain:
            return {next(iter(self.gives)): text.strip()}
        found = _object(text)
        values: dict[str, Json] = {}
        for name, kind in self.gives.items():
            if name not in found:
                raise Misfit(f"the field '{name}' is missing")
            try:
                values[name] = kind.fit(found[name])
            except Misfit as misfit:
                raise Misfit(f"the field '{name}': {misfit}") from None
        return values


class CheckFailed(Misfit):
    """Values that fit their types but not their purpose (a sketch that is not valid, a copied text)."""


@dataclass(frozen=True)
class Answer:
    """What came of it: `values`, or `failure` with the reason; and what it cost."""

    values: Mapping[str, Json] | None
    messages: tuple[Message, ...]
    usage: Usage
    failure: str = ""
    tools: tuple[ToolUse, ...] = ()


class Toolbox(Protocol):
    """The tools that a model may call while it answers, at most `limit` times."""

    @property
    def words(self) -> tuple[ToolWords, ...]: ...

    @property
    def limit(self) -> int: ...

    async def use(self, call: ToolCall, number: int) -> ToolUse: ...


async def exchange(ask: Ask, session: Session, request: Request, toolbox: Toolbox | None = None) -> Answer:
    """Send one request for `ask`, one more after each turn of tool calls, and one repair where a reply does not fit.

    `request` is a template: its model, purpose, draw and settings are used. Raises what the session raises.
    """
    request = _with(request, messages=ask.messages(), schema=None if ask.plain else schema_of(ask.gives))
    if toolbox is None:
        reply = await session.complete(request)
        usage, uses = reply.usage, ()
    else:
        request, reply, usage, uses = await _called(session, request, toolbox)
    values, problem, kind = _read(ask, reply)
    if not kind:
        return Answer(values, request.messages, usage, problem, uses)
    again: Message = {"role": "user", "content": f"That does not fit: {problem}. {form(ask.gives)}"}
    turns = (*request.messages, {"role": "assistant", "content": reply.text[:4000]}, again)
    mended = await session.complete(_with(request, messages=turns, repair=kind, may_call=False, turn=request.turn + 1))
    values, problem, _ = _read(ask, mended)
    return Answer(values, request.messages, usage + mended.usage, problem, uses)


async def _called(
    session: Session, request: Request, toolbox: Toolbox
) -> tuple[Request, Reply, Usage, tuple[ToolUse, ...]]:
    """Send requests and use the tools that the model calls, until it calls none; return the last request and reply."""
    request, uses, usage = _with(request, tools=toolbox.words), list[ToolUse](), Usage()
    while True:
        left = toolbox.limit - len(uses)
        request = _with(request, may_call=left > 0)
        reply = await session.complete(request)
        usage += reply.usage
        if reply.failure or not reply.calls or left <= 0:
            return request, reply, usage, tuple(uses)
        made = await together([toolbox.use(call, len(uses) + number) for number, call in enumerate(reply.calls[:left])])
        request = _with(request, messages=(*request.messages, *_told(reply, made, len(uses))), turn=request.turn + 1)
        uses += made


def _with(request: Request, **changes: Any) -> Request:
    made = object.__new__(Request)
    vars(made).update(vars(request), **changes)  # `dataclasses.replace` takes six times as long
    return made


def _told(reply: Reply, made: Sequence[ToolUse], before: int) -> Iterator[Message]:
    """Yield the messages of one turn: which tools the model called, and what each gave."""
    ids = [f"call{before + number:05d}" for number in range(1, len(reply.calls) + 1)]
    called = [
        {"id": key, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for key, call in zip(ids, reply.calls, strict=True)
    ]
    yield {"role": "assistant", "content": reply.text, "tool_calls": called}
    for key, use in zip_longest(ids, made):
        yield {"role": "tool", "tool_call_id": key, "content": _cut(_gave(use))}


def _gave(use: ToolUse | None) -> str:
    if use is None:
        return "not called: no tool call is left"
    return f"error: {use.failure}" if use.failure else as_text(use.value)


def _cut(text: str) -> str:
    left = len(text) - LONGEST_RESULT
    return text if left <= 0 else f"{text[:LONGEST_RESULT]}\n[... {left} characters left out]"


def arguments_of(call: ToolCall) -> dict[str, Json]:
    """Return the arguments of a tool call as the model wrote them; raise `Misfit`."""
    return _object(call.arguments, "the arguments' text") if call.arguments.strip() else {}


def _read(ask: Ask, reply: Reply) -> tuple[dict[str, Json] | None, str, int]:
    """Return the values, or what is wrong and which kind of repair that is (0: none)."""
    if reply.failure:
        return None, reply.failure, 0
    if reply.calls and ask.plain and not reply.text.strip():
        return None, "the model called a tool where it had to answer", 0
    try:
        return ask.parse(reply.text), "", 0
    except CheckFailed as failed:
        return None, str(failed), UNFIT
    except Misfit as misfit:
        return None, str(misfit), MISFIT


def sectioned(sections: Sections) -> str:
    """Return labelled sections as one text, in order."""
    return "\n\n".join(f"{label}:\n{as_text(value)}" for label, value in sections)


def form(gives: Gives) -> str:
    """Say in words which JSON object is wanted."""
    return _form(tuple(gives.items()))


@lru_cache(1024)  # every example of a workflow asks for the same
def _form(gives: tuple[tuple[str, FieldType], ...]) -> str:
    fields = ", ".join(f'"{name}": {_wanted(kind)}' for name, kind in gives)
    return f"Reply with one JSON object only: {{{fields}}}"


def _wanted(kind: FieldType) -> str:
    match kind.kind:
        case "choice":
            return " | ".join(json.dumps(each, ensure_ascii=False) for each in kind.choices)
        case "list":
            assert kind.item is not None
            return f"[{_wanted(kind.item)}, ...]"
        case "bool":
            return "true | false"
        case "text":
            return '"..."'
        case "json" if kind.schema:
            return f"JSON that fits the schema {kind.schema}"
        case other:
            return f"<{other}>"


def schema_of(gives: Gives) -> dict[str, Json]:
    """Return the JSON Schema of a reply, in the strict form that providers ask for."""
    return _schema(tuple(gives.items()))


@lru_cache(1024)  # likewise
def _schema(gives: tuple[tuple[str, FieldType], ...]) -> dict[str, Json]:
    return {
        "type": "object",
        "properties": {name: kind.json_schema() for name, kind in gives},
        "required": [name for name, _ in gives],
        "additionalProperties": False,
    }


def _object(text: str, what: str = "the reply") -> dict[str, Json]:
    """Read one JSON object, tolerantly: code fences, text around it, and broken JSON are mended where they can be."""
    stripped = text.strip()
    try:
        found = _STRICT.decode(stripped)
    except Misfit:
        raise
    except (ValueError, RecursionError):
        found = _mended(stripped)
    if not isinstance(found, dict):
        raise Misfit(f"{what} is not a JSON object")
    try:
        _written(found)
    except (ValueError, RecursionError):
        raise Misfit(f"{what} holds a number that is not finite or too long, or nests too deep") from None
    if "\\ud" in stripped.casefold():  # half a character, as a cut reply leaves it, has no UTF-8
        found = json.loads(whole(json.dumps(found, ensure_ascii=False)))
    return found  # pyright: ignore[reportUnknownVariableType]


def _mended(text: str) -> Json:
    from json_repair import repair_json  # heavy and rarely needed

    start = text.find("{")
    broken = text[start:]
    if start < 0 or _depth(broken[:LONGEST_BROKEN]) > DEEPEST:
        return None
    try:
        if len(broken) > LONGEST_BROKEN:
            return _STRICT.raw_decode(broken)[0]
        return repair_json(broken, return_objects=True)
    except (ValueError, RecursionError):
        return None


def _depth(text: str) -> int:
    """Return how many brackets stand open at most, where every bracket counts."""
    steps = (1 if char in "{[" else -1 for char in text if char in "{[]}")
    return max(accumulate(steps), default=0)


_written = json.JSONEncoder(allow_nan=False).encode  # made once: `dumps` makes one each time
_STRICT = json.JSONDecoder(parse_constant=refuse_constant, parse_float=finite_number)
