"""A workflow of calls and tool steps as a TextGrad graph: its prompts are variables, its calls `BlackboxLLM`s."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from flowbot.bench.flow import Room
from flowbot.bench.methods.peer import REFUSED, Peer, client_of, package
from flowbot.engine.chat import Ask, form, sectioned
from flowbot.engine.forward import forward
from flowbot.task.data import Example
from flowbot.workflow.fields import TEXT, Json, Misfit, as_text
from flowbot.workflow.graph import Workflow, build
from flowbot.workflow.prompt import spoken
from flowbot.workflow.steps import Call, ToolStep
from flowbot.workflow.value import literal, reference

ROLE = (
    "structured system prompt to a somewhat capable language model that specifies the behavior and strategies for the "
    "task; it is reused across inputs"
)
NONE = "(no reply: "  # how a text begins that stands for a reply that did not come
QUERY = "query"  # the input under which a call with tools reads TextGrad's message


@dataclass(frozen=True)
class Ran:
    """What one run gave: the output, or why there is none, and the variable that the loss is a function of."""

    output: Json
    variable: Any
    error: str = ""


@dataclass
class Graph:
    """A workflow at a base URL. Prompts stand in the system message; the form of the answer in the query, where no
    update can lose it. With a peer it stops at the wall, caches, and has a critic: the model that goes backward."""

    room: Room
    url: str
    model: str
    loop: asyncio.AbstractEventLoop
    given: Mapping[str, str] = field(default_factory=dict[str, str])
    peer: Peer | None = None
    prompts: dict[str, Any] = field(default_factory=dict[str, Any])
    engines: dict[str, Any] = field(default_factory=dict[str, Any])  # of calls, by step

    @property
    def workflow(self) -> Workflow:
        """The workflow, with the prompts that it began with."""
        return self.room.start

    def __post_init__(self) -> None:
        variable = package("textgrad").Variable
        texts = {call.id: spoken(call.prompt) for call in self.workflow.calls} | dict(self.given)
        several = len(texts) > 1
        for name, text in texts.items():
            role = f"{ROLE} (step '{name}' of a system of {len(texts)} calls)" if several else ROLE
            self.prompts[name] = variable(text, requires_grad=True, role_description=role)
        if self.peer is not None:
            package("textgrad").set_backward_engine(self.critic, override=True)

    def values(self) -> dict[str, str]:
        """Return the prompts by step."""
        return {name: str(prompt.value) for name, prompt in self.prompts.items()}

    def set(self, prompts: Mapping[str, str]) -> None:
        """Put prompts back."""
        for name, text in prompts.items():
            self.prompts[name].set_value(text)

    @cached_property
    def critic(self) -> Any:
        """The engine of the meta model."""
        assert self.peer is not None
        spec = self.room.task.models.of("meta")
        return engine(client_of(self.url, spec), self.peer.arena.meta, self.peer, spec.max_tokens)

    @cached_property
    def client(self) -> Any:
        """The client of the task model."""
        return client_of(self.url, self.room.task.models.task)

    def asked(self, step: Call) -> Any:
        """Return the engine of the task model for a call, with the call's own settings."""
        if step.id not in self.engines:
            bound = step.max_tokens or self.room.task.models.task.max_tokens
            self.engines[step.id] = engine(self.client, self.model, self.peer, bound, step.temperature)
        return self.engines[step.id]

    def close(self) -> None:
        """Close the connections."""
        if "critic" in vars(self):
            self.critic.client.close()
        if "client" in vars(self):
            self.client.close()

    def run(self, example: Example) -> Ran:
        """Run the workflow on one example, from a thread."""
        variable = package("textgrad").Variable
        values: dict[str, Json] = dict(example.inputs)
        nodes = {
            name: variable(as_text(value), requires_grad=False, role_description=f"input to the system: {name}")
            for name, value in values.items()
        }
        last: Any = None
        for step in self.workflow.steps:
            assert isinstance(step, Call | ToolStep)
            try:
                last = self._call(step, values, nodes) if isinstance(step, Call) else self._tool(step, values, nodes)
            except Failed as failed:
                return Ran(None, failed.node or last, failed.reason)
        return Ran(values[self.workflow.output], nodes[self.workflow.output])

    def _call(self, step: Call, values: dict[str, Json], nodes: dict[str, Any]) -> Any:
        """Ask the model for one step; its reply is a node, and so is each field that is read from it."""
        ask = Ask("", [(source, values[source]) for source in step.reads], step.gives)
        reply = self._reply(step, ask, {source: nodes[source] for source in step.reads})
        if reply.value.startswith(NONE):
            raise Failed(f"step '{step.id}' failed {reply.value}", reply)
        try:
            found = ask.parse(reply.value)
        except Misfit as misfit:
            raise Failed(f"the reply of step '{step.id}' does not fit: {misfit}", reply) from None
        for name, value in found.items():
            source = f"{step.id}.{name}"
            whole = ask.plain or source not in self.read
            values[source], nodes[source] = value, reply if whole else part(reply, name, as_text(value))
        return reply

    @cached_property
    def read(self) -> frozenset[str]:
        """What later steps read."""
        return frozenset(source for step in self.workflow.steps for source in step.sources)

    def _reply(self, step: Call, ask: Ask, read: Mapping[str, Any]) -> Any:
        """Return the reply of a call as a node, downstream of its prompt and of what it reads."""
        tg, ops = package("textgrad"), package("textgrad.autograd.llm_ops")
        prompt = self.prompts[step.id]
        mine = Tooled(self, step).engine if step.tools else self.asked(step)
        shape = "" if ask.plain or step.tools else f"\n\n{form(step.gives)}"
        if not any(node.requires_grad for node in read.values()):
            text = sectioned(ask.sections) + shape
            query = tg.Variable(text, requires_grad=False, role_description="query to the language model")
            return tg.BlackboxLLM(mine, prompt)(query)
        keys = {f"x{number}": node for number, node in enumerate(read.values())}
        spaces = (f"{source}:\n{{{key}}}" for source, key in zip(read, keys, strict=True))
        written = "\n\n".join(spaces) + shape.replace("{", "{{").replace("}", "}}")
        call = ops.FormattedLLMCall(mine, format_string=written, fields=dict.fromkeys(keys), system_prompt=prompt)
        return call(inputs=keys, response_role_description=f"reply of step '{step.id}'")

    def _tool(self, step: ToolStep, values: dict[str, Json], nodes: dict[str, Any]) -> Any:
        """Run a tool as a function of the nodes that its arguments come from."""
        sources = {name: source for name, value in step.args.items() if (source := reference(value)) is not None}
        args = {name: values[sources[name]] if name in sources else literal(v) for name, v in step.args.items()}
        (field_name, kind), spec = next(iter(step.gives.items())), self.workflow.tools[step.tool]
        reply = asyncio.run_coroutine_threadsafe(self._use(step.tool, args), self.loop).result()
        told = f"error: {reply.failure}" if reply.failure else as_text(reply.value)
        read = {name: nodes[source] for name, source in sources.items()}
        node = function(told, f"The tool '{step.tool}'. {spec.about}", read)
        try:
            if reply.failure:
                raise Misfit(reply.failure)
            values[f"{step.id}.{field_name}"] = kind.fit(reply.value)
        except Misfit as misfit:
            raise Failed(f"the tool '{step.tool}' failed: {misfit}", node) from None
        nodes[f"{step.id}.{field_name}"] = node
        return node

    async def _use(self, name: str, args: Mapping[str, Json]) -> Any:
        return await (await self.room.session(self.url)).use_tool(self.workflow, name, args, "peer")


