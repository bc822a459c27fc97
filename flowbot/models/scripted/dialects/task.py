"""Task calls in other forms, put into FlowBot's own: the rules that the task model obeys stay the same."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace

from flowbot.engine.chat import Ask, Gives, schema_of
from flowbot.engine.ports import Request
from flowbot.models.scripted.dialects.chat import Chat
from flowbot.models.scripted.world import World
from flowbot.workflow.fields import BOOL, JSON, NUMBER, TEXT, FieldType, Json

THOUGHTS = ("reasoning", "rationale")  # fields to think in: they get a filler, and change nothing
FILLER = "I read what is given and follow the instruction."
ABSENT = "Not supplied for this particular example."
LIST = re.compile(r"[Ll]ist\[(.*)\]")
LITERAL = re.compile(r"'([^']*)'|\"([^\"]*)\"|([^,'\"\[\]]+)")
FORM = re.compile(r"(?:\A|\n+)Reply with one JSON object only: \{(.*)\}[ \t]*(?=\n|\Z)")
PART = re.compile(r'"(\w+)": ')


def chat_answer(world: World, request: Request, chat: Chat) -> str:
    """Return the task model's reply to a request in DSPy's form, in that form."""
    gives = {name: type_of(stated) for name, stated in chat.outputs.items() if name not in THOUGHTS}
    gives = gives or dict.fromkeys(chat.outputs, TEXT)
    demos = [(list(read.items()), found) for read, gave in chat.demos if (found := _demo(gave, gives))]
    ask = Ask(chat.instruction, list(chat.inputs.items()), gives, demos)
    schema = None if ask.plain else schema_of(gives)
    text, _ = world.task_model.reply(replace(request, messages=ask.messages(), schema=schema))
    return chat.written(dict.fromkeys(chat.outputs, FILLER) | ask.parse(text))


def type_of(stated: str) -> FieldType:
    """Return the field type that a type in Python's words comes to; what has no counterpart is `json`."""
    if found := LIST.fullmatch(stated):
        return FieldType("list", item=type_of(found[1]))
    if stated.startswith("Literal["):
        said = ("".join(each).strip() for each in LITERAL.findall(stated[8:-1]))
        choices = tuple(dict.fromkeys(each for each in said if each))
        return FieldType("choice", choices) if choices else TEXT
    return {"str": TEXT, "int": NUMBER, "float": NUMBER, "bool": BOOL}.get(stated, JSON)


def _demo(gave: Mapping[str, str], gives: Gives) -> dict[str, Json]:
    """Return what a demo gave as values; empty where it gave nothing of it."""
    found: dict[str, Json] = {}
    for name, kind in gives.items():
        text = gave.get(name, ABSENT)
        if text.startswith(ABSENT):
            continue
        try:
            found[name] = text if kind in (TEXT, JSON) or kind.kind == "choice" else json.loads(text)
        except ValueError:
            found[name] = text
    return {name: found.get(name, "") for name in gives} if found else {}


def worded(request: Request) -> Request:
    """Return a request of two messages that asks for a form in words alone with the schema of that form."""
    if request.schema is not None or len(request.messages) != 2:
        return request
    head, body = (str(message["content"]) for message in request.messages)
    found = FORM.search(head) or FORM.search(body)
    if found is None:
        return request
    if found.string is body:  # FlowBot says it behind the instruction
        head, body = f"{head}\n\n{found[0].strip()}", (body[: found.start()] + body[found.end() :]).strip()
    parts = PART.split(found[1])
    gives = {name: _in_words(said.rstrip(", ")) for name, said in zip(parts[1::2], parts[2::2], strict=True)}
    messages = ({"role": "system", "content": head}, {"role": "user", "content": body})
    return replace(request, messages=messages, schema=schema_of(gives)) if gives else request


def _in_words(said: str) -> FieldType:
    """Return the field type that FlowBot's words for it mean."""
    if said.startswith("["):
        return FieldType("list", item=_in_words(said[1:].removesuffix("]").removesuffix(", ...")))
    if said in ('"..."', "true | false", "<number>"):
        return {'"..."': TEXT, "<number>": NUMBER}.get(said, BOOL)
    choices = [found[0] or found[1] for found in re.findall(r"'([^']*)'|\"([^\"]*)\"", said)]
    return FieldType("choice", tuple(choices)) if choices else JSON
