"""The session: nothing paid twice, the ledger booked once, modes decided between stages, secrets out before use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request, Tool, ToolReply
from flowbot.engine.trace import Trace
from flowbot.money import Budget, BudgetReached, Price, Purse, Usage
from flowbot.store.journal import MemoryJournal, SqliteJournal
from flowbot.store.session import Opened, RunSession
from flowbot.task.metrics import Score
from flowbot.workflow.fields import Json
from flowbot.workflow.tools import ToolSpec
from tests.sessions import call, example, flow, tool

ASKED = Request("vllm:m", ({"role": "user", "content": "hi"},), max_tokens=5)


def masked(text: str) -> str:
    return text.replace("sk-1234", "***")


COST = Usage(1, 10, 5, usd=0.1)
USES = flow(tool("look", expression="$q"), call("say", "look.value"))


@dataclass
class Model:
    """Says what it is told to, after `wait`; `mode` is as the wire has it."""

    say: Callable[[Request], Reply] = lambda request: Reply("said", COST)
    wait: float = 0.0
    mode: str = "schema"
    asked: list[Request] = field(default_factory=list[Request])
    in_flight: int = 0
    most: int = 0

    async def complete(self, request: Request) -> Reply:
        self.asked.append(request)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await asyncio.sleep(self.wait)
            return self.say(request)
        finally:
            self.in_flight -= 1


def session_of(model: Any, journal: Any = None, **parts: Any) -> RunSession:
    return RunSession({"vllm:m": Opened(model)}, journal or MemoryJournal(), **parts)


def number(n: int, **changes: Any) -> Request:
    return replace(ASKED, messages=({"role": "user", "content": f"number {n}"},), **changes)


def test_a_recorded_reply_is_never_asked_for_again() -> None:
    model, journal = Model(), MemoryJournal()

    async def twice() -> list[RunSession]:
        sessions = [session_of(model, journal), session_of(model, journal)]
        for session in sessions:
            assert (await session.complete(ASKED)).text == "said"
            assert (await session.complete(ASKED)).text == "said"
        return sessions

    first, second = asyncio.run(twice())
    assert len(model.asked) == 1
    for session in (first, second):
        assert session.ledger.requests() == {"task": 1}
        assert session.purse.settled == COST
        assert session.purse.reserved.calls == 0
    assert (first.replayed, second.replayed) == (1, 2)


def test_equal_keys_in_flight_share_one_send() -> None:
    model = Model(wait=0.01)
    session = session_of(model)

    async def main() -> list[Reply]:
        return await asyncio.gather(*(session.complete(ASKED) for _ in range(5)), session.complete(number(1)))

    assert len(asyncio.run(main())) == 6
    assert len(model.asked) == 2
    assert session.ledger.requests() == {"task": 2}
    assert session.purse.settled == COST + COST


def test_a_reply_is_in_the_journal_before_it_is_used() -> None:
    seen: list[bool] = []

    class Slow(MemoryJournal):
        async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
            await asyncio.sleep(0.01)
            await super().record(key, purpose, value, model)

    async def main() -> None:
        journal = Slow()
        await session_of(Model(), journal).complete(ASKED)
        seen.append(bool(journal.calls))

    asyncio.run(main())
    assert seen == [True]


def test_who_comes_between_record_and_booking_is_not_booked_twice() -> None:
    class Late(MemoryJournal):
        async def record(self, key: str, purpose: str, value: Any, model: str = "") -> None:
            await super().record(key, purpose, value, model)  # found from here on, and the sender is not told yet
            await asyncio.sleep(0.02)

    async def main() -> RunSession:
        session = session_of(Model(), Late())
        first = asyncio.create_task(session.complete(ASKED))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, session.complete(ASKED))
        return session

    session = asyncio.run(main())
    assert session.purse.settled == COST
    assert session.ledger.requests() == {"task": 1}


def test_what_is_asked_twice_without_a_record_is_booked_twice() -> None:
    model = Model()

    async def main() -> RunSession:
        session = session_of(model, MemoryJournal(keep=False))
        for _ in range(3):
            await session.complete(ASKED)
        return session

    session = asyncio.run(main())
    assert len(model.asked) == 3
    assert session.ledger.requests() == {"task": 3}
    assert session.purse.settled.calls == 3


def test_an_endpoints_failure_costs_nothing_and_is_not_kept() -> None:
    def fail(request: Request) -> Reply:
        raise EndpointError("down")

    journal = MemoryJournal()
    session = session_of(Model(fail), journal)
    with pytest.raises(EndpointError):
        asyncio.run(session.complete(ASKED))
    assert journal.calls == {}
    assert (session.purse.settled, session.purse.reserved.calls, session.in_flight) == (Usage(), 0, 0)


def test_what_is_under_way_is_kept_where_its_caller_is_cancelled() -> None:
    model, journal = Model(wait=0.02), MemoryJournal()

    async def main() -> RunSession:
        session = session_of(model, journal)
        caller = asyncio.create_task(session.complete(ASKED))
        await asyncio.sleep(0.001)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert session.in_flight == 1
        await session.drain()
        return session

    session = asyncio.run(main())
    assert len(journal.calls) == 1
    assert session.ledger.requests() == {"task": 1}
    assert session.purse.settled == COST


def test_draining_ends_what_takes_too_long() -> None:
    model = Model(wait=60)

    async def main() -> RunSession:
        session = session_of(model)
        asyncio.create_task(session.complete(ASKED)).add_done_callback(
            lambda done: done.cancelled() or done.exception()
        )
        await asyncio.sleep(0.001)
        await session.drain(0.01)
        return session

    session = asyncio.run(main())
    assert (session.in_flight, session.purse.reserved.calls) == (0, 0)


def test_the_wall_waits_for_what_calls_in_flight_give_back() -> None:
    model = Model(wait=0.001)
    price = Price(1.0, 1.0)
    one = price.of(10, 100)  # what a call reserves, more than ten times what it costs

    async def main() -> RunSession:
        model.say = lambda request: Reply("said", Usage(1, 5, 5, usd=price.of(5, 5)))
        opened = {"vllm:m": Opened(model, price, 100)}
        session = RunSession(opened, MemoryJournal(), Purse(Budget(usd=2.5 * one)))
        await asyncio.gather(*(session.complete(number(n, max_tokens=None)) for n in range(12)))
        return session

    session = asyncio.run(main())
    assert session.purse.settled.calls == 12
    assert model.most <= 2


def test_the_wall_is_met_when_nothing_is_in_flight() -> None:
    model = Model(wait=0.001)

    async def main() -> RunSession:
        session = session_of(model, purse=Purse(Budget(calls=3)))
        found = await asyncio.gather(*(session.complete(number(n)) for n in range(8)), return_exceptions=True)
        assert sum(isinstance(each, Reply) for each in found) == 3
        assert sum(isinstance(each, BudgetReached) for each in found) == 5
        return session

    session = asyncio.run(main())
    assert len(model.asked) == 3
    assert session.purse.settled.calls == 3


def typed(n: int, repair: int = 1) -> Request:
    return number(n, schema={"type": "object"}, repair=repair)


def staged(model: Model, journal: MemoryJournal, stages: list[list[Request]]) -> list[str]:
    """Run stages and return the mode that each began in."""

    async def main() -> list[str]:
        session = session_of(model, journal)
        modes: list[str] = []
        for stage in stages:
            modes.append(model.mode)
            await asyncio.gather(*(session.complete(request) for request in stage))
            session.end_stage()
        return [*modes, model.mode]

    return asyncio.run(main())


def in_mode(model: Model) -> Callable[[Request], Reply]:
    return lambda request: Reply("x", COST, mode="text" if request.schema is None else model.mode)


def test_a_mode_goes_down_at_a_stages_end_only() -> None:
    model = Model()
    model.say = in_mode(model)
    stages = [[typed(1), typed(2)], [typed(n) for n in range(3, 6)], [typed(10, 2), typed(11, 2), typed(12, 2)]]
    journal = MemoryJournal()
    assert staged(model, journal, stages) == ["schema", "schema", "json", "json"]
    again = Model()
    again.say = in_mode(again)
    assert staged(again, journal, stages) == ["schema", "schema", "json", "json"]
    assert again.asked == []


def test_equal_misfits_in_flight_count_once_as_they_do_on_replay() -> None:
    journal = MemoryJournal()
    for _ in range(2):
        model = Model(wait=0.001)
        model.say = in_mode(model)
        assert staged(model, journal, [[typed(1)] * 4, [typed(2)]]) == ["schema", "schema", "schema"]


def test_a_replay_goes_on_in_the_mode_that_was_found() -> None:
    journal = MemoryJournal()
    model = Model(mode="json")
    model.say = in_mode(model)
    staged(model, journal, [[typed(1, 0)]])
    again = Model()
    assert staged(again, journal, [[typed(1, 0)]])[-1] == "json"


def test_a_plain_reply_says_nothing_about_the_mode() -> None:
    journal = MemoryJournal()
    model = Model()
    model.say = in_mode(model)
    staged(model, journal, [[ASKED]])
    again = Model()
    assert staged(again, journal, [[ASKED]]) == ["schema", "schema"]


def test_secrets_are_out_before_a_reply_is_used_or_kept() -> None:
    journal = MemoryJournal()
    model = Model(lambda request: Reply("the key is sk-1234", COST, failure="sk-1234 refused"))
    session = session_of(model, journal, scrub=masked)
    reply = asyncio.run(session.complete(ASKED))
    assert (reply.text, reply.failure) == ("the key is ***", "*** refused")
    assert "sk-1234" not in repr(journal.calls)
    assert asyncio.run(session.complete(ASKED)) == reply


def test_half_characters_are_out_before_a_reply_is_used() -> None:
    reply = asyncio.run(session_of(Model(lambda request: Reply("cut \ud83d", COST))).complete(ASKED))
    assert reply.text == "cut ?"


class Counting:
    """A tool that gives what it is told to."""

    def __init__(self, reply: ToolReply) -> None:
        self.reply, self.calls = reply, 0

    async def call(self, args: Mapping[str, Json]) -> ToolReply:
        self.calls += 1
        await asyncio.sleep(0.001)
        return self.reply


def opening(found: Tool) -> Callable[[ToolSpec], Tool]:
    return lambda spec: found


def use(found: Counting, times: int = 1, journal: Any = None, scrub: Callable[[str], str] = str) -> list[ToolReply]:
    async def main() -> list[ToolReply]:
        session = session_of(Model(), journal, open_tool=opening(found), scrub=scrub)
        return await asyncio.gather(*(session.use_tool(USES, "calc", {"expression": "1"}, "d") for _ in range(times)))

    return asyncio.run(main())


def test_a_tools_value_is_paid_for_once() -> None:
    journal, found = MemoryJournal(), Counting(ToolReply({"a": [1, (2, "é")]}))
    values = [*use(found, 3, journal), *use(found, 1, journal)]
    assert found.calls == 1
    assert [reply.value for reply in values] == [{"a": [1, [2, "é"]]}] * 4


def _loop() -> Json:
    loop: list[Json] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize("value", [10**5000, float("nan"), {(1, 2): 3}, _loop()], ids=["huge", "nan", "key", "loop"])
def test_a_tools_value_that_is_no_plain_data_is_a_failure(value: Json) -> None:
    (reply,) = use(Counting(ToolReply(value)))
    assert reply.value is None
    assert reply.failure.startswith("the tool 'calc' gave a value that is not plain data")


def test_a_tools_secrets_and_half_characters_are_out() -> None:
    (reply,) = use(Counting(ToolReply("sk-1234 \udc00, whole \ud83d\ude00")), scrub=masked)
    assert reply.value == "*** ?, whole 😀"


def test_a_missing_tool_is_a_failure() -> None:
    reply = asyncio.run(session_of(Model()).use_tool(USES, "calc", {}, ""))
    assert reply.failure == "the tool 'calc' is not available here"


class Judging:
    """A metric that counts."""

    def __init__(self) -> None:
        self.calls = 0

    async def score(self, example: Any, output: Json, trace: Trace, session: Any) -> Score:
        self.calls += 1
        await asyncio.sleep(0.001)
        return Score(0.5, "half")


def test_a_score_is_computed_once_and_a_failed_run_not_at_all() -> None:
    metric, journal = Judging(), MemoryJournal()
    good = Trace(USES, example(), (), "out")

    async def main() -> list[Score]:
        session = session_of(Model(), journal)
        found = await asyncio.gather(*(session.score(metric, "m", good, "d") for _ in range(3)))
        return [*found, await session.score(metric, "m", replace(good, error="it failed"), "d")]

    scores = asyncio.run(main())
    assert scores == [Score(0.5, "half")] * 3 + [Score(0.0, "it failed")]
    assert metric.calls == 1
    asyncio.run(main())
    assert metric.calls == 1


@pytest.mark.parametrize(("said", "kept"), [("whole \ud83d\ude00", "whole 😀"), ("sk-1234 \ud83d", "*** ?")])
def test_a_scores_feedback_is_the_same_before_and_after_the_journal(tmp_path: Path, said: str, kept: str) -> None:
    class Saying:
        async def score(self, example: Any, output: Json, trace: Trace, session: Any) -> Score:
            return Score(0.5, said)

    async def main() -> list[Score]:
        journal = SqliteJournal(tmp_path / "journal.sqlite")
        try:
            session = session_of(Model(), journal, scrub=masked)
            return [await session.score(Saying(), "m", Trace(USES, example(), (), "out"), "d") for _ in range(2)]
        finally:
            journal.close()

    assert asyncio.run(main()) == [Score(0.5, kept)] * 2


def test_retries_and_repairs_have_lines_of_their_own() -> None:
    model = Model(lambda request: Reply("x", COST, retries=2))

    async def main() -> RunSession:
        session = session_of(model)
        await session.complete(number(1))
        await session.complete(number(1, repair=1))
        return session

    line = asyncio.run(main()).ledger.lines["task"]
    assert (line.requests, line.repairs, line.retries, line.usage.calls) == (1, 1, 4, 2)
