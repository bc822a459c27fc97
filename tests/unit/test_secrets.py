"""Secrets are masked wherever they stand, and ordinary text is left alone."""

from __future__ import annotations

import pytest

from flowbot.models.secrets import scrub, secrets, url_secrets

ENVIRON = {
    "OPENAI_API_KEY": "sk-abcdefgh",
    "OTHER_API_KEY": "sk-abcdefgh-longer",
    "HF_TOKEN": "hf_12345678",
    "VLLM_API_KEY": "EMPTY",
    "OPENAI_BASE_URL": "https://me:pa%2Fssword@host/v1",
    "HOME": "/home/someone",
}


def test_secrets_are_values_named_like_keys_and_credentials_of_urls() -> None:
    found = secrets(ENVIRON)
    assert {"sk-abcdefgh", "sk-abcdefgh-longer", "hf_12345678", "pa%2Fssword", "pa/ssword"} == found


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("key sk-abcdefgh!", "key ***!"),
        ("key sk-abcdefgh-longer!", "key ***!"),
        ("at https://me:secret@host/v1?x=1", "at https://***@host/v1?x=1"),
        ("at https://token@host/v1", "at https://***@host/v1"),
        ("Authorization: Bearer abc-123-def", "Authorization: Bearer ***"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
        ("GET /v1?api_key=abc&x=1", "GET /v1?api_key=***&x=1"),
        ("the standard bearer certificates; see https://medium.com/@name", None),
        ("EMPTY and /home/someone", None),
    ],
)
def test_scrub_masks_secrets_and_nothing_else(text: str, clean: str | None) -> None:
    assert scrub(text, secrets(ENVIRON)) == (text if clean is None else clean)


def test_scrub_reads_the_environment_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISTRAL_API_KEY", "a-key-of-mistral")
    assert scrub("it is a-key-of-mistral") == "it is ***"


def test_url_secrets_of_no_url() -> None:
    assert url_secrets("http://[broken") == url_secrets("plain") == frozenset()
