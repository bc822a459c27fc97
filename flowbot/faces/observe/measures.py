"""Measures: tokens and seconds of LLM calls as OpenTelemetry metrics, by the conventions for generative AI."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Mapping
from typing import Any

import flowbot
from flowbot.engine.ports import EndpointError, Reply
from flowbot.models.patience import Fault

TOKENS = tuple(4**power for power in range(14))  # bounds of buckets, as the conventions have them
SECONDS = tuple(0.01 * 2**power for power in range(14))
LABELS = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port")


class Measures:
    """The histograms of the meter provider that the program has set; without one they measure nothing."""

    def __init__(self) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter_provider().get_meter("flowbot", flowbot.__version__)
        tokens, seconds = "gen_ai.client.token.usage", "gen_ai.client.operation.duration"
        self.tokens = meter.create_histogram(tokens, "{token}", explicit_bucket_boundaries_advisory=TOKENS)
        self.seconds = meter.create_histogram(seconds, "s", explicit_bucket_boundaries_advisory=SECONDS)

    @contextlib.contextmanager
    def call(self, asked: Mapping[str, Any]) -> Generator[list[Reply]]:
        """Measure one call with the attributes that it was asked with; what is yielded takes its reply.

        Tokens that were only estimated are not measured.
        """
        labels = {name: asked[name] for name in LABELS if asked.get(name) is not None}
        replies: list[Reply] = []
        failed: dict[str, str] = {}
        started = time.perf_counter()
        try:
            yield replies
        except BaseException as error:
            failed = {"error.type": error_type(error)}
            raise
        finally:
            self.seconds.record(time.perf_counter() - started, labels | failed)
            for usage in (reply.usage for reply in replies if not reply.usage.estimated):
                self.tokens.record(usage.input_tokens, labels | {"gen_ai.token.type": "input"})
                self.tokens.record(usage.output_tokens, labels | {"gen_ai.token.type": "output"})


def error_type(error: BaseException) -> str:
    """Return the kind of an error: the HTTP status or the fault of an endpoint, else its class."""
    cause = error.__cause__
    if isinstance(error, EndpointError) and isinstance(cause, Fault):
        return str(cause.status or cause.kind)
    return "cancelled" if type(error).__name__ == "CancelledError" else type(error).__qualname__
