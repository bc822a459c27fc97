"""Where the command line sends its spans: to the OTLP endpoint that the environment names, as OpenTelemetry's SDK does.

A program that uses FlowBot as a library sets its own tracer provider; nothing of this is in its way.
"""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import flowbot
from flowbot.errors import InputError
from flowbot.models.secrets import scrub

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
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
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        exporter = _exporter()
        meters = _meters()
    except ImportError as error:
        if not wanted:
            return
        missing = str(error.name)
        mend = "pip install opentelemetry-exporter-otlp-proto-grpc" if "grpc" in missing else MEND
        raise InputError(f"spans need the package {missing}", "--otel", mend) from None
    facts = {"service.version": flowbot.__version__}
    if not os.environ.get("OTEL_SERVICE_NAME") and "service.name=" not in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    ):
        facts["service.name"] = "flowbot"
    provider = TracerProvider(resource=Resource.create(facts))
    if meters is not None:
        metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(meters)], provider.resource))
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
    return _of_protocol("trace", "TRACES").OTLPSpanExporter()


def _meters() -> MetricExporter | None:
    """Return what sends metrics, where `OTEL_METRICS_EXPORTER` asks for it: many that take spans take no metrics."""
    match os.environ.get("OTEL_METRICS_EXPORTER"):
        case "console":
            from opentelemetry.sdk.metrics.export import ConsoleMetricExporter

            return ConsoleMetricExporter(out=sys.stderr)
        case "otlp":
            return _of_protocol("metric", "METRICS").OTLPMetricExporter()
        case _:
            return None


def _of_protocol(what: str, variable: str) -> Any:
    """Return the module that exports over the protocol that the environment names."""
    names = (f"OTEL_EXPORTER_OTLP_{variable}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next(filter(None, map(os.environ.get, names)), "http").partition("/")[0]
    return import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{what}_exporter")


class _Once(logging.Handler):
    """Tells the first complaint in one line, and no more."""

    told = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        if not self.told and record.levelno >= logging.WARNING:
            self.told = True
            said = scrub(record.getMessage()).splitlines()[0][:300]
            print(f"flowbot: spans are not exported: {said}", file=sys.stderr)
