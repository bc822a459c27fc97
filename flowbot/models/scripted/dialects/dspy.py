"""DSPy's meta requests: MIPROv2's observations and proposals, and the instruction proposer of its GEPA."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence

from flowbot.engine.ports import Request
from flowbot.models.scripted.dialects.chat import Chat, read_chat
from flowbot.models.scripted.dialects.evidence import HERE, MARK, Heard, Shown, critique, rewritten, run_of
from flowbot.models.scripted.dialects.gepa import runs_in
from flowbot.models.scripted.orders import INPUT, OUTPUT, notes_in
from flowbot.models.scripted.trades import STAGES, Conventions
from flowbot.models.scripted.writer import Writer
from flowbot.workflow.fields import Json, is_list, is_map

Say = Callable[[Chat, Writer], str]
ROW = re.compile(r"Example\(\{")
ENOUGH = 2  # rows that must agree: one alone may be chance
NEWS = "The rows are orders with the marks that they carry."
NO_NEWS = "COMPLETE"
PLAIN = "It finds the marks of an order."


def heard(request: Request) -> Heard | None:
    """Return what is asked; None where this is none of DSPy's meta requests."""
    chat = read_chat(request.messages)
    if chat is None:
        return None
    fits = (each for each in SAY if set(each[0]) <= set(chat.inputs) and each[1] in chat.outputs)
    if (found := next(fits, None)) is None:
        return None
    _, wanted, say = found
    rest = dict.fromkeys(chat.outputs, "")
    return Heard(wanted, lambda writer: say(chat, writer), lambda text: chat.written(rest | {wanted: text}))


def reflected(chat: Chat, writer: Writer) -> str:
    """Return a new instruction out of one and runs with feedback."""
    instruction = chat.inputs["current_instruction"]
    runs = _runs(chat.inputs["examples_with_feedback"])
    return rewritten(instruction, critique(instruction, runs, writer), writer)


def _runs(text: str) -> list[Shown]:
    try:
        examples: Json = json.loads(text)
    except ValueError:
        return runs_in(text)
    rows = [each for each in examples if is_map(each)] if is_list(examples) else []
    return [run_of({str(name): _told(part) for name, part in row.items()}) for row in rows]


def _told(part: Json) -> str:
    if isinstance(part, str):
        return part
    if is_map(part):
        return "\n".join(f"{name}: {_told(each)}" for name, each in part.items())
    return json.dumps(part, ensure_ascii=False)


def observed(chat: Chat, writer: Writer) -> str:
    """Return the rules that rows with inputs and labels show, each with the chance of skill."""
    known = writer.stated(chat.inputs.get("prior_observations", ""))
    new = [number for number in trends(ROW.split(chat.inputs["examples"])[1:], writer) if number not in known]
    lines = [writer.line(number) for number in new if writer.skilled(f"trend {number}")]
    return NO_NEWS if "prior_observations" in chat.inputs and not lines else " ".join([NEWS, *lines])


def trends(rows: Sequence[str], writer: Writer) -> list[int]:
    """Return the conventions that at least two rows show: an order that one concerns, with its mark."""
    if not isinstance(writer.trade, Conventions):
        return []
    seen: Counter[int] = Counter()
    for row in rows:
        notes = notes_in(row)
        marks = MARK.findall(row)
        concerned = writer.trade.concerned(notes.order) if notes else ()
        seen.update(number for number in concerned if writer.trade.all[number].mark in marks)
    return sorted(number for number, count in seen.items() if count >= ENOUGH)


def summed_up(chat: Chat, writer: Writer) -> str:
    """Return the rules that observations state: handing on what was said takes no skill."""
    return " ".join([NEWS, *(writer.line(number) for number in sorted(writer.stated(chat.inputs["observations"])))])


def proposed(chat: Chat, writer: Writer) -> str:
    """Return the basic instruction with those rules of the module's stages that the request shows."""
    demos = chat.inputs.get("task_demos", "").split("\n\n")
    shown = {*writer.stated(chat.inputs.get("dataset_description", "")), *trends(demos, writer)}
    stages = _stages(chat.inputs.get("module", ""))
    own = [f"{HERE}{writer.line(number)}" for number in sorted(shown) if writer.stage(number) in stages]
    return rewritten(chat.inputs["basic_instruction"], " ".join(own), writer)


def _stages(module: str) -> range:
    """Return the stages of a module in a line of work, as its fields tell: reading the order, or giving the marks."""
    reads, _, gives = module.partition("->")
    first, last = (re.search(rf"\b{name}\b", part) is not None for name, part in ((INPUT, reads), (OUTPUT, gives)))
    begin = 0 if first else len(STAGES) - 1 if last else 1
    return range(begin, len(STAGES) if last else begin + 1)


def described(chat: Chat, writer: Writer) -> str:
    """Return a description that tells no rule."""
    return PLAIN


def shortened(chat: Chat, writer: Writer) -> str:
    """Return an instruction as it is: none is too long here."""
    return chat.inputs["instruction"]


SAY: Sequence[tuple[tuple[str, ...], str, Say]] = (  # fields to read, the one to fill, and with what
    (("current_instruction", "examples_with_feedback"), "new_instruction", reflected),
    (("current_instruction", "examples_with_feedback"), "improved_instruction", reflected),
    (("basic_instruction", "task_demos"), "proposed_instruction", proposed),
    (("examples",), "observations", observed),
    (("observations",), "summary", summed_up),
    (("program_code", "program_example"), "module_description", described),
    (("program_code", "program_example"), "program_description", described),
    (("instruction", "length_limit"), "shortened_instruction", shortened),
)
