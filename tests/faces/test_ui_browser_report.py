"""The report in a browser: one file, from disk, with the network cut."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowbot.faces.report import write_report
from tests.browser import WIDTHS, Views, aside, tab
from tests.kept import Kept

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def report(searched: Kept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the search, alone in a folder."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    aside(lambda: write_report(searched.journal, path))
    return path


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_all_views_of_a_report_open_from_disk(
    browser: Browser, report: Path, searched: Kept, width: int, height: int
) -> None:
    views = aside(lambda: Views.of(searched.folder, "."))
    with tab(browser, report.as_uri(), width, height, offline=True) as seen:
        seen.page.get_by_test_id("headline").wait_for()
        held = [place for place in views.all()[:-3] if place[2:] != ("examples", "train")]
        for place in held:
            seen.go(*place)
            assert seen.page.get_by_role("alert").count() == 0, place
            assert not seen.page.evaluate("document.documentElement.scrollWidth > innerWidth"), place
        assert [each.url.partition("#")[0] for each in seen.asked if "data:" not in each.url] == [report.as_uri()]
        seen.go(*views.all()[-1])
        seen.page.get_by_text("holds no way to run a workflow").wait_for()


def test_a_report_leads_from_the_result_to_a_step_and_a_trace(browser: Browser, report: Path, searched: Kept) -> None:
    views = aside(lambda: Views.of(searched.folder, "."))
    with tab(browser, report.as_uri(), offline=True) as seen:
        page = seen.page
        page.get_by_test_id("open-best").click()
        page.get_by_test_id(f"step-{views.steps[-1]}").click()
        page.get_by_test_id("prompt").wait_for()
        assert page.get_by_test_id("try-it").count() == 0
        seen.go(*views.at("examples"))
        assert page.get_by_test_id("split-train").count() == 0  # it is not in the report, so no link leads to it
        seen.page.get_by_test_id("examples-grid").locator("a[href*='/trace/']").first.click()
        page.get_by_test_id("trace").wait_for()
        page.get_by_test_id("open-all").click()
        assert page.get_by_test_id("message").count() > 1
        page.go_back()
        seen.page.get_by_test_id("examples-grid").locator("a[href*='/examples/']").first.click()
        page.get_by_test_id("example-runs").wait_for()


def test_a_report_without_content_has_none_and_says_so(browser: Browser, searched: Kept, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    aside(lambda: write_report(searched.journal, path, content=False))
    views = aside(lambda: Views.of(searched.folder, "."))
    example = next(trace.example for trace, draw in searched.ran if draw == "val")
    assert str(next(iter(example.inputs.values()))) not in path.read_text(encoding="utf-8")
    with tab(browser, path.as_uri(), offline=True) as seen:
        seen.page.get_by_text("left out on request").first.wait_for()
        for place in views.all()[:-3]:
            seen.go(*place)
