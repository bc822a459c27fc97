"""Local models: typed replies, slots, and failures as data. Most tests run the smallest model of the catalogue."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request, ToolWords
from flowbot.errors import InputError
from flowbot.models.catalogue import find, model_path
from flowbot.models.llama import compact_grammar, tighten
from flowbot.models.local import Local, Pool
from flowbot.models.pull import pull
from flowbot.task.task import ModelSpec

NAME = "smollm2-135m"
SPEC = ModelSpec(name=f"local:{NAME}", context=1024, slots=4)
EXACT = ModelSpec(name=f"local:{NAME}", context=2048, slots=1, extra_body={"cache_prompt": False})
TEAMS = ["billing", "tech", "sales"]
ROUTE = {
    "type": "object",
    "properties": {"team": {"type": "string", "enum": TEAMS}, "urgent": {"type": "boolean"}},
    "required": ["team", "urgent"],
    "additionalProperties": False,
}


# found, not imported: the import must be the library's own, which first says how its threads wait
needs_llama = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="needs the extra 'local'")


@pytest.fixture(scope="module", autouse=True)
def foreign() -> set[threading.Thread]:
    """The threads of this process before a model of this file is opened."""
    return set(threading.enumerate())


@pytest.fixture(scope="module")
def pool() -> Generator[Pool, None, None]:
    made = Pool()
    yield made
    made.close()


@pytest.fixture
def pulled(flowbot_home: Path, request: pytest.FixtureRequest) -> Path:
    if not model_path(find(NAME)).is_file():
        request.getfixturevalue("network")
    return asyncio.run(pull(NAME))


@pytest.fixture
def model(pulled: Path, pool: Pool) -> Local:
    return pool.open(SPEC)


def ask(text: str, **settings: Any) -> Request:
    return Request(SPEC.name, ({"role": "user", "content": text},), **settings)


def answer(model: Local, text: str, **settings: Any) -> Reply:
    return asyncio.run(model.complete(ask(text, **settings)))


@needs_llama
@pytest.mark.model
def test_a_typed_reply_fits_its_schema_and_is_compact(model: Local) -> None:
    reply = answer(model, "I was charged twice. Which team, and is it urgent? Reply as JSON.", schema=ROUTE)
    assert (reply.failure, reply.mode) == ("", "schema")
    value = json.loads(reply.text)
    assert set(value) == {"team", "urgent"}
    assert value["team"] in TEAMS
    assert reply.text == json.dumps(value, separators=(",", ":"))
    assert (reply.usage.calls, reply.usage.usd) == (1, 0.0)
    assert reply.usage.input_tokens > reply.usage.output_tokens > 5
    assert reply.usage.seconds > 0


@needs_llama
@pytest.mark.model
@pytest.mark.parametrize("schema", [None, ROUTE])
def test_tools_are_called_in_replies_that_a_grammar_holds(model: Local, schema: Any) -> None:
    arguments = {"type": "object", "properties": {"team": {"type": "string", "enum": TEAMS}}, "required": ["team"]}
    look = ToolWords("phone", "Gives the phone number of a team.", {**arguments, "additionalProperties": False})
    free = ToolWords("note", "Notes anything.", {"type": "object", "properties": {}, "additionalProperties": True})
    for tools in ((look,), (look, free)):
        reply = answer(model, "What is the phone number of the sales team?", schema=schema, tools=tools, max_tokens=80)
        assert bool(reply.calls) is not bool(reply.text)
        for call in reply.calls:
            assert call.name in ("phone", "note")
            assert call.name == "note" or json.loads(call.arguments)["team"] in TEAMS
        asked = ask("Which team has the number 1?", schema=schema, tools=tools, may_call=False, max_tokens=80)
        must = asyncio.run(model.complete(asked))
        assert must.calls == ()
        if schema and not must.failure:
            assert set(json.loads(must.text)) == {"team", "urgent"}


@needs_llama
@pytest.mark.model
def test_more_calls_than_slots_wait_in_line(foreign: set[threading.Thread], model: Local) -> None:
    async def eight() -> list[Reply]:
        return await asyncio.gather(*[model.complete(ask(f"Case {n}: no invoice.", schema=ROUTE)) for n in range(8)])

    replies = asyncio.run(eight())
    assert all(json.loads(reply.text)["team"] in TEAMS for reply in replies)
    ours = [thread for thread in threading.enumerate() if thread not in foreign]
    assert sum(thread.name.startswith("local-") for thread in ours) == SPEC.slots


@needs_llama
@pytest.mark.model
def test_the_second_call_reads_its_prefix_from_the_cache(model: Local) -> None:
    text = "Say one word about " + "weather and wind, " * 20
    answer(model, text, max_tokens=2)
    again = answer(model, text, max_tokens=2).usage
    assert again.input_tokens > again.cached_tokens > 60


@needs_llama
@pytest.mark.model
def test_specs_of_one_file_share_a_server_that_is_wide_enough(pulled: Path) -> None:
    pool = Pool()
    first, second = (pool.open(SPEC.model_copy(update={"context": size, "slots": 2})) for size in (256, 512))
    assert answer(first, "word " * 300, max_tokens=1).usage.input_tokens > 256
    before = threading.active_count()
    answer(second, "Hi.", max_tokens=1)
    assert threading.active_count() == before
    pool.close()
    with pytest.raises(EndpointError, match="closed"):
        answer(first, "Hi.")


@needs_llama
@pytest.mark.model
def test_cuts_and_overflows_are_failures_of_the_example(model: Local) -> None:
    cut = answer(model, "Tell me a long story.", max_tokens=5)
    assert cut.failure == "the reply was cut at 5 tokens"
    assert cut.text
    assert cut.usage.output_tokens == 5
    typed = answer(model, "Which team?", schema=ROUTE, max_tokens=3)
    assert (typed.failure, typed.mode) == ("the reply was cut at 3 tokens", "schema")
    over = answer(model, "word " * 2000)
    assert over.failure.startswith("the prompt of 20")
    assert over.failure.endswith("does not fit into the context of 1024 tokens")
    assert over.text == ""


@needs_llama
@pytest.mark.model
def test_a_text_that_json_cannot_hold_is_mended(model: Local) -> None:
    assert answer(model, "Say hi \ud800", max_tokens=2).text


@needs_llama
@pytest.mark.model
def test_a_schema_that_is_no_schema_is_an_error(model: Local) -> None:
    with pytest.raises(EndpointError, match="the schema 'verdict' cannot be turned into a grammar"):
        answer(model, "Hello.", schema={"$ref": "#/nowhere"}, schema_name="verdict", max_tokens=20)


@needs_llama
@pytest.mark.model
def test_greedy_replies_and_equal_draws_repeat_and_other_draws_differ(pulled: Path) -> None:
    pool = Pool()
    exact = pool.open(EXACT)
    text = "Write a line about the sea."
    greedy = [answer(exact, text, max_tokens=16, draw=draw).text for draw in "ab"]
    drawn = [answer(exact, text, max_tokens=16, draw=draw, temperature=1.0).text for draw in "aabc"]
    pool.close()
    assert greedy[0] == greedy[1]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


@needs_llama
@pytest.mark.model
def test_a_cancelled_call_ends_at_once_and_frees_its_slot(pulled: Path) -> None:
    pool = Pool()
    exact = pool.open(EXACT)

    async def cancel() -> tuple[float, Reply]:
        await exact.complete(ask("Hi.", max_tokens=1))
        task = asyncio.create_task(exact.complete(ask("Count from 1 to 900.", max_tokens=1900)))
        await asyncio.sleep(0.5)
        task.cancel()
        began = time.perf_counter()
        with pytest.raises(asyncio.CancelledError):
            await task
        ended = time.perf_counter() - began
        async with asyncio.timeout(8):  # the cancelled call would need twenty
            return ended, await exact.complete(ask("Hi.", max_tokens=2))

    ended, reply = asyncio.run(cancel())
    pool.close()
    assert ended < 0.1
    assert reply.text


@needs_llama
@pytest.mark.model
@pytest.mark.skipif(not os.path.exists("/proc/net/tcp"), reason="reads Linux's table of sockets")
def test_it_says_nothing_and_listens_to_nobody(pulled: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pool = Pool()
    answer(pool.open(SPEC), "Hi.", max_tokens=2)
    links = [os.path.join("/proc/self/fd", fd) for fd in os.listdir("/proc/self/fd")]
    own = {os.readlink(link) for link in links if os.path.islink(link)}
    rows = [row.split() for name in ("tcp", "tcp6") for row in Path("/proc/net", name).read_text().splitlines()[1:]]
    assert not [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own]
    pool.close()
    assert capfd.readouterr() == ("", "")


CHILD = """
import asyncio, sys, time
sys.path.insert(0, sys.argv[1])
from flowbot.models.local import Pool
from tests.unit.test_local import SPEC, ask

