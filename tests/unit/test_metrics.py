"""The pure metrics against values worked out by hand."""

from __future__ import annotations

import pytest

from flowbot.task.data import Example, split_examples
from flowbot.task.metrics import PURE, Score, last_number, normalised
from flowbot.workflow.fields import Json


def score(name: str, target: Json, output: Json) -> float:
    return PURE[name](Example("1", {}, target), output).value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("The  Quick, brown Fox!", "quick brown fox"),
        ("An apple a day", "apple day"),
        ("theatre", "theatre"),
        (7.0, "7"),
        (True, "true"),
    ],
)
def test_normalisation_is_squads(value: Json, text: str) -> None:
    assert normalised(value) == text


@pytest.mark.parametrize(
    ("target", "output", "value"),
    [
        ("Denver Broncos", "the Denver Broncos.", 1.0),
        ("Denver Broncos", "Broncos", 2 / 3),  # precision 1, recall 1/2
        ("gold and silver", "gold", 1 / 2),  # precision 1, recall 1/3
        ("in the north of France", "France, in Europe", 4 / 7),  # 2 common; precision 2/3, recall 2/4
        ("a b c", "b b c", 4 / 5),  # 'a' is an article: 2 common; precision 2/3, recall 2/2
        ("yes", "no", 0.0),
        ("the", "an", 1.0),  # both are empty after normalisation
        ("the", "cat", 0.0),
        (["cat", "small dog"], "dog", 2 / 3),
    ],
)
def test_f1_is_squads(target: Json, output: Json, value: float) -> None:
    assert score("f1", target, output) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 1,234.50.", 1234.5),
        ("#### 18", 18),
        ("it rose by 12%", 12),
        ("-3.", -3),
        (".5", 0.5),
        ("6.02e23 atoms", 6.02e23),
        ("one of 1,2,3", 3),
        ("$1,234,567", 1234567),
        ("3, 5", 5),
        ("no digits", None),
        (42, 42),
        (True, None),
        (10**400, float("inf")),
    ],
)
def test_the_last_number(text: Json, number: float | None) -> None:
    assert last_number(text) == number


@pytest.mark.parametrize(
    ("target", "output", "value"),
    [
        ("... #### 1,234", "so it is 1234.", 1.0),
        (0.3, 0.1 + 0.2, 1.0),
        (5, "5%", 1.0),
        (5, "6", 0.0),
        (5, "five", 0.0),
        (5, "1e999", 0.0),
    ],
)
def test_number(target: Json, output: Json, value: float) -> None:
    assert score("number", target, output) == value


def test_a_target_without_a_number_is_an_error_of_the_data() -> None:
    with pytest.raises(ValueError, match="example '1': the target 'none' holds no number"):
        score("number", "none", "5")


