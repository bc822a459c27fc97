"""The meta model: bounded sections, replies as JSON, and one repair for what a check finds."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowbot.engine.chat import UNFIT
from flowbot.engine.meta import clipped
from flowbot.workflow.fields import TEXT, Json
from tests.sessions import PROMPTS, Script, Scripted, meta_of

GIVES = {"instruction": TEXT}


def ask(script: Script, check: Any = None, **settings: Any) -> tuple[Mapping[str, Json] | None, Scripted]:
    session = Scripted(script)
    meta = meta_of(session, **settings)
    return asyncio.run(meta.ask("prompt_update", [("instruction", "x" * 100), ("n", 3)], GIVES, check)), session


def written(text: str) -> str:
    return json.dumps({"instruction": text})


def test_a_meta_call_is_json_named_by_its_purpose() -> None:
    values, session = ask(lambda r: written("Do."), draw="batch 1", max_tokens=77, description="The task.")
    request = session.requests[0]
    assert values == {"instruction": "Do."}
    assert (request.purpose, request.schema_name) == ("prompt_update", "prompt_update")
    assert (request.model, request.draw, request.max_tokens) == ("vllm:meta", "batch 1", 77)
    assert request.schema is not None
    assert request.messages[0]["content"].startswith(PROMPTS["prompt_update"])
    assert request.messages[1]["content"] == f"task:\nThe task.\n\ninstruction:\n{'x' * 100}\n\nn:\n3"


def test_sections_are_bounded() -> None:
    _, session = ask(lambda r: written("Do."), clip=40, description="y" * 1000)
    assert session.requests[0].messages[1]["content"].count("x") == 40
    assert session.requests[0].messages[1]["content"].count("y") == 40


def test_a_check_goes_back_once_and_its_words_with_it() -> None:
    seen: list[str] = []

    def check(values: Mapping[str, Json]) -> str:
        seen.append(values["instruction"])
        return "" if values["instruction"] == "good" else "it copies an example"

    values, session = ask(lambda r: written("good" if r.repair else "bad"), check)
    assert values == {"instruction": "good"}
    assert seen == ["bad", "good"]
    assert [request.repair for request in session.requests] == [0, UNFIT]
    assert "it copies an example" in session.requests[1].messages[-1]["content"]


def test_a_check_that_fails_twice_gives_nothing() -> None:
    def check(values: Mapping[str, Json]) -> str:
        return "no"

    values, session = ask(lambda r: written("bad"), check)
    assert values is None
    assert len(session.requests) == 2


@given(st.text(max_size=300), st.integers(3, 100))
def test_a_clipped_text_keeps_its_ends(text: str, limit: int) -> None:
    cut = clipped(text, limit)
    if len(text) <= limit:
        assert cut == text
        return
    head = limit * 2 // 3
    assert cut.startswith(text[:head])
    assert cut.endswith(text[len(text) - (limit - head) :])
    assert f"{len(text) - limit} characters left out" in cut
