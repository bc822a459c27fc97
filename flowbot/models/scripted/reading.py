"""What stands in a request to the meta model: sections, the steps of an outline, and what steps read and gave."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flowbot.models.scripted.orders import OUTPUT
from flowbot.workflow.fields import Json, is_list

LABEL = re.compile(r"(?:\A|\n\n)([a-z][a-z ,']{0,80}):\n")
STEP = re.compile(r"^( *)(?:\d+\. |- |judge: )?(\w+) \((.*?)\)(?: reads (.*?))?; gives (.*)$", re.MULTILINE)
FIELD = re.compile(r"(\w+): ((?:[^,\[]|\[[^\]]*\])+)")
RUN = re.compile(r"^([a-z][\w\[\].]*) \(((?:call|tool|code|vote|branch|map|loop).*)\)$")
SAID = re.compile(r"^  (instruction|failed|read [\w.]+|gave \w+|called \w+ with): ?(.*)$")
LISTED = r"(\[[^\]\n]*\])"


def sections(text: str) -> dict[str, str]:
    """Return the labelled sections of a message; of two alike the first."""
    found: dict[str, str] = {}
    marks = list(LABEL.finditer(text))
    for at, mark in enumerate(marks):
        end = marks[at + 1].start() if at + 1 < len(marks) else len(text)
        found.setdefault(mark[1], text[mark.end() : end])
    return found


@dataclass(frozen=True)
class Drawn:
    """A step as an outline shows it. `block` is the step that it stands in."""

    id: str
    kind: str
    reads: tuple[str, ...]
    gives: Mapping[str, str]
    block: str = ""

    @property
    def last(self) -> bool:
        """True for a call that gives the output."""
        return self.kind.startswith("call") and OUTPUT in self.gives

    @property
    def works(self) -> bool:
        """True for a call that takes the work further: no check of an answer, and no judge."""
        checks = "bool" in self.gives.values() and any(source.endswith(f".{OUTPUT}") for source in self.reads)
        return self.kind.startswith("call") and "samples" not in self.reads and (self.last or not checks)


def outlined(text: str) -> list[Drawn]:
    """Return the steps of an outline in its order."""
    found: list[Drawn] = []
    open_blocks: list[tuple[int, str]] = []
    for match in STEP.finditer(text):
        indent, step_id, kind, reads, gives = match.groups()
        while open_blocks and open_blocks[-1][0] >= len(indent):
            open_blocks.pop()
        sources = tuple(source.strip() for source in (reads or "").split(",") if source.strip() not in ("", "nothing"))
        block = open_blocks[-1][1] if open_blocks else ""
        found.append(Drawn(step_id, kind, sources, dict(FIELD.findall(gives)), block))
        if kind.startswith(("vote", "branch", "map", "loop")):
            open_blocks.append((len(indent), step_id))
    return found


def depths(steps: Sequence[Drawn]) -> dict[str, int]:
    """Return for each working call the place in the line of work that it has: 0 for those that read the order alone."""
    known: dict[str, int] = {}  # of all steps: working calls up to and with it
    found: dict[str, int] = {}
    within = {step.id: step.block for step in steps}
    for step in steps:
        heads = [source.partition(".")[0] for source in step.reads]
        before = max((known.get(head, 0) for head in heads), default=0)
        known[step.id] = before + step.works
        if step.works:
            found[step.id] = before
        block = step.block
        while block:  # what reads the block comes after what is in it
            known[block] = max(known.get(block, 0), known[step.id])
            block = within.get(block, "")
    return found


@dataclass
class Run:
    """One run of a step as it is shown: its id, kind, instruction, and what it read and gave as texts."""

    id: str
    kind: str
    instruction: str = ""
    read: dict[str, str] = field(default_factory=dict[str, str])
    gave: dict[str, str] = field(default_factory=dict[str, str])
    called: str = ""

    @property
    def all_read(self) -> str:
        """All that it read, and what tools told it."""
        return "\n".join([*self.read.values(), self.called])

    @property
    def all_gave(self) -> str:
        """All that it gave."""
        return "\n".join(self.gave.values())


def runs(text: str) -> list[Run]:
    """Return the runs of steps in the section of a verdict; an instruction that is shown once holds for later runs."""
    found: list[Run] = []
    label, instructions = "", dict[str, str]()
    for line in text.splitlines():
        if head := RUN.match(line):
            step_id = head[1].rpartition(".")[2]
            found.append(Run(step_id, head[2], instructions.get(step_id, "")))
            label = ""
        elif found:
            said = SAID.match(line)
            label, rest = (said[1], said[2]) if said else (label, line)
            _add(found[-1], label, rest if said else f"\n{rest}")
            if label == "instruction":
                instructions[found[-1].id] = found[-1].instruction
    return found


def _add(run: Run, label: str, text: str) -> None:
    what, _, name = label.partition(" ")
    if what == "instruction":
        run.instruction += text
    elif what == "read":
        run.read[name] = run.read.get(name, "") + text
    elif what == "gave":
        run.gave[name] = run.gave.get(name, "") + text
    elif what == "called":
        run.called += f"{name.removesuffix(' with')} {text}"


def marks_after(label: str, text: str) -> list[str] | None:
    """Return the list of marks behind a word like `Expected:`; None where there is none."""
    found = re.search(rf"{label}: {LISTED}", text)
    if found is None:
        return None
    try:
        value: Json = json.loads(found[1])
    except ValueError:
        return None
    return [str(each) for each in value] if is_list(value) else None


def order_in(text: str) -> str:
    """Return the text of the order in a section of inputs; empty where there is none."""
    found = re.search(r"Order \d+[^|\n\".?]*[.?]", text)
    return found[0] if found else ""
