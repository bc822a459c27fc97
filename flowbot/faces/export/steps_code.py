"""Steps as Python functions: one each, with what it reads as arguments and what it gives as its value."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from flowbot.engine.calls import ask_of
from flowbot.engine.chat import Ask, sectioned
from flowbot.faces.export.kinds import annotation, annotation_of, source_of
from flowbot.faces.export.literals import (
    Group,
    Node,
    assigned,
    bound,
    call,
    laid,
    listed,
    quoted,
    returned,
    table,
    text,
    value,
)
from flowbot.faces.export.names import Names
from flowbot.workflow.blocks import PREVIOUS, Step, Vote
from flowbot.workflow.body import Block, StepList
from flowbot.workflow.draw import settings
from flowbot.workflow.fields import JSON, FieldType
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import spoken
from flowbot.workflow.steps import Call, ToolStep
from flowbot.workflow.value import head, literal, reference


@dataclass(frozen=True)
class Place:
    """Where a step stands: the types of what it may read, the temperature of its calls, and whether demos shuffle."""

    types: Mapping[str, FieldType]
    temperature: float = 0.0
    shuffles: bool = False

    def behind(self, step: Step) -> Place:
        """Return the place behind a step."""
        gives = {f"{step.id}.{name}": kind for name, kind in step.gives.items()}
        return Place({**self.types, **gives}, self.temperature, self.shuffles)


@dataclass
class Writer:
    """Writes the functions of steps. `constants` are what stands before them (prompts, demos), `late` what needs the
    parts of `runtime` (types), and `models` has the name of each model's constant."""

    workflow: Workflow
    names: Names = field(default_factory=Names)
    models: dict[str, str] = field(default_factory=dict[str, str])
    constants: list[str] = field(default_factory=list[str])
    late: list[str] = field(default_factory=list[str])
    functions: list[str] = field(default_factory=list[str])

    def steps(self, steps: Sequence[Step], place: Place) -> Place:
        """Write the functions of steps, those in their bodies behind them; return the place behind all."""
        from flowbot.faces.export.bodies_code import block_lines  # each writes what the other contains

        for step in steps:
            self.names.step(step.id)
            at = len(self.functions)
            match step:
                case Call():
                    lines = self._call(step, place)
                case ToolStep():
                    [(name, kind)] = step.gives.items()
                    given = self.fitted(f"{step.id}_{name}", kind, calculation(step, self.names))
                    lines = [laid("return ", given, "", 4)]
                case _:
                    lines = block_lines(self, step, place)
            self.functions.insert(at, self._function(step, lines, place))
            place = place.behind(step)
        return place

    def _function(self, step: Step, lines: list[str], place: Place) -> str:
        arguments = [self.argument(source, place) for source in step.sources]
        arguments += ["sample: int"] if uses_sample(step, place.shuffles) else []
        head = Group(f"async def {self.names.step(step.id)}(", [("", each) for each in arguments], ")")
        told = f"{settings(step)}; reads {', '.join(step.sources) or 'nothing'}"
        told = "".join(char if char.isalnum() or char in " _-.:;,=" else "_" for char in told)
        gives = annotation_of(list(step.gives.values()))
        return "\n".join([laid("", head, f" -> {gives}:"), f'    """{told[:1].upper()}{told[1:]}."""', *lines])

    def argument(self, source: str, place: Place) -> str:
        """Return the argument that holds what a reference reads."""
        kind = place.types.get(source, JSON)
        optional = " | None" if head(source) == PREVIOUS and kind.kind != "json" else ""
        return f"{self.names.value(source)}: {annotation(kind)}{optional}"

    def _call(self, step: Call, place: Place) -> list[str]:
        ask = ask_of(step, dict.fromkeys(step.reads))
        prompt = self.names.constant(step.id, "prompt")
        self.constants.append(assigned(prompt, spoken(step.prompt)))
        sections = table({source: self.names.value(source) for source in step.reads})
        chosen: dict[str, Node] = {}
        if step.demos:
            chosen["demos"] = self._demos(step, ask, place)
            if not ask.plain and ask.messages()[0]["content"] == ask.prompt:
                chosen["form_said"] = "False"
        temperature = place.temperature if step.temperature is None else step.temperature
        chosen |= {"temperature": repr(temperature)} if temperature else {}
        chosen |= {"max_tokens": str(step.max_tokens)} if step.max_tokens is not None else {}
        if step.tools:
            does = table({name: quoted(self.workflow.tools[name].about) for name in step.tools})
            chosen["sending"] = call("calculating", does, str(step.max_tool_calls))
        named = step.model or self.workflow.model or ""
        model = self.models.setdefault(named, self.names.model(named))
        if ask.plain:
            return [laid("return await ", call("ask_text", model, prompt, sections, **chosen), "", 4)]
        gives = table({name: source_of(kind) for name, kind in step.gives.items()})
        asked = call("ask", quoted(step.id), model, prompt, sections, gives, **chosen)
        fields = [f"fields[{quoted(name)}]" for name in step.gives]
        return [laid("fields = await ", asked, "", 4), returned(fields)]

    def _demos(self, step: Call, ask: Ask, place: Place) -> Node:
        name = self.names.constant(step.id, "demos")
        pairs = [(text(sectioned(read)), text(ask.written(given))) for read, given in ask.demos]
        shown = listed([Group("(", [("", read), ("", given)], ")") for read, given in pairs])
        self.constants.append(laid(f"{name} = ", shown))
        shuffles = place.shuffles and len(step.demos) > 1
        return call("shuffled", quoted(step.id), name, "sample") if shuffles else name

    def fitted(self, named: str, kind: FieldType, given: Node) -> Group:
        """Return the source of a value as a type holds it; a type of several words is a constant of that name."""
        source = source_of(kind)
        if not isinstance(source, str):
            constant = self.names.constant(named, "type")
            line = laid(f"{constant} = ", source)
            self.late += [] if line in self.late else [line]
            source = constant
        return call(f"{source}.fit", given)

    def flow(self, steps: StepList, ends: Iterable[str], shuffles: bool, indent: int) -> list[str]:
        """Return the lines that run steps: at once those whose reads are ready. `ends` are read behind them."""
        read = {*ends, *(source for step in steps.steps for source in step.sources)}
        layers: dict[str, int] = {}
        for step in steps.steps:
            layers[step.id] = 1 + max((layers[each] for each in steps.upstream[step.id]), default=0)
        lines: list[str] = []
        for layer in sorted(set(layers.values())):
            here = [step for step in steps.steps if layers[step.id] == layer]
            runs = [self.run(step, shuffles) for step in here]
            targets = [self._target(step, read) for step in here]
            if len(here) == 1:
                lines.append(bound(targets[0], runs[0], indent))
            else:
                together = Group("(", [("", each) for each in targets], ")")
                lines.append(bound(together, call("together", *runs), indent))
        return lines

    def run(self, step: Step, shuffles: bool, samples: str = "samples") -> Group:
        """Return the call of a step's function; `samples` is what a judge is given."""
        arguments = [samples if each == "samples" else self.names.value(each) for each in step.sources]
        arguments += ["sample"] if uses_sample(step, shuffles) else []
        return call(self.names.step(step.id), *arguments)

    def _target(self, step: Step, read: Collection[str]) -> Node:
        given = [f"{step.id}.{name}" for name in step.gives]
        names = [self.names.value(source) if source in read else "_" for source in given]
        return names[0] if len(names) == 1 else Group("(", [("", name) for name in names], ")")


def calculation(step: ToolStep, names: Names) -> Group:
    """Return the source that calculates what a step of the calculator gives."""
    source, given = reference(step.args["expression"]), literal(step.args["expression"])
    plain = quoted(given) if isinstance(given, str) else value(given)
    return call("calculated", plain if source is None else names.value(source))


def uses_sample(step: Step, shuffles: bool) -> bool:
    """Tell whether a step needs to know the sample of a vote around it, in whose order it shows its demos."""
    if not shuffles:
        return False
    if isinstance(step, Call):
        return len(step.demos) > 1
    own = isinstance(step, Vote) and step.shuffle_demos
    inner = (
        [each for body in step.bodies.values() for each in body.steps] if isinstance(step, Block) and not own else []
    )
    judges = step.judges if isinstance(step, Block) else ()
    return any(uses_sample(each, True) for each in (*inner, *judges))
