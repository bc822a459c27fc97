"""The page in the package is what its sources build, as far as that can be seen without Node."""

from __future__ import annotations

import importlib.util
import shutil
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def checker() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("ui_check", ROOT / "ui" / "check.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_built_from_its_sources() -> None:
    assert list(checker().problems()) == []


def test_a_changed_source_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checker()
    shutil.copytree(ROOT / "ui", tmp_path / "ui", ignore=shutil.ignore_patterns("node_modules"))
    monkeypatch.setattr(check, "HERE", tmp_path / "ui")
    assert check.hash_of_sources() == checker().hash_of_sources()
    (tmp_path / "ui" / "src" / "main.tsx").write_text("// another\n")
    assert check.hash_of_sources() != checker().hash_of_sources()


def test_a_changed_file_of_the_page_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check = checker()
    shutil.copytree(check.BUILT, tmp_path / "fresh")
    (tmp_path / "fresh" / check.MADE_FROM).unlink()
    assert list(check.differences(tmp_path / "fresh")) == []
    (tmp_path / "fresh" / "index.html").write_text("another")
    (tmp_path / "fresh" / "more.js").write_text("")
    assert list(check.differences(tmp_path / "fresh")) == [
        "more.js is in the fresh build only",
        "index.html is not what the sources build",
    ]
