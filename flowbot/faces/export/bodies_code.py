"""Steps with a body as Python: samples, arms, items and turns run the steps within."""

from __future__ import annotations

from dataclasses import replace

from flowbot.faces.export.kinds import annotation
from flowbot.faces.export.literals import Group, Node, assigned, bound, call, laid, quoted, returned, table
from flowbot.faces.export.steps_code import Place, Writer
from flowbot.workflow.blocks import ITEM, PREVIOUS, VOTE_TEMPERATURE, Branch, Loop, Map, Step, Vote
from flowbot.workflow.body import Block, Body
from flowbot.workflow.fields import JSON
from flowbot.workflow.value import head


def block_lines(writer: Writer, step: Step, place: Place) -> list[str]:
    """Return the lines of a block's function; the functions of the steps within are written behind it."""
    match step:
        case Branch():
            return _branch(writer, step, place)
        case Map():
            return _map(writer, step, place)
        case Loop():
            return _loop(writer, step, place)
        case Vote():
            return _vote(writer, step, place)
        case _:
            raise AssertionError(f"there is no program for a step of kind {step.kind}")


def _within(block: Block, place: Place) -> Place:
    return replace(place, types=block.inner_scope(place.types))


def _played(writer: Writer, block: Block, body: Body, place: Place, indent: int) -> tuple[list[str], dict[str, str]]:
    """Return the lines that run a body, and the variable with what it gives to its block, by field."""
    behind = writer.steps(body.steps, place)
    ends = {body.source(name) or "" for name in block.gives}
    lines = writer.flow(body, {*ends, *block.needed(body)}, place.shuffles, indent)
    gives: dict[str, str] = {}
    for name, wanted in block.gives.items():
        source, held = body.source(name) or "", block.held(wanted)
        gives[name] = writer.names.value(source)
        if behind.types[source] != held or head(source) == PREVIOUS:  # what is null in the first turn does not fit
            fitted = writer.names.value(f"{block.id}.{name}")
            lines.append(laid(f"{fitted} = ", writer.fitted(f"{block.id}_{name}", held, gives[name]), "", indent))
            gives[name] = fitted
    return lines, gives


def _branch(writer: Writer, step: Branch, place: Place) -> list[str]:
    on = writer.names.value(step.on)
    first_turn = head(step.on) == PREVIOUS
    lines: list[str] = []
    last = None if step.otherwise is not None else [*step.arms][-1]
    for number, (name, body) in enumerate(step.bodies.items(), 1):
        always = name == last or (number == len(step.bodies) and last is None)
        if not always:
            lines.append(f"    {_condition(writer, step, number, name, on, first_turn, place)}:")
        indent = 4 if always else 8
        inner, gives = _played(writer, step, body, _within(step, place), indent)
        lines += [*inner, returned([gives[each] for each in step.gives], indent)]
    return lines


def _condition(writer: Writer, step: Branch, number: int, name: str, on: str, first_turn: bool, place: Place) -> str:
    if place.types[step.on].kind == "bool":
        value = name.capitalize()
        return f"if {on} is {value}" if first_turn else f"if {on}" if value == "True" else f"if not {on}"
    literal = quoted(name)
    if len(on) + 2 * len(literal) > 70:  # surely a line
        literal = writer.names.constant(f"{step.id}_arm_{number}", "value")
        writer.constants.append(assigned(literal, name))
    return f"if {on} == {literal}"


def _map(writer: Writer, step: Map, place: Place) -> list[str]:
    within = _within(step, place)
    inner, gives = _played(writer, step, step.body, within, 8)
    kind = place.types[step.over]
    over: Node = f"{writer.names.value(step.over)}[:{step.cap}]"
    if kind.kind != "list" or head(step.over) == PREVIOUS:
        checked = call("items_of", writer.names.value(step.over), quoted(step.over))
        over = Group(checked.head, checked.items, f")[:{step.cap}]")
    return [
        "",
        f"    async def one(item: {annotation(within.types.get(ITEM, JSON))}) -> dict[str, Any]:",
        *inner,
        laid("return ", table(dict(gives)), "", 8),
        "",
        laid("items = ", over, "", 4),
        "    made = await together(*(one(item) for item in items))",
        returned([f"[each[{quoted(name)}] for each in made]" for name in step.gives]),
    ]


def _loop(writer: Writer, step: Loop, place: Place) -> list[str]:
    within = _within(step, place)
    inner, gives = _played(writer, step, step.body, within, 8)
    read = dict.fromkeys(source for each in step.body.steps for source in each.sources if head(source) == PREVIOUS)
    read |= dict.fromkeys(source for source in step.body.gives.values() if head(source) == PREVIOUS)
    ended = f"{writer.names.value(step.until)} or " if step.until else ""
    before = [
        f"        {writer.names.value(source)} = {writer.names.value(step.body.fields[source.partition('.')[2]])}"
        for source in read
    ]
    return [
        *(f"    {writer.argument(source, within)} = None" for source in read),
        "    turn = 1",
        "    while True:",
        *inner,
        f"        if {ended}turn == {step.max}:",
        returned([gives[name] for name in step.gives], 12),
        "        turn += 1",
        *before,
    ]


def _vote(writer: Writer, step: Vote, place: Place) -> list[str]:
    shuffles = step.shuffle_demos or place.shuffles
    within = Place(step.inner_scope(place.types), VOTE_TEMPERATURE, shuffles)
    inner, gives = _played(writer, step, step.body, within, 8)
    if step.judge is None:
        taken = ["    taken = majority(made)"]
    else:
        judge = step.judge
        writer.steps([judge], replace(place, types=step.judge_scope(place.types)))
        number = writer.names.value(f"{judge.id}.{next(iter(judge.gives))}")
        run = writer.run(judge, place.shuffles, "numbered(made)")
        taken = [
            "    taken = made[0]",
            "    if differ(made):",
            bound(number, run, 8),
            f"        taken = judged(made, {number})",
        ]
    return [
        "",
        f"    async def one({'sample' if step.shuffle_demos else '_'}: int) -> dict[str, Any]:",
        *inner,
        laid("return ", table(dict(gives)), "", 8),
        "",
        f"    made = await samples_of(one, {step.n})",
        *taken,
        returned([f"taken[{quoted(name)}]" for name in step.gives]),
    ]
