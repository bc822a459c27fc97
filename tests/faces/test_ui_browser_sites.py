"""A page of another site in the same browser can neither read a run nor drive the server."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.browser import tab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

READ = """async ([url, how]) => {
  try {
    const answer = await fetch(url, how);
    return answer.type === 'opaque' ? 'opaque' : `read ${answer.status} ${(await answer.text()).slice(0, 50)}`;
  } catch (error) { return 'refused'; }
}"""
LOADED = """([url, tag]) => new Promise(done => {
  const made = document.createElement(tag);
  made.onload = () => done('loaded'); made.onerror = () => done('refused');
  if (tag === 'link') { made.rel = 'stylesheet'; made.href = url; } else made.src = url;
  document.body.append(made);
  setTimeout(() => done('nothing'), 3000);
})"""
HEARD = """url => new Promise(done => {
  const events = new EventSource(url, {withCredentials: true});
  events.onmessage = () => done('heard'); events.addEventListener('pulse', () => done('heard'));
  events.onerror = () => done('refused');
})"""
FRAMED = """url => new Promise(done => {
  const made = document.createElement('iframe');
  made.onload = () => { try { done(made.contentDocument ? 'read' : 'closed'); } catch (error) { done('closed'); } };
  made.src = url;
  document.body.append(made);
})"""


class Evil(BaseHTTPRequestHandler):
    """Another site."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><link rel=icon href=data:,><title>other</title><main id=main>other</main>")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def other_site() -> Generator[str]:
    """Serve a page of another origin on loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def target(link: str) -> tuple[str, str]:
    """The address of the page's server and its token, as if the other site knew even that."""
    parts = urlsplit(link)
    return f"http://{parts.netloc}", parse_qs(parts.query)["token"][0]


@pytest.mark.parametrize("knows", [False, True])
def test_another_site_reads_nothing(browser: Browser, link: str, target: tuple[str, str], knows: bool) -> None:
    url, token = target
    key = {"Authorization": f"Bearer {token}"} if knows else {}
    with other_site() as other, tab(browser, other) as seen:
        page = seen.page
        page.context.new_page().goto(link)  # the reader has the page open in the same browser
        for path in ("/api/runs", "/api/home", f"/api/runs?token={token}", "/"):
            for mode in ("cors", "no-cors"):
                for credentials in ("omit", "include"):
                    how = {"mode": mode, "credentials": credentials, "headers": key if mode == "cors" else {}}
                    assert page.evaluate(READ, [url + path, how]) in ("refused", "opaque"), (path, how)
        assert page.evaluate(HEARD, f"{url}/api/runs/failed/live?token={token}") == "refused"
        for tag, path in (("img", "/api/runs"), ("script", "/api/runs"), ("script", script()), ("link", "/api/home")):
            assert page.evaluate(LOADED, [url + path, tag]) == "refused", (tag, path)
        assert page.evaluate(FRAMED, link) == "closed"
        assert not any(
            "runs" in frame.url and frame.evaluate("document.body?.innerText ?? ''") for frame in page.frames[1:]
        )
        seen.wrong.clear()  # the browser's own words on each refusal


def script() -> str:
    """Return the path of the page's own script: it may not run within another site either."""
    from flowbot.faces.ui.server import STATIC

    return f"/assets/{next((STATIC / 'assets').glob('*.js')).name}"


def test_another_site_drives_nothing(browser: Browser, link: str, target: tuple[str, str]) -> None:
    url, token = target
    body = '{"run":"","candidate":"","inputs":{},"agreed":true}'
    with other_site() as other, tab(browser, other) as seen:
        page = seen.page
        for kind in ("application/json", "text/plain"):
            for headers in ({"Content-Type": kind}, {"Content-Type": kind, "Authorization": f"Bearer {token}"}):
                for mode in ("cors", "no-cors"):
                    how = {"method": "POST", "mode": mode, "headers": headers, "body": body, "credentials": "include"}
                    assert page.evaluate(READ, [f"{url}/api/try", how]) in ("refused", "opaque")
        answers: list[int] = []
        page.on("response", lambda answer: answers.append(answer.status) if answer.url.startswith(url) else None)
        page.set_content(
            f"<form method=post enctype=text/plain action='{url}/api/try?token={token}'><input name='{body}'></form>"
        )
        with page.expect_navigation():
            page.evaluate("document.forms[0].submit()")
        assert answers == [403]
        assert "not answered" in page.inner_text("body")
        seen.wrong.clear()


def test_a_link_from_another_site_opens_the_page_without_its_opener(browser: Browser, link: str) -> None:
    with other_site() as other, tab(browser, other) as seen:
        with seen.page.expect_popup() as popped:
            seen.page.evaluate("url => { window.got = window.open(url) }", link)
        popped.value.get_by_test_id("runs").wait_for()
        assert popped.value.evaluate("window.opener") is None
        assert seen.page.evaluate("window.got.closed")  # the other site holds nothing of it
        seen.wrong.clear()


def test_the_page_does_not_say_where_it_is(browser: Browser, link: str, tmp_path: Path) -> None:
    with tab(browser, link) as seen:
        assert seen.page.evaluate("document.cookie") == ""
        assert not any(each.headers.get("referer") for each in seen.asked)
