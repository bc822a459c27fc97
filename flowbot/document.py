"""YAML text to plain data and back: with line numbers, without tags, anchors or surprises."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, events
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString, ScalarString
from ruamel.yaml.scanner import RoundTripScanner, Scanner
from ruamel.yaml.tokens import ScalarToken

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.workflow.fields import Json, is_list, is_map, joined
from flowbot.workflow.graph import problems_of
from flowbot.workflow.wording import parts_of, place_of

Path = tuple[str | int, ...]
Record = TypeVar("Record", bound=BaseModel)
Parsed = Any  # ruamel's events, nodes and errors, which have partial types
_Map: Any = CommentedMap
_List: Any = CommentedSeq
_event: Any = events  # its kinds of event

LARGEST = 2_000_000  # characters of one document
DEEPEST = 40
ORDERED = ("inputs", "gives", "output")  # maps whose order means something: a model answers field by field


@dataclass(frozen=True)
class Document:
    """Plain data read from text, and the line (from 1) at which each of its parts stands."""

    data: Json
    lines: Mapping[Path, int]
    file: str

    def where(self, path: Path) -> str:
        """Return `file:line` of the innermost known part of a path."""
        while path and path not in self.lines:
            path = path[:-1]
        return f"{self.file}:{self.lines.get(path, 1)}"

    def error(self, path: Path, what: str, mend: str = "") -> InputError:
        """Return the error for one part of the document."""
        return InputError(what, self.where(path), mend)


class _BareTypes(Scanner):
    """Lets `{passages: list[text]}` be written without quotes, which plain YAML refuses within braces."""

    def scan_plain(self: Any) -> Any:
        length = self._bare_type() if self.flow_level else 0
        if not length:
            partly_typed: Any = super()
            return partly_typed.scan_plain()
        start = self.reader.get_mark()
        text = self.reader.prefix(length)
        self.reader.forward(length)
        self.allow_simple_key = False
        return ScalarToken(text, True, start, self.reader.get_mark())

    def _bare_type(self: Any) -> int:
        """Return the length of `list[...]` or `choice[...]` at the reader's place, else 0."""
        if self.reader.prefix(5) != "list[" and self.reader.prefix(7) != "choice[":
            return 0
        depth = length = 0
        while (char := self.reader.peek(length)) not in "\0\r\n":
            depth += (char == "[") - (char == "]")
            length += 1
            if char == "]" and depth == 0:
                return length
        return 0


class _CommentScanner(_BareTypes, RoundTripScanner):
    pass


def _yaml(kind: str) -> Any:
    yaml = YAML(typ=kind, pure=True)
    yaml.Scanner = _CommentScanner if kind == "rt" else _BareTypes
    yaml.preserve_quotes = True
    return yaml


def read_document(text: str, file: str) -> Document:
    """Read YAML text as plain data (maps, lists, texts, numbers, bools, null).

    Raises `InputError` with file and line for broken YAML, duplicate keys, tags, anchors and aliases, keys that are
    not text, documents that are too large or too deep.
    """
    if len(text) > LARGEST:
        raise InputError(f"the document has {len(text)} characters; at most {LARGEST}", file)
    lines: dict[Path, int] = {}
    try:
        data = _Events(_yaml("safe").parse(text), lines, file).document()
    except InputError:
        raise
    except MarkedYAMLError as error:
        _refuse_marked(error, file)
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not valid YAML: {str(error).partition(chr(10))[0]}", file) from None
    return Document(data, lines, file)


def _refuse_marked(error: Parsed, file: str) -> NoReturn:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    raise InputError(f"not valid YAML: {error.problem or error.context}", f"{file}:{line}") from None


def _check_event(event: Parsed, file: str) -> None:
    where = f"{file}:{event.start_mark.line + 1}"
    if type(event) is _event.AliasEvent or getattr(event, "anchor", None):
        raise InputError("anchors (&) and aliases (*) are not allowed", where, "write the value out")
    tag = str(getattr(event, "ctag", None) or "")
    if tag not in ("None", ""):
        raise InputError(f"tags ({tag}) are not allowed", where, "write a plain value")


