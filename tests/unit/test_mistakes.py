"""Mistakes in workflow files: each gives one error with its line, what is wrong, and how to mend it."""

from __future__ import annotations

import pytest

from flowbot.errors import InputError
from flowbot.workflow.document import read_workflow

HEAD = """\
flowbot: 1
name: mistakes
inputs: {question: text, pages: "list[text]"}
tools: {calc: {kind: calculator}, passes: {kind: tests}}
steps:
"""
ASK = "{id: ask, kind: call, reads: [question], gives: {answer: text, ok: bool}, prompt: Ask.}"
BRANCH = f"""\
  - {ASK}
  - id: route
    kind: branch
    on: ask.ok
    gives: {{answer: text}}
    arms:
      "true": {{gives: {{answer: ask.answer}}}}
      "false":
        - {{id: again, kind: call, reads: [question], gives: {{answer: text}}, prompt: Again.}}
output: route.answer
"""
LOOP = """\
  - id: refine
    kind: loop
    max: 3
    until: check.ok
    gives: {answer: text}
    body:
      - {id: solve, kind: call, reads: [question, previous.why], gives: {answer: text}, prompt: Solve.}
      - {id: check, kind: call, reads: [solve.answer], gives: {ok: bool, why: text}, prompt: Check.}
output: refine.answer
"""
ON_PREVIOUS = """\
      - {id: again, kind: branch, on: previous.ok, gives: {answer: text}, arms: {
          "true": {gives: {answer: solve.answer}}, "false": {gives: {answer: question}}}}
"""
OVER_PREVIOUS = """\
      - {id: again, kind: map, over: previous.parts, gives: {answers: list[text]}, body: {gives: {answers: item}}}
"""
MAP = """\
  - id: each
    kind: map
    over: pages
    cap: 5
    gives: {notes: "list[text]"}
    body:
      steps:
        - {id: note, kind: call, reads: [item], gives: {note: text}, prompt: Note.}
      gives: {notes: note.note}
output: each.notes
"""
VOTE = """\
  - id: tries
    kind: vote
    n: 3
    gives: {answer: text}
    body:
      - {id: solve, kind: call, reads: [question], gives: {answer: text}, prompt: Solve.}
output: tries.answer
"""
CODE = """\
  - {id: write, kind: call, reads: [question], gives: {program: text}, prompt: Write.}
  - {id: run, kind: code, code: $write.program, gives: {output: text}}
output: run.output
"""
TOOL = """\
  - {id: write, kind: call, reads: [question], gives: {sum: text}, prompt: Write.}
  - {id: value, kind: tool, tool: calc, args: {expression: $write.sum}, gives: {value: number}}
output: value.value
"""
JUDGE = (
    "    judge: {id: pick, kind: call, reads: [question, samples], gives: {best: number}, prompt: Pick.}\noutput: tries"
)
TESTED = "n: 3\n    by: tests\n    tool: passes\n    args: {program: $solve.answer, tests: $question}"


def judged(judge: str = JUDGE) -> str:
    return VOTE.replace("n: 3", "n: 3\n    by: judge").replace("output: tries", judge)


def error_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        read_workflow(HEAD + text, "w.yaml")
    return str(caught.value)


@pytest.mark.parametrize("text", [BRANCH, LOOP, MAP, VOTE, CODE, TOOL, judged(), VOTE.replace("n: 3", TESTED)])
def test_without_a_mistake_they_are_read(text: str) -> None:
    assert read_workflow(HEAD + text)


