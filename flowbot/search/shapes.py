"""Seeds: workflows of the usual shapes, made from what the task says, and one that the meta model draws freely."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from flowbot.engine.backward import Gradient
from flowbot.engine.update import update_sketch
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import Counted
from flowbot.search.operators.aim import ROOM
from flowbot.search.operators.run_code import code_prompt, runs_code
from flowbot.workflow.change import free_name
from flowbot.workflow.draft import Draft
from flowbot.workflow.fields import TEXT, FieldType
from flowbot.workflow.graph import Workflow, WorkflowError, rebuild
from flowbot.workflow.kept import frozen_loss
from flowbot.workflow.tools import FunctionSpec, McpSpec, SearchSpec

OPERATOR = "seed"
PARTS = 4  # small questions at most
TURNS, SAMPLES = 2, 3
VARIED = 0.7  # the temperature of further sketches, which are to differ
QUERIES = ("query", "q", "question", "search", "search_query", "keywords", "terms", "text", "input")  # of a search tool
TEXTS = FieldType("list", item=TEXT)


def shapes(lab: Lab) -> list[Candidate]:
    """Return the shapes that a task can have beside its start, within the lab's bounds; none where the start is frozen.

    They are made of the task's description with a short shipped text behind it, and the start's inputs, output, tools
    and model: direct, reason then answer, decompose and combine, check and fix, vote, write and run code (with a Python
    tool), search twice (with a search tool).
    """
    frame = Frame(lab.start, lab.meta.description.strip(), lab.meta.prompts)
    found: dict[str, Candidate] = {}
    for words, shape in SHAPES.items():
        try:
            plain = shape(frame)
            made = frame.built(plain).within(lab.bounds) if plain else lab.start
        except WorkflowError:
            continue  # the shape does not fit this task, or costs more than it may
        kept = not frozen_loss(Draft.of(lab.start), Draft.of(made)) and lab.start.output_type.accepts(made.output_type)
        if made.id != lab.start.id and kept:
            found.setdefault(made.id, Candidate(made, lab.start.id, (words,), f"the shape: {words}", OPERATOR))
    return list(found.values())


async def free_sketch(lab: Lab, number: int) -> Candidate | None:
    """Return a workflow that the meta model draws from the start and the task alone, with its prompts; None where it
    draws none. `number` tells several apart: those after the first are drawn at some temperature.
    """
    counted = Counted(lab.meta.session)
    warm = {"temperature": max(VARIED, lab.meta.temperature)} if number else {}
    meta: Any = replace(lab.meta.at(f"free sketch {number + 1}"), session=counted, **warm)
    wish = Gradient(None, "", lab.meta.prompts["shape_free"])
    made = await update_sketch(lab.start, [wish], meta, lab.guard, lab.kinds, lab.bounds)
    if made.id == lab.start.id:
        return None
    words = f"a free sketch: {', '.join(step.id for step in made.steps)}"
    why = "the meta model drew this structure for the task"
    return Candidate(made, lab.start.id, (words,), why, OPERATOR, paid=counted.usage)


Plain = dict[str, Any]  # a step as it stands in a file


@dataclass(frozen=True)
class Frame:
    """What all shapes of a task share: the start, whose inputs, output, tools and model they have, and the texts."""

    start: Workflow
    description: str
    texts: Mapping[str, str]

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return list(self.start.inputs)

    @property
    def name(self) -> str:
        """The name of the output field."""
        return self.start.output.partition(".")[2]

    @property
    def gives(self) -> dict[str, FieldType]:
        """The output field with its type."""
        return {self.name: self.start.output_type}

    @property
    def tools(self) -> list[str]:
        """The tools that a call may use."""
        return list(self.start.tools)

    def id(self, name: str) -> str:
        """Return the id of a step: a name that no input has."""
        return free_name(name, self.inputs)

    def other(self, name: str) -> str:
        """Return the name of a field beside the output's."""
        return free_name(name, [self.name])

    def told(self, *names: str) -> str:
        """Return a prompt: the task's description and shipped texts by name."""
        return "\n\n".join(
            part for part in (self.description, *(self.texts[f"shape_{name}"] for name in names)) if part
        )

    def call(
        self, step_id: str, prompt: str, reads: Sequence[str], gives: Mapping[str, Any], long: bool = False, **more: Any
    ) -> Plain:
        """Return a call; its replies are bounded as the start's are, with room to write where it is `long`."""
        bounds = [call.max_tokens for call in self.start.calls]
        known = [each for each in bounds if each is not None]
        most = max(known) if known and len(known) == len(bounds) else None
        bound = {} if most is None else {"max_tokens": max(most, ROOM) if long else most}
        call = {"id": step_id, "kind": "call", "reads": list(reads), "gives": dict(gives), "prompt": prompt}
        return call | bound | more

    def built(self, steps: Sequence[Plain]) -> Workflow:
        """Return the workflow of steps, the last of which gives the output; raise `WorkflowError`."""
        return rebuild(self.start, steps=list(steps), output=f"{steps[-1]['id']}.{self.name}")


def _direct(frame: Frame) -> list[Plain]:
    names = ("answer", "solve", *(f"answer_{number}" for number in range(2, 99)))  # as the start that a task has
    step_id = next(name for name in names if name not in frame.inputs)
    return [frame.call(step_id, frame.told(), frame.inputs, frame.gives, tools=frame.tools)]


