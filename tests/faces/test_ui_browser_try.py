"""Trying a workflow in a browser: the price is asked first, nothing is spent before the button, it can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from flowbot.document import write_document
from flowbot.workflow.document import write_workflow
from tests.browser import Watched, shown, tab
from tests.servers import Answer, Server, serving
from tests.sessions import call, flow
from tests.worlds import plain_task

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]
TWO = flow(call("one", "q"), call("two", "q", "one.out"))


class Model:
    """Answers the first call at once, and the second when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()

    def answer(self, body: dict[str, Any], index: int) -> Answer:
        """Say which call it was; the second is late by as much as the test takes."""
        second = "Do two" in body["messages"][0]["content"]
        return Answer(text="said two" if second else "said one", latency=0 if not second or self.may.is_set() else 20)


@contextmanager
def trying(browser: Browser, folder: Path, model: Model) -> Generator[tuple[Watched, Server]]:
    """Open the page of a workflow's file, whose models are on loopback."""
    path = folder / "two.yaml"
    path.write_text(write_workflow(TWO), encoding="utf-8")
    (folder / "task.yaml").write_text(write_document(plain_task()), encoding="utf-8")
    with serving(model.answer) as server, shown(path, base_url=server.url) as link, tab(browser, link) as seen:
        yield seen, server


def test_the_price_comes_first_and_nothing_is_asked_before_the_button(browser: Browser, tmp_path: Path) -> None:
    model = Model()
    model.may.set()
    with trying(browser, tmp_path, model) as (seen, server):
        page = seen.page
        page.get_by_test_id("try-it").click()
        assert page.get_by_test_id("try-price").count() == 0
        page.get_by_role("textbox", name="q").fill("item 1")
        price = page.get_by_test_id("try-price")
        price.wait_for()
        assert "2 LLM calls" in price.inner_text()
        page.get_by_test_id("try-run").get_by_text("2 LLM calls").wait_for()  # the button names it too
        page.wait_for_timeout(300)
        assert server.requests == []
        assert not any(each.url.endswith("/api/try") for each in seen.asked)
        page.get_by_test_id("try-run").click()
        page.get_by_test_id("try-output").get_by_text("said two").wait_for()
        assert "2 calls" in page.get_by_test_id("try-spent").inner_text()
        assert len(server.requests) == 2
        page.get_by_test_id("step-one").click()
        page.get_by_test_id("step-runs").get_by_text("said one").first.wait_for()


def test_steps_light_up_as_they_run_and_stop_ends_the_calls(browser: Browser, tmp_path: Path) -> None:
    with trying(browser, tmp_path, Model()) as (seen, server):
        page = seen.page
        seen.go("flow", "try")
        page.get_by_role("textbox", name="q").fill("item 1")
        page.get_by_test_id("try-run").get_by_text("2 LLM calls").wait_for()
        page.get_by_test_id("try-run").click()
        page.locator(".fb-step.fb-running [data-testid=step-two]").wait_for()
        page.locator(".fb-step.fb-done [data-testid=step-one]").wait_for()
        page.get_by_test_id("try-stop").click()
        page.get_by_test_id("try-result").get_by_text("Stopped").wait_for()
        for _ in range(50):
            if server.in_flight == 0:
                break
            page.wait_for_timeout(100)
        assert server.in_flight == 0
        assert len(server.requests) == 2


def test_a_new_text_has_a_new_price_before_it_can_run(browser: Browser, tmp_path: Path) -> None:
    with trying(browser, tmp_path, Model()) as (seen, server):
        page = seen.page
        seen.go("flow", "try")
        page.get_by_role("textbox", name="q").fill("item 1")
        page.get_by_test_id("try-run").get_by_text("2 LLM calls").wait_for()
        page.get_by_role("textbox", name="q").fill("item 2")
        assert page.get_by_test_id("try-run").is_disabled()
        page.get_by_test_id("try-run").get_by_text("2 LLM calls").wait_for()
        assert sum(each.url.endswith("/api/price") for each in seen.asked) == 2
        assert server.requests == []


def test_what_fails_is_said(browser: Browser, tmp_path: Path) -> None:
    def broken(body: dict[str, Any], index: int) -> Answer:
        return Answer.error(400, "no such model")

    model = Model()
    model.answer = broken
    with trying(browser, tmp_path, model) as (seen, _):
        seen.go("flow", "try")
        seen.page.get_by_role("textbox", name="q").fill("item 1")
        seen.page.get_by_test_id("try-run").get_by_text("2 LLM calls").wait_for()
        seen.page.get_by_test_id("try-run").click()
        seen.page.get_by_test_id("try-result").get_by_text("no such model").wait_for()