@pytest.mark.parametrize(
    ("text", "old", "new", "line", "said"),
    [
        # of the form
        (
            VOTE,
            "kind: vote",
            "kind: vot",
            6,
            "step 'tries': unknown kind 'vot'; did you mean 'vote'? (kinds: call, tool,",
        ),
        (VOTE, "kind: vote", "", 6, "step 'tries': the key 'kind' is missing"),
        (VOTE, "n: 3", "", 6, "the key 'n' is missing (step 'tries' n)"),
        (VOTE, "n: 3", "n: 17", 8, "step 'tries' n: must be at most 16"),
        (VOTE, "n: 3", "n: 1", 8, "step 'tries' n: must be at least 2"),
        (
            VOTE,
            "n: 3",
            "n: 3\n    by: test",
            9,
            "step 'tries' by: must be 'majority', 'tests' or 'judge'; did you mean 'tests'?",
        ),
        (VOTE, "n: 3", "n: 3\n    cap: 3", 9, "unknown key 'cap' (step 'tries' cap): it has no place here"),
        (LOOP, "max: 3", "max: 5", 8, "step 'refine' max: must be at most 4"),
        (MAP, "cap: 5", "cap: many", 9, "step 'each' cap: must be a whole number"),
        (VOTE, "      - {id", "        {id", 10, "step 'tries' body: must be a list of steps, also of one"),
        (CODE, "gives: {output", "limits: {cpu: 0}, gives: {output", 7, "step 'run' limits.cpu: must be more than 0"),
        (
            CODE,
            "gives: {output",
            "limits: {cpus: 1}, gives: {output",
            7,
            "unknown key 'cpus' (step 'run' limits.cpus); did you mean 'cpu'?",
        ),
        (
            TOOL,
            "value: number",
            "value: numbr",
            7,
            "step 'value' gives.value: unknown type 'numbr'; did you mean 'number'?",
        ),
        (BRANCH, "on: ask.ok", "", 7, "the key 'on' is missing (step 'route' on)"),
        # of ids and references
        (VOTE, "id: solve", "id: Solve-1", 11, "step 'Solve-1' has an id that must be lower case letters"),
        (VOTE, "id: solve", "id: item", 11, "step 'item' has an id with a meaning of its own in bodies: choose"),
        (LOOP, "id: solve", "id: refine", 12, "the id 'refine' is taken: give this step another"),
        (
            VOTE,
            "[question]",
            "[question, previous.answer]",
            11,
            "'solve' reads 'previous.answer', which nothing before it gives: previous stands in the body of a loop",
        ),
        (
            VOTE,
            "[question]",
            "[question, item]",
            11,
            "step 'solve' reads 'item', which nothing before it gives: item stands in the body of a map alone",
        ),
        (
            VOTE,
            "[question]",
            "[question, samples]",
            11,
            "step 'solve' reads 'samples', which nothing before it gives: samples is for the judge of a vote alone",
        ),
        (
            LOOP,
            "previous.why",
            "previous.whi",
            12,
            "reads 'previous.whi', which nothing before it gives; did you mean 'previous.why'?",
        ),
        (
            LOOP,
            "output:",
            "  - {id: e, kind: call, reads: [refine.answer, check.why], gives: {x: text}, prompt: E}\noutput: e.x #",
            14,
            "nothing before it gives: it stands in the body of 'refine', so read what 'refine' gives",
        ),
        (
            LOOP,
            "output: refine.answer",
            "output: check.why",
            14,
            "the output 'check.why' is no field of a step (fields: refine.answer): it stands in the body of 'refine'",
        ),
        (VOTE, "prompt:", "temperature: hot, prompt:", 11, "step 'solve' temperature: must be a number"),
        # of blocks
        (LOOP, "until: check.ok", "until: check.why", 9, "has until: check.why, which is text: until names a bool"),
        (
            LOOP,
            "until: check.ok",
            "until: check.okay",
            9,
            "until: check.okay, which no step of its body gives; did you mean 'check.ok'?",
        ),
        (
            LOOP,
            "until: check.ok",
            "until: ok",
            9,
            "until: ok, which no step of its body gives; did you mean 'check.ok'?",
        ),
        (
            LOOP,
            "output",
            "      - {id: extra, kind: call, reads: [question], gives: {note: text}, prompt: Note.}\noutput",
            14,
            "step 'extra' does nothing for what 'refine' gives: remove it",
        ),
        (
            LOOP,
            "      - {id: check, kind: call, reads: [solve.answer]",
            f"{ON_PREVIOUS}      - {{id: check, kind: call, reads: [solve.answer, again.answer]",
            13,
            "step 'again' branches on 'previous.ok', which is null in the first turn: add an else:",
        ),
        (
            LOOP,
            "      - {id: check, kind: call, reads: [solve.answer], gives: {ok: bool,",
            OVER_PREVIOUS
            + "      - {id: check, kind: call, reads: [again.answers], gives: {parts: list[text], ok: bool,",
            13,
            "step 'again' maps over 'previous.parts', which is null in the first turn: map over what its turn gives",
        ),
        (MAP, "over: pages", "over: question", 8, "step 'each' maps over 'question', which is text: map over a list"),
        (MAP, '"list[text]"', "text", 10, "step 'each' gives 'notes' as text: a map gives lists, e.g. list[text]"),
        (MAP, '"list[text]"', '"list[number]"', 11, "a body that gives 'notes' as text and not as number"),
        (
            MAP,
            "{notes: note.note}",
            "{notes: note.note, other: note.note}",
            14,
            "step 'each' has a body that gives 'other', which 'each' does not: remove it there",
        ),
        (
            BRANCH,
            '"true": {',
            "tru: {",
            12,
            "step 'route' has the arm 'tru' (the values are true, false); did you mean 'true'?",
        ),
        (
            BRANCH,
            "{answer: ask.answer}",
            "{}",
            12,
            "step 'route' has the arm 'true' that lacks 'answer': let one of its",
        ),
        (BRANCH, '"false"', "else", 13, "step 'route' has else: among its arms: write it beside arms:"),
        (BRANCH, "on: ask.ok", "on: ask.answer", 9, "which is text: branch on a choice or a bool"),
        (VOTE, "n: 3", "n: 3\n    by: judge", 9, "step 'tries' votes by judge: add a judge, a call that reads samples"),
        (VOTE, "n: 3", "n: 3\n    by: tests", 9, "step 'tries' votes by tests: name the tool that says true or false"),
        (
            VOTE,
            "n: 3",
            "n: 3\n    tool: passes",
            9,
            "step 'tries' names a tool, which only a vote by tests has: set by: tests, or remove it",
        ),
        (
            VOTE,
            "output: tries",
            JUDGE,
            12,
            "step 'tries' names a judge, which only a vote by judge has: set by: judge, or remove it",
        ),
        (
            VOTE,
            "prompt",
            "temperature: 0, prompt",
            10,
            "has only calls at temperature 0: all samples would be the same; set a temperature",
        ),
        (
            VOTE.replace("n: 3", TESTED),
            "tool: passes",
            "tool: calc",
            10,
            "step 'tries' is held to the tool 'calc', which gives number and not true or false",
        ),
        (
            VOTE.replace("n: 3", TESTED),
            "$question}",
            "$quesion}",
            11,
            "step 'tries' has the argument 'tests' from 'quesion', which nothing gives; did you mean 'question'?",
        ),
        (
            judged(),
            "[question, samples]",
            "[solve.answer, samples]",
            13,
            "step 'tries' has a judge 'pick' that reads 'solve.answer', which nothing before it gives",
        ),
        (
            judged(),
            "[question, samples]",
            "[question]",
            13,
            "step 'tries' has a judge 'pick' that must read samples: what the samples gave",
        ),
        (
            judged(),
            "best: number",
            "best: text",
            13,
            "step 'tries' has a judge 'pick' that must give one number: the sample that it takes, from 1",
        ),
        # of programs and tools
        (
            CODE,
            "code: $write.program",
            "code: write.program",
            7,
            "step 'run' has code: write.program, which is a reference: write $write.program",
        ),
        (
            CODE,
            "gives: {output",
            "args: {class: $question}, gives: {output",
            7,
            "'class', which is no name of a Python variable",
        ),
        (
            CODE,
            "gives: {output",
            "tests: assert f, gives: {value",
            7,
            "step 'run' gives 'value'; with tests a code step gives output, error and ok only",
        ),
        (TOOL, "$write.sum", "write.sum", 6, "an argument is the text write.sum, where $write.sum would read it"),
        (TOOL, "value: number", "value: number, more: text", 7, "step 'value' must give exactly one field"),
        (
            TOOL,
            "prompt: Write.",
            "prompt: Write <!-- frozen --> this.",
            6,
            "without its pair: write <!-- /frozen --> behind the block",
        ),
        # of size
        (
            VOTE,
            "output: tries",
            "".join(f"  - {ASK}\n".replace("ask", f"ask_{n}") for n in range(41)) + "output: tries",
            5,
            "steps: must be no longer than 40",
        ),
        (
            MAP,
            "  steps:",
            "  steps: []\n      stps:",
            13,
            "unknown key 'stps' (step 'each' body.stps); did you mean 'steps'?",
        ),
    ],
)
def test_each_mistake_has_its_line_and_its_mend(text: str, old: str, new: str, line: int, said: str) -> None:
    assert text.count(old) >= 1
    error = error_of(text.replace(old, new, 1))
    where, _, what = error.partition(": ")
    assert (where, said in what.splitlines()[0]) == (f"w.yaml:{line}", True), error


