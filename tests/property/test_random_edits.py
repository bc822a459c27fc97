"""Law 7 for typed edits: whatever edits a model writes, the result is a valid workflow or an error that names one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowbot.engine.forward import forward
from flowbot.engine.ports import Program, Ran, Reply, Request, ToolCall, ToolReply
from flowbot.task.data import Example
from flowbot.workflow.document import read_workflow, write_workflow
from flowbot.workflow.edits import Edit, EditError, apply, edit_from, words
from flowbot.workflow.fields import Json, as_text, is_list, is_map
from flowbot.workflow.graph import Workflow, build, plain_workflow
from flowbot.workflow.prompt import loses_frozen
from tests.edit_strategies import Drawing, edits
from tests.strategies import json_values, workflows

COMPOSITES = 24  # tried on each workflow
MOST_SECONDS = 1.0


@dataclass
class Whim:
    """A session that answers anything: values that fit what is asked, and such that do not; tools and programs too."""

    random: Random

    async def complete(self, request: Request) -> Reply:
        """Answer one request."""
        whim = self.random.random()
        if request.tools and request.may_call and whim < 0.4:
            args = self.random.choice(["{}", '{"expression": "1"}', "[", '{"x": 1}'])
            return Reply("", calls=(ToolCall(self.random.choice([request.tools[0].name, "rm"]), args),))
        if whim > 0.95:
            return Reply("", failure="refused")
        if request.schema is None or whim < 0.05:
            return Reply(self.random.choice(["", "text", "$x", "{}", "[1]", "\u2028"]))
        return Reply(json.dumps(self.value(request.schema)))

    async def use_tool(self, workflow: Workflow, name: str, args: Mapping[str, Json], draw: str) -> ToolReply:
        """Answer one tool call."""
        values: list[Json] = [True, 1.5, "text", None, ["a", 1], {"x": [{}]}]
        value = self.random.choice(values)
        return self.random.choice([ToolReply(value), ToolReply(value), ToolReply(failure="broken")])

    async def run_program(self, program: Program, draw: str) -> Ran:
        """Answer one program."""
        values = {name: self.random.choice([1, "1", "x", None, [1]]) for name in program.wants}
        return Ran(self.random.choice(["", "1\n", "x"]), values, self.random.choice(["", "", "NameError: x"]))

    def value(self, schema: Json) -> Json:
        """Return a value that fits a schema, mostly."""
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        match schema.get("type"):
            case "object" if "properties" in schema:
                return {name: self.value(each) for name, each in schema["properties"].items()}
            case "object":
                return {}
            case "array":
                return [self.value(schema.get("items", {})) for _ in range(self.random.randint(0, 3))]
            case "number":
                return self.random.choice([0, 1, 2, 1.5, -3, "many"])
            case "boolean":
                return self.random.choice([True, False])
            case "string":
                return self.random.choice(["", "yes", "<!-- frozen -->"])
            case _:
                return self.random.choice([None, 1, "x", [], {"a": None}])


def run(workflow: Workflow, seed: int) -> None:
    """Run a workflow on random replies: its trace has an error in words, or an output of its type."""
    whim = Whim(Random(seed))
    inputs = {name: whim.value(kind.json_schema()) for name, kind in workflow.inputs.items()}
    trace = asyncio.run(forward(workflow, Example("e", inputs, None), whim))
    if trace.error:
        assert isinstance(trace.error, str)
    else:
        workflow.output_type.fit(trace.output)
    assert all(as_text(part.gives) for part in trace.walk())


def outcome(old: Workflow, composite: list[Edit]) -> Workflow | EditError:
    """Return what comes of a composite edit."""
    try:
        return apply(old, composite)
    except EditError as error:
        return error


def check(old: Workflow, composite: list[Edit], seed: int, whole: bool = True) -> bool:
    """Apply a composite edit, hold the result to the law, and tell whether there is one; `whole`: run and reread."""
    started = time.process_time()
    made = outcome(old, composite)
    assert time.process_time() - started < MOST_SECONDS
    if isinstance(made, EditError):
        assert made.problems
        assert all(each.reason.strip() for each in made.problems)
        assert all(words(composite[each.number - 1]) == each.edit for each in made.problems)
        return False
    assert build(**plain_workflow(made)) == made
    shuffled = build(**backwards(plain_workflow(made)))
    assert (shuffled.id, shuffled.step_ids) == (made.id, made.step_ids)
    assert made.output.partition(".")[2] == old.output.partition(".")[2]
    assert old.output_type.accepts(made.output_type)
    keeps_frozen(old, made)
    if whole:
        run(made, seed)
        assert read_workflow(write_workflow(made)) == made
    assert time.process_time() - started < 2 * MOST_SECONDS
    return True


def backwards(value: Json) -> Json:
    """Return plain data with the keys of all its maps in the other order."""
    if is_map(value):
        return {key: backwards(value[key]) for key in reversed([*value])}
    return [backwards(each) for each in value] if is_list(value) else value


def keeps_frozen(old: Workflow, made: Workflow) -> None:
    """Hold that frozen steps and frozen blocks of prompts are as they were."""
    assert old.frozen_ids <= made.frozen_ids
    assert all(made.step(step_id) == old.step(step_id) for step_id in old.frozen_ids)
    assert {step.id for step in made.all_steps if step.frozen} == {step.id for step in old.all_steps if step.frozen}
    before = {call.id: call.prompt for call in old.calls}
    after = {call.id: call.prompt for call in made.calls}
    for step_id in {*before, *after}:
        assert not loses_frozen(before.get(step_id, ""), after.get(step_id, ""))


def edited(workflow: Workflow, data: st.DataObject, every: int = 1) -> int:
    """Try some composite edits of one workflow, every so-many-th as a whole; return how many gave a workflow."""
    composites = edits(workflow)
    made = 0
    for number in range(COMPOSITES):
        made += check(workflow, data.draw(composites), number, whole=number % every == 0)
    return made


@given(workflows(), st.data())
@settings(max_examples=13)  # 13 * 24 > 300
def test_a_few_edits_give_a_workflow_or_an_error(workflow: Workflow, data: st.DataObject) -> None:
    edited(workflow, data)


@pytest.mark.slow
@given(workflows(), st.data())
@settings(max_examples=420)  # 420 * 24 > 10,000
def test_ten_thousand_edits_give_a_workflow_or_an_error(workflow: Workflow, data: st.DataObject) -> None:
    edited(workflow, data, every=4)


def test_the_edits_drawn_are_mixed() -> None:
    """The property would hold if nothing could ever be edited: a good part of the edits drawn must be made."""
    base = read_workflow(MIXED)
    draw = Drawing(base)
    made: set[str] = set()
    refused = 0
    for seed in range(400):
        composite = [edit_from(plain) for plain in draw.plain(seed)]
        if check(base, composite, seed):
            made.add(composite[0].edit)
        else:
            refused += 1
    assert 80 < refused < 320
    assert len(made) >= 19, made


@given(json_values | st.dictionaries(st.sampled_from(["edit", "step", "x"]), json_values, max_size=3))
def test_any_json_is_an_edit_or_an_error(plain: Json) -> None:
    tries: list[Json] = [plain, {"edit": "add", "step": plain}, {"edit": "remove", "step": plain}]
    for each in tries:
        try:
            said = words(edit_from(each))
        except EditError as error:
            said = str(error)
        assert said.strip()


@given(workflows(max_steps=3), st.integers(0, 99))
@settings(max_examples=25)
def test_a_valid_workflow_runs(workflow: Workflow, seed: int) -> None:
    run(workflow, seed)


def test_hashes_do_not_depend_on_the_order_of_arms() -> None:
    text = """flowbot: 1
