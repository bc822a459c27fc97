"""Texts of models, data and files are texts in the page and in the report, whatever stands in them."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import flowbot
from flowbot.engine.ports import EndpointError, Message
from flowbot.faces.report import write_report
from tests import worlds
from tests.browser import Views, Watched, aside, shown, tab
from tests.worlds import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("browser")]

RUN = "window.struck=1"
PAYLOADS = [
    f"<script data-struck>{RUN}</script>",
    f"</script><script data-struck>{RUN}</script>",
    f"<img data-struck src=x onerror={RUN}>",
    '<img data-struck src="//evil.example/pixel.png">',
    f'"><svg data-struck onload="{RUN}">',
    f"'><details data-struck open ontoggle={RUN}><summary>x</summary></details>",
    f"<iframe data-struck srcdoc='<script>top.{RUN}</script>'></iframe>",
    f"<iframe data-struck src='javascript:top.{RUN}'></iframe>",
    f"javascript:{RUN}",
    f"<a data-struck href='javascript:{RUN}'>x</a>",
    f"[a link](javascript:{RUN}) ![a picture](http://evil.example/x.png) <http://evil.example>",
    "data:text/html,<script data-struck>top.struck=1</script>",
    f"{{{{constructor.constructor('{RUN}')()}}}} ${{{RUN}}} #{{{RUN}}} <%= {RUN} %>",
    f"</textarea></title></style></noscript></template><script data-struck>{RUN}</script>",
    f"<style data-struck>*{{background:url(//evil.example/css)}}</style><body data-struck onload={RUN}>",
    "background:url(//evil.example/css);--fb-good:url(//evil.example/x);color:red}*{display:none",
    f"<input data-struck autofocus onfocus={RUN}>",
    f'" autofocus onfocus="{RUN}" data-struck="',
    "<link data-struck rel=stylesheet href=//evil.example/x.css><base data-struck href=//evil.example/>",
    "<meta data-struck http-equiv=refresh content='0;url=http://evil.example/'>",
    f"<form data-struck action=//evil.example><button formaction=javascript:{RUN}>x</button></form>",
    f"<math data-struck><mtext><table><mglyph><style><!--</style><img src=x onerror={RUN}>",
    f"<!--><script data-struck>{RUN}</script>--> <![CDATA[<script data-struck>{RUN}</script>]]>",
    f"\uff1cscript data-struck\uff1e{RUN}\uff1c/script\uff1e \\u003cscript\\u003e{RUN}\\u003c/script\\u003e",
    f"%3Cscript%3E{RUN}%3C/script%3E &lt;script&gt;{RUN}&lt;/script&gt; 100% %2F..%2F %",
    "\u202egnp.exe\u202d \u2066x\u2069 \u200b\ufeff \u2028 \u2029 e" + "\u0301" * 60,
    f"<x data-struck style=animation-name:x onanimationstart={RUN}>\x0b\x1b[31m\x00</x>",
    "W" * 3000,
    "__proto__ constructor toString [object Object] \ufffd half",
    f"<object data-struck data=//evil.example/x></object><embed data-struck src=javascript:{RUN}>",
]
ALL = "\n".join(each for each in PAYLOADS if len(each) < 1000)
MADE = """() => [window.struck ?? 0, document.scripts.length, document.querySelectorAll(
  '[data-struck],[onerror],[onload],[onfocus],[ontoggle],iframe,object,embed,base,form[action],meta[http-equiv=refresh],'
  + 'a[href^="javascript" i],a[href^="data" i],[href*="evil.example"]:not([href^="#"]),'
  + '[src*="evil.example"],[style*="evil.example"]'
).length]"""


def whole(text: str) -> str:
    """Return a text without halves of characters, which neither file names nor databases take."""
    return text.encode("utf-8", "replace").decode()


def payload(text: str) -> str:
    """Return the payload that belongs to an item."""
    found = re.search(r"item (\d+)", text)
    return PAYLOADS[int(found[1]) % len(PAYLOADS)] if found else ALL


def hostile(purpose: str, messages: Sequence[Message]) -> str | None:
    """Return replies that fit, with payloads wherever a text may be."""
    text = messages[-1]["content"]
    if purpose == "verdict":
        return json.dumps({"blame": ["answer"], "defect": "prompt", "rule": ALL, "should": ALL})
    if purpose == "proposal":
        edit = {"step": "answer", "add": PAYLOADS[: 1 + len(text) % 20], "remove": []}
        return json.dumps({"hypothesis": ALL, "edits": [edit], "flips": re.findall(r"\btrain\d+\b", text)[:3]})
    if purpose in worlds.CRITIQUES:
        return json.dumps({"critique": ALL})
    if purpose in ("prompt_update", "prompt_init"):
        return json.dumps({"instruction": ALL})
    if purpose in ("task", ""):
        return json.dumps({"a": payload(text)}) if len(text) % 3 else payload(text)
    return None


def rows(split: str, count: int) -> list[dict[str, Any]]:
    """Return rows whose ids, inputs and targets are payloads."""
    first = {"train": 0, "val": 1000, "test": 2000}[split]
    cycle = itertools.cycle(PAYLOADS)
    made = [(first + number, next(cycle)) for number in range(count)]
    return [{"id": f"{split[0]}{n} {whole(text[:200])}", "q": f"item {n} {text}", "a": text} for n, text in made]


def induced(folder: Path, recipe: dict[str, Any], fails: bool = False) -> None:
    """Run a recipe in the hostile world."""
    asked = itertools.count()

    def answered(purpose: str, messages: Sequence[Message]) -> str | None:
        if fails and next(asked) > 60:
            raise EndpointError(ALL)
        return hostile(purpose, messages)

    task = worlds.task(recipe=recipe, description=ALL)
    data = {"train": rows("train", 31), "val": rows("val", 31), "test": rows("test", 4)}
    with pytest.MonkeyPatch.context() as patch:
        worlds.shelved(patch, World(override=answered))
        try:
            flowbot.induce(task, data=data, run=folder)
        except EndpointError:
            assert fails


def poison(folder: Path) -> None:
    """Write payloads where FlowBot itself writes no foreign text: a journal may come from anywhere."""
    db = sqlite3.connect(folder / "journal.sqlite")
    with db:
        facts = json.loads(db.execute("SELECT value FROM now WHERE key = 'run'").fetchone()[0])
        facts |= {"name": ALL, "description": ALL, "metric": PAYLOADS[2], "models": dict.fromkeys(PAYLOADS[:5], "x")}
        db.execute("UPDATE now SET value = ? WHERE key = 'run'", (json.dumps(facts),))
        db.execute("UPDATE traces SET feedback = ?", (whole(ALL),))
        db.execute("UPDATE totals SET model = ? WHERE purpose = 'task'", (PAYLOADS[2],))
        db.execute("UPDATE totals SET purpose = ? WHERE purpose = 'verdict'", (PAYLOADS[0],))
        for seq, kind, value in db.execute("SELECT seq, kind, value FROM events").fetchall():
            plain = json.loads(value)
            for name in ("why", "hypothesis", "operator", "changed", "name"):
                if isinstance(plain.get(name), str):
                    plain[name] = ALL if name != "operator" else PAYLOADS[4]
            if kind == "candidate":
                plain["edits"] = PAYLOADS[:6]
            db.execute("UPDATE events SET value = ? WHERE seq = ?", (json.dumps(plain), seq))
    db.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs that are all payloads, their folders' names too."""
    root = tmp_path_factory.mktemp("hostile") / "runs"

    def make() -> None:
        race = {"name": "race", "iterations": 2, "seeds": 1, "operators": ["bullets", "vote"]}
        induced(root / "race", race)
        poison(root / "race")
        induced(root / "paper", {"name": "paper"})
        induced(root / "failed", race, fails=True)
        for number, text in enumerate(PAYLOADS):
            name = re.sub(r"[/\\\x00]", "\u2215", whole(text))[:60]
            shutil.copytree(root / "race", root / "more" / f"{number}{name}")

    aside(make)
    return root


