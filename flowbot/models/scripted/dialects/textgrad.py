"""TextGrad's requests: evaluations, gradients on outputs and on prompts, their mean, and the optimiser's update."""

from __future__ import annotations

import json
import re

from flowbot.engine.ports import Request
from flowbot.models.scripted.dialects.evidence import (
    MARK,
    WANTED,
    Heard,
    Shown,
    critique,
    expected_in,
    facts,
    placed,
    rewritten,
)
from flowbot.models.scripted.gradients import BEFORE, KEEP, VAGUE, lacking
from flowbot.models.scripted.orders import notes_in
from flowbot.models.scripted.writer import Writer

GRADIENT = "You are the gradient (feedback) engine."
OPTIMISER = "You are part of an optimization system that improves text (i.e., variable)."
MEAN = "Your only responsibility is to critically aggregate and summarize the feedback from sources."
LATER = re.compile(r"following feedback on the (?:LM_OUTPUT|OUTPUT_OF_FUNCTION): (.*?)</OBJECTIVE_FUNCTION>", re.DOTALL)
TAGS = re.compile(r"in the following format:\n\n(.*?)\{the improved variable\}(.*)")
RULE = re.compile(rf"{BEFORE}([^.]*\.)")
ENDS = 10  # words of a long variable that TextGrad shows at each end


def heard(request: Request) -> Heard | None:
    """Return what is asked; None where this is none of TextGrad's requests."""
    if request.schema is not None or len(request.messages) != 2:
        return None
    system, asked = (str(message["content"]) for message in request.messages)
    if GRADIENT in system:
        return Heard("gradient", lambda writer: gradient(asked, writer), str)
    if OPTIMISER in system:
        found = TAGS.search(asked)
        start, end = found.groups() if found else ("<IMPROVED_VARIABLE>", "</IMPROVED_VARIABLE>")
        return Heard("optimiser", lambda writer: updated(asked, writer), lambda text: f"{start}{text}{end}")
    if MEAN in system:
        return Heard("mean", lambda _: "\n".join(dict.fromkeys(_tagged(asked, "FEEDBACK"))), str)
    if said := evaluated(system, asked):
        return Heard("evaluation", lambda _: said, str)
    return None


def evaluated(system: str, asked: str) -> str:
    """Return the evaluation of an output, where the text says which marks are expected; empty where it does not."""
    expected = expected_in(system) if system else None
    lines = asked.splitlines()
    if expected is None:
        expected = expected_in(asked)
        lines = [line for line in lines if not WANTED.search(line)]
    return "" if expected is None else facts(expected, MARK.findall("\n".join(lines)))


def gradient(asked: str, writer: Writer) -> str:
    """Return feedback on an output or on a prompt.

    Going back from a result to an output, or from an output to the one before it, is one layer, at which skill is
    drawn as in a critique of FlowBot's; going on to the prompt that made an output hands on what was said of that.
    """
    variable, prompt = _one(asked, "VARIABLE"), _one(asked, "LM_SYSTEM_PROMPT")
    run = Shown(
        _one(asked, "LM_INPUT") or _one(asked, "INPUTS_TO_FUNCTION"),
        _one(asked, "LM_OUTPUT") or _one(asked, "OUTPUT_OF_FUNCTION"),
        found[1].strip() if (found := LATER.search(asked)) else "",
    )
    if not run.said:
        return _of_result(variable, asked.partition("<OBJECTIVE_FUNCTION>")[0], writer)
    if (prompt and variable == short(prompt)) or not _is_output(variable, run):
        return _of_prompt(prompt or variable, run, writer)
    return _of_output(run, writer)


def _of_result(variable: str, conversation: str, writer: Writer) -> str:
    """Say of an output what was expected, where an evaluation tells."""
    expected, given = expected_in(conversation), MARK.findall(variable)
    if expected == given:
        return KEEP
    return VAGUE if expected is None or not writer.skilled("critique") else facts(expected, given)


def _of_output(run: Shown, writer: Writer) -> str:
    """Say of what a call read which rules were not kept before it, each with the chance of skill."""
    numbers = [number for number in _missed(run, writer) if not run.here(writer.stage(number))]
    said = [f"{BEFORE}{writer.line(number)}" for number in numbers if writer.skilled(f"critique {number}")]
    return " ".join(said) or (VAGUE if VAGUE in run.said else KEEP)


def _of_prompt(instruction: str, run: Shown, writer: Writer) -> str:
    """Say which of the rules that were not kept belong into this instruction."""
    said = critique(instruction, [run], writer)
    handed = [placed(number, run, writer) for number in _handed(run, writer)]
    return " ".join(dict.fromkeys([said, *handed])).strip() or (VAGUE if VAGUE in run.said else KEEP)


def _missed(run: Shown, writer: Writer) -> list[int]:
    notes = notes_in(run.read)
    told = lacking(writer, notes.order if notes else "", run.expected or [], run.given) if run.expected else []
    return list(dict.fromkeys([*told, *_handed(run, writer)]))


def _handed(run: Shown, writer: Writer) -> tuple[int, ...]:
    return writer.stated("\n".join(RULE.findall(run.said)))


def _is_output(variable: str, run: Shown) -> bool:
    """Tell whether a variable is what a call gave, and no prompt."""
    if variable in (run.read, short(run.read), run.gave, short(run.gave)) or notes_in(variable):
        return True
    try:
        return not isinstance(json.loads(variable), str)
    except ValueError:
        return False


def updated(asked: str, writer: Writer) -> str:
    """Return the instruction with what the feedback asks for; one shown in part is taken from a conversation."""
    variable = _one(asked, "VARIABLE")
    whole = next((each for each in _tagged(asked, "LM_SYSTEM_PROMPT") if short(each) == variable), variable)
    said = _tagged(asked, "FEEDBACK") or _tagged(asked, "CONTEXT")
    return rewritten(whole, "\n".join(said), writer)


def short(text: str) -> str:
    """Return a text as TextGrad shows a variable: of a long one the first and last words."""
    words = text.split(" ")
    return text if len(words) <= 2 * ENDS else " ".join([*words[:ENDS], "(...)", *words[-ENDS:]])


def _tagged(text: str, tag: str) -> list[str]:
    return [each.strip() for each in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)]


def _one(text: str, tag: str) -> str:
    return next(iter(_tagged(text, tag)), "")