@dataclass
class _Events:
    """Plain data from YAML's events, read once; `lines` is filled with the line of each part."""

    events: Parsed
    lines: dict[Path, int]
    file: str
    open: int = 0  # maps and lists around

    def _next(self) -> Parsed:
        return next(self.events)

    def document(self) -> Json:
        """Return the one document that there is."""
        self._next()
        if type(self._next()) is not _event.DocumentStartEvent:
            raise InputError("the document is empty", self.file)
        data = self._value(self._next(), ())
        self._next()
        after = self._next()
        if type(after) is _event.DocumentStartEvent:
            raise InputError(
                "not valid YAML: a second document begins here", f"{self.file}:{after.start_mark.line + 1}", "remove it"
            )
        return data

    def _value(self, event: Parsed, path: Path) -> Json:
        _check_event(event, self.file)
        self.lines[path] = event.start_mark.line + 1
        if type(event) is _event.ScalarEvent:
            text = _sound(str(event.value), event, self.file)
            return text if event.style is not None else _scalar(text)  # quoted or block: always text
        self.open += 1
        if self.open > DEEPEST:
            raise InputError(f"nested deeper than {DEEPEST} levels", f"{self.file}:{event.start_mark.line + 1}")
        found = self._map(path) if type(event) is _event.MappingStartEvent else self._list(path)
        self.open -= 1
        return found

    def _list(self, path: Path) -> list[Json]:
        found: list[Json] = []
        while type(event := self._next()) is not _event.SequenceEndEvent:
            found.append(self._value(event, (*path, len(found))))
        return found

    def _map(self, path: Path) -> dict[str, Json]:
        found: dict[str, Json] = {}
        while type(event := self._next()) is not _event.MappingEndEvent:
            _check_event(event, self.file)
            line = event.start_mark.line + 1
            if type(event) is not _event.ScalarEvent:
                raise InputError("a key must be a plain text", f"{self.file}:{line}")
            key = _sound(str(event.value), event, self.file)
            if key in found:
                first = self.lines[(*path, key)]
                told = f"the key '{key}' stands twice (first at line {first})"
                raise InputError(told, f"{self.file}:{line}", "remove one")
            found[key] = self._value(self._next(), (*path, key))
            self.lines[(*path, key)] = line
        return found


def _sound(text: str, node: Parsed, file: str) -> str:
    r"""Refuse half a surrogate pair (an escape like "\ud800"): it is no character and cannot be stored or sent."""
    text = joined(text)  # JSON writes a character beyond 16 bits as two escapes
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise InputError("half a surrogate pair is no text", f"{file}:{node.start_mark.line + 1}", "remove the escape")
    return text


_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,299})")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]{1,3})?")


def _scalar(text: str) -> Json:
    """Return what an unquoted scalar is; what looks like a number but is none (007, 1e999) is text."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def read_record(document: Document, kind: type[Record], what: str) -> Record:
    """Return the document's data as a record of `kind`; raise `InputError` with file, line, key and near miss."""
    data = document.data
    if not is_map(data):
        raise document.error((), f"a {what} must be a map with keys, not {type(data).__name__}")
    version = data.get("flowbot")
    if version != 1:
        raise document.error(("flowbot",), f"a {what} begins with 'flowbot: 1'; found {version!r}", "add that line")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        found = sorted(problems_of(error), key=lambda each: each["type"] != "extra_forbidden")
        words = [_words(each, kind, data) for each in found]
        more = f"(and {len(words) - 1} more: {'; '.join(words[1:4])})" if words[1:] else ""
        raise document.error(place_of(found[0]["loc"], data), words[0], more) from None


def _words(problem: Mapping[str, Any], kind: type[BaseModel], data: Mapping[str, Json]) -> str:
    """Put one of pydantic's problems into words that name the key and what was meant."""
    last = str(problem["loc"][-1]) if problem["loc"] else ""
    loc = [str(part) for part in place_of(problem["loc"], data)] + [last] * (problem["type"] == "missing")
    key = ".".join(loc)
    if loc[:1] == ["steps"] and len(loc) > 1:
        key = _within_step(place_of(problem["loc"], data), data, [last] * (problem["type"] == "missing"))
    place = f" ({key})" if len(loc) > 1 else ""
    message = str(problem["msg"])
    if last == "[key]":
        known = re.findall(r"'(.*?)'", message)
        return f"unknown key '{loc[-1]}'{place}{nearest(loc[-1], known)} (keys: {', '.join(known)})"
    match problem["type"]:
        case "extra_forbidden":
            keys = _all_keys(kind)
            return f"unknown key '{last}'{place}{': it has no place here' if last in keys else nearest(last, keys)}"
        case "missing":
            return f"the key '{last}' is missing{place}"
        case "workflow":
            return message
        case _:
            return f"{key}: {message}" if key else message


def _within_step(path: Path, data: Json, more: Sequence[str]) -> str:
    """Return the innermost step with an id on a path, and the place in it: `step 'solve' limits.cpu`."""
    name, begins, here = f"step {int(path[1]) + 1}", 2, data
    for place, part in enumerate(path, 1):
        here = parts_of(here)[part]
        if is_map(here) and "id" in here and (isinstance(part, int) or part == "judge"):
            name, begins = f"step '{here['id']}'", place
    return " ".join([name, ".".join([*map(str, path[begins:]), *more])]).strip()


