"""The curl lines of the guide, as they stand there, against a server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import flowbot
from tests.served import one_call, opener, served
from tests.servers import Answer, serving

GUIDE = Path(flowbot.__file__).parent.parent / "docs" / "serve.md"
HERE = "http://127.0.0.1:8000"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.skipif(not GUIDE.exists(), reason="needs the guide")
@pytest.mark.usefixtures("bare")
def test_the_curl_lines_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")
    lines = re.findall(r"^curl .*$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(lines) >= 7
    with (
        serving([Answer(text="facilities")]) as endpoint,
        served({"best": opener(one_call(), endpoint.url)}) as site,
    ):
        for line in lines:
            assert HERE in line
            command = line.replace(HERE, site.url) + " --fail-with-body"
            done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=20, check=False)
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            if "/run" in line:
                assert json.loads(done.stdout)["output"] == "facilities"