name: arms
model: "x:y"
inputs: {hard: bool, q: text}
steps:
  - id: route
    kind: branch
    on: hard
    gives: {out: text}
    arms:
      "true": [{id: think, kind: call, reads: [q], gives: {out: text}, prompt: Think.}]
      "false": [{id: say, kind: call, reads: [q], gives: {out: text}, prompt: Say.}]
output: route.out
"""
    yes, no = (next(line for line in text.splitlines() if word in line) for word in ('"true"', '"false"'))
    swapped = text.replace(yes, "YES").replace(no, yes).replace("YES", no)
    assert read_workflow(swapped) == read_workflow(text)
    assert read_workflow(swapped).step_ids == read_workflow(text).step_ids


MIXED = """flowbot: 1
name: mixed
model: "x:y"
inputs: {question: text}
tools: {calc: {kind: calculator}}
steps:
  - {id: plan, kind: call, reads: [question], gives: {parts: list[text], hard: bool}, prompt: "Plan.\\n- One."}
  - {id: note, kind: call, reads: [question, plan.parts], gives: {answer: text}, prompt: Note.}
  - id: refine
    kind: loop
    until: check.ok
    gives: {answer: text}
    body:
      - {id: solve, kind: call, reads: [note.answer, plan.hard, previous.why], gives: {answer: text}, prompt: Solve.}
      - {id: check, kind: call, reads: [solve.answer], gives: {ok: bool, why: text}, prompt: Check.}
  - id: tries
    kind: vote
    n: 2
    gives: {answer: text}
    body:
      - {id: polish, kind: call, reads: [refine.answer, plan.parts], gives: {answer: text}, prompt: Polish.}
output: tries.answer
"""