def function(value: str, purpose: str, read: Mapping[str, Any]) -> Any:
    """Return a value as a node: what a function with a purpose made of the nodes that it read."""

    def known(**read: Any) -> str:
        return value

    return package("textgrad.autograd.string_based_ops").StringBasedFunction(known, purpose)(inputs=dict(read))


def part(reply: Any, name: str, text: str) -> Any:
    """Return one field of a reply as a node."""
    return function(text, f"Takes the field '{name}' from a reply.", {"reply": reply})


class Failed(Exception):
    """A step failed: its reason, and the node that critique begins at."""

    def __init__(self, reason: str, node: Any) -> None:
        self.reason, self.node = reason, node
        super().__init__(reason)


def engine(client: Any, name: str, peer: Peer | None, bound: int | None, warmth: float | None = None) -> Any:
    """Return TextGrad's engine of OpenAI's wire for a client, at its sampling settings; its cache is in memory.

    `bound` is what the task has for the length of the model's replies, else the package's own (2000 tokens) holds, and
    `warmth` a call's own temperature, else the package's own (0).

    Its own retries go on whatever an error says; here the client's do, which heed the meter.
    """
    known = package("textgrad.engine.openai").ChatOpenAI
    broken = package("openai").OpenAIError
    own = {name: value for name, value in (("max_tokens", bound), ("temperature", warmth)) if value is not None}

    class Engine(known):
        """The package's own, for any base URL."""

        def __init__(self) -> None:
            self.client, self.model_string, self.cache = client, name, dict[str, str]()
            self.system_prompt, self.is_multimodal = known.DEFAULT_SYSTEM_PROMPT, False

        def generate(self, content: Any, system_prompt: str | None = None, **settings: Any) -> str:
            if peer is not None:
                peer.check()
            settings = own | settings
            try:
                return self._generate_from_single_prompt(content, system_prompt=system_prompt, **settings) or ""
            except broken as error:
                if getattr(error, "status_code", 0) in REFUSED:
                    return f"{NONE}{error})"
                raise (peer.failed(error) if peer else error) from error

        def _save_cache(self, prompt: str, response: str) -> None:
            if peer is not None:  # the test asks afresh
                known._save_cache(self, prompt, response)

    return Engine()


