"""The kinds of step with a body: `vote`, `branch`, `map`, `loop`; and the closed union of all kinds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from flowbot.names import nearest
from flowbot.workflow.body import Block, Body, BodyOf, StepList, scope_after, walk
from flowbot.workflow.fields import BOOL, JSON, NUMBER, FieldType, Json
from flowbot.workflow.steps import Call, CodeStep, ToolStep, unknown_tool
from flowbot.workflow.tools import Tools, argument_problems
from flowbot.workflow.value import Flag, Path, Problem, Scope, Text, Whole, head, reference

MOST_SAMPLES, MOST_ITEMS, MOST_TURNS = 16, 64, 4
VOTE_TEMPERATURE = 0.7  # of calls in the body of a vote that name none
ITEM, PREVIOUS, SAMPLES = "item", "previous", "samples"


class Single(Block):
    """A block with one body."""

    body: BodyOf

    @property
    def bodies(self) -> Mapping[str, Body]:
        return {"body": self.body}

    def with_bodies(self, bodies: Mapping[str, Body], judges: Sequence[Call]) -> Self:
        return self.changed({"body": bodies["body"]})


class Vote(Single):
    """`n` samples of the body, one of which is taken.

    `majority`: the fields given most often, compared as normalised values; ties go to the lowest draw. `tests`: the
    first sample for which `tool` (with `args`, by default what the vote gives) says true, else the majority. `judge`:
    a call that reads `samples` and gives one number: the sample taken, from 1. Calls in the body have temperature 0.7
    where they name none; `shuffle_demos` shows their demos in an order of its own in each sample.
    """

    kind: Literal["vote"] = "vote"
    n: Annotated[Whole, Field(ge=2, le=MOST_SAMPLES)]
    by: Literal["majority", "tests", "judge"] = "majority"
    tool: Text | None = None
    args: dict[str, Json] = {}
    judge: Call | None = None
    shuffle_demos: Flag = False

    @property
    def judges(self) -> tuple[Call, ...]:
        return () if self.judge is None else (self.judge,)

    def with_bodies(self, bodies: Mapping[str, Body], judges: Sequence[Call]) -> Self:
        return self.changed({"body": bodies["body"], "judge": judges[0] if judges else None})

    @property
    def test_args(self) -> Mapping[str, Json]:
        """The arguments of the tool that tests a sample."""
        return self.args or {name: f"${source}" for name in self.gives if (source := self.body.source(name))}

    def needed(self, body: Body) -> Iterator[str]:
        if self.by == "tests":
            yield from (source for value in self.test_args.values() if (source := reference(value)) is not None)

    def own_sources(self) -> Iterator[tuple[Path, str]]:
        if self.judge is not None:
            yield from ((("judge", *at), src) for at, src in self.judge.placed_sources() if src != SAMPLES)

    def problems(self, scope: Scope, tools: Tools) -> Iterator[Problem]:
        yield from super().problems(scope, tools)
        if self.by == "judge" and self.judge is None:
            yield ("by",), "votes by judge: add a judge, a call that reads samples and gives a number"
        if self.by != "judge" and self.judge is not None:
            yield ("judge",), "names a judge, which only a vote by judge has: set by: judge, or remove it"
        if self.by == "tests" and self.tool is None:
            yield ("by",), "votes by tests: name the tool that says true or false"
        if self.by != "tests" and self.tool is not None:
            yield ("tool",), "names a tool, which only a vote by tests has: set by: tests, or remove it"
        elif self.tool is not None:
            yield from self._test_problems(scope, tools)
        if self.judge is not None:
            yield from self._judge_problems(self.judge, scope, tools)
        yield from self._alike()

    def _test_problems(self, scope: Scope, tools: Tools) -> Iterator[Problem]:
        name = self.tool or ""
        if name not in tools:
            yield ("tool",), unknown_tool(name, tools)
            return
        result = tools[name].result
        if result is not None and result != BOOL:
            yield ("tool",), f"is held to the tool '{name}', which gives {result} and not true or false"
            return
        within = scope_after(self.body.steps, scope)
        for arg, message in argument_problems(name, self.test_args, tools, within):
            yield ("args", arg) if arg in self.args else ("args",), message
        for arg, value in self.args.items():
            if (source := reference(value)) is not None and source not in within:
                near = nearest(source, within)
                yield ("args", arg), f"has the argument '{arg}' from '{source}', which nothing gives{near}"

    def judge_scope(self, scope: Scope) -> dict[str, FieldType]:
        return {**scope, SAMPLES: FieldType("list", item=JSON)}

    def _judge_problems(self, judge: Call, scope: Scope, tools: Tools) -> Iterator[Problem]:
        for at, message in judge.problems(self.judge_scope(scope), tools):
            yield ("judge", *at), f"has a judge '{judge.id}' that {message}"
        if SAMPLES not in judge.reads:
            yield ("judge", "reads"), f"has a judge '{judge.id}' that must read samples: what the samples gave"
        if "sample" in self.gives:
            yield ("gives", "sample"), "gives a field 'sample', by which its judge knows the samples: name it otherwise"
        if list(judge.gives.values()) != [NUMBER]:
            told = f"has a judge '{judge.id}' that must give one number"
            yield ("judge", "gives"), f"{told}: the sample that it takes, from 1"

    def _alike(self) -> Iterator[Problem]:
        calls = [step for step in walk(self.body.steps) if isinstance(step, Call)]
        if not calls:
            yield ("body",), "has no call in its body: all samples would be the same"
        elif all(call.temperature == 0 for call in calls):
            shuffled = self.shuffle_demos and any(len(call.demos) > 1 for call in calls)
            if not shuffled:
                yield ("body",), "has only calls at temperature 0: all samples would be the same; set a temperature"

    def worst_calls(self) -> int:
        return self.n * super().worst_calls() + sum(judge.worst_calls() for judge in self.judges)

    def worst_depth(self) -> int:
        return super().worst_depth() + sum(judge.worst_depth() for judge in self.judges)


class Branch(Block):
    """One of several arms, by the value of a `choice` or `bool` field; every arm gives the same fields.

    Null (of a loop's first turn, of a program that failed) takes `else`.
    """

    model_config = ConfigDict(populate_by_name=True)
    kind: Literal["branch"] = "branch"
    on: Text
    arms: dict[str, BodyOf]
    otherwise: BodyOf | None = Field(None, alias="else")

    @property
    def bodies(self) -> Mapping[str, Body]:
        return self.arms if self.otherwise is None else {**self.arms, "else": self.otherwise}

    def with_bodies(self, bodies: Mapping[str, Body], judges: Sequence[Call]) -> Self:
        otherwise = bodies["else"] if self.otherwise else None
        return self.changed({"arms": {name: bodies[name] for name in self.arms}, "otherwise": otherwise})

    def arm(self, value: Json) -> tuple[str, Body] | None:
        """Return the name and the body of the arm for a value; None where there is none: for null without an else."""
        name = str(value).lower() if isinstance(value, bool) else value
        if name in self.arms:
            return name, self.arms[name]
        return None if self.otherwise is None else ("else", self.otherwise)

    def place(self, key: str) -> Path:
        return ("else",) if key == "else" and self.otherwise is not None else ("arms", key)

    def own_sources(self) -> Iterator[tuple[Path, str]]:
        yield ("on",), self.on

    def _plain_bodies(self, form: Callable[[Body], Json]) -> dict[str, Json]:
        arms = {"arms": {name: form(body) for name, body in self.arms.items()}}
        return arms if self.otherwise is None else {**arms, "else": form(self.otherwise)}

    @model_validator(mode="after")
    def _else_is_no_arm(self) -> Self:
        if "else" in self.arms and self.otherwise is not None:
            raise ValueError("the arm 'else' stands twice: write it beside arms:, not among them")
        return self

    def problems(self, scope: Scope, tools: Tools) -> Iterator[Problem]:
        yield from super().problems(scope, tools)
        kind = scope.get(self.on)
        if kind is None:
            return
        if kind.kind not in ("choice", "bool"):
            yield ("on",), f"branches on '{self.on}', which is {kind}: branch on a choice or a bool"
            return
        values = kind.choices if kind.kind == "choice" else ("true", "false")
        if "else" in self.arms and "else" not in values and self.otherwise is None:
            yield ("arms", "else"), "has else: among its arms: write it beside arms:"
            return
        for name in self.arms:
            if name not in values:
                told = f"has the arm '{name}' (the values are {', '.join(values)})"
                yield ("arms", name), f"{told}{nearest(name, values)}"
        missing = [name for name in values if name not in self.arms]
        if missing and self.otherwise is None:
            yield ("arms",), f"has no arm for {', '.join(missing)}: add it, or an else:"
        elif head(self.on) == PREVIOUS and self.otherwise is None:
            yield ("on",), f"branches on '{self.on}', which is null in the first turn: add an else:"


class Map(Single):
    """The body for each item of a list, at most `cap` of them; what it gives are lists in the order of the items."""

    bound: ClassVar[tuple[str, ...]] = (ITEM,)
    kind: Literal["map"] = "map"
    over: Text
    cap: Annotated[Whole, Field(le=MOST_ITEMS)] = 8

    def own_sources(self) -> Iterator[tuple[Path, str]]:
        yield ("over",), self.over

    def inner_scope(self, scope: Scope) -> dict[str, FieldType]:
        kind = scope.get(self.over)
        return {**scope, ITEM: kind.item if kind is not None and kind.item is not None else JSON}

    def held(self, wanted: FieldType) -> FieldType:
        return wanted.item if wanted.item is not None else wanted

    def problems(self, scope: Scope, tools: Tools) -> Iterator[Problem]:
        yield from super().problems(scope, tools)
        kind = scope.get(self.over)
        if kind is not None and kind.kind not in ("list", "json"):
            yield ("over",), f"maps over '{self.over}', which is {kind}: map over a list"
        elif head(self.over) == PREVIOUS:
            yield ("over",), f"maps over '{self.over}', which is null in the first turn: map over what its turn gives"
        for name, given in self.gives.items():
            if given.kind != "list":
                yield ("gives", name), f"gives '{name}' as {given}: a map gives lists, e.g. list[{given}]"

    def worst_calls(self) -> int:
        return self.cap * super().worst_calls()


class Loop(Single):
    """The body again and again, at most `max` times, until a bool field of it is true; the last turn is given.

    The body may read `previous.FIELD`, what its steps gave in the turn before; null in the first.
    """

    bound: ClassVar[tuple[str, ...]] = (PREVIOUS,)
    kind: Literal["loop"] = "loop"
    max: Annotated[Whole, Field(le=MOST_TURNS)] = 2
    until: Text | None = None

    def needed(self, body: Body) -> Iterator[str]:
        if self.until is not None:
            yield self.until
        for step in body.steps:
            for source in step.sources:
                before, _, name = source.partition(".")
                if before == PREVIOUS and name in body.fields:
                    yield body.fields[name]

    def inner_scope(self, scope: Scope) -> dict[str, FieldType]:
        given = {f"{PREVIOUS}.{name}": kind for step in self.body.steps for name, kind in step.gives.items()}
        return {**scope, **given}

    def problems(self, scope: Scope, tools: Tools) -> Iterator[Problem]:
        yield from super().problems(scope, tools)
        if any(isinstance(step, Loop) for step in walk(self.body.steps)):
            yield ("body",), "has a loop in its body, where previous would mean two things: take one of the two away"
        if self.until is None:
            return
        given = {f"{step.id}.{name}": kind for step in self.body.steps for name, kind in step.gives.items()}
        if self.until not in given:
            yield ("until",), f"has until: {self.until}, which no step of its body gives{nearest(self.until, given)}"
        elif given[self.until] != BOOL:
            yield ("until",), f"has until: {self.until}, which is {given[self.until]}: until names a bool"

    def worst_calls(self) -> int:
        return self.max * super().worst_calls()

    def worst_depth(self) -> int:
        return self.max * super().worst_depth()


Step = Annotated[Call | ToolStep | CodeStep | Vote | Branch | Map | Loop, Field(discriminator="kind")]
STEPS: Mapping[str, type[Step]] = {kind.model_fields["kind"].default: kind for kind in get_args(get_args(Step)[0])}
for _record in (StepList, Body, Single, Vote, Branch, Map, Loop):
    _record.model_rebuild(_types_namespace={"Step": Step})
