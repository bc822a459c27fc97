"""The taxonomy: failures sorted by their cause, over all iterations, with counts and what was tried."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from flowbot.engine.loose import NUMBERED, SAID, records
from flowbot.engine.meta import Meta
from flowbot.engine.verdict import Verdict, cut
from flowbot.search.findings import Attempt, Cluster

GROUP = 8  # verdicts that one meta call sorts
MOST_CLUSTERS, MOST_VERDICTS, MOST_ATTEMPTS = 30, 40, 8
ALIKE = 0.5  # share of common words from which two rules say the same
LONGEST_NAME = 60
REPLY = {"clusters": records(name=SAID, verdicts=NUMBERED)}


@dataclass
class Taxonomy:
    """The clusters found so far, each under a name of its own.

    The order of everything depends on the verdicts and the replies alone. At most 30 clusters are kept, the largest,
    with the newest 40 verdicts and 8 attempts of each.
    """

    clusters: tuple[Cluster, ...] = ()

    async def merge(self, verdicts: Sequence[Verdict], meta: Meta | None) -> None:
        """Sort verdicts into clusters, eight in a meta call; without a meta model, and where none is told, by words.

        An example's newer verdicts take the place of its older ones. Raises what the session raises.
        """
        self.passed({verdict.example for verdict in verdicts})
        for start in range(0, len(verdicts), GROUP):
            group = verdicts[start : start + GROUP]
            names = await self._named(group, meta) if meta is not None else {}
            for number, verdict in enumerate(group, 1):
                name = names.get(number) or _alike(verdict, self.clusters)
                self.clusters = _put(self.clusters, name, verdict)
        ranked = sorted(self.clusters, key=lambda each: -len(each.verdicts))
        kept = {each.name for each in ranked[:MOST_CLUSTERS]}
        self.clusters = tuple(each for each in self.clusters if each.name in kept)

    async def _named(self, group: Sequence[Verdict], meta: Meta) -> dict[int, str]:
        """Ask for the cluster of each verdict by its number; the first that names a number has it."""
        if len(group) == 1 and not self.open:
            return {}  # there is nothing to sort
        numbered = [f"{number}. {_worded(verdict)}" for number, verdict in enumerate(group, 1)]
        known = [f"- {each.name} ({len(each.verdicts)}): {each.rule}" for each in self.open]
        sections = [("clusters", "\n".join(known) or "none yet"), ("verdicts", "\n".join(numbered))]
        reply = await meta.ask("taxonomy", sections, REPLY)
        found: dict[int, str] = {}
        for entry in reply["clusters"] if reply else ():
            name = _spelled(entry["name"], self.clusters)
            for number in entry["verdicts"] if name else ():
                found.setdefault(number, name)
        return found

    def passed(self, examples: Collection[str]) -> None:
        """Take examples that now pass (or have newer verdicts) out of their clusters."""
        gone = set(examples)
        self.clusters = tuple(
            _made(each, [verdict for verdict in each.verdicts if verdict.example not in gone]) for each in self.clusters
        )

    @property
    def open(self) -> tuple[Cluster, ...]:
        """The clusters with examples that fail, largest first, the older one first where two are as large."""
        left = [each for each in self.clusters if each.verdicts]
        return tuple(sorted(left, key=lambda each: -len(each.examples)))

    def attempted(self, names: Collection[str], attempt: Attempt) -> None:
        """Remember what was tried for some clusters, and what came of it."""
        self.clusters = tuple(
            replace(each, attempts=(*each.attempts, attempt)[-MOST_ATTEMPTS:]) if each.name in names else each
            for each in self.clusters
        )


def grouped(verdicts: Sequence[Verdict]) -> tuple[Cluster, ...]:
    """Return verdicts as clusters without a meta call: alike in defect, first step blamed, and words of the rule."""
    found: tuple[Cluster, ...] = ()
    for verdict in verdicts:
        found = _put(found, _alike(verdict, found), verdict)
    return Taxonomy(found).open


def _spelled(name: str, clusters: Sequence[Cluster]) -> str:
    """Return the name of a cluster as it is spelled already, also where it comes with its count; else a short one."""
    plain = cut(" ".join(name.split()), LONGEST_NAME)
    bare = re.sub(r"^- |\s*\(\d+\).*$", "", plain).casefold()
    return next((each.name for each in clusters if each.name.casefold() in (plain.casefold(), bare)), plain)


def _put(clusters: tuple[Cluster, ...], name: str, verdict: Verdict) -> tuple[Cluster, ...]:
    """Put a verdict into the cluster of a name, into a new one where there is none."""
    name = _spelled(name, clusters)
    if not any(each.name == name for each in clusters):
        clusters = (*clusters, Cluster(name, verdict.defect, verdict.rule))
    return tuple(_with(each, verdict) if each.name == name else each for each in clusters)


def _alike(verdict: Verdict, clusters: Sequence[Cluster]) -> str:
    """Return the name of the cluster that a verdict belongs to by its words: a known one, else a new one."""
    for cluster in clusters:
        first = cluster.verdicts[0] if cluster.verdicts else None
        same_step = first is None or first.blame[:1] == verdict.blame[:1]
        if cluster.defect == verdict.defect and same_step and similar(cluster.rule, verdict.rule):
            return cluster.name
    words = " ".join(verdict.rule.split()[:6]) or verdict.defect
    name = base = cut(f"{verdict.blame[0]}: {words}" if verdict.blame else words, LONGEST_NAME - 4)
    number, taken = 2, {each.name.casefold() for each in clusters}
    while name.casefold() in taken:
        name, number = f"{base} {number}", number + 1
    return name


def similar(one: str, other: str) -> bool:
    """Tell whether two rules say the same: half of their words are common (two empty ones do)."""
    mine, theirs = _words(one), _words(other)
    return len(mine & theirs) >= ALIKE * len(mine | theirs)


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))


def _with(cluster: Cluster, verdict: Verdict) -> Cluster:
    """Return a cluster with one verdict more, the one of its example."""
    others = [each for each in cluster.verdicts if each.example != verdict.example]
    return _made(cluster, [*others, verdict][-MOST_VERDICTS:])


def _made(cluster: Cluster, verdicts: Sequence[Verdict]) -> Cluster:
    """Return a cluster of these verdicts; its defect and rule are the most frequent, of several the first."""
    if not verdicts:
        return replace(cluster, verdicts=())
    defect = _first_most([each.defect for each in verdicts])
    rule = _first_most([each.rule for each in verdicts if each.rule]) or cluster.rule
    return replace(cluster, defect=defect, rule=rule, verdicts=tuple(verdicts))


def _first_most(texts: Sequence[str]) -> str:
    counts = Counter(texts)
    return max(counts, key=lambda text: counts[text], default="")


def _worded(verdict: Verdict) -> str:
    return f"[{verdict.defect} at {', '.join(verdict.blame[:2]) or 'no step'}] {verdict.rule or '(no rule)'}"


def sortings(verdicts: int) -> int:
    """Return how many meta calls sort so many verdicts."""
    return -(-verdicts // GROUP)
