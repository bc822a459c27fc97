"""Forward through the steps with a body: samples, arms, items and turns are runs of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from flowbot.engine.calls import run_call
from flowbot.engine.scene import Scene
from flowbot.engine.tasks import together
from flowbot.engine.trace import StepTrace, ToolUse, fault
from flowbot.money import Usage
from flowbot.workflow.blocks import ITEM, PREVIOUS, SAMPLES, VOTE_TEMPERATURE, Branch, Loop, Map, Vote
from flowbot.workflow.body import Block, Body
from flowbot.workflow.fields import NUMBER, Json, Misfit, as_text, is_list, is_map
from flowbot.workflow.steps import Call

PUNCTUATION = " ,;:!?\"'`*"  # around a text, which change nothing of what it says


@dataclass(frozen=True)
class Played:
    """One run of a body: its tape, and what it gives to the block, or why it failed."""

    tape: Mapping[str, StepTrace]
    values: Mapping[str, Json]
    gives: Mapping[str, Json]
    error: str = ""


async def play_body(block: Block, body: Body, scene: Scene) -> Played:
    """Run a body in a scene of its own; return what the block takes from it."""
    tape = await scene.play(body, scene)
    failed = fault(tape)
    if failed is not None:
        return Played(tape, scene.values, {}, failed.error)
    gives: dict[str, Json] = {}
    for name, wanted in block.gives.items():
        try:
            gives[name] = block.held(wanted).fit(scene.values[body.source(name) or ""])
        except Misfit as misfit:
            return Played(tape, scene.values, {}, f"what it gives as '{name}' does not fit: {misfit}")
    return Played(tape, scene.values, gives)


def taped(
    block: Block, scene: Scene, played: Sequence[Played], gives: Mapping[str, Json], taken: Json, error: str = ""
) -> StepTrace:
    """Return a block's part of the tape, with those of its bodies."""
    reads = {source: scene.values[source] for source in block.sources}
    parts = [part for run in played for part in run.tape.values()]
    usage = sum((part.usage for part in parts), Usage())
    seconds = sum(part.seconds for part in parts)
    bodies = tuple(run.tape for run in played)
    shown: Mapping[str, Json] = {} if error else gives
    return StepTrace(scene.at + block.id, reads, shown, (), usage, seconds, error, bodies=bodies, taken=taken)


def failure_of(played: Sequence[Played]) -> str:
    """Return the first reason why a body failed; empty where none did."""
    return next((run.error for run in played if run.error), "")


async def run_branch(step: Branch, scene: Scene) -> StepTrace:
    """Run the arm for the value branched on; the branch fails where there is none."""
    value = scene.values[step.on]
    arm = step.arm(value)
    if arm is None:
        return taped(step, scene, [], {}, None, f"there is no arm for {as_text(value)}")
    name, body = arm
    played = await play_body(step, body, scene.inside(f"{step.id}[{name}]", {}))
    return taped(step, scene, [played], played.gives, name, played.error)


async def run_map(step: Map, scene: Scene) -> StepTrace:
    """Run the body for each item at once, the first `cap` of them; a failing item is the map's failure."""
    items = scene.values[step.over]
    if not is_list(items):
        return taped(step, scene, [], {}, 0, f"'{step.over}' is no list to map over")
    scenes = [scene.inside(f"{step.id}[{at}]", {ITEM: item}) for at, item in enumerate(items[: step.cap], 1)]
    played = await together([play_body(step, step.body, each) for each in scenes])
    gives = {name: [run.gives.get(name) for run in played] for name in step.gives}
    return taped(step, scene, played, gives, len(played), failure_of(played))


