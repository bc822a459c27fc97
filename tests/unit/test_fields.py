"""Field types: how they are spelled, and what fits them."""

from __future__ import annotations

import pytest

from flowbot.workflow.fields import (
    BOOL,
    JSON,
    NUMBER,
    TEXT,
    FieldError,
    FieldType,
    Json,
    Misfit,
    as_text,
    choice,
    parse_type,
)

LIST = FieldType("list", item=TEXT)
PERSON = parse_type(
    {
        "json": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "age": {"type": ["integer", "null"]},
                "tags": {"items": {"enum": ["a", "b", 1]}},
            },
            "required": ["name"],
            "additionalProperties": False,
        }
    }
)


@pytest.mark.parametrize(
    ("spelled", "kind"),
    [
        ("text", TEXT),
        (" number ", NUMBER),
        ("bool", BOOL),
        ("json", JSON),
        ("list", LIST),
        ("list[text]", LIST),
        ("list[list[number]]", FieldType("list", item=FieldType("list", item=NUMBER))),
        ("choice[a, b]", choice("a", "b")),
        ('choice["a, with comma", b c]', choice("a, with comma", "b c")),
        (r'choice["say \"hi\"", "back\\slash"]', choice('say "hi"', "back\\slash")),
        ("choice[Größe, 東京]", choice("Größe", "東京")),
        ("list[choice[a, b]]", FieldType("list", item=choice("a", "b"))),
        ({"json": {"type": "object"}}, FieldType("json", schema='{"type": "object"}')),
        (NUMBER, NUMBER),
    ],
)
def test_types_are_read(spelled: object, kind: FieldType) -> None:
    assert parse_type(spelled) == kind


@pytest.mark.parametrize(
    ("spelled", "said"),
    [
        ("str", "did you mean 'text'"),
        ("int", "did you mean 'number'"),
        ("Text", "did you mean 'text'"),
        ("numbr", "did you mean 'number'"),
        ("list[str]", "did you mean 'text'"),
        ("choice[]", "at least one value"),
        ("choice[a,]", "end with a comma"),
        ("choice[a, a]", "twice"),
        ('choice["a"b]', "cannot read the choices"),
        (r'choice["a\x"]', "as in JSON"),
        (r'choice["a\ud83d"]', "half a surrogate pair"),
        ("list[" * 9 + "text" + "]" * 9, "at most 8 deep"),
        (7, "got 7"),
        (["text"], "a type is a text"),
        ({"jsn": {}}, "{json: SCHEMA}"),
        ({"json": "x"}, "{json: SCHEMA}"),
        ({"json": {"type": "strng"}}, "the schema has the unknown type 'strng'; did you mean 'string'"),
        ({"json": {"type": ["object", 1]}}, "unknown type 1"),
        ({"json": {"properties": ["a"]}}, "properties of the schema must be a map"),
        ({"json": {"properties": {"a": "text"}}}, "the schema of 'a' must be a map"),
        ({"json": {"items": {"type": "int"}}}, "items of the schema has the unknown type 'int'"),
        ({"json": {"required": "a"}}, "required of the schema must be a list of names"),
        ({"json": {"enum": []}}, "enum of the schema must be a list with at least one"),
        ({"json": {"additionalProperties": 1}}, "additionalProperties of the schema must be a map"),
        ({"json": {"default": float("nan")}}, "must hold JSON values only"),
    ],
)
def test_types_that_cannot_be_read_say_what_is_allowed(spelled: object, said: str) -> None:
    with pytest.raises(FieldError, match=said.replace("{", r"\{").replace("[", r"\[")):
        parse_type(spelled)


