"""Workflows as MCP tools, asked by the official client over stdio and over streamable HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, MCPError, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

import flowbot
from flowbot.workflow.graph import build
from tests.commands import ROOT, begin
from tests.servers import Answer, Body, Server, serving
from tests.sessions import call, flow

TOKEN = "a-token-of-some-length"
MODES = ["legacy", "auto"]  # protocols of the handshake, and of today
Work = Callable[[Any], Awaitable[None]]

SAYS = flow(call("answer", "q", gives={"a": "text"}))
SORTS = build(
    name="sort tickets",
    model="vllm:m",
    inputs={"message": "text", "urgent": "bool"},
    steps=[
        {
            "id": "pick",
            "kind": "call",
            "reads": ["message", "urgent"],
            "gives": {"team": "choice[billing, delivery]"},
            "prompt": "Pick the team.",
        }
    ],
    output="pick.team",
)
TEAM = Answer(json={"team": "billing"})
GOOD = {"message": "my invoice", "urgent": False}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    flowbot.save(SORTS, tmp_path / "best.yaml")
    return tmp_path / "best.yaml"


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_KEY", "_BASE_URL"))}
    return kept | {"PYTHONPATH": str(ROOT)}


@contextlib.asynccontextmanager
async def over_stdio(mode: str, *arguments: Any, log: Path | None = None, **environ: str) -> AsyncGenerator[Any]:
    """Yield a client of `flowbot serve ... --mcp`."""
    command = ["-m", "flowbot", "serve", *map(str, arguments), "--mcp"]
    params = StdioServerParameters(command=sys.executable, args=command, env=environment() | environ)
    with open(log or os.devnull, "w", encoding="utf-8") as errors:  # noqa: ASYNC230
        async with Client(stdio_client(params, errlog=errors), mode=mode) as client:
            yield client


@contextlib.contextmanager
def http_server(*arguments: Any, **environ: str) -> Any:
    """Yield the address of `flowbot serve ... --mcp --http`, and its process."""
    process = begin("serve", *arguments, "--mcp", "--http", "--port", "0", **environ)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    lines: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: lines.extend(process.stderr or ()))
    reader.start()
    try:
        yield f"{url}/mcp", process, lines
    finally:
        process.terminate()
        process.wait(20)
        reader.join()
        process.stdout.close()
        process.stderr.close()


@contextlib.asynccontextmanager
async def over_http(mode: str, url: str, token: str = "") -> AsyncGenerator[Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else None
    async with (
        create_mcp_http_client(headers=headers) as http,
        Client(streamable_http_client(url, http_client=http), mode=mode) as client,
    ):
        yield client


async def used(client: Any) -> None:
    """Do what a client does: list, call well, call badly."""
    [tool] = (await client.list_tools()).tools
    assert (tool.name, tool.title) == ("sort_tickets", "sort tickets")
    assert tool.description == (
        "The workflow 'sort tickets'. Reads message (text), urgent (bool); gives team (choice[billing, delivery])."
    )
    assert tool.input_schema["required"] == ["message", "urgent"]
    assert tool.input_schema["properties"]["urgent"]["type"] == "boolean"
    assert tool.input_schema["additionalProperties"] is False
    assert tool.output_schema["type"] == "object"
    assert tool.output_schema["properties"]["team"]["enum"] == ["billing", "delivery"]
    assert tool.annotations.read_only_hint is True
    result = await client.call_tool("sort_tickets", GOOD)
    assert not result.is_error
    assert result.structured_content == {"team": "billing"}
    assert result.content[0].text == "billing"
    bad = await client.call_tool("sort_tickets", {"message": 7, "urgent": False})
    assert bad.is_error
    assert "the input 'message' does not fit" in bad.content[0].text
    missing = await client.call_tool("sort_tickets", {})
    assert missing.is_error
    with pytest.raises(MCPError, match="unknown tool: other"):
        await client.call_tool("other", {})


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_over_stdio(mode: str, file: Path) -> None:
    async def work(url: str) -> None:
        async with over_stdio(mode, file, "--base-url", url) as client:
            await used(client)

    with serving([TEAM]) as server:
        asyncio.run(work(server.url))
        assert len(server.requests) == 1


@pytest.mark.slow
def test_over_http(file: Path) -> None:
    async def work(mode: str, url: str) -> None:
        async with over_http(mode, url) as client:
            await used(client)

    with serving([TEAM]) as server, http_server(file, "--base-url", server.url) as (url, process, lines):
        for mode in MODES:
            asyncio.run(work(mode, url))
        assert len(server.requests) == 2
        process.terminate()
        assert process.wait(20) == 0
    told = [json.loads(line) for line in lines]
    assert {each["route"] for each in told if each["event"] == "request"} == {"/mcp"}
    assert any(each.get("tool") == "sort_tickets" and each.get("calls") == 1 for each in told)
    assert not any("invoice" in line for line in lines)


@pytest.mark.slow
def test_over_http_the_token_is_asked_for(file: Path) -> None:
    async def work(url: str) -> None:
        async with over_http("auto", url, TOKEN) as client:
            assert not (await client.call_tool("sort_tickets", GOOD)).is_error
        with pytest.raises((MCPError, ExceptionGroup)):
            async with over_http("auto", url, "another-token-of-length") as client:
                await client.list_tools()

    with serving([TEAM]) as server, http_server(file, "--base-url", server.url, FLOWBOT_SERVE_TOKEN=TOKEN) as (url, *_):
        asyncio.run(work(url))
        assert len(server.requests) == 1


@pytest.mark.slow
def test_a_failing_run_is_a_tool_error(file: Path, tmp_path: Path) -> None:
    async def work(url: str) -> None:
        async with over_stdio("auto", file, "--base-url", url, log=tmp_path / "log") as client:
            refused = await client.call_tool("sort_tickets", GOOD)
            assert refused.is_error
            assert refused.content[0].text.startswith("step 'pick' failed: the model refused")
            broken = await client.call_tool("sort_tickets", {"message": "other", "urgent": True})
            assert broken.is_error
            assert broken.content[0].text == "the model's endpoint fails"

    with serving([Answer(refusal="no"), Answer.error(401, "no such key")]) as server:
        asyncio.run(work(server.url))
    lines = [json.loads(line) for line in (tmp_path / "log").read_text("utf-8").splitlines()]
    told = [each for each in lines if each["event"] == "call"]
    assert [each["error"] for each in told] == ["run_failed", "endpoint_failed"]
    assert told[0]["failed"] == "pick"


@pytest.mark.slow
def test_bounds_hold_over_stdio_too(file: Path, tmp_path: Path) -> None:
    async def work(url: str) -> None:
        bounds = ["--max-tokens", "10", "--day-tokens", "100000", "--spent", tmp_path / "spent.sqlite"]
        async with over_stdio("auto", file, "--base-url", url, *bounds) as client:
            result = await client.call_tool("sort_tickets", GOOD)
            assert result.is_error
            assert "than a run may take" in result.content[0].text

    with serving([TEAM]) as server:
        asyncio.run(work(server.url))
        assert len(server.requests) == 0
    assert (tmp_path / "spent.sqlite").exists()


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not there():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def gave_up(client: Any, server: Server) -> None:
    """Call, give up while the model thinks, and see that its call has ended."""
    task = asyncio.create_task(client.call_tool("sort_tickets", GOOD))
    await until(lambda: server.in_flight > 0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await until(lambda: server.in_flight == 0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_cancelling_over_stdio_cancels_the_calls(mode: str, file: Path) -> None:
    async def work(server: Server) -> None:
        async with over_stdio(mode, file, "--base-url", server.url) as client:
            await gave_up(client, server)
            assert (await client.call_tool("sort_tickets", {"message": "b", "urgent": True})).is_error is False

    def slow(body: Body, index: int) -> Answer:
        return Answer(json={"team": "billing"}, latency=0.0 if index else 30.0)

    with serving(slow) as server:
        asyncio.run(work(server))


@pytest.mark.slow
def test_cancelling_over_http_cancels_the_calls(file: Path) -> None:
    async def work(mode: str, url: str, server: Server) -> None:
        async with over_http(mode, url) as client:
            await gave_up(client, server)

    with (
        serving([Answer(json={"team": "billing"}, latency=30)]) as server,
        http_server(file, "--base-url", server.url) as (url, *_),
    ):
        for mode in MODES:
            asyncio.run(work(mode, url, server))


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_who_asks_for_progress_is_told_of_each_step(mode: str, tmp_path: Path) -> None:
    steps = [call("first", "q", gives={"a": "text"}), call("second", "first.a", gives={"b": "text"})]
    flowbot.save(flow(*steps), tmp_path / "two.yaml")
    told: list[tuple[float, float | None, str | None]] = []

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async def work(client: Any) -> None:
        [tool] = (await client.list_tools()).tools
        for callback in (tell, None):
            result = await client.call_tool(tool.name, {"q": "x"}, progress_callback=callback)
            assert result.structured_content == {"b": "ok"}
        async with asyncio.timeout(5):
            while len(told) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert told == [(1, 2, "first"), (2, 2, "second")]
        told.clear()

    async def main(url: str, site: str) -> None:
        async with over_stdio(mode, tmp_path / "two.yaml", "--base-url", url) as client:
            await work(client)
        async with over_http(mode, site) as client:
            await work(client)

    with (
        serving([Answer(text="ok")]) as server,
        http_server(tmp_path / "two.yaml", "--base-url", server.url) as (url, *_),
    ):
        asyncio.run(main(server.url, url))


@pytest.mark.slow
def test_names_come_from_the_workflows_or_the_user(file: Path, tmp_path: Path) -> None:
    flowbot.save(SORTS, tmp_path / "sort_tickets.yaml")
    flowbot.save(SAYS, tmp_path / "says.yaml")
    task = {
        "flowbot": 1,
        "name": "says",
        "description": "Say it.",
        "inputs": {"q": "text"},
        "output": {"a": "text"},
        "metric": "exact",
        "models": {"task": "vllm:m"},
        "data": {"train": "none.jsonl", "val": "none.jsonl"},
    }
    (tmp_path / "task.yaml").write_text(json.dumps(task), encoding="utf-8")

    async def work(url: str) -> None:
        files = [file, tmp_path / "sort_tickets.yaml", f"echo={tmp_path / 'says.yaml'}"]
        async with over_stdio("auto", *files, "--base-url", url, "--task", tmp_path / "task.yaml") as client:
            tools = {tool.name: tool.description for tool in (await client.list_tools()).tools}
        assert list(tools) == ["best", "sort_tickets", "echo"]
        assert tools["echo"] == "Say it.\n\nReads q (text); gives a (text)."

    asyncio.run(work("http://127.0.0.1:9/v1"))


@pytest.mark.slow
def test_nothing_but_the_protocol_is_on_standard_output(file: Path, tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text(
        "import os\nprint('hello from import')\nos.system('echo hello from a child')\n\n\n"
        "def shout(text: str) -> str:\n    print('hello from a call')\n    return text.upper()\n",
        encoding="utf-8",
    )
    noisy = build(
        name="noisy",
        model="vllm:m",
        inputs={"q": "text"},
        tools={"shout": {"kind": "function", "function": "noisy:shout", "arguments": {"text": "text"}}},
        steps=[{"id": "loud", "kind": "tool", "tool": "shout", "args": {"text": "$q"}, "gives": {"said": "text"}}],
        output="loud.said",
    )
    flowbot.save(noisy, tmp_path / "noisy.yaml")
    lines = [
        _message(
            1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "t", "version": ""}
        ),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        _message(2, "tools/call", name="noisy", arguments={"q": "psst"}),
    ]
    command = [sys.executable, "-m", "flowbot", "serve", tmp_path / "noisy.yaml", "--mcp", "--trust"]
    process = subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"}
        | {"PYTHONPATH": f"{ROOT}:{tmp_path}"},
        cwd=tmp_path,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("".join(json.dumps(each) + "\n" for each in lines))
    process.stdin.flush()
    answers = [json.loads(process.stdout.readline()) for _ in range(2)]
    rest, _ = process.communicate(timeout=30)
    assert (rest, process.returncode) == ("", 0)
    assert answers[1]["result"]["structuredContent"] == {"said": "PSST"}


def _message(number: int, method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


@pytest.mark.slow
def test_what_cannot_be_served_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("flowbot: 1\n", encoding="utf-8")
    for arguments, said in (
        (["serve", tmp_path / "bad.yaml", "--mcp"], "bad.yaml"),
        (["serve", tmp_path / "bad.yaml", "--http"], "--http: over HTTP is what serve does without --mcp"),
    ):
        process = begin(*arguments)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out) == (2, "")
        assert re.search(re.escape(said), err)
        assert "Traceback" not in err
