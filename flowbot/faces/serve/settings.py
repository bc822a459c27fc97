"""What a server is told: its bounds, its token, what it logs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Limits:
    """What clients may take, None is no bound.

    `concurrency` runs go on at once and `queue` requests wait for a place; `body` is bytes of a request, `rows` sets of
    inputs in a batch. `seconds`, `usd` and `tokens` bound each run, those of a batch too; `day_usd` and `day_tokens`
    what all runs of a day (UTC) take together.
    """

    concurrency: int = 64
    queue: int = 256
    body: int = 2**20
    rows: int = 100
    seconds: float = 120.0
    usd: float | None = None
    tokens: int | None = None
    day_usd: float | None = None
    day_tokens: int | None = None


@dataclass(frozen=True)
class Settings:
    """How workflows are served. Without a `token` only this machine is answered, and no page of a browser.

    `log_content` puts inputs, outputs and reasons into the log; `version` is shown in the OpenAPI document.
    """

    limits: Limits = Limits()
    token: str = field(default="", repr=False)
    log_content: bool = False
