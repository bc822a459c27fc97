"""The page in a browser, as its reader uses it: runs that go on, that ended and that broke; steps, examples, traces."""

from __future__ import annotations

import shutil
import signal
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flowbot.faces.ui.book import Book
from flowbot.faces.ui.schema import Decision
from tests.browser import WIDTHS, Watched, aside, going, shown, tab, texts
from tests.kept import Kept

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
GOOD = ("run", "group/good")
NOTHING = Decision(
    decision="",
    why="",
    gain=0,
    low=0,
    high=0,
    p_gain=0,
    undecided=True,
    fixed=[],
    broken=[],
    hit=[],
    missed=[],
)


@dataclass(frozen=True)
class Known:
    """What of a search is looked at: ids of its start, its best, a candidate that fixed examples, and an example."""

    start: str
    best: str
    fixer: str
    example: str


@pytest.fixture(scope="module")
def known(searched: Kept) -> Known:
    """The ids in the run `good`."""

    def read() -> Known:
        book = Book(searched.folder)
        run = book.run()
        found = [each.id for each in run.candidates if (book.candidate(each.id).decision or NOTHING).fixed]
        book.close()
        assert run.start_id
        assert run.best_id
        assert run.start_id != run.best_id
        example = next(trace.example.id for trace, draw in searched.ran if draw == "val")
        return Known(run.start_id, run.best_id, found[0], example)

    return aside(read)


def test_a_live_run_is_seen_to_advance(browser: Browser, tmp_path: Path) -> None:
    with (
        going(tmp_path / "runs" / "live", 0.008) as process,
        shown(tmp_path / "runs") as link,
        tab(browser, link) as seen,
    ):
        page = seen.page
        page.get_by_test_id("run-row").get_by_role("link").first.click()
        page.get_by_test_id("run-state").get_by_text("running").wait_for()
        page.evaluate("window.stayed = true")
        counts: set[str] = set()
        points: set[str] = set()
        calls = page.locator("dl.fb-budget dd").first
        while process.poll() is None:
            counts.add(calls.inner_text())
            points |= set(texts(seen, "[data-testid=tab-candidates]"))
            page.wait_for_timeout(300)
        assert process.returncode == 0
        assert len(counts) > 3
        assert len(points) > 1
        page.get_by_test_id("run-state").get_by_text("done").wait_for()
        assert page.evaluate("window.stayed")  # nothing was loaded again
        page.get_by_test_id("result").wait_for()
        ended = calls.inner_text()
        assert ended not in counts or len(counts) > 4
        asked = [each.url for each in seen.asked if "/api/runs/live" in each.url]
        assert sum("after=" in url for url in asked) > 3
        assert sum(url.endswith("/api/runs/live") for url in asked) == 1  # whole but once


