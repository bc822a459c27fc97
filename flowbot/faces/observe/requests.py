"""Requests: a span for each HTTP request that a server answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from flowbot.faces.observe.measures import error_type
from flowbot.faces.observe.spans import Spans, fail

App = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]


class Requests:
    """ASGI middleware: a span for each HTTP request, below the one that its `traceparent` header names."""

    def __init__(self, app: App, spans: Spans) -> None:
        self.app, self.spans = app, spans

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from opentelemetry import propagate, trace

        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        span = self.spans.tracer.start_span(scope["method"], propagate.extract(headers), trace.SpanKind.SERVER)

        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
                if message["status"] >= 500:
                    fail(span, str(message["status"]))
            await send(message)

        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            try:
                await self.app(scope, receive, sending)
            except BaseException as error:
                fail(span, error_type(error))
                raise
            finally:
                route = getattr(scope.get("endpoint"), "name", None)  # known once it was found
                if route is not None:
                    span.update_name(f"{scope['method']} {route}")
                facts = {"http.request.method": scope["method"], "http.route": route, "url.path": scope["path"]}
                self.spans.put(span, facts | {"url.scheme": scope.get("scheme")})
