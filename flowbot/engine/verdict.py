"""Verdict: one critique of a whole trace. Who is to blame, what kind of defect it is, which rule was missing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from flowbot.engine.backward import backward, loss_of
from flowbot.engine.loose import LISTED, SAID, one_of
from flowbot.engine.meta import Meta, clipped
from flowbot.engine.trace import StepTrace, Trace
from flowbot.engine.update import Guard
from flowbot.names import nearest
from flowbot.workflow.draw import outline, settings
from flowbot.workflow.fields import Json, as_text
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call

DEFECTS = ("prompt", "parameter", "tool", "structure", "label", "capability")
REPLY = {"blame": LISTED, "defect": one_of(DEFECTS), "rule": SAID, "should": SAID}
LONGEST_RULE = 400  # characters
LEAST_ROOM = 240  # characters for one run of a step; runs that get less are left out
ECHO = 6  # words in a row that are no chance
NOTHING = ("", "none", "null", "n/a", "unknown", "unsure", "empty")  # a value that was not said


@dataclass(frozen=True)
class Verdict:
    """What a failure comes from, as one call read it off the whole trace and the metric's feedback.

    `blame` are ids of steps, most to blame first. `defect` is one of `DEFECTS`. `rule` would have prevented the
    failure; it is general and holds no answer (empty: the guard refused it). `should` is what the first step blamed
    should have given (None: not said).
    """

    example: str
    blame: tuple[str, ...]
    defect: str
    rule: str
    should: Json = None


def free(text: str) -> str:
    """Guard against nothing."""
    return ""


async def verdict(trace: Trace, meta: Meta, guard: Guard = free) -> Verdict | None:
    """Return the verdict on a scored trace that failed, or None where no usable reply came.

    A blame that names no step, and a rule that the guard refuses, go back once; a rule that is refused again is left
    out. Unknown steps are passed over beside known ones; the one step of a workflow is to blame whatever is said.
    """
    found: list[Verdict] = []

    def check(values: Mapping[str, Json]) -> str:
        blame = _known(values["blame"], trace.workflow)
        if not blame:
            ids = [step.id for step in trace.workflow.all_steps]
            near = nearest(str(values["blame"][0]), ids) if values["blame"] else ""
            return f"blame must name steps by their ids{near} (ids: {', '.join(ids)})"
        rule = " ".join(values["rule"].split())[:LONGEST_RULE]
        refused = _refused(rule, blame[0], trace.workflow, meta.prompts["verdict"]) or guard(rule)
        sure = _said_first(values["blame"], trace.workflow) == blame[0]
        should = values["should"] if sure and values["should"].strip(". ").casefold() not in NOTHING else None
        found.append(Verdict(trace.example.id, blame, values["defect"], "" if refused else rule, should))
        return f"the rule does not do: {refused}" if refused else ""

    inputs = "\n".join(f"{name}: {as_text(value)}" for name, value in trace.example.inputs.items())
    sections = [
        ("workflow", outline(trace.workflow)),
        ("steps", told(trace, meta.clip)),
        ("inputs", inputs),
        ("result", loss_of(trace).critique),
    ]
    await meta.ask("verdict", sections, REPLY, check=check)
    return found[-1] if found else None


def _refused(rule: str, step_id: str, workflow: Workflow, prompt: str) -> str:
    """Return what is wrong with a rule before it is guarded: nothing is said, or nothing new."""
    if not rule or echoes(rule, prompt):
        return "say a general rule in your own words"
    step = workflow.step(step_id)
    return f"'{step_id}' is told that already" if isinstance(step, Call) and says(step.prompt, rule) else ""


def says(text: str, rule: str) -> bool:
    """Tell whether a text holds a rule in just these words."""
    return f" {_plain(rule)} " in f" {_plain(text)} "


def echoes(text: str, prompt: str) -> bool:
    """Tell whether a reply repeats its meta prompt, as weak models do: a run of 6 words of it."""
    words, source = _plain(text).split(), f" {_plain(prompt)} "
    return any(f" {' '.join(words[at : at + ECHO])} " in source for at in range(len(words) - ECHO + 1))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


async def layered(trace: Trace, meta: Meta, guard: Guard = free) -> Sequence[Verdict]:
    """Return a verdict for each gradient of the way back, layer by layer: the alternative to one call a trace."""
    return [
        Verdict(gradient.example, (gradient.step,), "prompt", rule)
        for gradient in await backward(trace, meta)
        if gradient.step and not guard(rule := " ".join(gradient.critique.split())[:LONGEST_RULE])
    ]


def _known(named: Sequence[str], workflow: Workflow) -> tuple[str, ...]:
    """Return the steps that a blame names, each once; a workflow of one step has no other."""
    ids = [step.id for step in workflow.all_steps]
    if len(ids) == 1:
        return (ids[0],)
    return tuple(dict.fromkeys(each for name in named if (each := step_meant(name, ids))))


def _said_first(named: Sequence[str], workflow: Workflow) -> str:
    """Return the step that is named first, as far as it is known: what `should` is about."""
    ids = [step.id for step in workflow.all_steps]
    return ids[0] if len(ids) == 1 else step_meant(named[0], ids) if named else ""


def step_meant(name: str, ids: Collection[str]) -> str:
    """Return the id that a name means: a path (`refine[2].check`), a field (`plan.text`), or the first in words."""
    plain = name.strip(" `'\"$*").casefold()
    inner = plain.rpartition("].")[2].partition(".")[0]
    if plain in ids or inner in ids:
        return plain if plain in ids else inner
    return next((word for word in re.findall(r"\w+", plain) if word in ids), "")


def told(trace: Trace, room: int) -> str:
    """Return what every step read and gave, in at most `room` characters: the room is divided among the steps.

    Where there are too many runs, those that failed and the last run of each step stay. An instruction is shown once.
    """
    shown, left_out = _shown(trace, max(1, room // LEAST_ROOM))
    seen: set[str] = set()
    lines: list[tuple[str, str]] = []
    for part in shown:
        lines.append((f"{part.path} ({settings(trace.workflow.step(part.step))})", ""))
        lines += _lines(trace.workflow, part, seen)
        seen.add(part.step)
    if left_out:
        lines.append((f"[... {left_out} runs of steps left out ...]", ""))
    taken = sum(len(label) + 3 for label, _ in lines)
    texts = fair([text for _, text in lines], max(0, room - taken))
    return "\n".join(f"{label} {text}" if text else label for (label, _), text in zip(lines, texts, strict=True))[:room]


def _shown(trace: Trace, most: int) -> tuple[list[StepTrace], int]:
    """Return the runs that are shown, in the order of the tape, and how many are not."""
    parts = list(trace.walk())
    last = {id(part) for part in trace.by_step.values()}
    ranked = sorted(range(len(parts)), key=lambda at: (not parts[at].error, id(parts[at]) not in last, -at))
    kept = sorted(ranked[:most])
    return [parts[at] for at in kept], len(parts) - len(kept)


def _lines(workflow: Workflow, part: StepTrace, seen: set[str]) -> Iterator[tuple[str, str]]:
    step = workflow.step(part.step)
    if isinstance(step, Call) and part.step not in seen:
        yield "  instruction:", step.prompt
    if not part.bodies:  # what a block read, its steps show
        yield from ((f"  read {name}:", as_text(value)) for name, value in part.reads.items() if value is not None)
    for use in islice(part.tools, 8):
        yield f"  called {use.tool} with", f"{as_text(dict(use.args))}, which gave: {use.failure or as_text(use.value)}"
    if part.error:
        yield "  failed:", part.error
    yield from ((f"  gave {name}:", as_text(value)) for name, value in part.gives.items())


def fair(texts: Sequence[str], room: int) -> list[str]:
    """Return texts within `room` characters in all: what short ones leave over, the long ones share."""
    left, made = room, list(texts)
    for rank, at in enumerate(sorted(range(len(texts)), key=lambda at: len(texts[at]))):
        made[at] = cut(texts[at], left // (len(texts) - rank))
        left -= len(made[at])
    return made


def cut(text: str, limit: int) -> str:
    """Return a text within `limit` characters, marks included."""
    if len(text) <= limit:
        return text
    mark = 50  # characters that the mark of what is left out takes
    return clipped(text, limit - mark) if limit > 4 * mark else f"{text[: max(0, limit - 3)]}..."[: max(0, limit)]
