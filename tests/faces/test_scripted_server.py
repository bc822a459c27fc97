"""A planted world behind HTTP: it answers as it does in process, and an induction over the wire runs on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import aiohttp
import pytest

from flowbot.engine.ports import Reply, Request, ToolWords
from flowbot.models.scripted import World
from flowbot.models.scripted.__main__ import main
from flowbot.models.scripted.server import serve
from flowbot.models.scripted.world import META, MODEL
from flowbot.models.shelf import open_shelf
from flowbot.task.task import ModelSpec
from flowbot.workflow.document import read_workflow
from tests.commands import ROOT, begin, finish

SCHEMA = {"type": "object", "properties": {"marks": {"type": "array", "items": {"type": "string"}}}}
TOOL = ToolWords("search", "", {"type": "object", "properties": {"query": {"type": "string"}}})


def messages(world: World) -> tuple[dict[str, str], ...]:
    order = world.fresh(1)[0].inputs["order"]
    return ({"role": "system", "content": "Do it."}, {"role": "user", "content": f"order:\n{order}"})


async def asked(world: World, *requests: Request) -> list[Reply]:
    """Ask a world over HTTP, with FlowBot's own client."""
    url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    server = asyncio.create_task(serve(world, 0, 0.0, url.set_result))
    shelf = open_shelf([ModelSpec(name=MODEL), ModelSpec(name=META)], await url, 4)
    try:
        return [await shelf.models[request.model].model.complete(request) for request in requests]
    finally:
        await shelf.close()
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server


@pytest.mark.parametrize("fault", ["missing_instruction", "missing_hop"])
def test_the_server_answers_as_the_world_in_process(fault: str) -> None:
    world = World(fault)
    said = messages(world)
    requests = [
        Request(MODEL, said),
        Request(MODEL, said, schema=SCHEMA, schema_name="answer"),
        Request(MODEL, said, schema=SCHEMA, schema_name="verdict"),  # a step may be called so
        Request(MODEL, said, schema=SCHEMA, tools=(TOOL,)),
        Request(MODEL, said, schema=SCHEMA, tools=(TOOL,), may_call=False),
        Request(META, said, purpose="verdict", schema=SCHEMA, schema_name="verdict"),
    ]
    replies = asyncio.run(asked(world, *requests))
    for request, reply in zip(requests, replies, strict=True):
        here = world.answer(request)
        assert (reply.text, reply.calls, reply.failure) == (here.text, here.calls, "")
        assert reply.usage.input_tokens > 0
        assert not reply.usage.estimated
    assert replies[3].calls


def test_models_are_listed_and_bad_requests_are_refused() -> None:
    async def main() -> None:
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        server = asyncio.create_task(serve(World(), 0, 0.0, url.set_result))
        async with aiohttp.ClientSession() as client:
            async with client.get(f"{await url}/models") as answer:
                assert [each["id"] for each in (await answer.json())["data"]] == ["planted", "planted-meta"]
            bodies = [b"{", b"[]", b"{}", b'{"messages": [1]}', b'{"messages": [{"role": "system", "content": "x"}]}']
            bodies += [b'{"messages": [{"role": "user", "content": "x"}], "tools": [1]}']
            for body in bodies:
                async with client.post(f"{await url}/chat/completions", data=body) as answer:
                    assert answer.status == 400, body
                    assert (await answer.json())["error"]["message"].startswith("bad request: ")
        server.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await server

    asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "missing_hp"], "did you mean 'missing_hop'"),
        (["--skill", "2"], "skill is a chance"),
        (["--port", "x"], "--port"),
        (["--port", "70000"], "no port"),
        (["--latency-ms", "-1"], "--latency-ms"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_bad_arguments_are_one_error(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert said in error
    assert len(error.splitlines()) == 1


@contextlib.contextmanager
def served(*arguments: str | Path) -> Generator[list[str]]:
    """Serve a world in a process of its own; yield the two lines that it prints first."""
    program = [sys.executable, "-m", "flowbot.models.scripted", *map(str, arguments)]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(ROOT)})
    try:
        assert process.stdout is not None
        yield [process.stdout.readline().strip() for _ in range(2)]
    finally:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.slow
def test_what_it_writes_can_be_induced(tmp_path: Path) -> None:
    with served("--fault", "missing_hop", "--write", tmp_path) as (url, command):
        assert command == f"flowbot induce {tmp_path / 'task.yaml'} --base-url {url}"
        code, out, err = finish(begin(*command.split()[1:]), 120)
    assert code == 0, err
    best = read_workflow((tmp_path / "runs" / "planted-missing_hop" / "best.yaml").read_text(encoding="utf-8"))
    assert sum(getattr(step, "tool", None) == "search" for step in best.all_steps) == 2
    assert len((tmp_path / "val.jsonl").read_text(encoding="utf-8").splitlines()) == 90
    assert json.loads((tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()[0])["marks"]
    assert "ledger" in out