@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (VOTE, "n: 3", "n: 17"),
        (VOTE, "kind: vote", "kind: vot"),
        (VOTE, "      - {id", "        {id"),
        (LOOP, "until: check.ok", "until: check.okay"),
        (VOTE, "n: 3", "n: 3\n    tool: passes"),
        (BRANCH, '"false"', "else"),
        (judged(), "[question, samples]", "[solve.answer, samples]"),
    ],
)
def test_one_mistake_is_one_error(text: str, old: str, new: str) -> None:
    assert "more:" not in error_of(text.replace(old, new, 1))


def test_a_hint_stands_behind_its_own_message_alone() -> None:
    step = "  - {id: sum, kind: tool, tool: calc, args: {sum: $solve.answer}, gives: {value: text}}\noutput"
    error = error_of(LOOP.replace("output", step))
    assert "has the argument 'sum': the tool 'calc' takes expression;" in error
    assert error.count("it stands in the body of 'refine'") == 1


def test_too_deep_and_too_much_say_what_to_do() -> None:
    def nested(depth: int, pad: str) -> str:
        if depth == 0:
            return f"{pad}- {ASK}\n"
        head = f"{pad}- id: v{depth}\n{pad}  kind: vote\n{pad}  n: 16\n{pad}  gives: {{answer: text}}\n{pad}  body:\n"
        return head + nested(depth - 1, f"{pad}    ")

    deep = error_of(nested(5, "  ") + "output: v5.answer\n")
    assert deep == "w.yaml:5: the steps nest deeper than 4 bodies: take a block away"
    much = error_of(nested(3, "  ") + "output: v3.answer\n")
    assert "can make 8192 LLM calls for one example; at most 2000: take fewer steps, samples, items or turns" in much
