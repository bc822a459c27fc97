"""llama.cpp in this process: one loaded file, its parallel slots, and the threads that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import json
import os
import queue
import re
import secrets
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flowbot.engine.ports import EndpointError
from flowbot.errors import InputError
from flowbot.task.task import ModelSpec
from flowbot.workflow.fields import Json

# llguidance's settings: no white space between the parts of a reply, and keywords it does not know are let pass
COMPACT = {"whitespace_flexible": False, "lenient": True, "coerce_one_of": True}
BATCH = 64  # prompt tokens read at once: a call can be stopped between two batches (512 would save 5 % of the time)
GRACE = 5.0  # seconds at most that calls are given to stop when the program ends; one token is enough
SPACE_RULE = re.compile(r"^space ::= .*$", re.MULTILINE)

Chunk = Mapping[str, Any]


class Server(Protocol):
    """What is used of xllamacpp's server: one call that streams chunks until the callback returns True."""

    def handle_chat_completions(self, body: Mapping[str, Json], callback: Callable[[Chunk], bool]) -> None: ...


@dataclass
class Answer:
    """What one generation gave, chunk by chunk."""

    parts: list[str] = field(default_factory=list[str])
    finish: str = ""
    error: Mapping[str, Any] = field(default_factory=dict[str, Any])
    timings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seconds: float = 0.0

    def add(self, chunk: Chunk) -> None:
        """Take one chunk of the stream."""
        self.error = chunk.get("error") or self.error
        self.timings = chunk.get("timings") or self.timings
        for choice in chunk.get("choices", ()):
            self.parts.append(choice["delta"].get("content") or "")
            self.finish = choice.get("finish_reason") or self.finish


@dataclass
class _Job:
    body: Mapping[str, Json]
    done: Callable[[Answer | Exception], None]
    cancelled: bool = False


class Engine:
    """One loaded file and the threads that call it, one a slot."""

    def __init__(self, path: Path, spec: ModelSpec) -> None:
        self._shape = _Shape(path, spec.context, spec.slots, spec.threads or _cores())
        self._grammars: dict[str, str] = {}
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        # runs at the interpreter's exit too, so that a long generation does not outlive the program
        self.close = weakref.finalize(self, _close, self._jobs, self._stopping, self._threads)

    def widen(self, spec: ModelSpec) -> bool:
        """Make room for one more spec; tell whether it fits."""
        shape = self._shape
        if not self.close.alive:
            return False
        if not self._threads:
            shape.context, shape.slots = max(shape.context, spec.context), max(shape.slots, spec.slots)
            shape.threads = max(shape.threads, spec.threads or 0)
        return spec.context <= shape.context and spec.slots <= shape.slots

    def grammar(self, schema: Mapping[str, Json]) -> str:
        """Return the grammar of a JSON Schema, made once a schema."""
        text = json.dumps(schema, ensure_ascii=False)
        if text not in self._grammars:
            self._grammars[text] = compact_grammar(schema)
        return self._grammars[text]

    async def run(self, body: Mapping[str, Json]) -> Answer:
        """Return the answer to one request, in the order of the calls."""
        if not self.close.alive:
            raise EndpointError("the local model is closed")
        if not self._threads:
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Answer] = loop.create_future()
        job = _Job(body, lambda result: _hand_over(loop, future, result))
        self._jobs.put(job)
        try:
            return await future
        finally:
            job.cancelled = True  # frees the slot where the caller has gone

    def _start(self) -> None:
        given = (self._jobs, _Loading(self._shape), self._stopping)
        for slot in range(self._shape.slots):
            # daemons: the interpreter does not wait for them, unlike for the threads of an executor
            thread = threading.Thread(target=_work, args=given, name=f"local-{slot}", daemon=True)
            self._threads.append(thread)
            thread.start()


@dataclass
class _Shape:
    path: Path
    context: int
    slots: int
    threads: int


class _Loading:
    """The server, loaded by the first thread that needs it."""

    def __init__(self, shape: _Shape) -> None:
        self._shape, self._lock = shape, threading.Lock()
        self._server: Server | None = None

    def server(self) -> Server:
        with self._lock:
            if self._server is None:
                self._server = _load(self._shape)
            return self._server


def _work(jobs: queue.SimpleQueue[_Job | None], loading: _Loading, stopping: threading.Event) -> None:
    while (job := jobs.get()) is not None:
        if stopping.is_set():
            job.done(EndpointError("the local model is closed"))
        elif not job.cancelled:
            try:
                job.done(_generate(loading.server(), job, stopping))
            except Exception as problem:
                job.done(problem)


def _generate(server: Server, job: _Job, stopping: threading.Event) -> Answer:
    answer, began = Answer(), time.perf_counter()

    def take(chunk: Chunk) -> bool:
        answer.add(chunk)
        return job.cancelled or stopping.is_set()

    try:
        server.handle_chat_completions(job.body, take)
    except (RuntimeError, ValueError) as problem:
        raise EndpointError(f"the local model refuses the request: {problem}") from None
    if stopping.is_set():
        raise EndpointError("the local model was closed during a call")
    answer.seconds = time.perf_counter() - began
    return answer


def _hand_over(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Answer], result: Answer | Exception) -> None:
    def settle() -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)


def _close(jobs: queue.SimpleQueue[_Job | None], stopping: threading.Event, threads: list[threading.Thread]) -> None:
    """End the threads. A thread that is inside llama.cpp when the interpreter goes away would abort the process."""
    stopping.set()
    for _ in threads:
        jobs.put(None)
    until = time.monotonic() + GRACE
    for thread in threads:
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))


def require() -> None:
    """Raise `InputError` where xllamacpp is not installed."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise InputError("local models need the extra: pip install 'flowbot[local]'")


def compact_grammar(schema: Mapping[str, Json]) -> str:
    """Return a grammar that lets through the JSON of a schema and no white space around its parts.

    Raises `EndpointError` where the schema cannot be converted.
    """
    try:
        text: str = _library().json_schema_to_grammar(json.dumps({**schema, "x-guidance": COMPACT}))
    except (RuntimeError, ValueError) as problem:
        raise EndpointError(f"the schema cannot be turned into a grammar: {problem}") from None
    return text if text.startswith("%llguidance") else tighten(text)


def tighten(grammar: str) -> str:
    """Return a GBNF grammar (of a llama.cpp built without llguidance) whose white space rule matches nothing."""
    return SPACE_RULE.sub('space ::= ""', grammar)


def _library() -> Any:
    require()
    # threads that spin while they wait starve a busy machine; threads that sleep at once cost a third of the speed
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "200")
    return importlib.import_module("xllamacpp")


def _load(shape: _Shape) -> Server:
    library = _library()
    params = library.CommonParams()
    params.model.path = str(shape.path)
    params.n_parallel, params.n_ctx = shape.slots, shape.slots * shape.context
    params.n_batch = params.n_ubatch = BATCH
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = shape.threads
    params.cache_ram_mib, params.warmup, params.verbosity = 0, False, -1
    params.ui, params.endpoint_slots, params.n_threads_http = False, False, 1
    # the library always opens an HTTP listener: on a socket that is gone once it is open, nobody can reach it
    params.api_keys = [secrets.token_hex(16)]
    with tempfile.TemporaryDirectory(prefix="flowbot-") as folder:
        if os.name == "posix" and len(folder) < 90:
            params.hostnames = [f"{folder}/unused.sock"]
        try:
            return library.Server(params)
        except RuntimeError:
            raise EndpointError(f"{shape.path} cannot be loaded: is it a whole GGUF file?") from None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
