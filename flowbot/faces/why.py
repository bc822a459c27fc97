"""Why a result is as it is: for each line of its prompts and each step, the edit of the run that brought it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flowbot.errors import InputError
from flowbot.faces.front import FOLDER
from flowbot.faces.measured import Measured
from flowbot.faces.race_story import Child, Cluster, Race
from flowbot.faces.story import Story, read_story
from flowbot.store.files import load_workflow
from flowbot.workflow.blocks import Step
from flowbot.workflow.draw import settings
from flowbot.workflow.fields import as_text, is_list
from flowbot.workflow.graph import Workflow
from flowbot.workflow.prompt import spoken

BESIDE = ("id", "kind", "prompt", "body", "arms", "else", "judge")  # what is told as a step or a line, not as a setting
ITEM = re.compile(r"\s*([-*•]|\d+[.)])\s")  # begins a bullet
SENTENCE = re.compile(r"(?<=[.!?])\s+(?![a-z])|(?<=[。！？])")


@dataclass(frozen=True)
class Change:
    """A workflow on the way from the start to the result, with the edit that made it of the one before.

    `name` says where it comes from: the start, a seed, an iteration with its operator. `child` has what a tested search
    tells of the edit, `cluster` the failures that it was for.
    """

    candidate: Measured
    name: str
    child: Child | None = None
    clusters: tuple[Cluster, ...] = ()


@dataclass(frozen=True)
class Part:
    """A piece of the result, and the place in the way of the change that brought it.

    `kind` is `step`, `line` (a sentence or bullet of its prompt) or `setting` (changed after the step came).
    """

    step: str
    kind: str
    text: str
    came: int


@dataclass(frozen=True)
class Why:
    """A result with the way that led to it, start first, and where each part of it comes from."""

    workflow: Workflow
    way: tuple[Change, ...]
    parts: tuple[Part, ...]


def find_why(path: Path, run: Path | None = None) -> Why:
    """Return why a workflow's file, or the best of a run's folder, is as it is.

    The journal is that of `run`, else the one beside the file, or in the folder above where the file is of the front.
    Raises `InputError` where there is none, or the workflow is no candidate of it.
    """
    if not path.exists():
        mend = "name a workflow of a run, or the run's folder"
        raise InputError("there is no such workflow file or run", str(path), mend)
    folder = run or (path if path.is_dir() else path.parent)
    if run is None and folder.name == FOLDER and not (folder / "journal.sqlite").exists():
        folder = folder.parent
    if run is None and not (folder / "journal.sqlite").exists():
        raise InputError("there is no journal beside it", str(path), "name the folder of its run with --run DIR")
    story = read_story(folder / "journal.sqlite")
    if path.is_dir():
        if story.best is None:
            raise InputError("this run has no result yet", str(path), "let it measure its start first")
        return tell_why(story, story.best)
    workflow = load_workflow(path)
    found = tell_why(story, workflow) if story.candidate(workflow) else None
    if found is None:
        mend = "name a file as the run wrote it, or its run with --run"
        raise InputError(f"this workflow ({workflow.id}) is no result of the run {folder}", str(path), mend)
    return found


def tell_why(story: Story, workflow: Workflow) -> Why:
    """Return why a candidate of a story is as it is."""
    way = _way(story, workflow)
    return Why(workflow, tuple(_change(story, each) for each in way), tuple(_parts([each.workflow for each in way])))


def _way(story: Story, workflow: Workflow) -> list[Measured]:
    """Return the candidates from the start to a workflow, by their parents."""
    known = story.known
    way = [known[workflow.id]]
    while (parent := known.get(way[0].parent or "")) is not None and parent not in way:
        way.insert(0, parent)
    return way


def _change(story: Story, found: Measured) -> Change:
    race = story.race or Race()
    child = race.child(found.id)
    if story.start is not None and found.id == story.start.id:
        return Change(found, "the start")
    if child is None or not child.number:
        return Change(found, "a seed" if child else found.why_best or "an edit", child)
    iteration = race.iteration(child.number)
    clusters = tuple(each for each in (iteration.clusters if iteration else ()) if each.name in child.clusters)
    return Change(found, f"iteration {child.number}, {child.operator.replace('_', ' ')}", child, clusters)


def _parts(way: Sequence[Workflow]) -> Iterator[Part]:
    """Yield the parts of the last workflow: each step, its settings that changed later, the lines of its prompt."""
    result = way[-1]
    for step in result.all_steps:
        came = _since(way, lambda each, step=step: _same_step(each, step))
        yield Part(step.id, "step", settings(step), came)
        for name, value in _own(step).items():
            changed = _since(way, lambda each, name=name, value=value, step=step: _set(each, step, name) == value)
            if changed > came:
                yield Part(step.id, "setting", _setting(name, value), changed)
        for line in lines(result.prompts.get(step.id, "")):
            yield Part(
                step.id, "line", line, _since(way, lambda each, line=line, step=step: _says(each, step.id, line))
            )


def _since(way: Sequence[Workflow], has: Callable[[Workflow], bool]) -> int:
    """Return the place from which on every workflow of the way has something that the last one has."""
    place = len(way) - 1
    while place and has(way[place - 1]):
        place -= 1
    return place


def _same_step(workflow: Workflow, step: Step) -> bool:
    return any(each.id == step.id and each.kind_name == step.kind_name for each in workflow.all_steps)


def _own(step: Step) -> dict[str, Any]:
    return {key: value for key, value in step.plain().items() if key not in BESIDE}


def _set(workflow: Workflow, step: Step, name: str) -> Any:
    return next((_own(each).get(name) for each in workflow.all_steps if each.id == step.id), None)


def _setting(name: str, value: Any) -> str:
    if name == "demos":
        return f"{len(value)} worked examples"
    return f"{name}: {', '.join(map(as_text, value)) if is_list(value) else as_text(value)}"


def _says(workflow: Workflow, step_id: str, line: str) -> bool:
    """Tell whether a workflow has a line in this step's prompt; of one without the step, in any prompt."""
    prompts = workflow.prompts
    found = [prompts[step_id]] if step_id in prompts else list(prompts.values())
    return any(line in lines(prompt) for prompt in found)