@pytest.mark.parametrize(
    ("kind", "value", "held"),
    [
        (TEXT, "a", "a"),
        (TEXT, 3.0, "3"),
        (TEXT, True, "true"),
        (TEXT, ["a", 1], '["a", 1]'),
        (NUMBER, "1,234.50", 1234.5),
        (NUMBER, " 7 ", 7),
        (NUMBER, 7.0, 7),
        (NUMBER, "-1,234,567", -1234567),
        (NUMBER, 10**20, 10**20),
        (BOOL, "Yes", True),
        (BOOL, " false ", False),
        (choice("Spam", "ham"), " spam ", "Spam"),
        (choice("a", "A"), "A", "A"),
        (LIST, ("a", 1), ["a", "1"]),
        (JSON, {"a": [1]}, {"a": [1]}),
        (PERSON, {"name": "x", "age": None, "tags": ["a"]}, {"name": "x", "age": None, "tags": ["a"]}),
        (PERSON, {"name": "x", "age": 2.0, "tags": [1.0]}, {"name": "x", "age": 2.0, "tags": [1.0]}),
    ],
)
def test_harmless_differences_are_mended(kind: FieldType, value: Json, held: Json) -> None:
    assert kind.fit(value) == held
    assert type(kind.fit(value)) is type(held)


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (TEXT, None, "expected text, got null"),
        (NUMBER, "seven", "expected a number, got 'seven'"),
        (NUMBER, "3,5", "expected a number"),
        (NUMBER, True, "expected a number"),
        (NUMBER, None, "expected a number"),
        (NUMBER, "nan", "finite"),
        (NUMBER, float("inf"), "finite"),
        (NUMBER, 10**400, "finite"),
        (NUMBER, [1], "finite"),
        (BOOL, 1, "expected true or false"),
        (BOOL, "maybe", "expected true or false"),
        (choice("a", "b"), "c", "expected one of a, b"),
        (choice("a", "A"), " a ", "expected one of a, A"),
        (choice("a", "b"), None, "expected one of a, b"),
        (LIST, "a", "expected a list"),
        (FieldType("list", item=NUMBER), ["x"], "expected a number"),
        (NUMBER, "x" * 100, r"\.\.\."),
        (JSON, [{"a": float("nan")}], "expected finite numbers, got nan"),
        (JSON, float("inf"), "expected finite numbers, got inf"),
        (PERSON, [], "expected object, got"),
        (PERSON, {}, "'name' is missing"),
        (PERSON, {"name": 1}, "name: expected string, got 1"),
        (PERSON, {"name": "x", "nme": 1}, "'nme' is not allowed; did you mean 'name'"),
        (PERSON, {"name": "x", "tags": ["a", "c"]}, r"tags\[1\]: expected one of 'a', 'b', 1; got 'c'"),
        (PERSON, {"name": "x", "tags": [True]}, r"tags\[0\]: expected one of"),
        (PERSON, {"name": "x", "age": 1.5}, "age: expected integer or null, got 1.5"),
        (PERSON, {"name": "x", "age": True}, "age: expected integer or null"),
    ],
)
def test_misfits_say_what_was_expected(kind: FieldType, value: Json, said: str) -> None:
    with pytest.raises(Misfit, match=said):
        kind.fit(value)


def test_the_schema_of_a_type() -> None:
    assert FieldType("list", item=choice("a", "b")).json_schema() == {
        "type": "array",
        "items": {"type": "string", "enum": ["a", "b"]},
    }
    assert parse_type({"json": {"type": "object"}}).json_schema() == {"type": "object"}
    assert JSON.json_schema() == {}
    assert (NUMBER.json_schema(), BOOL.json_schema()) == ({"type": "number"}, {"type": "boolean"})


def test_what_a_type_accepts() -> None:
    assert TEXT.accepts(NUMBER)
    assert JSON.accepts(LIST)
    assert choice("a", "b", "c").accepts(choice("b", "a"))
    assert not choice("a").accepts(choice("a", "b"))
    assert not NUMBER.accepts(TEXT)
    assert FieldType("list", item=TEXT).accepts(FieldType("list", item=NUMBER))
    assert not LIST.accepts(TEXT)


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (3.0, "3"), (3.5, "3.5"), (1e300, "1e+300"), (["é"], '["é"]')])
def test_values_as_a_step_reads_them(value: Json, text: str) -> None:
    assert as_text(value) == text