@pytest.mark.parametrize(
    ("name", "target", "output", "value"),
    [
        ("exact", "Paris", "paris.", 1.0),
        ("exact", ["Paris", "Lutetia"], "the Lutetia", 1.0),
        ("exact", "Paris", "Paris, France", 0.0),
        ("exact", 7, "7", 1.0),
        ("contains", "Paris", "It is Paris, of course", 1.0),
        ("contains", "cat", "concatenate", 0.0),
        ("contains", ["dog", "cat"], "a cat", 1.0),
        ("choice", "Spam", ' "spam". ', 1.0),
        ("choice", "spam", "spam or ham", 0.0),
        ("choice", "spam", "no spam", 0.0),
        ("json", {"a": 1, "b": "X"}, {"a": 1.0, "b": "x"}, 1.0),
        ("json", {"a": 1, "b": "X"}, '{"a": 1, "b": "y"}', 0.5),
        ("json", {"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1}, 0.25),
        ("json", {"a": True}, {"a": 1}, 0.0),
        ("json", {"a": [1, 2]}, {"a": [1, 2], "more": 1}, 1.0),
        ("json", {"a": 1}, "no object", 0.0),
        ("json", {"a": 1}, "[" * 100_000, 0.0),
        ("json", '{"a": 1}', {"a": 1}, 1.0),
        ("json", "plain", "Plain", 1.0),
        ("exact", "1.5", "15", 0.0),
        ("exact", "5", "-5", 0.0),
        ("exact", "5", "5.0", 1.0),
        ("exact", "1,234", "1234.", 1.0),
        ("exact", "12345678901234567890", "12345678901234567891", 0.0),
        ("exact", "C++", "C#", 0.0),
        ("exact", "C++", "c++.", 1.0),
        ("exact", "C", "C#", 0.0),
        ("exact", "+", "-", 0.0),
        ("exact", "A", "The", 0.0),
        ("exact", "A", "a.", 1.0),
        ("exact", "A+", "A-", 0.0),
        ("exact", "version 1.5", "version 15", 0.0),
        ("exact", "10:30", "1030", 0.0),
        ("exact", "e-mail", "Email", 1.0),
        ("exact", "Paris", "- **Paris**", 1.0),
        ("exact", "#### 7", "7", 1.0),
        ("exact", "x + y", "x - y", 0.0),
        ("exact", "", "x", 0.0),
        ("exact", ".", "!", 0.0),
        ("contains", "A", "The answer is A", 1.0),
        ("contains", "A", "The answer is B, a fruit", 0.0),
        ("contains", "5", "It is -5.", 0.0),
        ("contains", "-5", "It is -5.", 1.0),
        ("contains", "C", "It is C++", 0.0),
        ("contains", "", "anything", 0.0),
    ],
)
def test_scores(name: str, target: Json, output: Json, value: float) -> None:
    assert score(name, target, output) == value


@pytest.mark.parametrize(
    ("name", "target", "output", "value"),
    [
        ("exact", ["a b", "c"], ["A b.", "the C"], 1.0),
        ("exact", ["b", "c"], ["c", "b"], 0.0),
        ("exact", ["b", "c"], ["b"], 0.0),
        ("exact", ["b"], "b", 1.0),
        ("exact", [], [], 1.0),
        ("exact", [], ["b"], 0.0),
        ("exact", [["b"], ["c"]], [["b"], ["c"]], 1.0),
        ("exact", "b", ["b"], 0.0),
        ("exact", {"x": [1]}, {"x": [1.0]}, 1.0),
        ("exact", {"x": 1}, '{"x": 1}', 1.0),
        ("contains", ["b", "c"], ["b"], 0.0),
        ("contains", ["b", "c"], ["c", "d", "b"], 1.0),
        ("contains", {"x": 1}, {"x": 1, "y": 2}, 1.0),
        ("f1", ["b", "c"], ["b", "c"], 1.0),
        ("f1", ["b", "c"], ["b"], 2 / 3),
        ("json", ["b", "c"], ["b", "c"], 1.0),
        ("json", ["b", "c"], '["b", "c"]', 1.0),
        ("json", ["b", "c"], ["c", "b"], 0.0),
        ("json", ["b", "c"], ["b"], 0.0),
        ("json", ["b", "c"], "b", 1.0),
        ("json", [{"x": 1}, {"x": True}], [{"x": 1.0}, {"x": True}], 1.0),
        ("json", [{"x": 1}], [{"x": True}], 0.0),
        ("json", {}, {}, 1.0),
        ("json", {}, {"x": 1}, 0.0),
        ("json", {"x": [1, True]}, {"x": [1, 1]}, 0.0),
    ],
)
def test_a_list_as_output_is_compared_whole(name: str, target: Json, output: Json, value: float) -> None:
    assert score(name, target, output) == pytest.approx(value)


def test_feedback_says_what_was_expected() -> None:
    example = Example("1", {}, {"a": 1, "b": 2})
    assert PURE["json"](example, {"a": 2}).feedback == "b is missing; a: expected '1', got '2'."
    assert PURE["exact"](Example("1", {}, "x"), "y").feedback == "Wrong: expected 'x', got 'y'."
    assert PURE["number"](Example("1", {}, 3), "4").feedback == "Wrong: expected 3, got 4."
    assert len(PURE["exact"](Example("1", {}, "x"), "y" * 999).feedback) < 260


def test_a_score_lies_between_0_and_1() -> None:
    for value in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match="must lie in"):
            Score(value)


def test_dealing_depends_on_ids_and_seed_alone() -> None:
    examples = [Example(f"e{index}", {}) for index in range(20)]
    shares = {"train": 0.4, "val": 0.4, "test": 0.2}
    dealt = split_examples(examples, shares, 3)
    assert dealt == split_examples(examples[::-1], shares, 3)
    assert dealt != split_examples(examples, shares, 4)
    assert [len(dealt[name]) for name in shares] == [8, 8, 4]
    assert len({each.id for split in dealt.values() for each in split}) == 20


@pytest.mark.parametrize("shares", [{}, {"train": 0.0}, {"train": 0.9, "val": 0.2}, {"train": 0.99, "val": 0.01}])
def test_bad_shares_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"share"):
        split_examples([Example(f"e{index}", {}) for index in range(5)], shares, 0)
