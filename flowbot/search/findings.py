"""What an iteration of the search knows, and what its operators propose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from flowbot.engine.trace import Trace
from flowbot.engine.verdict import Verdict
from flowbot.search.lab import Candidate, Lab
from flowbot.workflow.graph import Workflow

HOPELESS = ("label", "capability")  # defects that no edit mends


@dataclass(frozen=True)
class Attempt:
    """An edit that was tried for a cluster: its words, its operator, and what came of it, in words."""

    edit: str
    operator: str
    outcome: str


@dataclass(frozen=True)
class Cluster:
    """Failures with one cause: its name, the kind of defect, the rule that would have prevented them.

    `verdicts` are those in it, one an example, in the order found. A cluster is open while some of its examples fail.
    """

    name: str
    defect: str
    rule: str
    verdicts: tuple[Verdict, ...] = ()
    attempts: tuple[Attempt, ...] = ()

    @property
    def examples(self) -> tuple[str, ...]:
        """The ids of the examples that fail for it."""
        return tuple(dict.fromkeys(verdict.example for verdict in self.verdicts))

    @property
    def hopeless(self) -> bool:
        """True where no edit mends it: the label is wrong, or the model cannot do it."""
        return self.defect in HOPELESS


@dataclass(frozen=True)
class Findings:
    """What an iteration knows before it proposes: the parent, how it did on train, and why it failed there.

    `traces` are the parent's on this iteration's train items; `passed` are runs that scored 1, of it and of its
    forebears, for demos (`demos` of them at most). `variants` is how many candidates one operator may propose.
    `clusters` are the open ones that edits may mend, largest first. `blame` is the share of blame
    by step, largest first. `pool` are the other good workflows, best first, `failed` the words of edits that lost.
    """

    number: int
    parent: Workflow
    traces: tuple[Trace, ...] = ()
    passed: tuple[Trace, ...] = ()
    clusters: tuple[Cluster, ...] = ()
    blame: Mapping[str, float] = field(default_factory=dict[str, float])
    pool: tuple[Workflow, ...] = ()
    failed: tuple[Attempt, ...] = ()
    demos: int = 8
    variants: int = 3

    def seed(self, lab: Lab, name: str) -> str:
        """Return the seed of a draw within this iteration."""
        return f"{lab.seed}|{self.number}|{name}"

    @property
    def blamed(self) -> str | None:
        """The step most to blame, or None where nothing failed."""
        return next(iter(self.blame), None)


class Propose(Protocol):
    """An operator: from findings to candidates, none where it does not apply.

    A candidate carries its edits in words, its operator, the clusters aimed at, its hypothesis, the train examples that
    it is predicted to mend, and what its proposal cost. It keeps to the lab's guards (see `flowbot.search.making`).
    """

    async def __call__(self, lab: Lab, found: Findings) -> Sequence[Candidate]: ...


@dataclass(frozen=True)
class Operator:
    """An operator by name. `meta` are the meta calls that it makes, `structural` is True where steps come and go."""

    name: str
    propose: Propose
    meta: int = 0
    structural: bool = False
