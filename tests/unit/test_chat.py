"""One exchange: what is asked in which words, what is read tolerantly, one repair, then a failure."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest
from hypothesis import given

from flowbot.engine.chat import Answer, Ask, exchange, form, schema_of
from flowbot.engine.ports import Reply, Request
from flowbot.money import Usage
from flowbot.workflow.fields import BOOL, JSON, NUMBER, TEXT, FieldType, Misfit, choice
from tests.sessions import Script, Scripted
from tests.strategies import json_values, texts

TYPED = {"team": choice("a", "b"), "sure": BOOL}


def send(ask: Ask, script: Script) -> tuple[Answer, list[Request]]:
    session = Scripted(script)
    answer = asyncio.run(exchange(ask, session, Request("vllm:m", (), max_tokens=9, draw="d", temperature=0.4)))
    return answer, session.requests


def test_one_text_field_is_plain() -> None:
    answer, requests = send(Ask("Say.", [("q", "hi"), ("n", 3.0)], {"out": TEXT}), lambda r: "  said \n")
    assert answer.values == {"out": "said"}
    assert requests[0].schema is None
    assert [m["content"] for m in requests[0].messages] == ["Say.", "q:\nhi\n\nn:\n3"]


def test_a_typed_reply_is_asked_for_in_words_and_by_schema() -> None:
    answer, requests = send(Ask("Say.", [("q", "hi")], TYPED), lambda r: '{"team": " A ", "sure": "yes"}')
    assert answer.values == {"team": "a", "sure": True}
    assert requests[0].messages[0]["content"] == f"Say.\n\n{form(TYPED)}"
    assert form(TYPED) == 'Reply with one JSON object only: {"team": "a" | "b", "sure": true | false}'
    assert requests[0].schema == schema_of(TYPED)
    assert schema_of(TYPED)["additionalProperties"] is False


@pytest.mark.parametrize(
    "text",
    [
        '{"team": "a", "sure": true}',
        'Sure!\n```json\n{"team": "a", "sure": true}\n```\nBye',
        "{'team': 'a', 'sure': True,}",
        '{"sure": true, "team": "a", "more": [1]}',
        '{"team": "a", "sure": true',
    ],
)
def test_what_can_be_read_is_read(text: str) -> None:
    assert send(Ask("Say.", [], TYPED), lambda r: text)[0].values == {"team": "a", "sure": True}


def test_a_misfit_is_repaired_once() -> None:
    ask = Ask("Say.", [("q", "hi")], TYPED)
    answer, requests = send(ask, lambda r: '{"team": "b", "sure": false}' if r.repair else "no idea")
    assert answer.values == {"team": "b", "sure": False}
    assert [request.repair for request in requests] == [0, 1]
    first, second = requests
    assert second.messages[: len(first.messages)] == first.messages
    assert second.messages[-2] == {"role": "assistant", "content": "no idea"}
    assert second.messages[-1]["content"].startswith("That does not fit: the reply is not a JSON object.")
    kept = ("model", "purpose", "schema", "temperature", "max_tokens", "draw")
    assert all(getattr(first, name) == getattr(second, name) for name in kept)
    assert first.key() != second.key()


def test_after_one_repair_the_misfit_is_the_failure() -> None:
    answer, requests = send(Ask("Say.", [], TYPED), lambda r: Reply('{"team": "c"}', Usage(1, 2, 3)))
    assert answer.values is None
    assert answer.failure == "the field 'team': expected one of a, b; got 'c'"
    assert answer.usage == Usage(2, 4, 6)
    assert len(requests) == 2


def test_a_failed_reply_is_never_repaired() -> None:
    answer, requests = send(Ask("Say.", [], TYPED), lambda r: Reply('{"te', failure="the reply was cut at 9 tokens"))
    assert (answer.values, answer.failure, len(requests)) == (None, "the reply was cut at 9 tokens", 1)


def test_a_failed_repair_says_why() -> None:
    script: Script = lambda r: Reply("", failure="refused") if r.repair else "no"  # noqa: E731
    assert send(Ask("Say.", [], TYPED), script)[0].failure == "refused"


def test_a_long_misfit_is_sent_back_in_bounds() -> None:
    _, requests = send(Ask("Say.", [], TYPED), lambda r: "x" * 100_000)
    assert len(requests[1].messages[-2]["content"]) == 4000


def test_demos_are_written_as_the_model_should_write() -> None:
    shown = [([("q", "one")], {"sure": True, "team": "a"})]
    _, requests = send(Ask("Say.", [("q", "hi")], TYPED, shown), lambda r: '{"team": "a", "sure": true}')
    assert requests[0].messages[2]["content"] == '{"team":"a","sure":true}'


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"team":' * 50_000,
        '{"team": ' + "1" * 5000 + "}",
        '{"team": NaN, "sure": 1e999}',
        "",
        "null",
        "{",
    ],
)
def test_a_hostile_reply_is_a_failure_and_nothing_worse(text: str) -> None:
    answer, requests = send(Ask("Say.", [], TYPED), lambda r: text)
    assert answer.values is None
    assert answer.failure
    assert len(requests) == 2


def test_a_long_object_with_text_around_it_is_read_whole() -> None:
    ask = Ask("Say.", [], {"n": NUMBER, "any": JSON})
    held = {"n": 1, "any": "x" * 50_000}
    assert ask.parse(f"Well:\n```json\n{json.dumps(held)}\n```") == held
    held = {"n": 1, "any": "{[" * 50_000}
    assert ask.parse(json.dumps(held)) == held


@pytest.mark.parametrize(
    "text",
    [
        '{"n": 1, "any": NaN}',
        '{"n": 1, "any": [Infinity]}',
        '{"n": 1, "any": {"x": -Infinity}}',
        '{"n": 1, "any": 1e999}',
        'Well: {"n": 1, "any": [1e999]}',
        '{"n": 1, "any": 1e999',
        '{"n": 1, "any": ' + "[" * 990 + "]" * 990 + "}",
        '{"n": 1, "any": ' + "[" * 5000,
    ],
)
def test_what_json_cannot_hold_is_a_misfit(text: str) -> None:
    answer, requests = send(Ask("Say.", [], {"n": NUMBER, "any": JSON}), lambda r: text)
    assert answer.values is None
    assert answer.failure
    assert len(requests) == 2


@pytest.mark.parametrize(
    "text",
    ["{" * 100_000, "[{" * 100_000, '{"a":[' * 100_000, '{"a" ' * 60_000, '{"a": "' + '"' * 200_000, "{'" * 100_000],
    ids=range(6),
)
def test_broken_json_is_read_soon(text: str) -> None:
    started = time.perf_counter()
    with contextlib.suppress(Misfit):
        Ask("Say.", [], TYPED).parse(text)
    assert time.perf_counter() - started < 5


def test_half_a_character_never_gets_in() -> None:
    ask = Ask("Say.", [], {"a": TEXT, "b": TEXT})
    answer, _ = send(ask, lambda r: r'{"a": "cut \ud83d", "b": "whole \ud83d\ude00"}')
    assert answer.values is not None
    assert "".join(map(str, answer.values.values())).encode()
    assert answer.values["b"] == "whole 😀"
    answer, _ = send(ask, lambda r: r'{"a": "cut \ud83d", "b": "broken \ud83d\ude00"')
    assert answer.values == {"a": "cut ?", "b": "broken 😀"}


@given(texts | json_values.map(lambda value: json.dumps(value)))
def test_any_text_is_values_or_a_misfit(text: str) -> None:
    kinds: dict[str, FieldType] = {"n": NUMBER, "any": JSON, "team": choice("a", "b")}
    try:
        found = Ask("Say.", [], kinds).parse(text)
    except Misfit:
        return
    assert set(found) == set(kinds)


def test_keys_tell_requests_apart_and_nothing_else() -> None:
    base = Request("vllm:m", ({"role": "user", "content": "hi"},))
    others = [
        Request("vllm:n", base.messages),
        Request("vllm:m", ({"role": "user", "content": "ho"},)),
        Request("vllm:m", ({"role": "system", "content": "hi"},)),
        Request("vllm:m", base.messages, purpose="judge"),
        Request("vllm:m", base.messages, schema={}),
        Request("vllm:m", base.messages, temperature=0.5),
        Request("vllm:m", base.messages, max_tokens=5),
        Request("vllm:m", base.messages, draw="1"),
        Request("vllm:m", base.messages, repair=1),
    ]
    assert len({request.key() for request in [base, *others]}) == len(others) + 1
    assert Request("vllm:m", ({"content": "hi", "role": "user"},)).key() == base.key()
    assert base.key("salt") != base.key()