def lines(prompt: str) -> list[str]:
    """Return the pieces of an instruction, each on one line: bullets whole, other text by sentences."""
    found: list[str] = []
    bullet = False
    for line in spoken(prompt).splitlines():
        words = " ".join(line.split())
        if not words:
            bullet = False
        elif bullet and line[:1].isspace() and not ITEM.match(line):
            found[-1] += f" {words}"
        elif ITEM.match(line):
            bullet = True
            found.append(words)
        else:
            bullet = False
            found += [each for each in SENTENCE.split(words) if each]
    return found


# ------------------------------------------------------------------ for programs


def plain_why(found: Why) -> dict[str, Any]:
    """Return it as plain data; `came` counts in `way`, whose first is the start."""
    parts = [{"step": each.step, "kind": each.kind, "text": each.text, "came": each.came} for each in found.parts]
    return {"workflow": found.workflow.id, "way": [_plain(each) for each in found.way], "parts": parts}


def _plain(change: Change) -> dict[str, Any]:
    found = change.candidate
    plain: dict[str, Any] = {"name": change.name, "candidate": found.id, "mean": found.mean}
    if found.parent:
        plain |= {"edits": list(found.edits), "hypothesis": found.hypothesis}
    child = change.child
    if child is None:
        return plain
    plain |= {
        "iteration": child.number or None,
        "operator": child.operator,
        "paid": dict(child.paid),
        "outcome": child.outcome,
    }
    plain["clusters"] = [
        {"name": each.name, "defect": each.defect, "rule": each.rule, "examples": list(each.examples)}
        for each in change.clusters
    ] or [{"name": name} for name in child.clusters]
    return plain | (asdict(child.decision) if child.decision is not None else {})
