"""What a server counts, as Prometheus reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from flowbot.faces.serve.slots import Slots
from flowbot.money import Usage

if TYPE_CHECKING:
    from flowbot.faces.serve.day import Day

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Counted:
    """The counters of one server, in a registry of its own."""

    def __init__(self, slots: Slots, day: Day | None) -> None:
        self.registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": self.registry}
        self._requests = Counter("flowbot_requests", "Requests by route and status.", ["route", "status"], **named)
        self._seconds = Histogram(
            "flowbot_request_seconds", "Seconds from request to answer.", ["route"], buckets=SECONDS, **named
        )
        self._runs = Counter("flowbot_runs", "Runs by workflow and how they ended.", ["workflow", "ended"], **named)
        self._calls = Counter("flowbot_llm_calls", "LLM calls by workflow.", ["workflow"], **named)
        self._tokens = Counter(
            "flowbot_tokens", "Tokens by workflow and direction.", ["workflow", "direction"], **named
        )
        self._usd = Counter("flowbot_usd", "Dollars by workflow, where prices are known.", ["workflow"], **named)
        Gauge("flowbot_running", "Runs that go on.", **named).set_function(lambda: slots.running)
        Gauge("flowbot_waiting", "Requests that wait for a place.", **named).set_function(lambda: len(slots.waiting))
        if day is not None:
            spent = Gauge("flowbot_day_usd", "Dollars of the day, those in flight at their estimate.", **named)
            spent.set_function(lambda: day.spent.usd or 0.0)
            tokens = Gauge("flowbot_day_tokens", "Tokens of the day, those in flight at their estimate.", **named)
            tokens.set_function(lambda: day.spent.tokens)
        self._children: dict[tuple[str, ...], tuple[Counter, ...]] = {}
        self._histograms: dict[str, Histogram] = {}

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request; finding the counters by their labels costs more than counting."""
        key = (route, str(status))
        if key not in self._children:
            self._children[key] = (self._requests.labels(*key),)
            self._histograms[route] = self._seconds.labels(route)
        self._children[key][0].inc()
        self._histograms[route].observe(seconds)

    def run(self, workflow: str, ended: str, usage: Usage) -> None:
        """Count a run with what it cost."""
        key = ("run", workflow, ended)
        if key not in self._children:
            given, made = self._tokens.labels(workflow, "input"), self._tokens.labels(workflow, "output")
            runs, calls = self._runs.labels(workflow, ended), self._calls.labels(workflow)
            self._children[key] = (runs, calls, given, made, self._usd.labels(workflow))
        runs, calls, given, made, usd = self._children[key]
        runs.inc()
        calls.inc(usage.calls)
        given.inc(usage.input_tokens)
        made.inc(usage.output_tokens)
        if usage.usd:
            usd.inc(usage.usd)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format."""
        return generate_latest(self.registry)
