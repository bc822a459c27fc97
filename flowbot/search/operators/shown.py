"""What operators with a meta model are shown, each part within a room, and which examples they say to mend."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from flowbot.engine.chat import Sections
from flowbot.engine.verdict import cut, fair
from flowbot.search.findings import Cluster, Findings
from flowbot.search.lab import Lab
from flowbot.workflow.bullets import bullets
from flowbot.workflow.draw import signature
from flowbot.workflow.fields import as_text
from flowbot.workflow.graph import Workflow
from flowbot.workflow.steps import Call

AIMED, WHOLE = 3, 8  # clusters that an edit of prompts aims at, and one that draws a whole workflow
MOST_EXAMPLES, MOST_RULES, MOST_FAILED, MOST_BLAMED = 8, 3, 8, 6
LONGEST_INPUTS = 300  # characters of one example's inputs


def aimed(found: Findings, most: int = AIMED) -> tuple[Cluster, ...]:
    """Return the clusters that an edit is to mend: the largest."""
    return found.clusters[:most]


def evidence(lab: Lab, found: Findings, clusters: Sequence[Cluster]) -> Sections:
    """Return the sections on what fails: clusters, who is to blame, failing examples, edits that were tried in vain."""
    room = lab.meta.clip // 2
    sections = [
        ("clusters", clusters_told(clusters, room)),
        ("blame", ", ".join(f"{step} {share:.0%}" for step, share in [*found.blame.items()][:MOST_BLAMED])),
        ("examples", examples_told(lab, clusters, room)),
        ("failed attempts", failed_told(found, room)),
    ]
    return [(label, text) for label, text in sections if text]


def clusters_told(clusters: Sequence[Cluster], room: int) -> str:
    """Return clusters with their counts, defects, the steps blamed first, and their rules, the most frequent first."""
    lines: list[str] = []
    for number, cluster in enumerate(clusters, 1):
        steps = _frequent(each.blame[0] for each in cluster.verdicts if each.blame)
        at = f" at {steps[0]}" if steps else ""
        ids = ", ".join(cluster.examples[:MOST_EXAMPLES])
        lines.append(f"{number}. {cluster.name}: {len(cluster.examples)} failures ({ids}), {cluster.defect}{at}")
        rules = _frequent(each.rule for each in cluster.verdicts if each.rule) or [cluster.rule]
        lines += [f"   rule: {rule}" for rule in rules[:MOST_RULES] if rule]
    return "\n".join(fair(lines, max(0, room - len(lines))))


def _frequent(texts: Iterable[str]) -> list[str]:
    """Return texts by how often they stand there; of equals, the first one first."""
    return [text for text, _ in Counter(texts).most_common()]


def examples_told(lab: Lab, clusters: Sequence[Cluster], room: int) -> str:
    """Return failing examples by id with their inputs, one of each cluster in turn."""
    by_id = {example.id: example for example in lab.train}
    rows = [[each for each in cluster.examples if each in by_id] for cluster in clusters]
    dealt = [row[place] for place in range(max(map(len, rows), default=0)) for row in rows if place < len(row)]
    lines: list[str] = []
    for each in [*dict.fromkeys(dealt)][:MOST_EXAMPLES]:
        inputs = "; ".join(f"{name}: {' '.join(as_text(v).split())}" for name, v in by_id[each].inputs.items())
        lines.append(cut(f"{each}: {inputs}", LONGEST_INPUTS))
    return "\n".join(fair(lines, max(0, room - len(lines))))


def failed_told(found: Findings, room: int) -> str:
    """Return the newest edits that were tried and lost."""
    lines = [f"- {each.operator}: {each.edit}: {each.outcome}" for each in found.failed[-MOST_FAILED:]]
    return "\n".join(fair([" ".join(line.split()) for line in lines], max(0, room - len(lines))))


def prompts_told(workflow: Workflow, room: int, steps: Sequence[Call] | None = None) -> str:
    """Return the instructions of calls (all, unless `steps` names some), their bullets with ids in brackets."""
    calls = workflow.calls if steps is None else steps
    heads = [f"## {signature(call)}" for call in calls]
    texts = fair([numbered(call.prompt) for call in calls], max(0, room - sum(len(head) + 3 for head in heads)))
    return "\n\n".join(f"{head}\n{text}" for head, text in zip(heads, texts, strict=True))


def numbered(prompt: str) -> str:
    """Return an instruction with the id of each bullet in it: `- [b1a2] Be brief.`"""
    for name, text in bullets(prompt).items():
        prompt = re.sub(rf"(?m)^- {re.escape(text)}$", lambda found, name=name: f"- [{name}] {found[0][2:]}", prompt)
    return prompt


def predicted(said: Sequence[str], clusters: Sequence[Cluster]) -> tuple[str, ...]:
    """Return the failing examples that a proposal says to mend; all of the clusters where it names none of them."""
    known = dict.fromkeys(each for cluster in clusters for each in cluster.examples)
    words = [word for text in said for word in (text, *re.split(r"[\s,;:]+", text))]
    return tuple(dict.fromkeys(word for word in words if word in known)) or tuple(known)
