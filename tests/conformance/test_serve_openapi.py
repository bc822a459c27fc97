"""The server against its own OpenAPI document: schemathesis finds nothing, whatever it sends."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.served import one_call, opener, served, typed
from tests.servers import Answer, Body, serving

schemathesis = pytest.importorskip("schemathesis")
POSITIVE: Any = importlib.import_module("schemathesis.specs.openapi.checks").positive_data_acceptance

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("bare"), pytest.mark.filterwarnings("ignore")]
EXAMPLES = 40  # of each route
CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large)


def answer(body: Body, index: int) -> Answer:
    """Answer as the workflow wants it."""
    return Answer(json={"label": "y"}) if "response_format" in body else Answer(text="well")


def checked(operation: Any, headers: dict[str, str]) -> None:
    """Ask one route in many ways, good and bad, and hold each answer to what is said of it."""
    excluded = [POSITIVE] if "chat" in operation.path else []  # no schema says which JSON a text must hold

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=CHECKS, database=None)
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    check()


@pytest.mark.parametrize("token", ["", "a-token-of-some-length"], ids=["open", "token"])
@pytest.mark.parametrize("names", [("one",), ("one", "typed")], ids=["single", "several"])
def test_schemathesis_finds_nothing(monkeypatch: pytest.MonkeyPatch, token: str, names: tuple[str, ...]) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")
    flows = {"one": one_call() if len(names) > 1 else typed(), "typed": typed()}
    with serving(answer) as endpoint:
        openers = {name: opener(flows[name], endpoint.url) for name in names}
        with served(openers, token=token) as site:
            headers = {"Authorization": f"Bearer {token}"} if token else {}
            document: Any = site.get("/openapi.json").json
            found: Any = schemathesis.openapi.from_dict(document)
            found.config.update(base_url=site.url)
            paths: list[str] = []
            for result in found.get_all_operations():
                operation: Any = result.ok()
                paths.append(operation.path)
                checked(operation, headers)
    assert len(paths) == 2 * len(names) * (1 if len(names) > 1 else 2) + 5


def test_inputs_and_output_are_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")
    with serving(answer) as endpoint, served(typed(), endpoint.url) as site:
        run = site.get("/openapi.json").json["paths"]["/run"]["post"]
        takes = run["requestBody"]["content"]["application/json"]["schema"]
        assert takes["required"] == ["text", "number", "flag", "team", "tags", "more"]
        assert takes["properties"]["team"] == {"type": "string", "enum": ["a", "b"]}
        assert takes["properties"]["tags"] == {"type": "array", "items": {"type": "string"}}
        gives = run["responses"]["200"]["content"]["application/json"]["schema"]["properties"]["output"]
        assert gives == {"type": "string", "enum": ["x", "y"], "title": "label"}
        assert json.dumps(takes)
