"""Where the command line sends its spans: to the OTLP endpoint that the environment names, as OpenTelemetry's SDK does.

A program that uses FlowBot as a library sets its own tracer provider; nothing of this is in its way.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

import flowbot
from flowbot.errors import InputError
from flowbot.models.secrets import scrub

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

NAMED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
MEND = "pip install 'flowbot[otel]'"


def export_spans(wanted: bool) -> None:
    """Send spans from now on, if they are `wanted` or the environment names an endpoint, and the extra is installed.

    Raises `InputError` where they are wanted and cannot be had. They are sent until the process ends; an endpoint that
    does not take them is told of once, and changes nothing.
    """
    named = any(os.environ.get(name) for name in NAMED)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none"
    if not wanted and (not named or off):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter()
    except ImportError as error:
        if not wanted:
            return
        raise InputError(f"spans need the package {error.name}", "--otel", MEND) from None
    facts = {"service.version": flowbot.__version__}
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        facts["service.name"] = "flowbot"
    provider = TracerProvider(resource=Resource.create(facts))
    logger = logging.getLogger("opentelemetry")
    logger.addHandler(_Once())
    logger.propagate = False
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)


def _exporter() -> SpanExporter:
    """Return what sends spans, by the variables that OpenTelemetry defines."""
    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter

        return ConsoleSpanExporter(out=sys.stderr)
    both = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", both).partition("/")[0]
    return import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.trace_exporter").OTLPSpanExporter()


class _Once(logging.Handler):
    """Tells the first complaint in one line, and no more."""

    told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        if not self.told and record.levelno >= logging.WARNING:
            self.told = True
            said = scrub(record.getMessage()).splitlines()[0][:300]
            print(f"flowbot: spans are not exported: {said}", file=sys.stderr)
