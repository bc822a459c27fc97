"""The paper's purposes: critiques that go back step by step, and updates that follow what critiques say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from flowbot.models.scripted.faults import SAY
from flowbot.models.scripted.orders import OUTPUT, notes_in
from flowbot.models.scripted.reading import marks_after, outlined
from flowbot.models.scripted.sketches import same, solution
from flowbot.models.scripted.trades import TRAP, Conventions
from flowbot.models.scripted.writer import Writer
from flowbot.workflow.fields import Json

Told = Mapping[str, str]
HERE = "This call must state: "  # a rule that belongs into the call under review
BEFORE = "An earlier step must state: "
KEEP = "Keep the instruction as it is."
VAGUE = "Say more clearly what is wanted."
FREE = "Do not say that every order carries the same mark."
REVIEW = "Add a step that looks over the notes once more."
RIGHT = "The structure is right."


def loss_gradient(told: Told, writer: Writer) -> Json:
    """Return the critique of the call at the end; rules of earlier stages are handed on to the steps before it."""
    expected, given = (marks_after(label, told.get("result", "")) for label in ("Expected", "Output"))
    if expected is not None and expected == given:
        return {"critique": KEEP}
    if not writer.skilled("critique") or expected is None:
        return {"critique": VAGUE}
    said = [FREE] if TRAP.search(told.get("instruction", "")) else []
    before = notes_in(told.get("what it read", ""))
    for number in lacking(writer, before.order if before else "", expected, given or []):
        here = before is not None and writer.stage(number) >= len(before.done)
        said.append(f"{HERE if here else BEFORE}{writer.line(number)}")
    return {"critique": " ".join(said) or KEEP}


def lacking(writer: Writer, order: str, expected: Sequence[str], given: Sequence[str]) -> list[int]:
    """Return the conventions whose marks are expected, right and not given; an empty order may be any."""
    if not isinstance(writer.trade, Conventions):
        return []
    concerned = writer.trade.concerned(order) if order else range(len(writer.trade.all))
    marks = {number: writer.trade.all[number].mark for number in concerned}
    return [number for number, mark in marks.items() if mark in expected and mark not in given]


def call_gradient(told: Told, writer: Writer) -> Json:
    """Return the critique of an earlier call: what it takes on of the later critiques, and what it hands on."""
    later = told.get("critique of the later steps", "")
    before, gave = notes_in(told.get("what it read", "")), notes_in(told.get("what it gave", ""))
    said = [FREE] if TRAP.search(told.get("instruction", "")) and FREE in later else []
    for number in writer.stated("\n".join(re.findall(rf"{BEFORE}([^.]*\.)", later))):
        if not writer.skilled(f"critique {number}"):
            continue
        done, now = (len(notes.done) if notes else 0 for notes in (before, gave))
        here = done <= writer.stage(number) < max(now, done + 1)
        said.append(f"{HERE if here else BEFORE}{writer.line(number)}")
    return {"critique": " ".join(said) or (VAGUE if VAGUE in later else KEEP)}


def prompt_update(told: Told, writer: Writer) -> Json:
    """Return the instruction with what critiques ask for; a rewrite without skill loses one of its rules."""
    instruction, critiques = told.get("instruction", ""), told.get("critiques", "")
    if FREE in critiques and writer.skilled("free"):
        instruction = "".join(part for part in re.split(r"(?<=\.) ", instruction) if not TRAP.search(part))
    lines = instruction.splitlines()
    wanted = writer.stated("\n".join(re.findall(rf"{HERE}([^.]*\.)", critiques)))
    new = [number for number in wanted if number not in writer.stated(instruction) and writer.skilled(f"line {number}")]
    bullets = [at for at, line in enumerate(lines) if line.startswith("- ")]
    if bullets and not writer.skilled("keep") and not writer.skilled("keep all"):
        del lines[writer.pick(bullets, "lost")]
    gap = [""] if new and not bullets else []
    made = "\n".join([*lines, *gap, *(f"- {writer.line(number)}" for number in new)])
    return {"instruction": made.strip() or SAY["note"]}


def prompt_init(told: Told, writer: Writer) -> Json:
    """Return a plain instruction for a new step; nothing told it any rule."""
    step_id = told.get("step", "").partition(" ")[0]
    return {"instruction": SAY.get(step_id) or told.get("role", "").strip() or "Do your part of the work."}


def workflow_gradient(told: Told, writer: Writer) -> Json:
    """Return what a run says of the structure: what is wrong with it, where the fault is one of structure."""
    if not writer.skilled("critique"):
        return {"critique": REVIEW}
    order, expected = told.get("inputs", ""), marks_after("Expected", told.get("result", ""))
    given, planted = marks_after("Output", told.get("result", "")), writer.planted
    if expected is None or expected == given:
        return {"critique": RIGHT}
    structural = planted.defect in ("structure", "parameter", "tool") and not planted.cheaper
    notes = notes_in(order)
    right = notes is not None and tuple(expected) == writer.trade.right(notes.order)
    return {"critique": planted.rule if structural and right and not _solved(told, writer) else RIGHT}


def _solved(told: Told, writer: Writer) -> bool:
    """Tell whether the structure under review is that of the solution already."""
    drawn = outlined(told.get("workflow", ""))
    flat = [(step["id"], [f"{each['name']}: {each['type']}" for each in step["gives"]]) for step in writer.solution]
    same_fields = flat == [(step.id, [f"{name}: {kind}" for name, kind in step.gives.items()]) for step in drawn]
    sizes = [step.kind for step in drawn if step.kind.startswith(("loop", "tool"))]
    wanted = [str(step.get("max") or step.get("tool")) for step in writer.solution if "max" in step or "tool" in step]
    return same_fields and all(want in size for want, size in zip(wanted, sizes, strict=False))


def workflow_update(told: Told, writer: Writer) -> Json:
    """Return the sketch that most critiques ask for: the solution, one step more, or the steps as they are."""
    drawn = outlined(told.get("workflow", ""))
    steps = same(drawn)
    output = next((f"{step.id}.{OUTPUT}" for step in reversed(drawn) if step.last or OUTPUT in step.gives), "")
    critiques = told.get("critiques", "")
    counts = Counter(
        {"solve": critiques.count(writer.planted.rule) if writer.planted.rule else 0, "more": critiques.count(REVIEW)}
    )
    wanted, most = counts.most_common(1)[0]
    if wanted == "solve" and most and writer.skilled("update"):
        return solution(writer, ()).plain
    last = next((step for step in steps if step["id"] == output.partition(".")[0]), None)
    if (wanted == "more" and most * 2 > critiques.count("\n- ") + 1) and last and last.get("kind") == "call":
        read = last["reads"][-1]
        review: dict[str, Json] = {"id": "review", "kind": "call", "role": "Look over the notes.", "reads": [read]}
        review["gives"] = [{"name": "notes", "type": "text"}]
        if all(step["id"] != "review" for step in steps):
            last["reads"] = [*last["reads"][:-1], "review.notes"]
            steps.insert(steps.index(last), review)
    return {"steps": steps, "output": output}


GRADIENTS: Mapping[str, Callable[[Told, Writer], Json]] = {
    "loss_gradient": loss_gradient,
    "call_gradient": call_gradient,
    "prompt_update": prompt_update,
    "prompt_init": prompt_init,
    "workflow_gradient": workflow_gradient,
    "workflow_update": workflow_update,
}
