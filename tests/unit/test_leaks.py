"""Training text in prompts is found: rare runs of five words, long answers; the task's own words are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.faces.wiring import PROMPT_WORDS, prompt_guard
from flowbot.task.data import Example
from flowbot.task.leaks import Leaks
from flowbot.workflow.fields import Json
from flowbot.workflow.steps import PROMPT_CAP

TOLD = "my parcel was left behind the green gate"


def leaks(*told: str, target: Json = "ok", allowed: str = "Sort a customer message.") -> Leaks:
    return Leaks.of([Example(str(n), {"q": text}, target) for n, text in enumerate(told)], allowed)


@pytest.mark.parametrize(
    "prompt",
    [
        "If the parcel was left behind the door, say so.",
        "PARCEL, was-left: (behind) The?",
        "x my parcel was left behind",
        "left behind the green gate",
    ],
)
def test_a_run_of_five_words_of_one_example_is_found(prompt: str) -> None:
    assert leaks(TOLD).find(prompt)


@pytest.mark.parametrize(
    "prompt", ["parcel was left behind", "behind left was parcel the", "the parcels was left behind", ""]
)
def test_less_is_not(prompt: str) -> None:
    assert leaks(TOLD).find(prompt) == ""


def test_what_many_examples_say_is_the_tasks_language() -> None:
    assert leaks(TOLD, TOLD).find(TOLD)
    assert leaks(TOLD, TOLD, TOLD).find(TOLD) == ""


def test_what_one_example_says_again_and_again_is_still_its_own() -> None:
    assert leaks(" ".join([TOLD] * 4)).find(TOLD)


def test_the_tasks_own_words_are_allowed() -> None:
    assert leaks(TOLD, allowed=f"Say where {TOLD}.").find(TOLD) == ""


@pytest.mark.parametrize("target", ["Customer Service Desk", ["short", "customer service desk"]])
def test_a_long_answer_is_found_as_whole_words(target: Json) -> None:
    found = leaks("hi", target=target)
    assert found.find("Send it to the customer-service desk.") == "customer service desk"
    assert found.find("Send it to the customer service desks.") == ""


@pytest.mark.parametrize(
    ("target", "told"), [("billing", ["a"]), ("customer service desk", ["a", "b", "c"]), (None, ["a"])]
)
def test_a_short_or_common_answer_is_not(target: Json, told: Sequence[str]) -> None:
    assert leaks(*told, target=target).find(f"Say {target}.") == ""


def test_inputs_that_are_no_text_count_as_they_are_read() -> None:
    found = Leaks.of([Example("1", {"q": ["one two three", "four five six"]}, 1)], "")
    assert found.find("three four five six seven") == ""
    assert found.find("one two three four five")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=5, max_size=12), st.data())
def test_every_run_of_every_example_is_found(words: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(words) - 5))
    copied = " ".join(words[start : start + 5])
    assert leaks(" ".join(words)).find(f"zz {copied} zz")


def test_the_guard_says_what_is_wrong() -> None:
    guard = prompt_guard(leaks(TOLD))
    assert guard("Name the team.") == ""
    assert guard(" \n") == "the instruction is empty"
    assert guard(TOLD) == "the instruction copies an example ('my parcel was left behind'): state the rule instead"
    assert "at most 600" in guard("word " * (PROMPT_WORDS + 1))
    assert "at most 600" in guard("x" * (PROMPT_CAP + 1))
    assert guard("word " * PROMPT_WORDS) == ""
