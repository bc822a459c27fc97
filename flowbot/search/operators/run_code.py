"""Programs: what makes the output writes a program, and the sandbox runs it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flowbot.search.findings import Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.operators.aim import built, output_chain, roomier, writer_of
from flowbot.workflow.blocks import PREVIOUS, Loop
from flowbot.workflow.body import Body
from flowbot.workflow.draft import Draft
from flowbot.workflow.fields import BOOL, TEXT, FieldType
from flowbot.workflow.graph import Workflow, rebuild
from flowbot.workflow.steps import SAID, Call, CodeStep
from flowbot.workflow.tools import Tools

PRINTED = ("text", "number", "bool", "choice")  # what can be read off what a program prints
Texts = Mapping[str, str]


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Let the output call write a program that is run, and one that is mended once by its error; mend those there."""
    parent, texts = found.parent, lab.meta.prompts
    last = output_chain(parent)[-1]
    if not runs_code({**lab.start.tools, **parent.tools}) or len(last.gives) != 1 or last.id in parent.frozen_ids:
        return []
    why = "a program calculates without slips, step by step"
    mends = f"{why}, and its error says how to mend it"
    if isinstance(last, CodeStep):
        told = f"let the program of '{last.id}' be written again where it fails"
        return built(lab, found, "run_code", lambda: _mended(parent, last, texts), told, mends)[: found.variants]
    if not isinstance(last, Call):
        return []
    made = built(
        lab,
        found,
        "run_code",
        lambda: _lowered(parent, last, texts),
        f"let '{last.id}' write a program that is run",
        why,
    )
    told = f"let '{last.id}' write a program that is run, and written again where it fails"
    made += built(lab, found, "run_code", lambda: _looped(parent, last, texts), told, mends)
    return made[: found.variants]


def runs_code(tools: Tools) -> bool:
    """Tell whether programs may be run: a Python tool is declared."""
    return any(spec.kind == "python" for spec in tools.values())


def _lowered(workflow: Workflow, call: Call, texts: Texts) -> Workflow:
    draft = Draft.of(workflow)
    (name, kind), home = next(iter(call.gives.items())), draft.place(call.id)
    writer = writing(call, draft.new_id(None, f"{call.id}_program"), code_prompt(texts, name, kind))
    runs = CodeStep(id=call.id, code=f"${writer.id}.program", gives=call.gives)
    return _rebuilt(workflow, draft.swapped(call.id, runs).inserted(writer, home))


def _looped(workflow: Workflow, call: Call, texts: Texts) -> Workflow:
    draft = Draft.of(workflow)
    (name, kind) = next(iter(call.gives.items()))
    writer = writing(call, draft.new_id(None, f"{call.id}_program"), code_prompt(texts, name, kind, kind != TEXT))
    loop = mending(draft.new_id(None, f"{call.id}_loop", [writer.id]), writer, call.id, name, kind, texts)
    return _rebuilt(workflow, draft.redirected({f"{call.id}.{name}": f"{loop.id}.{name}"}).swapped(call.id, loop))


def _mended(workflow: Workflow, runs: CodeStep, texts: Texts) -> Workflow:
    draft, call = Draft.of(workflow), writer_of(workflow, runs)
    (name, kind) = next(iter(runs.gives.items()))
    if call is None or list(call.gives) != ["program"]:
        raise ValueError("no call of its own writes the program")
    prompt = call.prompt if kind == TEXT else f"{call.prompt}\n\n{ends(texts, name, True)}"
    loop = mending(
        draft.new_id(None, f"{runs.id}_loop"), call.changed({"prompt": prompt}), runs.id, name, kind, texts, runs
    )
    draft = draft.swapped(call.id).redirected({f"{runs.id}.{name}": f"{loop.id}.{name}"})
    return _rebuilt(workflow, draft.swapped(runs.id, loop))


def _rebuilt(workflow: Workflow, draft: Draft) -> Workflow:
    return rebuild(workflow, steps=draft.steps, output=draft.output)


def writing(call: Call, step_id: str, told: str) -> Call:
    """Return a call that writes the program for another: with its reads and settings, without its tools and demos."""
    prompt = f"{call.prompt}\n\n{told}"
    new: dict[str, Any] = {"id": step_id, "gives": {"program": TEXT}, "prompt": prompt, "demos": (), "tools": ()}
    return call.changed({**new, **roomier(call)})


def mending(
    step_id: str, writer: Call, code_id: str, name: str, kind: FieldType, texts: Texts, old: CodeStep | None = None
) -> Loop:
    """Return a loop of two turns: a program is written and run, and where it fails written anew with its error.

    It gives the field `name`: of a text what was printed, else the program's variable. Raises ValueError for a field
    that the sandbox itself fills.
    """
    if name in SAID and name != "output":
        raise ValueError(f"'{name}' has a meaning of its own in a program")
    printed = kind == TEXT
    gives = {"output" if printed else name: kind, "ok": BOOL, "error": TEXT}
    code = CodeStep(id=code_id, code=f"${writer.id}.program", gives=gives)
    runs = code if old is None else old.changed({"gives": gives})
    reads = dict.fromkeys((*writer.reads, f"{PREVIOUS}.program", f"{PREVIOUS}.error"))
    again = writer.changed({"reads": tuple(reads), "prompt": f"{writer.prompt}\n\n{texts['shape_mend']}", "demos": ()})
    body = Body(steps=(again, runs), gives={name: f"{code_id}.output"} if printed else {})
    return Loop(id=step_id, gives={name: kind}, max=2, until=f"{code_id}.ok", body=body)


def code_prompt(texts: Texts, name: str, kind: FieldType, value: bool = False) -> str:
    """Return what a call is told that writes a program for a field; `value`: as a variable, else it prints it."""
    return f"{texts['shape_code']}\n{ends(texts, name, value or kind.kind not in PRINTED)}"


def ends(texts: Texts, name: str, value: bool) -> str:
    """Return how a program is to end: it prints the answer, or sets a variable to it."""
    return f"{texts['shape_code_value']} {name}" if value else texts["shape_code_print"]


OPERATOR = Operator("run_code", propose, structural=True)
