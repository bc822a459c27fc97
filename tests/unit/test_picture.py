"""Pictures of workflows: well-formed, deterministic, escaped, and every field joined to what gives it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from flowbot.workflow.document import read_workflow
from flowbot.workflow.graph import Workflow
from flowbot.workflow.picture import before_after, svg

SVG = "{http://www.w3.org/2000/svg}"

ONE = """
flowbot: 1
name: routing
inputs: {message: text}
steps:
  - {id: answer, kind: call, reads: [message], gives: {team: text}, prompt: "Name <b>the</b> team & stop."}
output: answer.team
"""

MANY = """
flowbot: 1
name: routing
inputs: {message: text, history: "list[text]"}
tools: {sum: {kind: calculator}}
steps:
  - {id: wish, kind: call, reads: [message, history], gives: {wish: text, urgent: bool}, prompt: State the wish.}
  - {id: total, kind: tool, tool: sum, args: {expression: $wish.wish}, gives: {value: number}}
  - id: answer
    kind: call
    reads: [message, wish.wish, total.value]
    gives: {team: "choice[leaf, motor]"}
    prompt: |
      Name the team.
      A second line that is not shown.
    demos: [{reads: {message: a, wish.wish: b, total.value: 1}, gives: {team: leaf}}]
output: answer.team
"""


@pytest.fixture
def one() -> Workflow:
    return read_workflow(ONE)


@pytest.fixture
def many() -> Workflow:
    return read_workflow(MANY)


def texts(picture: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(picture).iter(f"{SVG}text")]


def test_shows_steps_fields_types_and_demos(many: Workflow) -> None:
    shown = "\n".join(texts(svg(many)))
    for part in ("wish", "tool sum", "list[text]", "choice[leaf, motor]", "1 demo", "Name the team.", "output"):
        assert part in shown
    assert "second line" not in shown


def test_is_the_same_each_time(many: Workflow) -> None:
    assert svg(many) == svg(read_workflow(MANY))


def test_each_thing_read_has_one_arrow(many: Workflow) -> None:
    tips = [node for node in ET.fromstring(svg(many)).iter(f"{SVG}path") if node.get("class") == "tip"]
    assert len(tips) == sum(len(step.sources) for step in many.steps) + 1


def test_boxes_never_overlap_and_stay_inside(many: Workflow) -> None:
    root = ET.fromstring(svg(many))
    outer = next(node for node in root.iter(f"{SVG}g"))
    boxes: list[tuple[float, float, float, float]] = []
    for group in outer.findall(f"{SVG}g"):
        x, y = (float(part) for part in group.attrib["transform"].removeprefix("translate(").rstrip(")").split())
        box = next(node for node in group.iter(f"{SVG}rect"))
        boxes.append((x, y, x + float(box.attrib["width"]), y + float(box.attrib["height"])))
    assert len(boxes) == len(many.inputs) + len(many.steps) + 1
    for index, (left, top, right, bottom) in enumerate(boxes):
        assert left >= 0
        assert top >= 0
        assert right <= float(root.attrib["width"])
        assert bottom <= float(root.attrib["height"])
        for other in boxes[index + 1 :]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


def test_texts_are_escaped(one: Workflow) -> None:
    picture = svg(one, title='</title><script>alert("x")</script>\x00')
    assert "<script" not in picture
    assert "<b>" not in picture
    assert "Name <b>the</b> team & stop." in texts(picture)


def test_without_prompts_no_word_of_one_is_in_it(one: Workflow, many: Workflow) -> None:
    assert "stop" not in svg(one, prompts=False)
    assert "State the wish" not in before_after(one, many, prompts=False)


def test_before_and_after_highlights_what_is_new_or_changed(one: Workflow, many: Workflow) -> None:
    picture = before_after(one, many)
    ET.fromstring(picture)
    assert {"before", "after"} <= set(texts(picture))
    assert picture.count('<g class="changed">') == 3
    assert before_after(many, many).count('<g class="changed">') == 0


def test_changed_steps_are_highlighted(many: Workflow) -> None:
    assert svg(many, changed=["wish"]).count('<g class="changed">') == 1


def test_loads_nothing(many: Workflow) -> None:
    picture = svg(many).replace("http://www.w3.org/2000/svg", "")
    for word in ("http", "url(", "@import", "href", "<script", "<image"):
        assert word not in picture
