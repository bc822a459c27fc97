"""What works here: Python, extras, keys (present, never shown), endpoint, model files, sandbox."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

from flowbot import __version__
from flowbot.engine.ports import EndpointError
from flowbot.errors import InputError
from flowbot.task.task import ModelSpec

EXTRAS = {
    "local": "xllamacpp",
    "sandbox": "sandlock",
    "retrieve": "bm25s",
    "mcp": "mcp",
    "math": "math_verify",
    "constraints": "if_verifiable",
    "parquet": "pyarrow",
    "datasets": "datasets",
    "serve": "starlette",
    "otel": "opentelemetry",
    "mlflow": "mlflow",
    "bench": "gepa",
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `good` is None where it is neither good nor bad."""

    name: str
    good: bool | None
    says: str


def look() -> Iterator[Finding]:
    """Yield what there is to say about this machine without asking any endpoint."""
    yield Finding(
        "FlowBot", True, f"{__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )
    for extra, module in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        yield Finding(f"extra {extra}", there or None, "installed" if there else f"pip install 'flowbot[{extra}]'")
    yield from _keys()
    yield from _models()
    yield _sandbox()


def _sandbox() -> Finding:
    """Say which sandbox runs programs here; each is tried with one."""
    from flowbot.tools.sandbox.choice import sandbox_name

    try:
        return Finding("sandbox", True, sandbox_name())
    except InputError as error:
        return Finding("sandbox", None, f"{error}")


def _keys() -> Iterator[Finding]:
    from flowbot.models.providers import providers

    for name, provider in providers().items():
        present = [variable for variable in provider.keys if os.environ.get(variable)]
        if present:
            yield Finding(f"key {name}", True, f"{present[0]} is set")
    if os.environ.get("OPENAI_BASE_URL"):
        yield Finding("endpoint", None, "OPENAI_BASE_URL is set: openai: models are asked there")


def _models() -> Iterator[Finding]:
    from flowbot.models.catalogue import catalogue, home, model_path

    for name, entry in catalogue().items():
        path = model_path(entry)
        there = path.exists() and path.stat().st_size == entry.size
        yield Finding(f"model {name}", there or None, "here" if there else f"flowbot models pull {name}")
    usage = shutil.disk_usage(home() if home().exists() else os.path.expanduser("~"))
    yield Finding("disk", usage.free > 2e9, f"{usage.free / 1e9:.1f} GB free for models")


async def reach(spec: ModelSpec, base_url: str | None) -> Finding:
    """Ask an endpoint for one token and say what came of it."""
    from flowbot.engine.ports import Request
    from flowbot.models.shelf import open_shelf

    try:
        shelf = open_shelf([spec], base_url, 1)
    except InputError as error:
        return Finding(f"endpoint {spec.name}", False, str(error))
    try:
        message = {"role": "user", "content": "Say yes."}
        reply = await shelf.models[spec.name].model.complete(Request(spec.name, (message,), max_tokens=16))
    except (EndpointError, InputError) as error:
        return Finding(f"endpoint {spec.name}", False, str(error))
    finally:
        await shelf.close()
    return Finding(f"endpoint {spec.name}", True, f"answers in {reply.usage.seconds:.2f} s")
