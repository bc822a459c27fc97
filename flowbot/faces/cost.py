"""What one example costs before anything is asked: how often each call runs, how many tokens, how much money."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowbot.engine.calls import ask_of
from flowbot.engine.chat import schema_of
from flowbot.models.price import price_of
from flowbot.models.providers import provider_of
from flowbot.money import Usage
from flowbot.task.data import Example
from flowbot.task.task import ModelSpec
from flowbot.workflow.blocks import Branch, Loop, Map, Step, Vote
from flowbot.workflow.body import Block, scopes
from flowbot.workflow.fields import JSON, FieldType, Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call, CodeStep, ToolStep

LOW_BYTES, HIGH_BYTES = 4.2, 3.0  # bytes of text a token, at most and at least
SHORT, LONG = 24, 400  # tokens of a task's or a judge's reply that has no lower bound
TEXT = 400  # characters of a text that nobody knows yet: an input without examples, a step's field, a tool's value
ITEMS = 4  # of a list that nobody knows yet
EXAMPLES = 50  # of a split that are read for the size of its inputs


@dataclass(frozen=True)
class Asked:
    """What one call takes in one example at one end: requests (repairs and tool turns counted) and their tokens."""

    step: str
    model: str
    requests: int
    input_tokens: int
    output_tokens: int


def times(steps: Sequence[Step], fewest: bool = False) -> dict[str, int]:
    """Return how often each step runs for one example: every sample, item and turn, the longest arm.

    The `fewest` are one item, one turn, the shortest arm, and no judge, for samples may agree.
    """
    made: dict[str, int] = {}
    for step in steps:
        made[step.id] = 1
        if isinstance(step, Block):
            bodies = list(step.bodies.values())
            if isinstance(step, Branch):
                bodies.sort(key=lambda body: sum(each.worst_calls() for each in body.steps), reverse=not fewest)
            inside = times(bodies[0].steps, fewest)
            made |= {step_id: count * _repeats(step, fewest) for step_id, count in inside.items()}
            made |= dict.fromkeys((judge.id for judge in step.judges), 0 if fewest else 1)
    return made


def _repeats(step: Block, fewest: bool) -> int:
    match step:
        case Vote():
            return step.n
        case Map():
            return 1 if fewest else step.cap
        case Loop():
            return 1 if fewest else step.max
        case _:
            return 1


def asked(
    workflow: Workflow,
    examples: Sequence[Example],
    specs: Sequence[ModelSpec],
    fewest: bool,
    longest: int | None = None,
) -> list[Asked]:
    """Return what each call takes in one example, at the low end (`fewest`) or the high one; inputs as in `examples`.

    At the high end every typed reply is repaired once and every tool call that is allowed is made. With `longest`
    (tokens) every reply is as long as its bound, or as that where it has none, and so is a text that nobody knows yet.
    """
    counts = times(workflow.steps, fewest)
    readable = {step.id: scope for step, scope in scopes(workflow.steps, workflow.inputs)}
    known = {spec.name: spec for spec in specs}
    found: list[Asked] = []
    for call in workflow.calls:
        count = counts.get(call.id, 0)
        spec = known.get(call.model or workflow.model or "")
        bound = call.max_tokens or (spec.max_tokens if spec else None)
        reply = min(SHORT if fewest else LONG, bound or LONG) if longest is None else bound or longest
        text = TEXT if longest is None else 4 * longest
        per_token = LOW_BYTES if fewest else HIGH_BYTES
        read = _read(workflow, call, examples, readable[call.id], per_token, text)
        turns = 0 if fewest or not call.tools else call.max_tool_calls
        repair = 0 if fewest or call.plain_field else 1
        requests = 1 + turns + repair
        again = turns * (turns + 1) // 2 + turns * repair  # each turn reads what those before it called and got
        tokens = requests * read + again * (reply + _tokens(text, per_token)) + repair * reply
        name = call.model or workflow.model or ""
        found.append(Asked(call.id, name, count * requests, count * tokens, count * requests * reply))
    return found


def unpaid(workflow: Workflow, fewest: bool) -> tuple[int, int]:
    """Return how many tool calls and how many programs one example runs: they cost time, and no tokens."""
    counts = times(workflow.steps, fewest)
    tools = programs = 0
    for step in workflow.all_steps:
        count = counts.get(step.id, 0)
        if isinstance(step, CodeStep):
            programs += count
        elif isinstance(step, ToolStep):
            tools += count
        elif isinstance(step, Call) and step.tools and not fewest:
            tools += count * step.max_tool_calls
        elif isinstance(step, Vote) and step.tool is not None:
            tools += count * step.n
    return tools, programs


def usage_of(found: Sequence[Asked], specs: Sequence[ModelSpec]) -> Usage:
    """Return the sum over calls with its price; None in it where the price of a model is not known."""
    known = {spec.name: spec for spec in specs}
    total = Usage()
    for each in found:
        spec = known.get(each.model) or (ModelSpec(name=each.model) if each.model else None)
        price = price_of(spec) if spec else None
        usd = None if price is None else price.of(each.input_tokens, each.output_tokens)
        total += Usage(each.requests, each.input_tokens, each.output_tokens, usd=usd)
    return total


def check_provider(spec: ModelSpec) -> None:
    """Raise `InputError` for a model of a provider that nobody knows."""
    if spec.provider != "local":
        provider_of(spec, "http://localhost", {})  # at an address like this no provider needs its key


def models_of(workflow: Workflow, specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """Return the models that a workflow asks, with the settings that are known of them; raise `InputError`."""
    known = {spec.name: spec for spec in specs}
    names = dict.fromkeys(name for call in workflow.calls if (name := call.model or workflow.model))
    found = [known.get(name) or ModelSpec(name=name) for name in names]
    for spec in found:
        check_provider(spec)
    return found


def _read(
    workflow: Workflow,
    call: Call,
    examples: Sequence[Example],
    scope: Mapping[str, FieldType],
    per_token: float,
    text: int,
) -> int:
    """Return the mean tokens that one request of a call reads: prompt, demos, inputs, schema and tools."""
    fixed = "" if call.plain_field else json.dumps(schema_of(call.gives), ensure_ascii=False)
    for name in call.tools:
        spec = workflow.tools[name]
        fixed += name + spec.about + json.dumps(spec.schema_of_arguments, ensure_ascii=False)
    shown = [example.inputs for example in examples[:EXAMPLES]] or [{}]
    total = 0
    for inputs in shown:
        reads = {source: inputs.get(source, unknown(scope[source], text)) for source in call.reads}
        total += sum(len(message["content"].encode("utf-8", "replace")) for message in ask_of(call, reads).messages())
    return _tokens(total / len(shown) + len(fixed.encode("utf-8", "replace")), per_token) + 10


def _tokens(size: float, per_token: float) -> int:
    return round(size / per_token)


def unknown(kind: FieldType, text: int = TEXT) -> Json:
    """Return a value of a type that stands for one that nobody knows yet; `text` are a text's characters."""
    match kind.kind:
        case "number":
            return 12345
        case "bool":
            return True
        case "choice":
            return max(kind.choices, key=len)
        case "list":
            return [unknown(kind.item or JSON, text)] * ITEMS
        case _:
            return "x" * text
