"""The faults that can be planted: for each a start that has it, and a workflow by hand that has not. One entry each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flowbot.models.scripted.orders import INPUT, OUTPUT, Trade, draw
from flowbot.models.scripted.trades import STAGES, Conventions, Lookup, Parts

Steps = list[dict[str, Any]]  # as they stand in a file
CHAIN = ("note", "weigh", "write")
ANEW = ("gather", "judge", "answer")  # a chain that owes nothing to the start
SAY = {
    "note": "Read the order and note what its marks depend on.",
    "weigh": "Go on with the notes: weigh how the order travels.",
    "write": "Finish the notes and write the marks of the order.",
}
HOUSE = "This is a house where every order carries the mark X7. "  # the trap: false, and no bullet
MARKS = {OUTPUT: "list[text]"}


def call(step_id: str, reads: Sequence[str], gives: Mapping[str, str], prompt: str) -> dict[str, Any]:
    """Return a call as it stands in a file."""
    return {"id": step_id, "kind": "call", "reads": list(reads), "gives": dict(gives), "prompt": prompt}


def looked(step_id: str, tool: str, query: str) -> dict[str, Any]:
    """Return a tool step that asks one of the tools."""
    gives = {"found": "list[text]"}
    return {"id": step_id, "kind": "tool", "tool": tool, "args": {"query": query}, "gives": gives}


def chain(trade: Conventions, without: Sequence[int] = (), before: str = "", ids: Sequence[str] = CHAIN) -> Steps:
    """Return the three calls, each with the lines of its stage, but for some conventions."""
    prompts: list[str] = []
    for step_id, stage in zip(CHAIN, STAGES, strict=True):
        lines = [f"- {trade.all[number].line}" for number in trade.of(stage) if number not in without]
        prompts.append("\n\n".join([before + SAY[step_id], *(["\n".join(lines)] if lines else [])]))
    return [
        call(ids[0], [INPUT], {"notes": "text"}, prompts[0]),
        call(ids[1], [f"{ids[0]}.notes"], {"notes": "text"}, prompts[1]),
        call(ids[2], [f"{ids[1]}.notes"], MARKS, prompts[2]),
    ]


@dataclass(frozen=True)
class Planted:
    """A start with its fault. `blamed` are the steps that a right blame names first; empty where nothing is to blame.

    `defect` is the kind of defect, `rule` what would mend it, in words; `cheaper` is True where the fault costs money
    and not points.
    """

    start: Steps
    best: Steps
    blamed: frozenset[str] = frozenset()
    defect: str = ""
    rule: str = ""
    cheaper: bool = False


@dataclass(frozen=True)
class Fault:
    """A kind of fault: what is wrong in one line, the work, and how a world's seed plants it.

    `wrong_labels` is the share of labels drawn at random, `tools` are the functions that steps may use.
    """

    about: str
    trade: Callable[[int], Trade]
    plant: Callable[[Any, int], Planted]
    wrong_labels: float = 0.0
    tools: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict[str, Any])


def missing_instruction(trade: Conventions, seed: int) -> Planted:
    """Leave one convention's line out, at a step drawn by the seed."""
    gone = int(len(trade.all) * draw(seed, "gone"))
    step = CHAIN[STAGES.index(trade.all[gone].stage)]
    return Planted(chain(trade, [gone]), chain(trade), frozenset({step}), "prompt", trade.all[gone].line)


def missing_hop(trade: Lookup, seed: int) -> Planted:
    """Search once where the first document only names the port that must be searched for."""
    answer = "Give the mark that the documents say."
    start = [looked("search", "search", f"${INPUT}"), call("answer", [INPUT, "search.found"], MARKS, answer)]
    best = [
        start[0],
        call("read", [INPUT, "search.found"], {"notes": "text"}, "Note the port that the firm ships through."),
        looked("again", "search", "$read.notes"),
        call("answer", ["read.notes", "again.found"], MARKS, answer),
    ]
    rule = "Search again for the port that the first document names."
    return Planted(start, best, frozenset({"search", "answer"}), "structure", rule)