def _reasoned(frame: Frame) -> list[Plain]:
    reason = frame.id("reason")
    gives = {"reasoning": TEXT}
    reads = [*frame.inputs, f"{reason}.reasoning"]
    return [
        frame.call(reason, frame.told("reason"), frame.inputs, gives, long=True, tools=frame.tools),
        frame.call(frame.id("answer"), frame.told("answer"), reads, frame.gives),
    ]


def _decomposed(frame: Frame) -> list[Plain]:
    split, each, part = frame.id("split"), frame.id("parts"), frame.id("part")
    solve = frame.call(part, frame.told("part"), [*frame.inputs, "item"], {"result": TEXT}, tools=frame.tools)
    reads = [*frame.inputs, f"{split}.questions", f"{each}.results"]
    return [
        frame.call(split, frame.told("split"), frame.inputs, {"questions": TEXTS}, long=True),
        {
            "id": each,
            "kind": "map",
            "over": f"{split}.questions",
            "cap": PARTS,
            "gives": {"results": TEXTS},
            "body": {"steps": [solve], "gives": {"results": f"{part}.result"}},
        },
        frame.call(frame.id("combine"), frame.told("combine"), reads, frame.gives),
    ]


def _checked(frame: Frame) -> list[Plain]:
    solve, check = frame.id("solve"), frame.id("check")
    good, words = frame.other("ok"), frame.other("feedback")
    again = [*frame.inputs, f"previous.{frame.name}", f"previous.{words}"]
    seen = [*frame.inputs, f"{solve}.{frame.name}"]
    tried = frame.call(solve, frame.told("fix"), again, frame.gives, tools=frame.tools)
    held = frame.call(check, frame.told("check"), seen, {good: "bool", words: TEXT}, long=True)
    until = f"{check}.{good}"
    return [
        {
            "id": frame.id("refine"),
            "kind": "loop",
            "max": TURNS,
            "until": until,
            "gives": frame.gives,
            "body": [tried, held],
        }
    ]


def _voted(frame: Frame) -> list[Plain]:
    gives = {frame.other("reasoning"): TEXT, **frame.gives}
    think = frame.call(frame.id("answer"), frame.told("think"), frame.inputs, gives, long=True, tools=frame.tools)
    return [{"id": frame.id("vote"), "kind": "vote", "n": SAMPLES, "gives": frame.gives, "body": [think]}]


def _programmed(frame: Frame) -> list[Plain]:
    if not runs_code(frame.start.tools):
        return []
    write = frame.id("write")
    prompt = f"{frame.told()}\n\n{code_prompt(frame.texts, frame.name, frame.start.output_type)}"
    return [
        frame.call(write, prompt.strip(), frame.inputs, {"program": TEXT}, long=True),
        {"id": frame.id("run"), "kind": "code", "code": f"${write}.program", "gives": frame.gives},
    ]


def _searched(frame: Frame) -> list[Plain]:
    found = next((pair for name in frame.tools if (pair := _query_of(frame.start, name))), None)
    if found is None:
        return []
    (tool, arg, kind), texts = found, [name for name, each in frame.start.inputs.items() if each == TEXT]
    ask, first, following, second = (frame.id(name) for name in ("ask", "first", "next_query", "second"))
    query = [] if len(frame.inputs) == len(texts) == 1 else [frame.call(ask, frame.told("query"), frame.inputs, _QUERY)]
    begin = f"${ask}.query" if query else f"${texts[0]}"
    searches = [
        {"id": step_id, "kind": "tool", "tool": tool, "args": {arg: source}, "gives": {"passages": kind}}
        for step_id, source in ((first, begin), (second, f"${following}.query"))
    ]
    reads = [f"{first}.passages", f"{second}.passages", *frame.inputs]
    return [
        *query,
        searches[0],
        frame.call(following, frame.told("next_query"), [f"{first}.passages", *frame.inputs], _QUERY),
        searches[1],
        frame.call(frame.id("answer"), frame.told("read"), reads, frame.gives),
    ]


_QUERY = {"query": TEXT}


def _query_of(workflow: Workflow, name: str) -> tuple[str, str, FieldType] | None:
    """Return a tool that searches with the argument for the query and what it gives; None where it is no search.

    That is BM25, or a function or read-only MCP tool that needs one text and calls it so.
    """
    spec = workflow.tools[name]
    if isinstance(spec, SearchSpec):
        return name, "query", TEXTS
    if not isinstance(spec, FunctionSpec | McpSpec) or getattr(spec, "side_effects", None) is not None:
        return None
    takes = spec.takes or {}
    needed = [arg for arg in takes if arg not in spec.may_omit]
    fits = len(needed) == 1 and needed[0].casefold() in QUERIES and takes[needed[0]] == TEXT
    return (name, needed[0], TEXT) if fits else None


SHAPES: Mapping[str, Callable[[Frame], list[Plain]]] = {
    "answer in one call": _direct,
    "reason, then answer": _reasoned,
    "decompose, solve the parts, combine": _decomposed,
    "solve, check, fix": _checked,
    f"vote of {SAMPLES}": _voted,
    "write a program and run it": _programmed,
    "search, read, search again": _searched,
}
