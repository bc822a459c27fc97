"""The report: the page in one HTML file, with a run in it that was read from its journal alone. It loads nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from flowbot.errors import InputError
from flowbot.models.secrets import scrub, secrets
from flowbot.store.files import write_text
from flowbot.workflow.fields import whole

if TYPE_CHECKING:
    from flowbot.faces.ui.schema import ReportData

LARGEST = 1_950_000  # bytes of a report
LEAST = 300_000  # bytes for the run, however large the page is
PLACE = '<script type="application/json" id="report">null</script>'
TITLE = "<title>FlowBot report</title>"


def write_report(journal_path: Path, out: Path, *, content: bool = True) -> None:
    """Write the report of a run; it reads the journal alone, and no text in it is taken for markup.

    Without `content`, prompts, messages, inputs, outputs, feedback and what a model wrote of an edit are left out. The
    file takes its place whole or not at all, and only its owner may read it. Raises `InputError` where there is no
    journal, the page is not built or the file cannot be written.
    """
    page = built_page()
    room = max(LEAST, LARGEST - len(page.encode()))
    with ThreadPoolExecutor(1) as beside:  # a run that ends has a loop of its own in this thread
        data = beside.submit(_read, journal_path, room, content).result()
    write_text(out, filled(page, data), private=True)


def _read(journal_path: Path, room: int, content: bool) -> ReportData:
    from flowbot.faces.excerpt import excerpt
    from flowbot.faces.ui.book import Book

    book = Book(journal_path.parent)
    try:
        return asyncio.run(excerpt(book, room, content))
    finally:
        book.close()


def filled(page: str, data: ReportData) -> str:
    """Return the page with a run in it; its texts stand in JSON that no text can end, secrets are masked."""
    from flowbot.faces.ui.schema import embedded, rewritten

    known = secrets()
    data = rewritten(data, lambda text: scrub(text, known))
    lead, tail = data.run.headline
    title = escape(f"{data.run.line.name}: {lead} {tail}".replace("->", "→"))
    head, _, rest = page.partition(PLACE)
    head = whole(head.replace(TITLE, f"<title>{title}</title>", 1))
    return f"{head}{PLACE.removesuffix('null</script>')}{embedded(data)}</script>{rest}"


@cache
def built_page() -> str:
    """Return the page of a report as it was built; raise `InputError` where it is not there."""
    path = files("flowbot.faces.ui").joinpath("static", "report.html")
    try:
        page = path.read_text(encoding="utf-8")
    except OSError:
        page = ""
    if page.count(PLACE) != 1:
        raise InputError("the page of reports is not built", "flowbot/faces/ui/static/report.html", "run make ui")
    return page
