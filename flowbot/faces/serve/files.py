"""Workflow files as they are served: opened by name, and read anew at each reload."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from flowbot.errors import InputError
from flowbot.faces.api import bind
from flowbot.faces.opened import Flow, open_workflow
from flowbot.faces.serve.desk import Opener
from flowbot.store.files import load_task, load_workflow
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import rebuild

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class How:
    """What files are opened with; the fields mean what they mean for `flowbot run`."""

    model: str | None = None
    base_url: str | None = None
    task: Path | None = None
    concurrency: int = 64
    trust: bool = False
    unsafe_code: bool = False
    priced: bool = False  # money is bounded: every price must be known


def openers_of(files: Iterable[str], how: How) -> dict[str, Opener]:
    """Return what opens each file by its name: that before `=`, else the file's own. Raises `InputError`."""
    found: dict[str, Opener] = {}
    for each in files:
        named, equals, path = each.partition("=")
        file = Path(path if equals else each)
        name = named if equals else file.name.removesuffix(".yaml").removesuffix(".yml")
        if not NAME.fullmatch(name):
            raise InputError(f"'{name}' is no name for a route", each, "name it: flowbot serve NAME=FILE")
        if name in found:
            raise InputError(f"two workflows are named '{name}'", each, "name them: flowbot serve NAME=FILE")
        found[name] = _opener(file, how)
    return found


def _opener(file: Path, how: How) -> Opener:
    folder = file.resolve().parent

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Flow]:
        workflow = load_workflow(file)
        if how.model:
            ModelSpec(name=how.model)  # or it says what is wrong with the name
            workflow = rebuild(workflow, model=how.model)
        models = load_task(how.task)[0].models.specs if how.task else ()
        bound = bind(
            workflow,
            trust=how.trust,
            models=models,
            base_url=how.base_url,
            folder=folder,
            unsafe_code=how.unsafe_code,
        )
        async with open_workflow(bound, concurrency=how.concurrency) as flow:
            unknown = sorted(name for name, each in flow.models.items() if each.price is None)
            if how.priced and unknown:
                mend = "give it in a task file with --task, or bound tokens instead of dollars"
                raise InputError(f"money is bounded, and the price of {', '.join(unknown)} is not known", mend=mend)
            yield flow

    return opened