def looked_at(seen: Watched, places: Iterator[tuple[str, ...]]) -> int:
    """Open views with all that is closed in them; return how many show a payload as text. Nothing may come of them."""
    scripts, shows = seen.page.evaluate("document.scripts.length"), 0
    for place in places:
        seen.go(*place)
        for _ in range(2):
            opened = "each => each.forEach(one => { one.open = true })"
            seen.page.locator("main details").evaluate_all(opened)
        for name in ("History", "On an example", "Step", "Prompt"):
            found = seen.page.get_by_role("tab", name=name)
            if found.count():
                found.first.click()
                seen.wait()
                assert seen.page.evaluate(MADE) == [0, scripts, 0], (place, name)
        assert seen.page.evaluate(MADE) == [0, scripts, 0], place
        assert seen.page.locator("main").count() == 1, place
        assert seen.wrong == [], place
        wide = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        assert not seen.page.evaluate(wide), place
        shows += "struck" in seen.page.locator("main").inner_text()
    return shows


def test_nothing_comes_of_the_texts_of_a_list_of_runs(browser: Browser, runs: Path) -> None:
    with shown(runs) as link, tab(browser, link) as seen:
        assert looked_at(seen, iter([()])) == 1
        names = [path.name for path in (runs / "more").iterdir()]
        assert seen.page.get_by_test_id("run-row").count() == len(names) + 3
        for name in names:
            seen.go("run", f"more/{name}")
            seen.page.get_by_test_id("run-state").wait_for()
            assert seen.page.evaluate(MADE)[::2] == [0, 0], name
        seen.go("run", "failed")
        assert "struck" in seen.page.get_by_test_id("run-error").inner_text()
        assert looked_at(seen, iter([("run", "failed"), ("compare-runs", "race,paper")])) == 2


