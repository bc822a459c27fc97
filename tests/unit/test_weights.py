"""Thompson sampling of operators: gain for price, rests, and draws that depend on the seed alone."""

from __future__ import annotations

from collections import Counter

from flowbot.search.weights import REST, UNUSABLE, Weights


def first(weights: Weights, favoured: dict[str, float] | None = None) -> Counter[str]:
    names = ("good", "poor", "dear")
    return Counter(weights.order(names, f"seed {n}", favoured or {})[0] for n in range(1000))


def test_without_a_record_all_are_alike() -> None:
    drawn = first(Weights())
    assert all(250 < drawn[name] < 420 for name in ("good", "poor", "dear"))


def test_what_gained_for_little_is_drawn_more_often() -> None:
    weights = Weights()
    for _ in range(6):
        weights.raced("good", 1.0, 20)
        weights.raced("poor", 0.0, 20)
        weights.raced("dear", 1.0, 200)
    drawn = first(weights)
    assert drawn["good"] > 900
    assert weights.order(["poor", "dear"], "s", {})[0] in ("poor", "dear")


def test_what_mends_the_defect_at_hand_is_favoured() -> None:
    assert first(Weights(), {"poor": 5.0})["poor"] > 600


def test_a_draw_depends_on_the_seed_and_the_records_alone() -> None:
    assert Weights().order("abc", "x", {}) == Weights().order("abc", "x", {})
    assert len({tuple(Weights().order("abcdef", f"x{n}", {})) for n in range(20)}) > 10


def test_an_operator_that_makes_nothing_rests_and_comes_back() -> None:
    weights = Weights()
    for _ in range(UNUSABLE):
        assert not weights.rests("fix")
        weights.proposed("fix", usable=False)
    assert [weights.rests("fix") for _ in range(REST)] == [True] * REST
    assert not weights.rests("fix")  # one more try
    weights.proposed("fix", usable=False)
    assert weights.rests("fix")
    weights.proposed("fix", usable=True)
    assert not weights.rests("fix")
