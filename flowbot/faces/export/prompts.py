"""A workflow's prompts as Markdown: the flow as a list, then each prompt as it stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flowbot.engine.calls import ask_of
from flowbot.engine.chat import sectioned
from flowbot.workflow.blocks import Branch, Step
from flowbot.workflow.body import Block
from flowbot.workflow.draw import settings, signature
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call


def prompts_markdown(workflow: Workflow) -> str:
    """Return the flow as a list, and each prompt with its demos verbatim within fences that no text can end."""
    inputs = "".join(f"- input {_code(f'{name}: {kind}')}\n" for name, kind in workflow.inputs.items())
    flow = "".join(line for step in workflow.steps for line in _listed(step, ""))
    parts = [f"# {_plain(workflow.name)}\n", f"{inputs}{flow}- output {_code(workflow.output)}\n"]
    for call in workflow.calls:
        parts.append(f"## {_plain(call.id)}\n\n{_code(signature(call))}\n")
        parts.append(fenced(call.prompt))
        parts += _demos(call)
    return "\n".join(parts)


def _listed(step: Step, indent: str) -> Iterator[str]:
    """Yield a line for a step, and those of the steps within below it."""
    told = settings(step) if isinstance(step, Block) else signature(step)
    yield f"{indent}- **{_plain(step.id)}**: {_code(told)}\n"
    if not isinstance(step, Block):
        return
    deeper = indent + "  "
    for key, body in step.bodies.items():
        inner = deeper
        if isinstance(step, Branch):
            yield f"{deeper}- {_code(key)}\n"
            inner = deeper + "  "
        for each in body.steps:
            yield from _listed(each, inner)
        if body.gives:
            handed = ", ".join(f"{name} = {source}" for name, source in body.gives.items())
            yield f"{inner}- gives {_code(handed)}\n"
    for judge in step.judges:
        yield f"{deeper}- judge **{_plain(judge.id)}**: {_code(signature(judge))}\n"


def _demos(call: Call) -> Iterator[str]:
    ask = ask_of(call, dict.fromkeys(call.reads))
    for number, (read, given) in enumerate(ask.demos, 1):
        yield f"Demo {number}, what it reads and what it gives:\n"
        yield fenced(sectioned(read))
        yield fenced(ask.written(given))


def fenced(text: str) -> str:
    """Return a text within a fence that is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + _longest_run(text))
    return f"{fence}text\n{text}\n{fence}\n"


def _code(text: str) -> str:
    """Return a label as a code span in one line."""
    said = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    marks = "`" * (1 + _longest_run(said))
    return f"{marks} {said} {marks}" if "`" in said else f"`{said}`"


def _longest_run(text: str) -> int:
    return max(map(len, re.findall(r"`+", text)), default=0)


def _plain(text: str) -> str:
    """Return a name as text that is no markup."""
    said = "".join(char if char.isalnum() or char in " -.:,=" else "\\_" if char == "_" else " " for char in text)
    return " ".join(said.split()) or "workflow"
