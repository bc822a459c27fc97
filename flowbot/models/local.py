"""Local models: a GGUF file that answers in this process."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from flowbot.engine.ports import EndpointError, Message, Reply, Request
from flowbot.models.catalogue import resolve
from flowbot.models.llama import Answer, Engine, require
from flowbot.models.toolwords import in_words, read_words
from flowbot.money import Usage
from flowbot.task.task import ModelSpec
from flowbot.workflow.fields import Json, whole

MAX_TOKENS = 512  # of a reply, where neither the request nor the model's settings say


class Local:
    """A model file in this process. Calls wait in line for one of its slots, first come, first served.

    Typed replies are held to their schema by a grammar, so they fit or are cut; tools are called in such replies too.
    Temperature 0 is greedy; above it the seed follows from the request's draw, so that draws differ and repeat. A reply
    depends, in the last bits of its arithmetic, on what shares a batch or a cached prefix with it: settings that repeat
    to the letter are `slots: 1` with `extra_body: {cache_prompt: false}`. `spec.timeout` is not heeded: what bounds a
    call is `max_tokens`. A cancelled call frees its slot at its next token.
    """

    def __init__(self, spec: ModelSpec, engine: Engine) -> None:
        self.spec, self._engine = spec, engine

    async def complete(self, request: Request) -> Reply:
        """Answer one request; a length cut, an overflow and an empty reply are failures in the reply.

        Raises `EndpointError` where the file cannot be loaded or the schema cannot be held to, and `InputError` where
        xllamacpp is missing.
        """
        asked = in_words(request) if request.tools else request
        grammar = self._engine.grammar(asked.schema) if asked.schema is not None else None
        body = _body(self.spec, asked, grammar)
        reply = _reply(await self._engine.run(body), asked)
        return read_words(request, reply) if request.tools else reply


class Pool:
    """The loaded model files of one program: specs of the same file share one server.

    The server takes the largest context and the most slots of the specs opened before its first call; a spec opened
    later that needs more gets a server of its own.
    """

    def __init__(self) -> None:
        self._engines: dict[Path, Engine] = {}

    def open(self, spec: ModelSpec) -> Local:
        """Return the model of a spec; nothing is loaded before its first call.

        Raises `InputError` for a name or path that is not there, and where xllamacpp is missing.
        """
        path = resolve(spec.model).resolve()
        require()
        engine = self._engines.get(path)
        if engine is None or not engine.widen(spec):
            engine = self._engines[path] = Engine(path, spec)
        return Local(spec, engine)

    def close(self) -> None:
        """Stop all servers; what is being generated ends at its next token."""
        for engine in self._engines.values():
            engine.close()
        self._engines.clear()


def _body(spec: ModelSpec, request: Request, grammar: str | None) -> dict[str, Json]:
    seed = hashlib.blake2b(f"{request.draw}\n{request.repair}".encode("utf-8", "surrogatepass"), digest_size=4)
    body: dict[str, Json] = {
        "cache_prompt": True,
        **spec.extra_body,
        "messages": [_clean(message) for message in request.messages],
        "max_tokens": request.max_tokens or spec.max_tokens or MAX_TOKENS,
        "temperature": request.temperature,
        "seed": int.from_bytes(seed.digest()) >> 1,
        "stream": True,
        "return_progress": True,
    }
    return body if grammar is None else {**body, "grammar": grammar}


def _clean(message: Message) -> dict[str, str]:
    """Return a message without lone surrogates, which the server's JSON cannot hold."""
    return {key: whole(text) for key, text in message.items()}


def _reply(answer: Answer, request: Request) -> Reply:
    mode = "text" if request.schema is None else "schema"
    error, timings, text = answer.error, answer.timings, "".join(answer.parts)
    if error.get("type") == "exceed_context_size_error":
        size, room = error.get("n_prompt_tokens", 0), error.get("n_ctx", 0)
        failure = f"the prompt of {size} tokens does not fit into the context of {room} tokens"
        return Reply("", Usage(calls=1, seconds=answer.seconds), failure, mode)
    if error:
        raise EndpointError(f"the local model refuses the request: {error.get('message', error)}")
    cached, made = timings.get("cache_n", 0), timings.get("predicted_n", 0)
    read = cached + timings.get("prompt_n", 0)
    usage = Usage(1, read, made, cached, usd=0.0, seconds=answer.seconds)
    if request.schema is not None:
        _check_held(text, answer.finish, request)
    if answer.finish == "length":
        return Reply(text, usage, f"the reply was cut at {made} tokens", mode)
    return Reply(text, usage, "" if text.strip() else "the reply is empty", mode)


def _check_held(text: str, finish: str, request: Request) -> None:
    """Raise `EndpointError` where a reply shows that its grammar was not in force.

    llama.cpp lets a schema that it cannot turn into a grammar pass in silence, and the reply is then free text.
    """
    try:
        json.loads(text)
    except ValueError:
        begins = text[:1] in '{["-0123456789tfn'  # as any JSON does; the empty text of a cut reply too
        if finish != "length" or not begins:
            name = request.schema_name
            raise EndpointError(
                f"the schema '{name}' cannot be turned into a grammar: use plainer JSON Schema"
            ) from None
