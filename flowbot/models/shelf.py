"""The models of a run, opened by their names and closed together."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from flowbot.errors import InputError
from flowbot.models.price import price_of
from flowbot.store.session import Opened
from flowbot.task.task import ModelSpec
from flowbot.workflow.graph import content_hash

LOG = logging.getLogger(__name__)
SALTING = ("extra_body", "reasoning_effort", "max_tokens")  # settings of a model that change what it replies


@dataclass(frozen=True)
class Shelf:
    """Opened models by name. Close it in the event loop that used it; model files stay loaded for the next shelf."""

    models: Mapping[str, Opened] = field(default_factory=dict[str, Opened])

    async def close(self) -> None:
        """Close every connection."""
        for model in {id(opened.model): opened.model for opened in self.models.values()}.values():
            closing: Any = getattr(model, "close", None)
            if closing is not None:
                await closing()


def open_shelf(specs: Iterable[ModelSpec], base_url: str | None, concurrency: int) -> Shelf:
    """Open each model once; `base_url` (from the command line) holds for all that are not local.

    Raises `InputError` for an unknown provider, a missing key or model file, and for two settings of one name.
    """
    wanted: dict[str, ModelSpec] = {}
    for spec in specs:
        known = wanted.setdefault(spec.name, spec)
        if known != spec:
            raise InputError(f"the model '{spec.name}' is given twice with different settings", "models")
    return Shelf({name: _open(spec, base_url, concurrency) for name, spec in wanted.items()})


@cache
def _local_pool() -> Any:
    """Return the loaded model files of this process: loading one takes seconds, and workflows are run often."""
    from flowbot.models.local import Pool

    return Pool()


def _open(spec: ModelSpec, base_url: str | None, concurrency: int) -> Opened:
    settings = {name: getattr(spec, name) for name in SALTING if getattr(spec, name)}
    salt = content_hash(settings) if settings else ""
    if spec.provider == "local":
        LOG.info("%s is opened in this process", spec.name)
        return Opened(_local_pool().open(spec), price_of(spec), spec.max_tokens, salt)
    from flowbot.models.providers import provider_of
    from flowbot.models.wire import Wire

    wire = Wire(spec, provider_of(spec, base_url), concurrency=concurrency)
    LOG.info("%s is asked at %s", spec.name, wire.endpoint.address)
    return Opened(wire, wire.price, spec.max_tokens, salt)