@pytest.mark.parametrize("name", ["race", "paper"])
def test_nothing_comes_of_the_texts_of_a_run(browser: Browser, runs: Path, name: str) -> None:
    views = aside(lambda: Views.of(runs / name, name))
    db = sqlite3.connect(runs / name / "journal.sqlite")
    ran = db.execute("SELECT example FROM traces WHERE workflow = ? AND draw = ?", (views.best, views.draw)).fetchall()
    db.close()
    assert len(ran) > 15
    with shown(runs) as link, tab(browser, link) as seen:
        assert looked_at(seen, iter(views.all())) >= 8
        for place, (example,) in enumerate(ran[:: 1 if name == "race" else 5]):
            if place % 2:
                seen.go(*views.at("examples", views.draw, example))
                seen.page.get_by_test_id("example-runs").wait_for()
            else:
                seen.go(*views.at("trace", views.best, views.draw, example))
                seen.page.get_by_test_id("open-all").click()
                seen.page.get_by_test_id("message").first.wait_for()
            assert seen.page.evaluate(MADE)[::2] == [0, 0], example


@pytest.mark.parametrize("name", ["race", "paper"])
def test_nothing_comes_of_the_texts_of_a_report(browser: Browser, runs: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "report.html"
    aside(lambda: write_report(runs / name / "journal.sqlite", path))
    views = aside(lambda: Views.of(runs / name, "."))
    with tab(browser, path.as_uri(), offline=True) as seen:
        assert looked_at(seen, iter(views.all()[:-1])) >= 6


def test_the_payloads_would_strike_where_a_page_took_them_for_markup(browser: Browser) -> None:
    context = browser.new_context()
    struck: list[str] = []
    page = context.new_page()
    page.on("dialog", lambda dialog: dialog.dismiss())
    for text in PAYLOADS:
        if "refresh" in text:  # it leads away
            struck.append(text)
            continue
        page.set_content(f"<!doctype html><p>{whole(text)}</p>", wait_until="commit")
        if page.evaluate("window.struck ?? document.querySelectorAll('[data-struck]').length"):
            struck.append(text)
    context.close()
    assert len(struck) >= 18
