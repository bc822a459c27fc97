"""What comes as files: HoVer's claims and the abstracts of Wikipedia, downloaded whole or not at all."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import tarfile
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from flowbot.bench.local import CORPUS
from flowbot.bench.sources import Placed
from flowbot.errors import InputError
from flowbot.workflow.fields import is_list, is_map

HOVER = "https://raw.githubusercontent.com/hover-nlp/hover/main/data/hover"
ABSTRACTS = "https://huggingface.co/dspy/cache/resolve/main/wiki.abstracts.2017.tar.gz"
MEMBER = "wiki.abstracts.2017.jsonl"
DOCUMENTS = 5_000_000  # at least; there are some 5.2 million

NLTK = {"corpora/stopwords": "stopwords", "taggers/averaged_perceptron_tagger_eng": "averaged_perceptron_tagger_eng"}

Get = Callable[[str, Path], None]


def download(url: str, path: Path) -> None:
    """Fetch a file whole or not at all; what came of a broken download is gone on with. Raises `InputError`."""
    part = path.with_name(f"{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _apart(lambda: asyncio.run(_fetch(url, part)))
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"cannot keep what came from {url}: {error.strerror}", str(path)) from None


def _apart(work: Callable[[], None]) -> None:
    """Run in a thread of its own, so that it does not matter whether an event loop runs in this one."""
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _fetch(url: str, part: Path) -> None:
    from flowbot.models.download import Download, Unreachable, open_session

    async with open_session() as session:
        try:
            await Download(session, lambda said: None, lambda count: None).into(part, url, None)
        except Unreachable as problem:
            mend = "check the network, or give the data yourself: --data DIR"
            raise InputError(f"cannot fetch the data: {problem}", url, mend) from None


def claims(split: str, base: str = HOVER, get: Get = download) -> Callable[[Path], Placed]:
    """Return what reads the claims of a split (`train` or `dev`) of HoVer's release 1.1, downloaded once."""

    def read(folder: Path) -> Placed:
        name = f"hover_{split}_release_v1.1.json"
        path = folder / "downloads" / name
        if not path.is_file():
            get(f"{base}/{name}", path)
        try:
            found: Any = json.loads(path.read_bytes())
        except ValueError:
            found = None
        if not is_list(found) or not all(map(is_map, found)):
            path.unlink()
            raise InputError("what came is not HoVer's list of claims", f"{base}/{name}", "try again later")
        return ((f"{name}:{number}", row) for number, row in enumerate(found, 1))

    return read


def language_data(folder: Path) -> None:
    """Refuse to begin where nltk lacks the data that two of IFBench's constraints need: no package carries it."""
    try:
        data: Any = import_module("nltk").data
    except ImportError:
        return  # the metric says what to install
    lacking: list[str] = []
    for path, name in NLTK.items():
        try:
            data.find(path)
        except LookupError:
            lacking.append(name)
    if lacking:
        what = f"IFBench's test prompts need data of nltk that is not there: {', '.join(lacking)}"
        raise InputError(what, mend=f"python -m nltk.downloader {' '.join(lacking)}")


def corpus(folder: Path, url: str = ABSTRACTS, documents: int = DOCUMENTS, get: Get = download) -> Path:
    """Return the corpus of the search tool in a folder: all abstracts of Wikipedia of October 2017, fetched once.

    The archive (some 500 MB) is DSPy's copy of the publisher's; each line of its one member has a title and a text, a
    list of sentences. It is read as a stream, never unpacked to paths of its own, and removed when the corpus is
    there. Raises `InputError` for an archive of another form, or with another count of documents.
    """
    target = folder / CORPUS
    if target.is_file():
        return target
    archive = folder / "downloads" / f"{MEMBER.removesuffix('.jsonl')}.tar.gz"
    if not archive.is_file():
        get(url, archive)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        count = 0
        with fresh.open("w", encoding="utf-8") as sink:
            for title, sentences in _abstracts(archive):
                row = {"title": title, "sentences": sentences}
                sink.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
        if count < documents:
            raise ValueError(f"{count} documents, expected at least {documents}")
        os.replace(fresh, target)
    except (ValueError, KeyError, TypeError, tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise InputError(f"cannot keep the corpus: {error.strerror}", str(target)) from None
        archive.unlink(missing_ok=True)
        raise InputError(f"the archive is not the one expected: {error}", url, "nothing was kept; try again") from None
    finally:
        fresh.unlink(missing_ok=True)
    archive.unlink()
    return target


def _abstracts(archive: Path) -> Iterator[tuple[str, list[str]]]:
    with tarfile.open(archive, "r:gz") as opened:
        for member in opened:
            stream = opened.extractfile(member) if Path(member.name).name == MEMBER else None
            if stream is not None:
                for line in stream:
                    row = json.loads(line)
                    yield str(row["title"]), [str(each) for each in row["text"]]
                return
    raise ValueError(f"no {MEMBER} in it")