async def main():
    model = Pool().open(SPEC)
    await model.complete(ask("Hi.", max_tokens=1))
    calls = [asyncio.create_task(model.complete(ask("Tell a long story.", max_tokens=900))) for _ in range(4)]
    await asyncio.sleep(0.7)
    print(time.time(), flush=True)
    raise KeyboardInterrupt

asyncio.run(main())
"""


@needs_llama
@pytest.mark.model
@pytest.mark.slow
def test_an_interrupted_program_ends_soon_and_in_order(pulled: Path) -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", CHILD, root], capture_output=True, text=True, timeout=60, check=False)
    assert time.time() - float(done.stdout) < 4, "it must not wait for four replies of 900 tokens"
    assert done.returncode == -signal.SIGINT, done.stderr
    assert done.stderr.rstrip().endswith("KeyboardInterrupt")


@needs_llama
def test_a_file_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUF" + bytes(1000))
    pool = Pool()
    with pytest.raises(EndpointError, match=r"broken\.gguf cannot be loaded"):
        answer(pool.open(ModelSpec(name=f"local:{path}")), "Hi.")
    pool.close()


def test_a_missing_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.gguf").write_bytes(b"GGUF")
    monkeypatch.setattr(importlib.util, "find_spec", {"xllamacpp": None}.__getitem__)
    with pytest.raises(InputError, match=r"pip install 'flowbot\[local\]'"):
        Pool().open(ModelSpec(name=f"local:{tmp_path}/own.gguf"))


@needs_llama
def test_grammars_have_no_white_space() -> None:
    text = compact_grammar(ROUTE)
    assert '"whitespace_flexible":false' in text or 'space ::= ""' in text
    assert tighten('root ::= "{" space "}" space\nspace ::= | " " | "\\n"{1,2} [ \\t]{0,20}\n') == (
        'root ::= "{" space "}" space\nspace ::= ""\n'
    )
