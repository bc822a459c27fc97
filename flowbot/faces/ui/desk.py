"""The desk: the folder of runs, the run or the workflow that the page was opened on."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from flowbot import __version__
from flowbot.errors import InputError
from flowbot.faces.ui.book import JOURNAL, Book
from flowbot.faces.ui.flow import flow_of
from flowbot.faces.ui.schema import Flow, Home, RunLine
from flowbot.store.files import load_workflow
from flowbot.workflow.graph import Workflow

OPEN = 6  # books that are kept open
DEEPEST = 4  # folders within each other, in which runs are looked for
MOST_FOLDERS = 20_000  # that are looked into
BESIDE = ("node_modules", "__pycache__", "front")  # folders that hold no runs
Signature = tuple[float, ...]


class Desk:
    """Finds runs below a folder and opens their books; nothing outside of it can be reached, by links neither.

    `path` is a folder of runs, a run's folder (or its journal), or a workflow's file. Raises `InputError`.
    """

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise InputError("there is no such folder or file", str(path), "name a folder of runs, a run or a workflow")
        self.path = path.parent if path.name == JOURNAL else path
        self.root = (self.path if self.path.is_dir() else self.path.parent).resolve()
        self.kind = "workflow" if self.path.is_file() else "run" if (self.root / JOURNAL).is_file() else "runs"
        self._books: OrderedDict[str, tuple[tuple[int, int], Book]] = OrderedDict()
        self._lines: dict[str, tuple[Signature, RunLine]] = {}
        self._workflow = load_workflow(self.path) if self.kind == "workflow" else None

    def home(self) -> Home:
        """Return what the page was opened on."""
        name = self._workflow.name if self._workflow else self.root.name
        kind = "workflow" if self._workflow else "run" if self.kind == "run" else "runs"
        return Home(kind=kind, name=name, version=__version__, can_try=True)

    @property
    def workflow(self) -> Workflow:
        """The workflow that the page was opened on; raises `InputError` where it was on runs."""
        if self._workflow is None:
            raise InputError("no workflow's file was opened", mend="look at one of a run")
        return self._workflow

    def flow(self) -> Flow:
        """Return the workflow that the page was opened on, as a graph; raises `InputError` where it was on runs."""
        return flow_of(self.workflow)

    def runs(self) -> list[RunLine]:
        """Return the runs, those with the latest sign of life first; one that cannot be read says why."""
        if self.kind == "workflow":
            return []
        found = [self._line(run) for run in (["."] if self.kind == "run" else self._names())]
        return sorted(found, key=lambda line: (-(line.last or 0.0), line.id))

    def folder(self, run: str) -> Path:
        """Return the folder of a run; raise `InputError` where there is none, or it is not in what is shown."""
        folder, there = self.root, False
        try:
            folder = (self.root / run).resolve()
            inside = folder.is_relative_to(self.root) and (folder / JOURNAL).resolve().is_relative_to(self.root)
            there = inside and self.kind != "workflow" and (folder / JOURNAL).is_file()
        except (OSError, ValueError, RuntimeError):
            pass  # a name too long, with a zero byte, or a link to itself
        if not there or not run or "\\" in run or Path(run).is_absolute() or ".." in Path(run).parts:
            raise InputError(f"there is no run '{run}' here", mend="take one that the list of runs shows")
        return folder

    def book(self, run: str) -> Book:
        """Return the open book of a run. Raises `InputError`."""
        folder = self.folder(run)
        stat = (folder / JOURNAL).stat()
        file = (stat.st_dev, stat.st_ino)  # another run may have taken its place
        known = self._books.get(run)
        if known is not None and known[0] == file:
            self._books.move_to_end(run)
            return known[1]
        self._books[run] = file, Book(folder, run)
        self._books.move_to_end(run)
        while len(self._books) > OPEN:
            self._books.popitem(last=False)  # it closes when nobody asks it any more
        return self._books[run][1]

    def close(self) -> None:
        """Close the books."""
        for _, book in self._books.values():
            book.close()
        self._books.clear()

    def _line(self, run: str) -> RunLine:
        """Return the line of a run; it is read anew where the journal was written to or the run is on."""
        try:
            folder = self.folder(run)
            signature = _signature(folder / JOURNAL)
            known = self._lines.get(run)
            if known is not None and known[0] == signature and known[1].state != "running":
                return known[1]
            line = self.book(run).line() if run in self._books else _read(folder, run)
        except InputError as error:
            return _broken(run, f"{error.what}{f': {error.mend}' if error.mend else ''}")
        except OSError as error:
            return _broken(run, str(error.strerror or error))
        self._lines[run] = signature, line
        return line

    def _names(self) -> Iterator[str]:
        """Yield the ids of the runs below the root: folders with a journal; links are followed within the root."""
        level, looked = [self.root], 0
        for _ in range(DEEPEST + 1):
            below: list[Path] = []
            for folder in level:
                looked += 1
                if looked > MOST_FOLDERS:
                    return
                try:
                    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
                except OSError:
                    continue
                if any(entry.name == JOURNAL for entry in entries):
                    yield folder.relative_to(self.root).as_posix()
                    continue
                below += [Path(each.path) for each in entries if self._is_folder(each)]
            level = below

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        if entry.name.startswith(".") or entry.name in BESIDE:
            return False
        try:
            return entry.is_dir() and (not entry.is_symlink() or Path(entry.path).resolve().is_relative_to(self.root))
        except (OSError, RuntimeError):
            return False


def _read(folder: Path, run: str) -> RunLine:
    book = Book(folder, run)
    try:
        return book.line()
    finally:
        book.close()


def _signature(journal: Path) -> Signature:
    """Return what changes when a journal is written to."""
    found: list[float] = []
    for path in (journal, journal.with_name(journal.name + "-wal")):
        try:
            stat = path.stat()
        except OSError:
            continue
        found += [stat.st_ino, stat.st_size, stat.st_mtime_ns if stat.st_size else 0]
    return tuple(found)


def _broken(run: str, error: str) -> RunLine:
    """Return the line of a run that cannot be read."""
    return RunLine(
        id=run,
        name=run,
        state="failed",
        ended="open",
        why=error,
        recipe="",
        metric="",
        models=[],
        start=None,
        best=None,
        result=None,
        where="",
        fraction=True,
        calls=0,
        tokens=0,
        usd=None,
        seconds=0.0,
        candidates=0,
        began=None,
        last=None,
        error=error,
    )