def events_in(db: sqlite3.Connection) -> int:
    """Return how many events a journal has; none while its tables are being made."""
    try:
        return db.execute("SELECT count(*) FROM events").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def test_a_run_that_was_killed_opens(browser: Browser, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "killed"
    with going(folder, 0.01) as process:
        db = aside(lambda: sqlite3.connect(folder / "journal.sqlite", check_same_thread=False))
        while process.poll() is None and events_in(db) < 8:
            pass
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        db.close()
    with shown(tmp_path / "runs") as link, tab(browser, link) as seen:
        seen.go("run", "killed")
        assert texts(seen, "[data-testid=run-state]") == ["stopped"]
        for part in ("candidates", "failures", "cost", "about"):
            seen.go("run", "killed", "part", part)
        seen.go("run", "killed", "examples", "val")
        seen.page.get_by_role("row").nth(2).wait_for()


def test_a_journal_whose_last_pages_are_missing_says_so_or_opens(
    browser: Browser, searched: Kept, tmp_path: Path
) -> None:
    folder = tmp_path / "runs" / "torn"
    folder.mkdir(parents=True)
    shutil.copy(searched.journal, folder)
    with (folder / "journal.sqlite").open("rb+") as file:
        file.truncate(searched.journal.stat().st_size // 2)
    with shown(tmp_path / "runs") as link, tab(browser, link) as seen:
        seen.page.get_by_test_id("run-row").get_by_text("torn").first.wait_for()
        seen.go("run", "torn")
        seen.page.get_by_role("alert").wait_for()
        refused = [each for each in seen.wrong if "status of 40" not in each]
        assert refused == []
        seen.wrong.clear()


def test_a_run_with_an_error_shows_it(browser: Browser, link: str) -> None:
    with tab(browser, link) as seen:
        row = seen.page.get_by_test_id("run-row").filter(has_text="failed")
        row.get_by_test_id("run-error").get_by_text("down").wait_for()
        row.get_by_role("link").first.click()
        seen.page.get_by_test_id("run-error").get_by_text("down").wait_for()
        assert "broken off" in seen.page.get_by_test_id("run-error").inner_text()


def test_a_step_is_clicked_and_its_prompt_read(browser: Browser, link: str, searched: Kept, known: Known) -> None:
    start = known.start
    with tab(browser, link) as seen:
        seen.go(*GOOD, "workflow", start)
        workflow = next(trace.workflow for trace, _ in searched.ran if trace.workflow.id == start)
        step = workflow.calls[0]
        seen.page.get_by_test_id(f"step-{step.id}").click()
        said = seen.page.get_by_test_id("prompt")
        said.wait_for()
        for line in filter(None, (line.strip() for line in step.prompt.splitlines())):
            assert line in said.inner_text()
        seen.page.get_by_role("tab", name="On an example").click()
        seen.page.get_by_test_id("step-runs").wait_for()


def test_two_candidates_are_compared(browser: Browser, link: str, known: Known) -> None:
    with tab(browser, link) as seen:
        seen.go(*GOOD, "part", "candidates")
        rows = seen.page.get_by_test_id("candidate-row")
        for short in (known.start[:6], known.best[:6]):
            rows.filter(has_text=short).get_by_role("checkbox").check()
        seen.page.get_by_test_id("compare-candidates").click()
        seen.page.get_by_test_id("compare-view").wait_for()
        for side in ("left", "right"):
            assert seen.page.get_by_test_id(f"side-{side}").locator("[data-testid^=step-]").count() > 0
        assert seen.page.get_by_test_id("step-pairs").locator("[data-testid=diff]").count() > 0
        marked = seen.page.locator(".fb-step-mark").all_inner_texts()
        assert any(mark.split()[-1] in ("added", "changed", "removed") for mark in marked)


def test_a_trace_is_opened_from_an_example_of_the_table(browser: Browser, link: str, searched: Kept) -> None:
    with tab(browser, link) as seen:
        seen.go(*GOOD, "examples", "val")
        page = seen.page
        page.get_by_test_id("examples-grid").get_by_role("link").filter(has_text="val").first.click()
        page.get_by_test_id("example-runs").locator("a[href*='/trace/']").first.click()
        page.get_by_test_id("trace").wait_for()
        page.get_by_test_id("open-all").click()
        messages = " ".join(page.get_by_test_id("message").all_inner_texts())
        assert "System" in messages
        first = next(trace for trace, draw in searched.ran if draw == "val").example.inputs
        assert str(next(iter(first.values())))[:20] in page.locator("main").inner_text()


def test_a_decision_leads_to_the_examples_that_it_fixed(browser: Browser, link: str, known: Known) -> None:
    with tab(browser, link) as seen:
        seen.go(*GOOD, "workflow", known.fixer)
        decided = seen.page.get_by_test_id("decided")
        decided.locator("summary").first.click()
        decided.get_by_role("link").filter(has_text="val").first.click()
        seen.page.get_by_test_id("example-runs").wait_for()
        seen.page.go_back()
        seen.page.get_by_test_id("candidate-head").wait_for()


def test_what_is_not_there_is_said(browser: Browser, link: str) -> None:
    with tab(browser, link) as seen:
        for place in (("run", "nothing"), (*GOOD, "workflow", "nothing"), (*GOOD, "examples", "val", "nothing")):
            seen.go(*place)
            seen.page.get_by_role("alert").first.wait_for()
        seen.go("nothing")
        seen.page.get_by_text("there is no such page").wait_for()
        assert all("status of 40" in each for each in seen.wrong)
        seen.wrong.clear()


def test_without_the_token_the_page_says_what_to_open(browser: Browser, link: str) -> None:
    with tab(browser, link.partition("?")[0]) as seen:
        seen.page.get_by_role("alert").get_by_text("Open the address that flowbot ui printed").wait_for()
        seen.wrong.clear()
    with tab(browser, link) as seen:
        assert "token" not in seen.page.url  # nor is it in the address bar
        assert all("token" not in each.url for each in seen.asked[1:])


def test_by_keyboard_alone_a_step_is_reached_and_its_prompt_opened(
    browser: Browser, link: str, searched: Kept, known: Known
) -> None:
    with tab(browser, link) as seen:
        press(seen, "good", "/run/")
        press(seen, "Start", "/workflow/")
        seen.wait()
        step = seen.page.get_by_test_id(f"step-{called(searched, known.start)}")
        for _ in range(60):
            seen.page.keyboard.press("Tab")
            if step.evaluate("each => each === document.activeElement"):
                break
        outline = step.evaluate("each => { const s = getComputedStyle(each); return s.outlineStyle + s.boxShadow }")
        assert outline != "nonenone", "the focus cannot be seen"
        seen.page.keyboard.press("Enter")
        seen.page.get_by_test_id("prompt").wait_for()


def called(searched: Kept, workflow: str) -> str:
    """Return the id of the first call of a workflow."""
    return next(trace.workflow for trace, _ in searched.ran if trace.workflow.id == workflow).calls[0].id


def press(seen: Watched, name: str, place: str) -> None:
    """Reach a link by tabs from the top of the page, and open it."""
    for _ in range(80):
        seen.page.keyboard.press("Tab")
        text, href = seen.page.evaluate(
            "() => [document.activeElement.textContent, document.activeElement.getAttribute('href') ?? '']"
        )
        if place in href and (name == text or name in href):
            break
    else:
        raise AssertionError(f"no tab leads to {name}")
    seen.page.keyboard.press("Enter")
    seen.wait()


def places(known: Known) -> list[tuple[str, ...]]:
    """Return a place of every view."""
    good = ("run", "group/good")
    return [
        (),
        ("compare-runs", "group/good,gradients"),
        good,
        *((*good, "part", part) for part in ("candidates", "failures", "cost", "about")),
        ("run", "gradients", "part", "updates"),
        ("run", "failed"),
        (*good, "workflow", known.best),
        (*good, "compare", known.start, known.best),
        (*good, "examples", "val"),
        (*good, "examples", "val", known.example),
        (*good, "trace", known.best, "val", known.example),
        (*good, "try", known.best),
    ]


@pytest.mark.parametrize(("width", "height"), WIDTHS)
def test_no_view_is_wider_than_the_window(browser: Browser, link: str, known: Known, width: int, height: int) -> None:
    with tab(browser, link, width, height, "dark" if width > 1500 else "light") as seen:
        wide: list[tuple[str, ...]] = []
        for place in places(known):
            seen.go(*place)
            if seen.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
                wide.append(place)
        assert wide == []


def test_light_and_dark_follow_the_system_and_the_reader(browser: Browser, link: str) -> None:
    shade = (
        "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)"
    )
    for scheme, name in (("light", "Dark colours"), ("dark", "Light colours")):
        with tab(browser, link, scheme=scheme) as seen:
            first = seen.page.evaluate(shade)
            assert (first > 600) == (scheme == "light")
            seen.page.get_by_role("button", name=name).click()
            assert (seen.page.evaluate(shade) > 600) == (scheme == "dark")
