"""The command line as a process of its own, for tests that need signals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import flowbot

ROOT = Path(flowbot.__file__).parent.parent


def begin(*arguments: str | Path, **environ: str) -> subprocess.Popen[str]:
    """Begin a command; its output is kept in pipes, and no key of this machine reaches it."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_BASE_URL"))}
    env = kept | {"PYTHONPATH": str(ROOT)} | environ
    program = [sys.executable, "-m", "flowbot", *map(str, arguments)]
    return subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)


def finish(process: subprocess.Popen[str], seconds: float = 60) -> tuple[int, str, str]:
    """Wait for a command's end and return its exit code, standard output and standard error."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"it did not end within {seconds} seconds:\n{err}") from None
    return process.returncode, out, err
