"""A run's folder: journal, task, workflows and report, for its owner only and one process at a time."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from flowbot.errors import InputError
from flowbot.faces.front import FOLDER, Front
from flowbot.models.secrets import scrub
from flowbot.store.files import write_text
from flowbot.store.journal import SqliteJournal
from flowbot.workflow.document import write_workflow
from flowbot.workflow.graph import Workflow

MEMBER = re.compile(r"\d+-score-.*\.yaml")  # files of the front


@dataclass(frozen=True)
class RunDir:
    """The files of one run. `like` is the text of the start's file, whose comments the result keeps.

    `content` says whether the report may hold prompts and messages.
    """

    folder: Path
    like: str = ""
    content: bool = True

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.folder / "journal.sqlite"

    @property
    def best(self) -> Path:
        """The best workflow so far."""
        return self.folder / "best.yaml"

    @property
    def undecided(self) -> Path:
        """The finalist that was not shown to beat the start, where there is one."""
        return self.folder / "undecided.yaml"

    @property
    def report(self) -> Path:
        """The report's file."""
        return self.folder / "report.html"

    @contextlib.contextmanager
    def opened(self) -> Generator[SqliteJournal]:
        """Open the journal, alone; raise `InputError` where another process has it or the folder cannot be written."""
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = FileLock(self.folder / ".lock", timeout=0)
            lock.acquire()
        except Timeout:
            raise InputError(
                "another process works on this run", str(self.folder), "wait for it, or use --run"
            ) from None
        except OSError as error:
            raise InputError(f"cannot use the run's folder: {error.strerror}", str(self.folder)) from None
        try:
            journal = SqliteJournal(self.journal)
            try:
                yield journal
            finally:
                journal.close()
        finally:
            lock.release()

    def keep(self, workflow: Workflow) -> None:
        """Write the best workflow so far, whole or not at all."""
        self._write(self.best, workflow)

    def keep_undecided(self, workflow: Workflow | None) -> None:
        """Write the finalist that is undecided; without one, remove that of an earlier stretch."""
        if workflow is not None:
            self._write(self.undecided, workflow)
            return
        with self._tidied():
            self.undecided.unlink(missing_ok=True)

    def keep_front(self, front: Front) -> None:
        """Write the workflows of the front, and remove the files of an earlier one."""
        folder = self.folder / FOLDER
        with self._tidied():
            folder.mkdir(mode=0o700, exist_ok=True)
        for member in front.members:
            self._write(self.folder / member.file, member.workflow)
        names = {Path(member.file).name for member in front.members}
        with self._tidied():
            for path in [path for path in folder.iterdir() if MEMBER.fullmatch(path.name) and path.name not in names]:
                path.unlink()

    def _write(self, path: Path, workflow: Workflow) -> None:
        write_text(path, write_workflow(workflow, self.like), private=True)

    @contextlib.contextmanager
    def _tidied(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise InputError(f"cannot change the run's folder: {error.strerror}", str(self.folder)) from None

    def keep_task(self, text: str) -> None:
        """Write the task as it was run."""
        write_text(self.folder / "task.yaml", scrub(text), private=True)
