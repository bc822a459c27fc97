"""Traces found again in a journal: as they were run, nobody asked; what is not there any more is said in words."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import Program, Ran, Reply, Request, ToolCall, ToolReply
from flowbot.engine.trace import Trace
from flowbot.errors import InputError
from flowbot.faces.ui import schema
from flowbot.faces.ui.playing import trace_of
from flowbot.money import Usage
from flowbot.store.hearing import Hearing
from flowbot.store.journal import SqliteJournal, opened_to_read
from flowbot.store.replaying import NotRecorded, replayed
from flowbot.store.session import Opened, RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import Score
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import Workflow
from flowbot.workflow.tools import ToolSpec
from tests.kept import SALT, SIZES, Kept, Reading, kept, timeless
from tests.nested import FILES, nested
from tests.sessions import call, flow

SMALL: dict[str, Any] = {"iterations": 1, "seeds": 2}


class World:
    """A model, a tool and a sandbox that say something that fits, drawn by what they are asked and how often."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    async def complete(self, request: Request) -> Reply:
        """Reply with a value for each field, in plain text, sometimes badly; call a tool first where there is one."""
        usage = Usage(1, 10, 2, usd=0.5, seconds=0.25)
        dice = self.random.random()
        if dice < 0.05:
            return Reply("", usage, failure="refused")
        if request.tools and request.may_call:
            return Reply("", usage, calls=(ToolCall(request.tools[0].name, '{"expression": "1+1"}'),))
        if request.schema is None:
            return Reply(self.random.choice(["one", "two", "3"]), usage)
        text = "no JSON" if dice < 0.2 else json.dumps(self.value(request.schema))
        return Reply(text, usage, mode="schema")

    def value(self, schema: Any) -> Json:
        """Return a value that fits a JSON Schema."""
        match schema.get("type"):
            case "object":
                return {name: self.value(each) for name, each in schema.get("properties", {}).items()}
            case "array":
                return [self.value(schema["items"]) for _ in range(self.random.randint(1, 3))]
            case "boolean":
                return self.random.random() < 0.4
            case "number" | "integer":
                return self.random.randint(1, 4)
            case _:
                return self.random.choice(schema.get("enum") or ["red", "green", "blue"])

    def open_tool(self, spec: ToolSpec) -> Any:
        """Return a tool of a kind."""
        kind, draws = spec.kind, self.random

        class Tool:
            async def call(self, args: Mapping[str, Json]) -> ToolReply:
                if draws.random() < 0.1:
                    return ToolReply(failure="broken", seconds=0.5)
                return ToolReply(draws.random() < 0.5 if kind == "tests" else draws.randint(1, 9), seconds=0.5)

        return Tool()

    async def run(self, program: Program) -> Ran:
        """Print something, set what is wanted, or fail."""
        number = self.random.randint(1, 9)
        error = "NameError" if self.random.random() < 0.3 else ""
        return Ran(str(number), {} if error else dict.fromkeys(program.wants, number), error, 0.75)


def run(path: Path, workflow: Workflow, count: int, seed: int = 0) -> list[Trace]:
    """Run a workflow on examples through a journal, at the draw `train`, and return the traces."""
    world, journal = World(seed), SqliteJournal(path)
    examples = [Example(f"e{at}", {"question": f"item {at}"}, "one") for at in range(count)]

    async def main() -> list[Trace]:
        session = RunSession(
            {"vllm:m": Opened(world, salt=SALT)}, journal, open_tool=world.open_tool, open_sandbox=lambda: world
        )
        journal.shown.examples("train", examples)
        workers = InProcess(session, 4, ran=journal.shown.trace)
        return [trace async for trace in workers.evaluate(workflow, examples, "train")]

    try:
        return asyncio.run(main())
    finally:
        journal.close()


def replay(path: Path, trace: Trace, draw: str = "train", salt: str = SALT) -> tuple[Trace, Hearing]:
    db, hearing = opened_to_read(path), Hearing()
    try:
        salts = {"vllm:m": salt, "vllm:planted": salt}
        return asyncio.run(replayed(db, salts, trace.workflow, trace.example, draw, hearing)), hearing
    finally:
        db.close()


def same(one: Trace, other: Trace) -> bool:
    assert [timeless(part) for part in one.steps] == [timeless(part) for part in other.steps]
    return (one.output, one.error, one.usage) == (other.output, other.error, other.usage)


