"""A long run in a browser: 2,000 candidates and 10,000 examples' runs are a few rows at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.long_run import LongRun, Size
from tests.browser import Watched, aside, shown, tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
SIZE = Size(candidates=2000, val=8, train=1000, on_train=2, megabytes=5)
ELEMENTS = 12_000


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one long run."""
    root = tmp_path_factory.mktemp("long")
    aside(LongRun(root / "long", SIZE).write)
    return root


def scrolled(seen: Watched, scroller: str, row: str) -> list[int]:
    """Scroll a table to its end in leaps; return how many rows there are after each."""
    counts: list[int] = []
    for share in (0.1, 0.5, 0.9, 1.0):
        seen.page.get_by_test_id(scroller).evaluate(
            "(each, share) => { each.scrollTop = each.scrollHeight * share }", share
        )
        seen.page.wait_for_timeout(150)
        counts.append(seen.page.locator(row).count())
    return counts


def test_a_run_with_2000_candidates_opens_and_scrolls(browser: Browser, long: Path) -> None:
    with shown(long) as link, tab(browser, link) as seen:
        seen.go("run", "long")
        seen.page.get_by_test_id("headline").wait_for()
        assert seen.page.evaluate("document.querySelectorAll('*').length") < ELEMENTS
        seen.go("run", "long", "part", "candidates")
        table = seen.page.get_by_test_id("candidates")
        assert int(table.get_attribute("aria-rowcount") or 0) > 2000
        counts = scrolled(seen, "candidates", "[data-testid=candidate-row]")
        assert all(5 < count < 80 for count in counts)
        last = table.get_by_test_id("candidate-row").last
        assert int(last.get_attribute("aria-rowindex") or 0) > 2000
        assert last.get_by_role("link").is_visible()
        for part in ("failures", "cost", "about"):
            seen.go("run", "long", "part", part)
            assert seen.page.evaluate("document.querySelectorAll('*').length") < ELEMENTS, part


def test_a_table_of_1000_examples_scrolls_and_asks_for_windows(browser: Browser, long: Path) -> None:
    with shown(long) as link, tab(browser, link) as seen:
        seen.go("run", "long", "examples", "train")
        seen.page.get_by_text("train0").first.wait_for()
        counts = scrolled(seen, "examples-grid", ".fb-sheet-row")
        assert all(5 < count < 80 for count in counts)
        seen.page.get_by_text("train999").first.wait_for()
        windows = [each.url for each in seen.asked if "/examples?" in each.url]
        assert 2 <= len(windows) < 30
