"""Is the page in the package what these sources build? Without Node by a hash of the sources, with it by building."""

from __future__ import annotations

import argparse
import filecmp
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / "flowbot" / "faces" / "ui" / "static"
MADE_FROM = "made-from.sha256"  # beside the built files: the hash of the sources that they were built from
LEFT_OUT = ("node_modules", "__pycache__", "check.py", "README.md")


def sources() -> Iterator[Path]:
    """Yield the files that the page is built from, in order."""
    for path in sorted(HERE.rglob("*")):
        if path.is_file() and path.relative_to(HERE).parts[0] not in LEFT_OUT and ".test." not in path.name:
            yield path


def hash_of_sources() -> str:
    """Return the hash of the names and contents of the sources."""
    found = hashlib.sha256()
    for path in sources():
        found.update(path.relative_to(HERE).as_posix().encode() + b"\0")
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()


def schema_is_current() -> bool:
    """Say whether the page's types are made from what the server answers."""
    said = subprocess.run(
        [sys.executable, "-m", "flowbot.faces.ui.schema"], cwd=HERE.parent, capture_output=True, text=True, check=True
    )
    return said.stdout == (HERE / "src" / "api" / "schema.json").read_text(encoding="utf-8")


def problems() -> Iterator[str]:
    """Yield what is wrong, as far as it can be seen without Node."""
    if not schema_is_current():
        yield "ui/src/api/schema.json is not what the server answers: run make ui"
    written = BUILT / MADE_FROM
    if not written.is_file() or written.read_text(encoding="utf-8").strip() != hash_of_sources():
        yield "the page in flowbot/faces/ui/static was built from other sources than those in ui/: run make ui"


def build(out: Path) -> None:
    """Build the page and the report into a folder."""
    command = ["npx", "--no-install", "vite", "build", "--logLevel", "warn", "--outDir", str(out)]
    for config in ([], ["--config", "vite.report.config.ts"]):
        subprocess.run([*command, *config], cwd=HERE, check=True)


def differences(fresh: Path) -> Iterator[str]:
    """Yield how a fresh build differs from the one in the package."""
    files = [{path.relative_to(each) for path in each.rglob("*") if path.is_file()} for each in (fresh, BUILT)]
    files[1].discard(Path(MADE_FROM))
    for path in sorted(files[0] ^ files[1]):
        yield f"{path} is in {'the fresh build' if path in files[0] else 'the package'} only"
    for path in sorted(files[0] & files[1]):
        if not filecmp.cmp(fresh / path, BUILT / path, shallow=False):
            yield f"{path} is not what the sources build"


def main() -> int:
    """Check, or with --build put a fresh build into the package."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", action="store_true", help="build into the package")
    parser.add_argument("--rebuild", action="store_true", help="build aside and compare; needs Node and node_modules")
    asked = parser.parse_args()
    if asked.build:
        shutil.rmtree(BUILT, ignore_errors=True)
        build(BUILT)
        (BUILT / MADE_FROM).write_text(hash_of_sources() + "\n", encoding="utf-8")
        return 0
    found = list(problems())
    if asked.rebuild and not found:
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder))
            found += differences(Path(folder))
    for each in found:
        print(f"ui: {each}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
