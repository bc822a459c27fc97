"""What the benchmarks run: a workflow of one typed call with an instruction of usual length, and its examples."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from flowbot.engine.ports import Reply, Request
from flowbot.engine.trace import Trace
from flowbot.money import Usage
from flowbot.store.session import RunSession
from flowbot.task.data import Example
from flowbot.task.metrics import exact
from flowbot.tools.metric import Wrapped
from flowbot.workers.inprocess import InProcess
from flowbot.workflow.graph import Workflow, build

MODEL = "openai:fixed"
REPLY = json.dumps({"team": "billing"})
METRIC = Wrapped(exact)
PROMPT = """Send the customer's message to the one team that can solve it.

- billing: invoices, refunds, charges that look wrong, changes of the plan and what they cost.
- delivery: parcels that are late, lost or damaged, addresses, and returns on their way back to us.
- account: signing in, passwords, changed e-mail addresses, closing an account, and data that should be deleted.
- technical: the app or the site does not work, error messages, and devices that do not connect.

Go by what the customer wants done, not by the words that stand out. Where two teams could help, choose the one that
has to act first. A message without any request goes to the team of its last topic."""
TEXT = (
    "Hello, this is about order {number}. I was charged twice for the same parcel last week, and the second charge has "
    "still not been given back although your colleague promised it on Monday. Can you please look into it today?"
)


def one_call() -> Workflow:
    """Return the workflow: one call that gives a choice of four teams."""
    return build(
        name="routing",
        model=MODEL,
        inputs={"message": "text"},
        steps=[
            {
                "id": "answer",
                "kind": "call",
                "reads": ["message"],
                "gives": {"team": "choice[billing, delivery, account, technical]"},
                "prompt": PROMPT,
                "max_tokens": 64,
            }
        ],
        output="answer.team",
    )


def examples(first: int, count: int) -> Iterator[Example]:
    """Make `count` examples one by one, no two alike."""
    for number in range(first, first + count):
        yield Example(f"order-{number}", {"message": TEXT.format(number=number)}, "billing")


def workers(session: RunSession, window: int, ran: Callable[[Trace, str], None] | None = None) -> InProcess:
    """Return workers that score each example by `exact`; `ran` is told of every run."""
    return InProcess(session, window, METRIC, "exact", ran or (lambda trace, draw: None))


class Fixed:
    """A model in this process that gives the one right reply at once."""

    def __init__(self) -> None:
        self.heard: Callable[[Request], object] = lambda request: None

    async def complete(self, request: Request) -> Reply:
        """Return the reply."""
        self.heard(request)
        return Reply(REPLY, Usage(1, 180, 8, usd=0.0001), mode="schema")
