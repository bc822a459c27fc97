"""The YAML text of a workflow, both ways."""

from __future__ import annotations

from flowbot.document import read_document, read_record, write_document
from flowbot.workflow.graph import Workflow, plain_workflow


def read_workflow(text: str, file: str = "workflow.yaml") -> Workflow:
    """Return the workflow that the text holds; raise `InputError` with file, line and key."""
    return read_record(read_document(text, file), Workflow, "workflow")


def write_workflow(workflow: Workflow, like: str = "") -> str:
    """Return the workflow as YAML; with `like`, an earlier text of it, the comments there are kept.

    Law: `read_workflow(write_workflow(w)) == w`.
    """
    return write_document(plain_workflow(workflow), like)
