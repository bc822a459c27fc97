"""Records: what one run of one method on one benchmark came to, as a JSON file."""

from __future__ import annotations

from pydantic import Field

from flowbot.money import Usage
from flowbot.task.task import BudgetSpec
from flowbot.workflow.value import Value


class Paid(Value):
    """What the meter counted in one part of a run. `seconds` is the sum of the latencies of all calls; `refused` are
    calls turned away at the wall; `usd` is None where the price is not known."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0
    refused: int = 0

    @classmethod
    def of(cls, usage: Usage, refused: int = 0) -> Paid:
        """Return usage as a record holds it."""
        return cls(
            calls=usage.calls,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            usd=usage.usd,
            seconds=usage.seconds,
            refused=refused,
        )


class Record(Value):
    """One run: of a method on a benchmark, with a seed. `missing` says why it could not be run; then it has no scores.

    `scores` are those of the sealed test by example, and of `failed` there was no output. `search` and `test` are what
    the meter counted; `wall` and `cpu` are seconds that the method's own process took for the search, `test_wall` for
    the test. `sizes` are examples by split; `versions` are those of Python, FlowBot and the method's packages.
    """

    benchmark: str
    method: str
    seed: int
    missing: str = ""
    note: str = ""
    scores: dict[str, float] = {}
    failed: int = 0
    search: Paid = Paid()
    test: Paid = Paid()
    wall: float = 0.0
    cpu: float = 0.0
    test_wall: float = 0.0
    budget: BudgetSpec = BudgetSpec()
    model: str = ""
    meta: str = ""
    judge: str = ""
    sizes: dict[str, int] = Field(default_factory=dict[str, int])
    versions: dict[str, str] = {}

    @property
    def mean(self) -> float:
        """The mean test score."""
        return sum(self.scores.values()) / len(self.scores)
