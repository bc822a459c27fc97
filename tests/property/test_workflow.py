"""Laws of the documents and types that hold for every workflow."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowbot.document import read_document, read_record
from flowbot.errors import InputError
from flowbot.task.task import Task
from flowbot.workflow.document import read_workflow, write_workflow
from flowbot.workflow.fields import FieldType, Json, Misfit, is_list, is_map, parse_type
from flowbot.workflow.graph import Workflow, build, plain_workflow
from tests.strategies import field_types, json_values, numbers, tasks, texts, values, workflows


@pytest.mark.slow
@given(workflows())
def test_writing_and_reading_gives_the_same_workflow(workflow: Workflow) -> None:
    text = write_workflow(workflow)
    assert read_workflow(text) == workflow
    assert read_workflow(text).id == workflow.id


@pytest.mark.slow
@given(workflows(), workflows())
def test_writing_over_an_earlier_text_gives_the_same_workflow(workflow: Workflow, earlier: Workflow) -> None:
    written = write_workflow(workflow, like=write_workflow(earlier))
    assert read_workflow(written) == workflow
    assert _order(read_workflow(written)) == _order(workflow)


@pytest.mark.slow
@given(workflows())
def test_writing_over_the_own_text_changes_nothing(workflow: Workflow) -> None:
    text = write_workflow(workflow)
    assert write_workflow(workflow, like=text) == text


@pytest.mark.slow
@given(workflows(), st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_order_of_keys(workflow: Workflow, order: random.Random) -> None:
    shuffled = read_workflow(write_workflow(_rebuilt(_shuffled(plain_workflow(workflow), order))))
    assert shuffled == workflow
    assert shuffled.id == workflow.id
    assert shuffled.step_ids == workflow.step_ids


@pytest.mark.slow
@given(workflows())
def test_a_name_is_a_label_only(workflow: Workflow) -> None:
    assert workflow.model_copy(update={"name": "other"}).id == workflow.id


@given(field_types)
def test_a_type_is_read_as_it_is_spelled(kind: FieldType) -> None:
    assert parse_type(kind.plain()) == kind
    if not kind.schema:
        assert parse_type(str(kind)) == kind


@given(field_types.flatmap(lambda kind: st.tuples(st.just(kind), values(kind))))
def test_fitting_twice_is_fitting_once(pair: tuple[FieldType, Json]) -> None:
    kind, value = pair
    once = kind.fit(value)
    assert kind.fit(once) == once
    assert type(kind.fit(once)) is type(once)


@given(field_types, json_values | texts | numbers | st.integers())
def test_a_value_fits_or_is_a_misfit(kind: FieldType, value: Json) -> None:
    try:
        once = kind.fit(value)
    except Misfit:
        return
    assert kind.fit(once) == once


@given(texts)
def test_a_type_is_read_or_refused(text: str) -> None:
    for spelled in (text, f"choice[{text}]", f"list[{text}]"):
        try:
            kind = parse_type(spelled)
        except ValueError:
            continue
        assert parse_type(str(kind)) == kind


@given(tasks())
def test_a_task_keeps_its_shape(task: Task) -> None:
    assert Task.model_validate(task.model_dump(mode="json", exclude_defaults=True)) == task


@pytest.mark.slow
@given(workflows(max_steps=3).map(write_workflow), st.data())
def test_a_mutated_document_is_read_or_refused(text: str, data: st.DataObject) -> None:
    """A small fuzzer: whatever the text, reading gives a workflow or an `InputError`, and nothing else."""
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 6))
        piece = data.draw(PIECES | st.text(max_size=3))
        text = text[:at] + piece + text[at + cut :]
    for kind in (Workflow, Task):
        with contextlib.suppress(InputError):
            read_record(read_document(text, "fuzz.yaml"), kind, "document")


MARKS = [
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "\n",
    "\n  ",
    "&a ",
    "*a",
    "!!python/object:x ",
    "|\n",
    "'",
    '"',
    "@",
    "#",
    "\t",
]
WORDS = ["list[", "choice[", "0x1f", "1e999", "~", "? ", "<<: ", "%YAML 1.1\n---\n", "---\n", "...\n", "\0", "\ufeff"]
PIECES = st.sampled_from([*MARKS, *WORDS, "\\ud800"])


def _order(workflow: Workflow) -> list[list[str]]:
    """Return the orders that mean something: a model is asked for fields in the order of `gives`."""
    return [list(workflow.inputs), *(list(step.gives) for step in workflow.steps)]


def _rebuilt(plain: Mapping[str, Json]) -> Workflow:
    return build(**plain)


def _shuffled(value: Json, order: random.Random) -> Json:
    """Return plain data with the keys of all its maps in another order (of demos and their values too)."""
    if is_map(value):
        keys: Sequence[str] = list(value)
        return {key: _shuffled(value[key], order) for key in order.sample(keys, len(keys))}
    if is_list(value):
        return [_shuffled(item, order) for item in value]
    return value
