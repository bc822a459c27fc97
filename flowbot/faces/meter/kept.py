"""The cache of a meter: good answers by their call, in one SQLite file for its owner alone."""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from flowbot.errors import InputError
from flowbot.money import Price, Usage

TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, kind TEXT, body BLOB, usage TEXT) WITHOUT ROWID"


@dataclass(frozen=True)
class Kept:
    """One answer as the client got it: its content type, its body, and what it took when it was made."""

    kind: str
    body: bytes
    usage: Usage

    def at(self, price: Price | None) -> Usage:
        """Return what it took, at a price of today."""
        usage = self.usage
        usd = None if price is None else price.of(usage.input_tokens, usage.output_tokens, usage.cached_tokens)
        return replace(usage, usd=usd)


class Cache:
    """Answers in a folder. What cannot be written is not kept, and said once; the call goes on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "answers.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
            self._file = sqlite3.connect(self.path, isolation_level=None)
            self._file.execute("PRAGMA journal_mode = WAL")
            self._file.execute("PRAGMA synchronous = NORMAL")
            self._file.execute(TABLE)
        except (OSError, sqlite3.Error) as error:
            raise InputError(f"the cache cannot be opened: {error}", str(self.path)) from None
        self._broken = False

    def find(self, key: str) -> Kept | None:
        """Return the answer to a call, None where there is none."""
        try:
            found = self._file.execute("SELECT kind, body, usage FROM answers WHERE key = ?", (key,)).fetchone()
            return found and Kept(found[0], found[1], Usage(**json.loads(found[2])))
        except (sqlite3.Error, ValueError, TypeError) as error:
            return self._tell(error)

    def keep(self, key: str, kept: Kept) -> None:
        """Keep an answer, whole or not at all."""
        row = (key, kept.kind, kept.body, json.dumps(asdict(kept.usage)))
        try:
            self._file.execute("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._tell(error)

    def close(self) -> None:
        """Close the file."""
        with suppress(sqlite3.Error):
            self._file.close()

    def _tell(self, error: Exception) -> None:
        if not self._broken:
            self._broken = True
            logging.getLogger(__name__).warning("the cache %s fails: %s", self.path, error)
