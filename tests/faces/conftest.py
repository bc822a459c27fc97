"""What tests of the page share: one browser a module, and a folder of runs that is made once."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from tests import browser as browsers
from tests.kept import Kept, kept

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """Chromium; without it the test is skipped."""
    if not browsers.built():
        pytest.skip("the page is not built: run make ui")
    opened = browsers.chromium()
    try:
        found = opened.__enter__()
    except LookupError as error:
        pytest.skip(str(error))
    yield found
    opened.__exit__(None, None, None)


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A search that ended well: the run `group/good` of a folder; beside it one that failed and one by gradients."""
    runs = tmp_path_factory.mktemp("page") / "runs"

    def make() -> Kept:
        kept(runs / "failed", sizes=(8, 8, 4), answers=150)
        kept(runs / "gradients", recipe="paper", sizes=(8, 8, 4))
        return kept(runs / "group" / "good")

    return browsers.aside(make)


@pytest.fixture(scope="module")
def link(searched: Kept) -> Generator[str]:
    """The page of the folder of runs."""
    with browsers.shown(searched.folder.parent.parent) as served:
        yield served
