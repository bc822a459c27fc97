"""Text as it is told: no secret in it, whole or in halves, and nothing of it lost."""

from __future__ import annotations

import pytest

from flowbot.faces.opened import Settled
from flowbot.models.secrets import scrub

SECRET = "tok-" + "s3cr3t" * 8


def told(pieces: list[str]) -> str:
    said: list[str] = []
    settled = Settled(said.append, lambda text: scrub(text, frozenset({SECRET})))
    for piece in pieces:
        settled(piece)
    return "".join(said)


@pytest.mark.parametrize("before", range(1000, 1060, 7))
def test_no_half_of_a_secret_is_in_a_long_word(before: int) -> None:
    word = "x" * before + SECRET + "y" * 1500
    said = told([word[at : at + 5] for at in range(0, len(word), 5)] + [" end "])
    assert SECRET[:6] not in said
    assert f"{'x' * before}***{'y' * 1500}".startswith(said) or said == f"{'x' * before}***{'y' * 1500} end"


def test_a_long_word_does_not_take_long() -> None:
    assert told(["some ", *["abcd"] * 50_000, " end "]).startswith("some abcd")


def test_a_character_in_halves_is_told_whole() -> None:
    assert told(["so \ud83d", "\ude00 and", " "]) == "so \U0001f600 and"
