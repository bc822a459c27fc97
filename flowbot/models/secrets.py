"""Secrets: which texts they are, and how they are kept out of whatever is stored or shown."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit

MASK = "***"
SHORTEST = 8  # a shorter value ("none", "EMPTY", "x") is a placeholder, and masking it would spoil ordinary text
SECRET_NAME = re.compile(r"(API_?KEY|ACCESS_?KEY|TOKEN|SECRET|PASSWORD|PASSWD)$", re.IGNORECASE)

# A shape is looked for only where its marker is in the text: scrubbing an ordinary text is a few substring searches.
SHAPES = (
    ("://", re.compile(r"(?<=://)[^\s/@?#\"'<>]+(?=@)")),  # user:password in a URL
    ("earer ", re.compile(r"(?<=[Bb]earer )(?=[^\s\"',]*[\d_-])[A-Za-z0-9._~+/=-]{8,}")),
    ("uthorization: ", re.compile(r"(?<=[Aa]uthorization: )(?![Bb]earer )[^\s\"',]+(?: [A-Za-z0-9._~+/=-]+)?")),
    ("api_key=", re.compile(r"(?<=[?&]api_key=)[^&\s\"']+")),
    ("access_token=", re.compile(r"(?<=[?&]access_token=)[^&\s\"']+")),
)


def url_secrets(url: str) -> frozenset[str]:
    """Return the password of a URL (or its user where that stands alone), as written and as meant."""
    try:
        parts = urlsplit(url)
        secret = parts.password or parts.username or ""
    except ValueError:  # not a URL
        return frozenset()
    return frozenset(text for text in (secret, unquote(secret)) if text)


def secrets(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """Return every secret of the environment: values named like keys, and the credentials of URLs."""
    found: set[str] = set()
    for name, value in (os.environ if environ is None else environ).items():
        if SECRET_NAME.search(name):
            found |= {value.strip(), quote(value.strip(), safe="")}
        elif "://" in value and "@" in value:
            found |= url_secrets(value)
    return frozenset(text for text in found if len(text) >= SHORTEST)


def scrub(text: str, known: frozenset[str] | None = None) -> str:
    """Replace every secret in a text by `***`: known values, credentials in URLs and bearer tokens.

    Without `known` the environment is read anew; where many texts are scrubbed, call `secrets()` once and hand it in.
    """
    found = [secret for secret in (secrets() if known is None else known) if secret in text]
    for secret in sorted(found, key=len, reverse=True):  # one secret may begin with another
        text = text.replace(secret, MASK)
    for marker, shape in SHAPES:
        if marker in text:
            text = shape.sub(MASK, text)
    return text
