"""flowbot meter: it serves until it is interrupted, says what was spent, and refuses bad options in one line."""

from __future__ import annotations

import json
import signal
import socket
import urllib.request
from pathlib import Path

import pytest

from flowbot.faces.cli import code_of
from flowbot.faces.meter import Forward, Meter
from flowbot.faces.meter.shown import spent_table
from flowbot.faces.tables import plain_table
from tests.commands import begin, finish
from tests.metering import HI, Client, through
from tests.servers import Answer, serving

pytestmark = pytest.mark.usefixtures("bare")

Out = pytest.CaptureFixture[str]


def post(url: str) -> None:
    sent = urllib.request.Request(f"{url}/chat/completions", json.dumps(HI).encode())
    with urllib.request.urlopen(sent, timeout=10) as answer:
        assert answer.status == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    report = tmp_path / "spent.json"
    with serving([Answer(text="ok", usage={"prompt_tokens": 1000, "completion_tokens": 500})]) as server:
        process = begin("meter", "--to", server.url, "--price", "m=1/2", "--budget-usd", "1", "--json", report)
        assert process.stdout is not None
        url, behind, use, _ = (process.stdout.readline().strip() for _ in range(4))
        post(url)
        post(url.replace("/v1", "/race/v1"))
        assert json.loads(report.read_text())["labels"] == {}
        process.send_signal(number)
        code, out, err = finish(process, 10)
    assert (code, err) == (0, "")
    assert behind == f"meters {server.url}"
    assert use.startswith(f"export OPENAI_BASE_URL={url.replace('/v1', '/LABEL/v1')} ")
    rows = [line.split() for line in out.splitlines()[-4:]]
    assert rows[0] == ["calls", "input", "output", "seconds", "cost"]
    assert [(row[0], row[-1]) for row in rows[1:]] == [
        ("all", "$0.002000"),
        ("race", "$0.002000"),
        ("all", "$0.004000"),
    ]
    spent = json.loads(report.read_text())
    assert (spent["upstream"], spent["total"]["calls"], spent["labels"]["race"]["usd"]) == (server.url, 2, 0.002)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "gpt"], "'gpt' must be provider:model"),
        (["--to", "opnai:gpt"], "did you mean 'openai'?"),
        (["--to", "local:qwen"], "qwen"),
        (["--to", "openai:gpt-4.1"], "OPENAI_API_KEY is not set"),
        (["--to", "ftp://host"], "must be http://HOST or https://HOST"),
        (["--to", "http://h/v1", "--to", "vllm:m"], "one URL stands alone"),
        (
            ["--to", "http://h/v1", "--budget-usd", "1"],
            "money cannot be bounded where prices are not known: http://h/v1",
        ),
        (["--to", "http://h/v1", "--price", "m=1"], "'m=1' is no MODEL=INPUT/OUTPUT"),
        (["--to", "http://h/v1", "--price", "m=1/nan"], "is no MODEL=INPUT/OUTPUT"),
        (["--to", "http://h/v1", "--key-env", "NO_SUCH"], "NO_SUCH is not set"),
        (["--to", "http://h/v1", "--json", "no/such.json"], "no/such.json"),
        (["--to", "http://h/v1", "--cache", "file/cache"], "the cache cannot be opened"),
        (["--to", "http://h/v1", "--host", "no host"], "cannot serve at no host"),
        (["--to", "http://h/v1", "--budget-calls", "0"], "--budget-calls"),
        ([], "--to"),
    ],
)
def test_bad_options_are_one_error(arguments: list[str], said: str, capsys: Out) -> None:
    Path("file").write_text("")
    assert code_of(["meter", *arguments]) == 2
    out, err = capsys.readouterr()
    assert said in err
    assert (out, "Traceback" in err) == ("", False)


def test_a_port_that_is_taken_is_one_error(capsys: Out) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert code_of(["meter", "--to", "http://h/v1", "--port", str(taken.getsockname()[1])]) == 2
    assert "choose another --port" in capsys.readouterr().err


def test_the_table_shows_the_last_labels_and_what_went_wrong() -> None:
    async def work(client: Client) -> None:
        for label in ("a", "b", "c"):
            await client.ask(label=label)

    with serving([Answer(text="ok", usage=None), Answer.error(500), Answer(text="ok", usage=None)]) as server:
        meter = Meter(Forward(server.url))
        through(meter, work)
    lines = plain_table(spent_table(meter, 2)).splitlines()
    assert lines[0].split() == ["calls", "input", "output", "seconds", "cost", "errors"]
    assert [line.split()[0] for line in lines[1:4]] == ["b", "c", "all"]
    assert lines[2].split()[-3:] == ["price", "unknown", "0"]
    assert lines[4:] == [
        "  and 1 labels before them",
        "  (estimated): the provider did not report some token counts",
    ]
