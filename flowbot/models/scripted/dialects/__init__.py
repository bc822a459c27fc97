"""Other optimisers' forms of message: a planted world understands what GEPA, DSPy and TextGrad ask of both models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowbot.engine.ports import Reply, Request
from flowbot.models.scripted.dialects import dspy, gepa, textgrad
from flowbot.models.scripted.dialects.chat import read_chat
from flowbot.models.scripted.dialects.evidence import Heard
from flowbot.models.scripted.dialects.task import chat_answer, worded
from flowbot.models.scripted.world import MODEL, World

READERS: Sequence[Callable[[Request], Heard | None]] = (gepa.heard, dspy.heard, textgrad.heard)


def answer(world: World, request: Request) -> Reply:
    """Return the reply to a request in whichever form it comes; a form that is not known is answered as ever."""
    if request.purpose not in ("task", "") or request.tools:  # FlowBot's own meta requests, and calls with tools
        return world.answer(request)
    if request.model != MODEL.partition(":")[2]:
        for reader in READERS:
            if found := reader(request):
                return world.replied(request, meta_answer(world, request, found))
    if chat := read_chat(request.messages):
        return world.replied(request, chat_answer(world, request, chat))
    return world.answer(worded(request))


def meta_answer(world: World, request: Request, found: Heard) -> str:
    """Return the text of the reply to a meta request; it depends on the world's seed and the request alone."""
    model = world.meta_model
    asked = "\n".join(str(message["content"]) for message in request.messages)
    key = f"{found.name}|{request.draw}|{asked}"
    if (text := model.useless(key)) is not None:
        return found.form(text) if model.formed(key) else text
    return found.form(found.say(model.writer(key)))