@pytest.mark.parametrize("name", FILES)
def test_a_replayed_trace_of_every_kind_of_step_is_the_one_that_was_run(name: str, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    ran = run(path, nested(name), 12)
    assert any(not trace.error for trace in ran)
    for trace in ran:
        again, _ = replay(path, trace)
        assert same(again, trace)


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(tmp_path_factory.mktemp("raced") / "run", "missing_hop", **SMALL)


def shown(run: Kept, trace: Trace, draw: str) -> schema.Trace:
    reading: Any = replace(run.opened(), facts={"models": {"vllm:planted": SALT}})
    try:
        return asyncio.run(trace_of(reading, trace.workflow.id, draw, trace.example.id))
    finally:
        reading.db.close()


def test_every_trace_of_a_search_is_found_again(raced: Kept) -> None:
    assert len({trace.workflow.id for trace, _ in raced.ran}) >= 3
    assert {draw for _, draw in raced.ran} >= {"val", "test"}
    before = raced.journal.read_bytes()
    for trace, draw in raced.ran:
        again, _ = replay(raced.journal, trace, draw)
        assert same(again, trace)
    assert raced.journal.read_bytes() == before


def test_a_trace_is_told_with_its_score_what_was_said_and_what_it_took(raced: Kept) -> None:
    trace, draw = next((trace, draw) for trace, draw in raced.ran if draw == "val" and trace.points == 0)
    told = shown(raced, trace, draw)
    assert told.missing == ""
    assert (told.split, told.draw, told.target) == ("val", "val", trace.example.target)
    assert told.inputs == dict(trace.example.inputs)
    assert (told.score, told.feedback) == (0.0, trace.score.feedback if trace.score else "")
    assert (told.output, told.error) == (trace.output, trace.error)
    assert [step.path for step in told.steps] == [part.path for part in trace.steps]
    assert told.spent.calls == trace.usage.calls
    calls = [step for step in told.steps if step.kind == "call"]
    assert calls[0].spent.seconds == 0.25
    for step, part in zip(told.steps, trace.steps, strict=True):
        assert step.gives == dict(part.gives)
        assert step.messages[: len(part.messages)] == [dict(message) for message in part.messages]
        if step.kind == "call":
            assert step.messages[-1]["role"] == "assistant"
            assert len(step.messages) == len(part.messages) + 1


def test_a_trace_has_what_the_meta_model_said_of_it(raced: Kept, tmp_path: Path) -> None:
    db = opened_to_read(raced.journal)
    workflow, example, kind = db.execute("SELECT workflow, example, kind FROM notes LIMIT 1").fetchone()
    db.close()
    trace, draw = next(
        (trace, draw)
        for trace, draw in raced.ran
        if (trace.workflow.id, trace.example.id) == (workflow, example) and trace.score is not None
    )
    notes = shown(raced, trace, draw).notes
    assert [note.kind for note in notes] == [kind] == ["verdict"]
    assert notes[0].words[0]["example"] == example


def test_gradients_of_the_paper_are_notes_too(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", sizes=(4, 3, 0), recipe="paper", batches=1, loops=1, inner=1, batch=3)
    db = opened_to_read(run.journal)
    kinds = {kind for (kind,) in db.execute("SELECT DISTINCT kind FROM notes")}
    draws = [draw for (draw,) in db.execute("SELECT DISTINCT draw FROM traces ORDER BY draw")]
    db.close()
    assert kinds == {"critique", "gradient"}
    assert "val" in draws
    for trace, draw in run.ran:
        assert shown(run, trace, draw).missing == ""
        assert same(replay(run.journal, trace, draw)[0], trace)


def test_equal_requests_at_one_draw_have_one_reply_and_are_found_for_each(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    made = flow(
        call("one", "question"),
        call("two", "question", prompt="Do one."),
        call("three", "one.out", "two.out"),
        inputs=("question",),
    )
    trace = run(path, made, 1, seed=4)[0]
    assert trace.steps[0].gives == trace.steps[1].gives
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*) FROM calls").fetchone() == (2,)
    db.close()
    again, hearing = replay(path, trace)
    assert same(again, trace)
    assert set(hearing.said) == {"one", "two", "three"}
    assert hearing.said["one"] == hearing.said["two"]


def test_another_draw_or_another_salt_is_another_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    trace = run(path, nested("one"), 1, seed=4)[0]
    for draw, salt in (("val", SALT), ("train", "")):
        with pytest.raises(NotRecorded, match=r"no reply of vllm:m to step 'say' is recorded"):
            replay(path, trace, draw, salt)


def test_the_whole_exchange_of_a_call_is_heard_with_its_tools_and_repair(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    ran = run(path, nested("whole"), 30)
    repaired = 0
    for trace in ran:
        again, hearing = replay(path, trace)
        calls = {part.path: part for part in again.walk() if part.messages}
        assert set(hearing.said) == set(calls)
        for where, part in calls.items():
            said = hearing.said[where]
            assert said[: len(part.messages)] == part.messages
            assert said[-1]["role"] == "assistant"
            repaired += len(said) == len(part.messages) + 3
            assert sum(message["role"] == "tool" for message in said) == len(part.tools)
    assert repaired


def test_a_stopped_run_shows_what_it_ran_and_says_what_it_did_not(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", "missing_hop", answers=20, **SMALL)
    assert 0 < len(run.ran) < SIZES[0]
    for trace, draw in run.ran:
        assert shown(run, trace, draw).missing == ""
    trace, draw = run.ran[0]
    told = shown(run, trace, "confirm")
    assert told.missing.startswith("This example was not run to its end at that stage: no value of the tool 'search'")
    assert (told.steps, told.score, told.output) == ([], None, None)
    db = opened_to_read(run.journal)
    ids = [key for (key,) in db.execute("SELECT id FROM examples WHERE split='val'")]
    db.close()
    cut = next(key for key in ids if key not in {trace.example.id for trace, _ in run.ran})
    assert "not run to its end" in shown(run, replace(trace, example=Example(cut, {})), draw).missing


@pytest.mark.parametrize(
    ("name", "purpose", "words"),
    [
        ("flat", "task", r"no reply of vllm:m to step 'plan' is recorded"),
        ("flat", "tool", r"no value of the tool 'calc' is recorded"),
        ("inline", "code", r"what came of a program is not recorded"),
    ],
)
def test_a_journal_that_lost_a_part_of_a_trace_says_so(name: str, purpose: str, words: str, tmp_path: Path) -> None:
    run_ = Kept(tmp_path)
    trace = next(each for each in run(run_.journal, nested(name), 20) if not each.error)
    run_.ran.append((trace, "train"))
    assert run_.change("DELETE FROM calls WHERE purpose=?", purpose)
    with pytest.raises(NotRecorded, match=words):
        replay(run_.journal, trace)
    reading: Any = Reading(opened_to_read(run_.journal), {trace.workflow.id: trace.workflow}, {})
    told = asyncio.run(trace_of(reading, trace.workflow.id, "train", trace.example.id))
    reading.db.close()
    assert told.missing.startswith("The journal does not hold all of this run: no ") or purpose == "code"
    assert told.steps == []
    assert told.spent.calls == trace.usage.calls
    assert told.spent.input_tokens == trace.usage.tokens


def test_a_damaged_record_is_not_taken_for_one(tmp_path: Path) -> None:
    run_ = Kept(tmp_path)
    trace = next(each for each in run(run_.journal, nested("one"), 3) if not each.error)
    run_.change("UPDATE calls SET value='{'")
    with pytest.raises(NotRecorded, match="damaged"):
        replay(run_.journal, trace)


def test_a_journal_of_before_has_scores_at_most_and_says_so(tmp_path: Path) -> None:
    run_ = Kept(tmp_path)
    trace = run(run_.journal, nested("one"), 1)[0]
    run_.ran.append((trace, "train"))
    for table in ("examples", "workflows", "traces", "notes", "now", "totals"):
        run_.change(f"DROP TABLE {table}")
    told = shown(run_, trace, "train")
    assert told.missing.startswith("This run was made before FlowBot kept")
    assert (told.steps, told.inputs, told.score) == ([], {}, None)


def test_an_example_that_is_not_there_is_an_error(raced: Kept) -> None:
    trace, draw = raced.ran[0]
    with pytest.raises(InputError, match="there is no example 'nobody'"):
        shown(raced, replace(trace, example=Example("nobody", {})), draw)


def test_a_judge_is_not_asked_again(tmp_path: Path) -> None:
    path, world, journal = tmp_path / "journal.sqlite", World(3), SqliteJournal(tmp_path / "journal.sqlite")
    example = Example("e", {"question": "item"}, "one")

    class Judge:
        llm_calls = 1

        async def score(self, example: Example, output: Json, trace: Trace, session: Any) -> Score:
            request = Request("vllm:judge", ({"role": "user", "content": "good?"},), purpose="judge")
            return Score(0.5, (await session.complete(request)).text)

    async def main() -> Trace:
        session = RunSession({name: Opened(world, salt=SALT) for name in ("vllm:m", "vllm:judge")}, journal)
        journal.shown.examples("val", [example])
        workers = InProcess(session, 4, Judge(), "judge", journal.shown.trace)
        traces = [trace async for trace in workers.evaluate(nested("one"), [example], "val")]
        return traces[0]

    trace = asyncio.run(main())
    journal.close()
    run_ = Kept(tmp_path, [(trace, "val")])
    assert run_.change("DELETE FROM calls WHERE purpose='judge'") == 1
    reading: Any = Reading(opened_to_read(path), {trace.workflow.id: trace.workflow}, {"models": {"vllm:m": SALT}})
    told = asyncio.run(trace_of(reading, trace.workflow.id, "val", "e"))
    reading.db.close()
    assert (told.missing, told.score, told.feedback) == ("", 0.5, trace.score.feedback if trace.score else "")
