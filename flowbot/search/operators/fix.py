"""Fix: a new instruction for the call that is most to blame, which accounts for every rule that it drops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowbot.engine.backward import loss_of
from flowbot.engine.loose import LISTED, SAID
from flowbot.engine.trace import Trace
from flowbot.engine.verdict import cut, echoes, fair
from flowbot.search.findings import Cluster, Findings, Operator
from flowbot.search.lab import Candidate, Lab
from flowbot.search.making import made, proposed
from flowbot.search.operators.aim import behind
from flowbot.search.operators.rewrite import accounted
from flowbot.search.operators.shown import aimed, evidence, numbered, predicted
from flowbot.workflow.body import Block, walk
from flowbot.workflow.draw import outline, signature
from flowbot.workflow.edits import words
from flowbot.workflow.fields import Json, as_text
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call
from flowbot.workflow.tuning import SetPrompt

REPLY = {"hypothesis": SAID, "instruction": SAID, "dropped": LISTED, "flips": LISTED}
RUNS = 4  # of failing examples that the writer sees


async def propose(lab: Lab, found: Findings) -> Sequence[Candidate]:
    """Propose a rewrite of the most blamed call, or of the call behind the most blamed step; nothing without failures.

    Bullets that the rewrite neither keeps nor drops by name are put back, and so are frozen blocks.
    """
    call = target(found)
    if call is None or not found.clusters:
        return []
    clusters = _of(found, call.id)
    sections = [
        ("workflow", outline(found.parent)),
        ("step", signature(call)),
        ("instruction", numbered(call.prompt)),
        ("runs", _runs(found, call.id, clusters, lab.meta.clip)),
        *evidence(lab, found, clusters),
    ]

    def make(values: Mapping[str, Json]) -> Workflow:
        text = values["instruction"]
        if not text or echoes(text, lab.meta.prompts["proposal_fix"]):
            raise ValueError("write the whole new instruction for that call, in your own words")
        prompt = accounted(call.prompt, text, values["dropped"])
        return made(lab, found.parent, [SetPrompt(step=call.id, prompt=prompt)])

    got = await proposed(lab, found, "fix", sections, REPLY, make)
    if got is None:
        return []
    child, values, paid = got
    told = words(SetPrompt(step=call.id, prompt=child.prompts[call.id]))
    edits = (cut(f"{told}: {values['hypothesis']}", 200),)
    names = tuple(cluster.name for cluster in clusters)
    flips = predicted(values["flips"], clusters)
    return [Candidate(child, found.parent.id, edits, values["hypothesis"], "fix", names, flips, paid)]


def target(found: Findings) -> Call | None:
    """Return the call to rewrite: that of the most blamed step for which there is one that is not frozen."""
    parent = found.parent
    for step_id in found.blame:
        step = next((step for step in parent.all_steps if step.id == step_id), None)
        if step is None:
            continue
        calls: list[Call | None] = [step] if isinstance(step, Call) else []
        if isinstance(step, Block):
            calls = [inner for inner in reversed([*walk([step])]) if isinstance(inner, Call)]
        if not calls:
            calls = [behind(parent, f"{step.id}.{name}") for name in step.gives]
        free = [call for call in calls if call is not None and call.id not in parent.frozen_ids]
        if free:
            return free[0]
    return None


def _of(found: Findings, step_id: str) -> tuple[Cluster, ...]:
    """Return the clusters in which a step is blamed first, else the largest."""
    blamed = [each for each in found.clusters if any(verdict.blame[:1] == (step_id,) for verdict in each.verdicts)]
    return tuple(blamed[: len(aimed(found))]) or aimed(found)


def _runs(found: Findings, step_id: str, clusters: Sequence[Cluster], room: int) -> str:
    """Return what the call read and gave on failing examples, and what came of it."""
    failing = {each for cluster in clusters for each in cluster.examples}
    traces = [trace for trace in found.traces if trace.example.id in failing and trace.of(step_id)][:RUNS]
    return "\n\n".join(fair([_run(trace, step_id) for trace in traces], max(0, room - 2 * len(traces))))


def _run(trace: Trace, step_id: str) -> str:
    (part,) = trace.of(step_id)
    read = "\n".join(f"read {name}: {as_text(value)}" for name, value in part.reads.items() if value is not None)
    gave = part.error or "\n".join(f"gave {name}: {as_text(value)}" for name, value in part.gives.items())
    return f"{trace.example.id}\n{read}\n{gave}\n{loss_of(trace).critique}"


OPERATOR = Operator("fix", propose, meta=1)