async def run_loop(step: Loop, scene: Scene) -> StepTrace:
    """Run the body until its field is true, at most `max` times; the last turn is given."""
    played: list[Played] = []
    before: dict[str, Json] = {f"{PREVIOUS}.{name}": None for name in step.body.fields}
    for turn in range(1, step.max + 1):
        repeat = scene.repeat if turn == 1 else f"{scene.repeat}~{turn}"
        played.append(await play_body(step, step.body, scene.inside(f"{step.id}[{turn}]", before, repeat=repeat)))
        last = played[-1]
        if last.error or (step.until is not None and last.values[step.until] is True):
            break
        before = {f"{PREVIOUS}.{name}": last.values[source] for name, source in step.body.fields.items()}
    return taped(step, scene, played, played[-1].gives, len(played), played[-1].error)


async def run_vote(step: Vote, scene: Scene) -> StepTrace:
    """Run the samples at once and take one of those that did not fail; the vote fails where all did."""
    scenes = [
        scene.inside(
            f"{step.id}[{sample}]",
            {},
            repeat=f"{scene.repeat}/{sample}",
            temperature=VOTE_TEMPERATURE,
            shuffle=sample - 1 if step.shuffle_demos else scene.shuffle,
        )
        for sample in range(1, step.n + 1)
    ]
    played = await together([play_body(step, step.body, each) for each in scenes])
    said = {sample: normal(run.gives) for sample, run in enumerate(played) if not run.error}
    if not said:
        return taped(step, scene, played, {}, None, failure_of(played))
    taken, uses = _majority(said), list[ToolUse]()
    if step.by == "tests":
        uses = await together([_tested(step, scenes[sample]) for sample in said])
        taken = next((sample for sample, use in zip(said, uses, strict=True) if use.value is True), taken)
    elif step.judge is not None and len(set(said.values())) > 1:
        part = await _before_judge(step, scene, played, [*said]).run(step.judge, run_call)
        played.append(Played({step.judge.id: part}, {}, {}, part.error))
        try:
            taken = _judged(step.judge, part, [*said])
        except Misfit as misfit:
            return taped(step, scene, played, {}, None, str(misfit))
    return replace(taped(step, scene, played, played[taken].gives, taken + 1), tools=tuple(uses))


def _majority(said: Mapping[int, str]) -> int:
    """Return the sample that gave what most samples gave; ties go to the lowest draw."""
    counts = Counter(said.values())
    return max(said, key=lambda sample: counts[said[sample]])


async def _tested(step: Vote, scene: Scene) -> ToolUse:
    """Hold one sample to the vote's tool; a tool that fails says nothing for it."""
    name, args = step.tool or "", {name: scene.given(value) for name, value in step.test_args.items()}
    reply = await scene.session.use_tool(scene.workflow, name, args, scene.draw + scene.repeat)
    return ToolUse(name, args, reply.value, reply.failure, reply.seconds)


def _before_judge(step: Vote, scene: Scene, played: Sequence[Played], valid: Sequence[int]) -> Scene:
    shown: list[Json] = []
    for number, sample in enumerate(valid, 1):
        given = dict(played[sample].gives)
        shown.append({"sample": number, **given})
    return scene.inside(step.id, {SAMPLES: shown})


def _judged(judge: Call, part: StepTrace, valid: Sequence[int]) -> int:
    """Return the sample that a judge took; raise `Misfit` where it failed or took none of them."""
    if part.error:
        raise Misfit(f"the judge '{judge.id}' failed: {part.error}")
    number = next(iter(part.gives.values()))
    if number not in range(1, len(valid) + 1):
        raise Misfit(f"the judge '{judge.id}' took sample {as_text(number)}; there are {len(valid)}")
    return valid[int(number) - 1]


def normal(value: Json) -> str:
    """Return a value's normalised text: two samples that say the same have the same."""
    if is_map(value):
        return "; ".join(f"{name}={normal(item)}" for name, item in sorted(value.items()))
    if is_list(value):
        return ", ".join(normal(item) for item in value)
    text = " ".join(as_text(value).casefold().split()).lstrip(PUNCTUATION).rstrip(f"{PUNCTUATION}.")  # .5 is a number
    try:
        return as_text(NUMBER.fit(text))
    except Misfit:
        return text
