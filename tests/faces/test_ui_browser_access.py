"""Every view for every reader: axe finds nothing serious in light or dark, contrast included."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowbot.faces.report import write_report
from tests.browser import Place, Views, Watched, aside, tab
from tests.kept import Kept

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
CHECK = "rules => axe.run({resultTypes: ['violations'], ...rules}).then(found => found.violations)"
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}  # all that dark changes


def rules() -> str:
    """Return axe's script; without it the test is skipped."""
    found = find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("needs axe (pip install axe-playwright-python)")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text(encoding="utf-8")


def violations(seen: Watched, places: list[Place], scheme: str) -> list[str]:
    """Return what is serious or critical in views."""
    wrong: list[str] = []
    seen.page.evaluate(rules())
    for place in places:
        seen.go(*place)
        found: list[dict[str, Any]] = seen.page.evaluate(CHECK, COLOURS if scheme == "dark" else {})
        for each in found:
            if each["impact"] in ("serious", "critical"):
                nodes = [
                    f"{node['target']} {node['any'][0]['message'] if node['any'] else ''}" for node in each["nodes"]
                ]
                wrong.append(f"{'/'.join(place)}: {each['id']}: {nodes[:3]}")
    return wrong


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_view_has_a_serious_violation(browser: Browser, link: str, searched: Kept, scheme: str) -> None:
    views = aside(lambda: Views.of(searched.folder, "group/good"))
    others: list[Place] = [(), ("compare-runs", "group/good,gradients"), ("run", "failed"), ("run", "nothing")]
    updates: Place = ("run", "gradients", "part", "updates")
    with tab(browser, link, scheme=scheme) as seen:
        assert violations(seen, [*views.all(), *others, updates], scheme) == []
        seen.wrong = [each for each in seen.wrong if "status of 404" not in each]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_has_no_serious_violation(browser: Browser, searched: Kept, tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "report.html"
    aside(lambda: write_report(searched.journal, path))
    views = aside(lambda: Views.of(searched.folder, "."))
    with tab(browser, path.as_uri(), offline=True, scheme=scheme) as seen:
        assert violations(seen, [views.at(), views.at("workflow", views.best, views.steps[0])], scheme) == []
