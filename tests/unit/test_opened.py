"""A workflow kept open: many runs at once, a budget for each and one for all, and calls that end with their run."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from flowbot.engine.ports import EndpointError, Reply, Request
from flowbot.errors import InputError
from flowbot.faces.api import bind
from flowbot.faces.opened import Flow, open_workflow
from flowbot.money import Budget, BudgetReached, Ledger, Price, Purse, Usage
from flowbot.store.session import Opened
from flowbot.workflow.graph import Workflow, build
from tests.served import MODEL, one_call
from tests.servers import Answer, Body, serving

HI = {"request": "hi"}
PRICE = Price(0.0, 1e6)  # a token of a reply is a dollar


class Scripted:
    """A model that answers after a while, and knows what was cancelled."""

    def __init__(self, seconds: float = 0.0, text: str = "ok") -> None:
        self.seconds, self.text = seconds, text
        self.asked: list[Request] = []
        self.cancelled = self.at_once = self.most = 0

    async def complete(self, request: Request) -> Reply:
        """Answer."""
        self.asked.append(request)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.at_once -= 1
        return Reply(self.text, Usage(1, 10, 5, usd=5.0))


def flow_of(model: Scripted, workflow: Workflow | None = None, shared: Purse | None = None) -> Flow:
    return Flow(workflow or one_call(), {MODEL: Opened(model, PRICE, 10)}, shared=shared)


def many(n: int = 4) -> Workflow:
    """Return a workflow that makes its calls at once."""
    step = {"kind": "call", "reads": ["request"], "gives": {"text": "text"}}
    steps: list[dict[str, Any]] = [{"id": f"s{at}", "prompt": f"Say {at}.", **step} for at in range(n)]
    last = {"id": "end", "kind": "call", "reads": [f"s{at}.text" for at in range(n)], "gives": {"all": "text"}}
    steps.append(last | {"prompt": "Join."})
    return build(name="many", model=MODEL, inputs={"request": "text"}, steps=steps, output="end.all")


def test_many_runs_at_once_each_with_its_ledger() -> None:
    model = Scripted(0.01)
    flow = flow_of(model)

    async def main() -> None:
        ledgers = [Ledger() for _ in range(5)]
        traces = await asyncio.gather(*(flow(HI, ledger=ledger) for ledger in ledgers))
        assert [trace.output for trace in traces] == ["ok"] * 5
        assert [ledger.total.calls for ledger in ledgers] == [1] * 5

    asyncio.run(main())
    assert (len(model.asked), model.most) == (5, 5)


def test_a_run_has_a_budget_and_all_have_one() -> None:
    shared = Purse(Budget(usd=22.0))
    flow = flow_of(Scripted(), shared=shared)

    async def main() -> None:
        with pytest.raises(BudgetReached):
            await flow(HI, budget=Budget(usd=9.0))  # the estimate is 10 tokens
        assert (shared.settled.calls, shared.reserved.calls) == (0, 0)
        for _ in range(3):  # 5 each; what is reserved is 10
            await flow(HI, budget=Budget(usd=10.0))
        with pytest.raises(BudgetReached):
            await flow(HI)
        assert (shared.settled.usd, shared.reserved.calls) == (15.0, 0)

    asyncio.run(main())


def test_calls_of_one_run_wait_for_what_others_give_back() -> None:
    model = Scripted(0.01)

    async def main() -> None:
        trace = await flow_of(model, many())(HI, budget=Budget(usd=30.0))  # 5 calls of 5, 10 reserved for each
        assert trace.usage.calls == 5

    asyncio.run(main())
    assert model.most == 3


def test_equal_requests_of_one_run_share_a_send() -> None:
    model = Scripted(0.01)
    step = {"kind": "call", "reads": ["request"], "gives": {"text": "text"}, "prompt": "Say."}
    steps: list[dict[str, Any]] = [{"id": "a", **step}, {"id": "b", **step}]
    last = {"id": "end", "kind": "call", "reads": ["a.text", "b.text"], "gives": {"all": "text"}, "prompt": "Join."}
    workflow = build(name="same", model=MODEL, inputs={"request": "text"}, steps=[*steps, last], output="end.all")

    async def main() -> None:
        for budget in (Budget(), Budget(usd=100)):
            model.asked.clear()
            ledger = Ledger()
            await flow_of(model, workflow)(HI, budget=budget, ledger=ledger)
            assert {request.schema_name for request in model.asked} <= {"a", "b", "end"}
            assert ledger.total.calls == len(model.asked)

    asyncio.run(main())


@pytest.mark.parametrize("workflow", [one_call(), many()], ids=["one", "many"])
def test_a_run_that_is_cancelled_cancels_its_calls_and_they_count(workflow: Workflow) -> None:
    model, shared, ledger = Scripted(30), Purse(Budget(usd=1000)), Ledger()
    calls = 1 if workflow.name == "one" else 4

    async def main() -> None:
        running = asyncio.create_task(flow_of(model, workflow, shared)(HI, ledger=ledger))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())
    assert (model.cancelled, model.at_once) == (calls, 0)
    assert ledger.total.calls == calls
    assert ledger.total.estimated
    assert (shared.settled.usd, shared.reserved.calls) == (10.0 * calls, 0)


def test_time_is_a_bound_too() -> None:
    model, ledger = Scripted(30), Ledger()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await flow_of(model)(HI, budget=Budget(seconds=0.05), ledger=ledger)

    asyncio.run(main())
    assert (model.cancelled, ledger.total.calls) == (1, 1)


def opened(work: Callable[[Flow], Awaitable[None]], url: str, workflow: Workflow | None = None) -> None:
    async def main() -> None:
        async with open_workflow(bind(workflow or one_call(), base_url=url)) as flow:
            await work(flow)

    asyncio.run(main())


@pytest.mark.usefixtures("bare")
def test_it_is_opened_once_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")
    kept: list[Flow] = []

    async def work(flow: Flow) -> None:
        kept.append(flow)
        assert (await flow(HI)).output == "ok"
        with pytest.raises(InputError):
            await flow({"question": "hi"})

    with serving([Answer(text="ok")]) as endpoint:
        opened(work, endpoint.url)
        with pytest.raises(RuntimeError, match="closed"):
            asyncio.run(kept[0].run(None))  # pyright: ignore[reportArgumentType]


@pytest.mark.usefixtures("bare")
def test_tools_are_opened_once_for_all_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")
    tool = {"id": "sum", "kind": "tool", "tool": "calc", "args": {"expression": "$request"}, "gives": {"n": "number"}}
    workflow = build(
        name="sum",
        inputs={"request": "text"},
        tools={"calc": {"kind": "calculator"}},
        steps=[tool],
        output="sum.n",
    )

    async def work(flow: Flow) -> None:
        traces = await asyncio.gather(*(flow({"request": f"{n} + 1"}) for n in range(3)))
        assert [trace.output for trace in traces] == [1, 2, 3]
        assert len(vars(flow)["_tools"]) == 1

    opened(work, "http://127.0.0.1:9/v1", workflow)


@pytest.mark.usefixtures("bare")
def test_an_endpoint_that_fails_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-of-the-test")

    def script(body: Body, index: int) -> Answer:
        return Answer.error(401, "no") if index == 0 else Answer(text="ok")

    async def work(flow: Flow) -> None:
        with pytest.raises(EndpointError):
            await flow(HI)
        assert (await flow(HI)).output == "ok"

    with serving(script) as endpoint:
        opened(work, endpoint.url)
