"""Export: a workflow as a program that stands alone, as its prompts, or as a flow chart."""

from __future__ import annotations

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.workflow.graph import Workflow

FORMS = ("python", "prompts", "mermaid")


def export(workflow: Workflow, to: str = "python") -> str:
    """Return a workflow as text: `python` (one program, on the openai SDK alone), `prompts` (Markdown) or `mermaid`.

    Raises `InputError` for another form, and for `python` where a step has none (tools, programs), by name.
    """
    if to == "python":
        from flowbot.faces.export.python_script import python_script

        return python_script(workflow)
    if to == "prompts":
        from flowbot.faces.export.prompts import prompts_markdown

        return prompts_markdown(workflow)
    if to == "mermaid":
        from flowbot.workflow.draw import mermaid

        return mermaid(workflow)
    raise InputError(f"unknown form '{to}'{nearest(to, FORMS)} (forms: {', '.join(FORMS)})", "export")
