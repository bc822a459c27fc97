"""Training text in prompts is found: rare runs of five words, long answers; the task's own words are not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.faces.wiring import PROMPT_WORDS, prompt_guard
from flowbot.task.data import Example
from flowbot.task.leaks import Leaks
from flowbot.workflow.fields import Json
from flowbot.workflow.steps import PROMPT_CAP

TOLD = "my parcel was left behind the green gate"


def leaks(*told: str, target: Json = "ok", allowed: str = "Sort a customer message.") -> Leaks:
    return Leaks.of([Example(str(n), {"q": text}, target) for n, text in enumerate(told)], allowed)


@pytest.mark.parametrize(
    "prompt",
    [
        "If the parcel was left behind the door, say so.",
        "PARCEL, was-left: (behind) The?",
        "x my parcel was left behind",
        "left behind the green gate",
    ],
)
def test_a_run_of_five_words_of_one_example_is_found(prompt: str) -> None:
    assert leaks(TOLD).find(prompt)


@pytest.mark.parametrize(
    "prompt", ["parcel was left behind", "behind left was parcel the", "the parcels was left behind", ""]
)
def test_less_is_not(prompt: str) -> None:
    assert leaks(TOLD).find(prompt) == ""


def test_what_many_examples_say_is_the_tasks_language() -> None:
    assert leaks(TOLD, TOLD).find(TOLD)
    assert leaks(TOLD, TOLD, TOLD).find(TOLD) == ""


def test_what_one_example_says_again_and_again_is_still_its_own() -> None:
    assert leaks(" ".join([TOLD] * 4)).find(TOLD)


def test_the_tasks_own_words_are_allowed() -> None:
    assert leaks(TOLD, allowed=f"Say where {TOLD}.").find(TOLD) == ""


@pytest.mark.parametrize("target", ["Customer Service Desk", ["short", "customer service desk"]])
def test_a_long_answer_is_found_as_whole_words(target: Json) -> None:
    found = leaks("hi", target=target)
    assert found.find("Send it to the customer-service desk.") == "customer service desk"
    assert found.find("Send it to the customer service desks.") == ""


@pytest.mark.parametrize(
    ("target", "told"), [("billing", ["a"]), ("customer service desk", ["a", "b", "c"]), (None, ["a"])]
)
def test_a_short_or_common_answer_is_not(target: Json, told: Sequence[str]) -> None:
    assert leaks(*told, target=target).find(f"Say {target}.") == ""


def test_inputs_that_are_no_text_count_as_they_are_read() -> None:
    found = Leaks.of([Example("1", {"q": ["one two three", "four five six"]}, 1)], "")
    assert found.find("three four five six seven") == ""
    assert found.find("one two three four five")


@given(st.lists(st.sampled_from("abcdefgh"), min_size=5, max_size=12), st.data())
def test_every_run_of_every_example_is_found(words: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(words) - 5))
    copied = " ".join(words[start : start + 5])
    assert leaks(" ".join(words)).find(f"zz {copied} zz")


def test_the_guard_says_what_is_wrong() -> None:
    guard = prompt_guard(leaks(TOLD))
    assert guard("Name the team.") == ""
    assert guard(" \n") == "the instruction is empty"
    assert guard(TOLD) == "the instruction copies an example ('my parcel was left behind'): state the rule instead"
    assert "at most 600" in guard("word " * (PROMPT_WORDS + 1))
    assert "at most 600" in guard("x" * (PROMPT_CAP + 1))
    assert guard("word " * PROMPT_WORDS) == ""


# ------------------------------------------------------------------ names

MATHS = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. How many clips did "
    "Natalia sell?",
    "Mark has a garden with flowers. He planted plants of three colours. What must Mark pay at Weng's Garden Shop?",
    "Albert is wondering how much pizza he can eat. Every pizza has 8 slices, and Albert eats them all in New York.",
    "How many slices did Old Betty give to her uncle? Her Uncle Tim has one.",
)
MAIL = (
    "Hello, Sven from accounting at Nordkai Hotels: your bill lacks our order number. ASAP please, I NEVER got it.",
    "My parcel went to Utrecht, says the App. The app of my phone said Leipzig.",
    "Water leaks from the tank. Shelf wet, Thanks.",
    "Parcels to Utrecht are late. Still waiting! Who is in charge?",
    "Again a parcel to Utrecht.",
)


@pytest.mark.parametrize(
    ("told", "prompt", "found"),
    [
        (MATHS, "Natalia's friends count once.", "Natalia"),
        (MATHS, "Add what natalia sold.", ""),  # a capital is what makes it a name
        (MATHS, "If ALBERT eats, subtract.", ""),
        (MATHS, "Count the slices that Albert eats.", "Albert"),
        (MATHS, "Sum over months such as April or May.", ""),
        (MATHS, "Mark the result. Every result is a number. How many are left?", ""),
        (MATHS, "Take what was paid at the Garden Shop.", "Garden Shop"),
        (MATHS, "Shop prices count twice.", ""),  # begins a sentence: a word like any other
        (MATHS, "Prices in New York are in dollars.", "New York"),
        (MATHS, "New prices are in dollars. Old ones are not.", ""),
        (MATHS, "The uncle, or Uncle, counts.", ""),  # is written small as well
        (MAIL, "Messages like Sven's go to billing.", "Sven"),
        (MAIL, "Mail of Nordkai Hotels goes to billing.", "Nordkai Hotels"),
        (MAIL, "Mail of Nordkai goes to billing.", "Nordkai"),
        (MAIL, "Cities such as Leipzig are for the van.", "Leipzig"),
        (MAIL, "Cities such as Utrecht are for the van.", ""),  # three messages have it
        (MAIL, "NEVER guess, answer ASAP; the App is for the team 'screen'.", ""),
        (MAIL, "Shelf and water: motor. Parcel: van. Who asks, Thanks, Still, Again: none.", ""),
    ],
)
def test_names_of_one_or_two_examples_are_found(told: Sequence[str], prompt: str, found: str) -> None:
    assert leaks(*told, allowed="Send it.").find(prompt) == found


def test_names_in_the_description_are_allowed() -> None:
    assert (
        leaks(*MAIL, allowed="Mail of Nordkai Hotels comes first.").find("If it is from Nordkai Hotels, hurry.") == ""
    )


def test_names_in_targets_are_found() -> None:
    rows = [Example("1", {"q": "Who wrote it?"}, ["Jane Austen", "Austen"]), Example("2", {"q": "And this?"}, "no")]
    assert Leaks.of(rows, "").find("Often it is Jane Austen.") == "Jane Austen"
    assert Leaks.of(rows, "").find("Often it is by Austen.") == "Austen"


def test_labels_are_no_names() -> None:
    teams = [
        "Green Hats",
        "Billing",
        "Billing",
        "Billing",
        "Green Soft",
        "Billing",
        "Billing",
        "Green Soft",
    ]
    rows = [Example(str(at), {"q": f"It goes to Green Hats, case {at}."}, team) for at, team in enumerate(teams[:1])]
    rows += [Example(str(at), {"q": f"case {at}"}, team) for at, team in enumerate(teams[1:], 1)]
    assert Leaks.of(rows, "").find("Broken lamps go to Green Hats.") == ""
    assert Leaks.of(rows, "").find("Bugs go to Green Soft.") == ""


def test_where_nouns_are_written_large_a_capital_says_nothing() -> None:
    told = "Das Paket ist nicht da und der Nachbar in der Gasse hat ein Moped gesehen."
    assert leaks(told).find("Geht es um ein Moped, nimm den Nachbar in der Gasse.") == ""
    assert leaks("The parcel of my Neighbour was seen on a Moped.").find("Send it to a Moped.") == "Moped"


def test_typical_prompts_hold_no_names() -> None:
    prompt = (
        "# Task\nRead the Question and think Step by Step.\n\n## Output Format\n- Return only the Final Answer.\n"
        "- Never guess: if None of the options fits, say 'Unknown'. Use Python or JSON where asked.\n"
        "1. Identify the Numbers.\n2. Check each Unit before Monday.\n"
    )
    assert leaks(*MATHS, *MAIL).find(prompt) == ""


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_may_be_looked_through(told: str, prompt: str) -> None:
    found = leaks(told).find(prompt).casefold()
    assert all(word in prompt.casefold() and word in told.casefold() for word in found.split())
