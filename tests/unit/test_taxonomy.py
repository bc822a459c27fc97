"""The taxonomy: verdicts sorted into clusters, by a meta model or by words, whatever it replies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbot.engine.ports import Reply
from flowbot.engine.verdict import Verdict
from flowbot.search.findings import Attempt, Cluster
from flowbot.search.taxonomy import MOST_CLUSTERS, MOST_VERDICTS, Taxonomy, grouped, similar
from flowbot.workflow.fields import Json
from tests.sessions import Script, Scripted, meta_of
from tests.strategies import json_values


def verdict(example: str, rule: str = "Name the unit.", step: str = "say", defect: str = "prompt") -> Verdict:
    return Verdict(example, (step,) if step else (), defect, rule)


def reply(**clusters: Sequence[Any]) -> str:
    return json.dumps({"clusters": [{"name": name, "verdicts": list(found)} for name, found in clusters.items()]})


def merged(taxonomy: Taxonomy, verdicts: Sequence[Verdict], script: Script) -> Scripted:
    session = Scripted(script)
    asyncio.run(taxonomy.merge(verdicts, meta_of(session)))
    return session


def examples(clusters: Sequence[Cluster]) -> dict[str, tuple[str, ...]]:
    return {each.name: each.examples for each in clusters}


def test_verdicts_are_sorted_eight_at_a_time_into_known_and_new_clusters() -> None:
    taxonomy = Taxonomy()
    replies = [reply(units=[1, 2, 3, 4, 5, 6], dates=[7, 8]), reply(Units=[1], colours=[2])]
    session = merged(taxonomy, [verdict(f"e{n}") for n in range(10)], lambda r: replies[len(session_of(r))])
    assert [request.purpose for request in session.requests] == ["taxonomy", "taxonomy"]
    first, second = (request.messages[1]["content"] for request in session.requests)
    assert "clusters:\nnone yet" in first
    assert "8. [prompt at say] Name the unit." in first
    assert "9." not in first
    assert "- units (6): Name the unit." in second
    assert examples(taxonomy.open) == {
        "units": (*(f"e{n}" for n in range(6)), "e8"),
        "dates": ("e6", "e7"),
        "colours": ("e9",),
    }


def session_of(request: Any) -> str:
    return "x" if "units (6)" in request.messages[1]["content"] else ""


@pytest.mark.parametrize("said", ["garbage", Reply("", failure="refused"), "{}", '{"clusters": 3}'])
def test_without_a_usable_reply_words_decide(said: Any) -> None:
    verdicts = [
        verdict("e1", "Name the unit of the answer."),
        verdict("e2", "Always name the unit of the answer."),
        verdict("e3", "Name the unit of the answer.", step="plan"),
        verdict("e4", "Name the unit of the answer.", defect="structure"),
        verdict("e5", "Think twice."),
    ]
    taxonomy = Taxonomy()
    merged(taxonomy, verdicts, lambda r: said)
    assert [each.examples for each in taxonomy.open] == [("e1", "e2"), ("e3",), ("e4",), ("e5",)]
    assert taxonomy.open == grouped(verdicts)
    assert len({each.name for each in taxonomy.open}) == 4
    alone = Taxonomy()
    asyncio.run(alone.merge(verdicts, None))
    assert alone.open == taxonomy.open


def test_numbers_that_do_not_exist_or_come_twice_are_passed_over_and_the_rest_goes_by_words() -> None:
    taxonomy = Taxonomy()
    said = reply(units=[1, 0, 9], dates=[1, "no. 2", 77])
    merged(taxonomy, [verdict("e1"), verdict("e2"), verdict("e3", "Think twice.")], lambda r: said)
    assert examples(taxonomy.open) == {"units": ("e1",), "dates": ("e2",), "say: Think twice.": ("e3",)}


def test_known_names_are_taken_as_they_come_back() -> None:
    taxonomy = Taxonomy()
    merged(taxonomy, [verdict("e1"), verdict("e2")], lambda r: reply(units=[1, 2]))
    merged(taxonomy, [verdict("e3")], lambda r: reply(**{"- UNITS (2): Name the unit.": [1]}))
    assert examples(taxonomy.open) == {"units": ("e1", "e2", "e3")}


def test_a_newer_verdict_replaces_the_older_and_one_that_passes_leaves() -> None:
    taxonomy = Taxonomy()
    merged(taxonomy, [verdict("e1"), verdict("e2")], lambda r: reply(units=[1, 2]))
    merged(taxonomy, [verdict("e2", "Think twice.")], lambda r: reply(care=[1]))
    assert examples(taxonomy.open) == {"units": ("e1",), "care": ("e2",)}
    taxonomy.passed(["e1", "other"])
    assert examples(taxonomy.open) == {"care": ("e2",)}
    taxonomy.attempted(["units"], Attempt("an edit", "fix", "lost"))
    merged(taxonomy, [verdict("e3")], lambda r: reply(units=[1]))
    back = next(each for each in taxonomy.open if each.name == "units")
    assert back.attempts == (Attempt("an edit", "fix", "lost"),)
    assert back.rule == "Name the unit."


def test_defect_and_rule_are_the_most_frequent_and_ties_go_to_the_first() -> None:
    verdicts = [verdict("e1", "B."), verdict("e2", "A.", defect="tool"), verdict("e3", ""), verdict("e4", "A.")]
    taxonomy = Taxonomy()
    merged(taxonomy, verdicts, lambda r: reply(all=[1, 2, 3, 4]))
    assert (taxonomy.open[0].defect, taxonomy.open[0].rule) == ("prompt", "A.")
    taxonomy.passed(["e4"])
    assert taxonomy.open[0].rule == "B."


def test_open_clusters_come_largest_first_and_the_older_first_of_equals() -> None:
    taxonomy = Taxonomy()
    merged(taxonomy, [verdict(f"e{n}") for n in range(4)], lambda r: reply(one=[1], two=[2, 3], three=[4]))
    assert [each.name for each in taxonomy.open] == ["two", "one", "three"]


def test_one_first_verdict_needs_no_call() -> None:
    session = merged(taxonomy := Taxonomy(), [verdict("e1")], lambda r: "never")
    assert not session.requests
    assert examples(taxonomy.open) == {"say: Name the unit.": ("e1",)}


def test_what_is_kept_is_bounded() -> None:
    taxonomy = Taxonomy()
    asyncio.run(taxonomy.merge([verdict(f"e{n}", f"rule{n} word{n}") for n in range(50)], None))
    assert len(taxonomy.clusters) == MOST_CLUSTERS
    asyncio.run(taxonomy.merge([verdict(f"a{n}", "rule0 word0") for n in range(60)], None))
    assert taxonomy.open[0].examples == tuple(f"a{n}" for n in range(20, 60))
    assert len(taxonomy.open[0].verdicts) == MOST_VERDICTS
    name = taxonomy.open[0].name
    for number in range(20):
        taxonomy.attempted([name], Attempt(str(number), "fix", "lost"))
    assert [each.edit for each in taxonomy.open[0].attempts] == [str(number) for number in range(12, 20)]


def test_rules_alike() -> None:
    assert similar("Name the unit.", "name the UNIT, always")
    assert not similar("Name the unit.", "Think twice.")
    assert similar("", "")
    assert not similar("", "Think.")


words = st.sampled_from(["unit", "date", "count", "twice", "name", "sum"])
verdicts = st.builds(
    verdict,
    st.sampled_from([f"e{n}" for n in range(9)]),
    st.lists(words, max_size=4).map(" ".join),
    st.sampled_from(["say", "plan", ""]),
    st.sampled_from(["prompt", "tool"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(verdicts, max_size=20), json_values)
def test_every_verdict_is_in_exactly_one_cluster_whatever_the_reply(found: list[Verdict], value: Json) -> None:
    def play() -> Taxonomy:
        taxonomy = Taxonomy()
        text = json.dumps({"clusters": [{"name": value, "verdicts": value}, {"name": "x", "verdicts": [2, 3]}]})
        merged(taxonomy, found, lambda r: text)
        return taxonomy

    one = play()
    assert one == play()
    sorted_in = {each for cluster in one.open for each in cluster.examples}
    assert sorted_in == {each.example for each in found}
    assert len({each.name for each in one.clusters}) == len(one.clusters)
    assert all(len(each.examples) == len(each.verdicts) for each in one.clusters)