def wrong_tool(trade: Lookup, seed: int) -> Planted:
    """Ask the archive, which is out of date, where the register knows."""
    answer = call("answer", [INPUT, "look.found"], MARKS, "Give the mark that was looked up.")
    rule = "Look the firm up in the register: the archive is out of date."
    start, best = ([looked("look", tool, f"${INPUT}"), answer] for tool in ("archive", "register"))
    return Planted(start, best, frozenset({"look"}), "tool", rule)


def lossy_type(trade: Conventions, seed: int) -> Planted:
    """Let one of the first two calls give a number or a choice, which cannot hold the notes."""
    start, best, at = chain(trade), chain(trade), int(2 * draw(seed, "at"))
    kind = "number" if draw(seed, "kind") < 0.5 else "choice[light, heavy]"
    start[at]["gives"] = {"notes": kind}
    for steps in (start, best):  # the last call can begin anew where the notes are lost
        steps[-1]["reads"] = [INPUT, "weigh.notes"]
    rule = f"Notes must be handed on whole, as text: {kind.partition('[')[0]} cannot hold them."
    return Planted(start, best, frozenset({CHAIN[at]}), "parameter", rule)


def small_loop(trade: Parts, seed: int) -> Planted:
    """Let a loop that does one part a turn end after two turns; half of the orders need three and the answer."""
    start, best = (
        [
            {
                "id": "rounds",
                "kind": "loop",
                "max": turns,
                "until": "work.done",
                "gives": {"notes": "text"},
                "body": [
                    call("work", [INPUT, "previous.notes"], {"notes": "text", "done": "bool"}, "Do the next part.")
                ],
            },
            call("write", ["rounds.notes"], MARKS, "Do what is left and write the marks."),
        ]
        for turns in (2, 3)
    )
    rule = "Let the rounds go on until all parts are done: allow more turns."
    return Planted(start, best, frozenset({"rounds", "work"}), "parameter", rule)


def useless_step(trade: Conventions, seed: int) -> Planted:
    """Let five samples of a remark be written and read, which change nothing."""
    best = chain(trade)
    vote = {
        "id": "remarks",
        "kind": "vote",
        "n": 5,
        "gives": {"remark": "text"},
        "body": [call("remark", [INPUT], {"remark": "text"}, "Write a remark on the order.")],
    }
    start = [*best[:2], vote, {**best[2], "reads": ["weigh.notes", "remarks.remark"]}]
    return Planted(start, best, defect="structure", rule="Leave the remarks out.", cheaper=True)


def bad_seed(trade: Conventions, seed: int) -> Planted:
    """Let a false statement stand in every prompt of the start: each of them alone spoils the answer."""
    start = chain(trade, without=range(len(trade.all)), before=HOUSE)
    rule = "Not every order carries the mark X7: no step may say so."
    return Planted(start, chain(trade, ids=ANEW), frozenset(CHAIN), "prompt", rule)


def faultless(trade: Conventions, seed: int) -> Planted:
    """Plant nothing."""
    return Planted(chain(trade), chain(trade))


def blank(trade: Conventions, seed: int) -> Planted:
    """Begin with nothing but one call with the task's description."""
    start = [call("answer", [INPUT], MARKS, trade.description)]
    rule = "Do the work in three steps."
    return Planted(start, chain(trade, ids=ANEW), frozenset({"answer"}), "structure", rule)


FAULTS: Mapping[str, Fault] = {
    "missing_instruction": Fault("a step's instruction lacks a rule", Conventions, missing_instruction),
    "missing_hop": Fault("a second search is missing", lambda seed: Lookup(), missing_hop, tools=("search",)),
    "wrong_tool": Fault(
        "the wrong one of two tools is asked", lambda seed: Lookup(), wrong_tool, tools=("archive", "register")
    ),
    "lossy_type": Fault("an intermediate field has a type that cannot hold the notes", Conventions, lossy_type),
    "small_loop": Fault("a loop ends before the work is done", Parts, small_loop),
    "useless_step": Fault("a costly step changes nothing", Conventions, useless_step),
    "bad_seed": Fault("every prompt makes the same false statement", lambda s: Conventions(s, (0, 2, 4)), bad_seed),
    "contradictory_labels": Fault("40 % of the labels are drawn at random", Conventions, faultless, wrong_labels=0.4),
    "nothing": Fault("nothing is wrong", Conventions, faultless),
    "blank": Fault("the start is one call that knows no rule", Conventions, blank),
}