@dataclass(frozen=True)
class Tooled:
    """A call that may use tools, as one black box: FlowBot's engine makes its tool turns."""

    graph: Graph
    step: Call

    @property
    def engine(self) -> Any:
        """The engine that answers a system prompt and a query."""
        tooled = self

        class Engine(package("textgrad.engine.base").EngineLM):
            """A language model with tools."""

            def generate(self, prompt: Any, system_prompt: str | None = None, **settings: Any) -> str:
                return tooled.reply(prompt, system_prompt or "")

            def __call__(self, prompt: Any, **settings: Any) -> str:
                return self.generate(prompt, **settings)

        made = Engine()
        made.model_string = self.graph.model
        return made

    def reply(self, query: str, prompt: str) -> str:
        """Return the reply to a query, after what tool calls it takes."""
        return asyncio.run_coroutine_threadsafe(self._reply(query, prompt), self.graph.loop).result()

    async def _reply(self, query: str, prompt: str) -> str:
        peer = self.graph.peer
        step = self.step.changed({"reads": (QUERY,), "prompt": prompt or " ", "demos": ()})
        alone = build(
            name="call",
            model=self.graph.workflow.model,
            inputs={QUERY: TEXT},
            tools=dict(self.graph.workflow.tools),
            steps=[step],
            output=f"{step.id}.{next(iter(step.gives))}",
        )
        example = Example(QUERY, {QUERY: query})
        if peer is not None:
            trace = await peer.forward(alone, example)
        else:
            trace = await forward(alone, example, await self.graph.room.session(self.graph.url), "test")
        return f"{NONE}{trace.error})" if trace.error else Ask("", (), step.gives).written(trace.steps[0].gives)
