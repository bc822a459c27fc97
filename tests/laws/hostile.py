"""A run in a hostile world, watched: run as a program, it prints what was executed that no file of Python holds.

A first run warms up whatever is imported late; the second is watched by an audit hook.
"""

from __future__ import annotations

import json
import marshal
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import flowbot
from flowbot.engine.ports import Message
from tests import worlds
from tests.worlds import World

CODE = "__import__('os').system('touch canary')"
PAYLOADS = [
    CODE,
    f"```python\n{CODE}\n```",
    f"{{{{ {CODE} }}}} {{% import os %}} <% {CODE} %> ${{{CODE}}}",
    "{0.__class__.__init__.__globals__[sys]} {q.__class__} %(x)s",
    f"!!python/object/apply:os.system ['touch canary']\n!!python/object/apply:eval [\"{CODE}\"]",
    "$(touch canary) `touch canary` ; touch canary | touch canary",
]
NEVER = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "pty.spawn", "ctypes.dlopen")
watched: list[str] = []
watching = False


def hook(event: str, args: tuple[Any, ...]) -> None:
    """Note each execution of code that stands in no file, and each new process."""
    if not watching:
        return
    if event in NEVER:
        watched.append(f"{event} {args!r}"[:200])
    elif event == "exec" and not os.path.exists(getattr(args[0], "co_filename", "")):
        own = args[0].co_filename.startswith(("<frozen", "<template>"))  # <template> is the page of the report
        if not own or b"canary" in marshal.dumps(args[0]):
            watched.append(f"exec {args[0]!r}")
    elif event == "import" and "evil" in str(args[0]):
        watched.append(f"import {args[0]}")


def hostile(payload: str, purpose: str, messages: Sequence[Message]) -> str | None:
    """Return replies that fit, with the payload wherever a text may be."""
    if purpose in worlds.CRITIQUES:
        return json.dumps({"critique": payload})
    if purpose in ("prompt_update", "prompt_init"):
        return json.dumps({"instruction": payload})
    if purpose == "workflow_update":
        think = {"id": "think", "role": payload, "reads": ["q"], "gives": [{"name": "idea", "type": "text"}]}
        calc = {"id": "calc", "kind": "tool", "tool": "calc", "role": payload, "gives": [{"name": "v", "type": "json"}]}
        calc |= {"reads": [], "args": [{"name": "expression", "value": "$think.idea"}]}
        said = calc | {"id": "said", "args": [{"name": "expression", "value": payload}]}
        answer = {"id": "answer", "role": payload, "reads": ["q", "calc.v", "said.v"]}
        answer |= {"gives": [{"name": "a", "type": "text"}]}
        return json.dumps({"steps": [think, calc, said, answer], "output": "answer.a"})
    return payload


def main(folder: Path) -> None:
    """Run every payload through an induction, and the workflow that comes of it through a file."""
    global watching
    os.chdir(folder)
    sys.addaudithook(hook)
    patch = pytest.MonkeyPatch()
    tools = {"calc": {"kind": "calculator"}}
    task = worlds.task(
        tools=tools, recipe={"name": "paper", "batches": 1, "inner": 1, "moves": ["output_type", "demos"]}
    )
    for number, payload in enumerate(["calm", *PAYLOADS]):
        watching = number > 0
        rows = worlds.data(12, 4, 4)
        for row in rows["train"][1:]:
            row["q"] = f"{row['q']} {payload}"
        replies = World(override=lambda purpose, messages, payload=payload: hostile(payload, purpose, messages))
        worlds.shelved(patch, replies)
        result = flowbot.induce(task, data=rows, run=folder / f"run{number}")
        made = result.best.with_prompts(dict.fromkeys(result.best.prompts, payload))
        flowbot.save(made, folder / f"{number}.yaml")
        assert flowbot.load(folder / f"{number}.yaml") == made
        flowbot.evaluate(made, task, data=rows)
    watching = False
    print(json.dumps({"watched": watched, "canary": (folder / "canary").exists()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