@lru_cache
def _all_keys(kind: type[BaseModel]) -> list[str]:
    """Return the keys of a record and of the records in it (for near misses only)."""
    schema = kind.model_json_schema(mode="validation")
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for part in parts for key in part.get("properties", {})})


def write_document(data: Json, like: str = "") -> str:
    """Return plain data as YAML text; with `like`, an earlier text of it, comments and order there are kept."""
    writer = _yaml("rt")
    writer.width = 10**9  # no folding: ruamel drops characters where it folds escaped text
    writer.allow_unicode = True
    writer.indent(mapping=2, sequence=4, offset=2)
    tree = _merged(writer.load(like), data) if like.strip() else _tree(data)
    out = io.StringIO()
    writer.dump(tree, out)
    return out.getvalue()


def _tree(value: Json, key: str = "", depth: int = 0) -> Any:
    """Return the value as ruamel writes it nicely: texts of several lines as blocks, small maps in one line."""
    if is_map(value):
        made = _Map({_text(name): _tree(item, name, depth + 1) for name, item in value.items()})
        if depth and key != "tools" and _small(list(value.values()), value):
            made.fa.set_flow_style()
        return made
    if is_list(value):
        made = _List([_tree(item, key, depth + 1) for item in value])
        if value and _small(value, value):
            made.fa.set_flow_style()
        return made
    return _text(value, key) if isinstance(value, str) else value


def _text(text: str, key: str = "") -> str:
    if (key == "prompt" or "\n" in text) and _blockable(text):
        return LiteralScalarString(text + "\n" if key == "prompt" and not text.endswith("\n") else text)
    # what ruamel would leave bare and read as something else: .5e3, {x: ?a}; and breaks that it would not keep
    bare = _scalar(text) is text and text[:1] not in (":", "?") and text.isprintable()
    return text if bare else DoubleQuotedScalarString(text)


def _small(items: Sequence[Json], value: Json) -> bool:
    plain = all(isinstance(item, str | int | float | bool | None) for item in items)
    return plain and len(str(value)) <= 90 and "\n" not in str(items)


def _blockable(text: str) -> bool:
    """Tell whether a text stands in a block (`|`) as it is: nothing invisible, no break before or twice behind it."""
    printable = all(char == "\n" or char.isprintable() for char in text)
    lines = text.split("\n")
    return (
        printable and all(line == line.rstrip() for line in lines) and text[:1].strip() != "" and lines[-2:] != ["", ""]
    )


def _merged(old: Any, new: Json, key: str = "", depth: int = 0) -> Any:
    """Return `old` changed into `new` as little as possible, so that its comments stay."""
    if isinstance(old, _Map) and is_map(new):
        return _merged_map(old, new, key, depth)
    if isinstance(old, _List) and is_list(new):
        return _merged_list(old, new, key, depth)
    if isinstance(old, str) and isinstance(new, str):
        same = str(old) == new and (isinstance(old, ScalarString) or _scalar(new) is new)
    else:
        same = type(old) is type(new) and old == new
    return old if same else _tree(new, key, depth)


def _merged_map(old: Any, new: Mapping[str, Json], key: str, depth: int) -> Any:
    before = dict(old)
    for name in [name for name in old if name not in new]:
        del old[name]
    for name, item in new.items():
        if name in old:
            old[name] = _merged(old[name], item, name, depth + 1)
        else:
            old[_text(name)] = _tree(item, name, depth + 1)
    changed = any(before.get(name) is not item for name, item in old.items())
    outgrown = changed and old.fa.flow_style() and not _small(list(new.values()), new)
    disordered = key in ORDERED and list(old) != list(new)
    return _tree(new, key, depth) if outgrown or disordered else old


def _merged_list(old: Any, new: Sequence[Json], key: str, depth: int) -> Any:
    """Match the items of a list by their `id` where they have one, else by place."""
    by_id = {str(item["id"]): item for item in old if isinstance(item, _Map) and "id" in item}
    placed = not by_id
    items: list[Any] = []
    for index, item in enumerate(new):
        named = by_id.pop(str(item["id"]), None) if is_map(item) and "id" in item else None
        before = named if named is not None else old[index] if index < len(old) and placed else None
        items.append(_tree(item, key, depth + 1) if before is None else _merged(before, item, key, depth + 1))
    if len(items) == len(old) and all(a is b for a, b in zip(items, old, strict=True)):
        return old
    made = _List(items)
    if old.fa.flow_style():
        made.fa.set_flow_style()
    same_places = len(items) >= len(old) and all(a is b or placed for a, b in zip(items, old, strict=False))
    if same_places:
        made.ca.items.update(old.ca.items)
    made.ca.comment = old.ca.comment
    return made
