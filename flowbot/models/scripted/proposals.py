"""Proposals of edits: bullets for steps, a rewritten instruction, a new structure with its instructions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from flowbot.models.scripted.faults import SAY
from flowbot.models.scripted.orders import NOTES
from flowbot.models.scripted.reading import Drawn, depths, outlined
from flowbot.models.scripted.sketches import Sketch, solution, two_calls
from flowbot.models.scripted.trades import TRAP, Conventions
from flowbot.models.scripted.writer import Writer
from flowbot.workflow.fields import Json

Told = Mapping[str, str]
VAGUE = "Look twice before you go on."
BULLET = re.compile(r"^- (?:\[b[0-9a-f]+\] )?(.*)$")
RULE = re.compile(r"^ +rule: (.*)$", re.MULTILINE)
EXAMPLE = re.compile(r"^(\S+): (.*)$", re.MULTILINE)


def proposal(told: Told, writer: Writer, fields: Collection[str]) -> Json:
    """Return the proposal in the form that is asked for, known by its fields."""
    if "edits" in fields:
        return bullets(told, writer)
    if "instruction" in fields:
        return fix(told, writer)
    return structure(told, writer)


def bullets(told: Told, writer: Writer) -> Json:
    """Return rules for the steps that do their stage; without skill a rule is vague, or stands at a wrong step."""
    steps = outlined(told.get("workflow", ""))
    ids = [step.id for step in steps if step.works] or ["answer"]
    add: dict[str, list[Json]] = {}
    wanted = writer.stated(told.get("clusters", ""))
    for number in wanted:
        place = _place(writer, steps, number) or ids[-1]
        if writer.skilled(f"rule {number}"):
            add.setdefault(place, []).append(writer.line(number))
        elif writer.skilled(f"vague {number}"):
            add.setdefault(writer.pick(ids, f"wrong {number}"), []).append(writer.line(number))
        else:
            add.setdefault(writer.pick(ids, f"wrong {number}"), []).append(VAGUE)
    if not wanted:
        rules = [rule for rule in RULE.findall(told.get("clusters", "")) if rule] or [VAGUE]
        add = {writer.pick(ids, "place"): [rules[0]]}
    edits: list[Json] = [{"step": step, "add": lines, "remove": []} for step, lines in add.items()]
    return {"hypothesis": _because(wanted), "edits": edits, "flips": _flips(told, writer, wanted)}


def fix(told: Told, writer: Writer) -> Json:
    """Return the instruction with the rules of its stage; without skill it loses a rule and gains a vague one."""
    steps = outlined(told.get("workflow", ""))
    step_id = told.get("step", "").partition(" ")[0]
    lines = [
        f"- {found[1]}" if (found := BULLET.match(line)) else line for line in told.get("instruction", "").splitlines()
    ]
    has = [at for at, line in enumerate(lines) if line.startswith("- ")]
    gap = [] if has else [""]
    if not writer.skilled("fix"):
        if has:
            del lines[writer.pick(has, "lost")]
        made = [*lines, *gap, f"- {VAGUE}"]
        return {"hypothesis": "More care helps.", "instruction": "\n".join(made), "dropped": [], "flips": []}
    lines = ["".join(part for part in re.split(r"(?<=\.) ", line) if not TRAP.search(part)) for line in lines]
    known = writer.stated("\n".join(lines))
    stated = [number for number in writer.stated(told.get("clusters", "")) if number not in known]
    own = [number for number in stated if _place(writer, steps, number) in (step_id, None)]
    instruction = "\n".join([*lines, *(gap if own else []), *(f"- {writer.line(number)}" for number in own)])
    flips = _flips(told, writer, own)
    return {
        "hypothesis": _because(own),
        "instruction": instruction.strip() or SAY["note"],
        "dropped": [],
        "flips": flips,
    }


def structure(told: Told, writer: Writer) -> Json:
    """Return the sketch that mends the fault, with the rules that were shown; without skill one that does not."""
    known = writer.stated("\n".join(told.values()))
    cheaper = "workflow" in told and "clusters" not in told and "other workflow" not in told
    sketch: Sketch = solution(writer, known) if writer.skilled("structure") else two_calls(writer, known)
    if cheaper and not writer.planted.cheaper:
        sketch = two_calls(writer, known)  # something must be said where nothing can be saved
    said: list[Json] = [{"step": step, "instruction": text} for step, text in sketch.instructions.items()]
    why = writer.planted.rule or "Each step does one clear thing."
    return {"hypothesis": why, **sketch.plain, "instructions": said, "flips": _flips(told, writer, known)}


def _place(writer: Writer, steps: Sequence[Drawn], number: int) -> str | None:
    """Return the step that does a convention's stage: of several the one that others build upon."""
    places, stage = depths(steps), writer.stage(number)
    fitting = [step for step in steps if places.get(step.id) == stage and not step.last]
    read = {source.partition(".")[0] for step in steps for source in step.reads if step.works and not step.last}
    fitting.sort(key=lambda step: step.id not in read)
    last = [step for step in steps if step.last]
    return fitting[0].id if fitting else last[-1].id if last else None


def _because(numbers: Collection[int]) -> str:
    return f"{len(numbers)} rules were missing." if numbers else "More care helps."


def _flips(told: Told, writer: Writer, numbers: Collection[int]) -> list[Json]:
    """Return the failing examples that these conventions concern."""
    if not isinstance(writer.trade, Conventions):
        return []
    found: list[Json] = []
    for example, text in EXAMPLE.findall(told.get("examples", "")):
        order = NOTES.search(text)
        if order and set(writer.trade.concerned(order[0])) & set(numbers):
            found.append(example)
    return found
