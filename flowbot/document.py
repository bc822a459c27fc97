"""YAML text to plain data and back: with line numbers, without tags, anchors or surprises."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, Event
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import LiteralScalarString
from ruamel.yaml.scanner import RoundTripScanner, Scanner
from ruamel.yaml.tokens import ScalarToken

from flowbot.errors import InputError
from flowbot.names import nearest
from flowbot.workflow.fields import Json
from flowbot.workflow.graph import problems_of

Path = tuple[str | int, ...]
Record = TypeVar("Record", bound=BaseModel)

LARGEST = 2_000_000  # characters of one document
DEEPEST = 40


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


class _BareTypes:
    """Lets `{passages: list[text]}` be written without quotes, which plain YAML refuses within braces."""

    def scan_plain(self: Any) -> Any:
        length = self._bare_type() if self.flow_level else 0
        if not length:
            return super().scan_plain()
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


class _PlainScanner(_BareTypes, Scanner):
    pass


class _CommentScanner(_BareTypes, RoundTripScanner):
    pass


def _yaml(kind: str) -> YAML:
    yaml = YAML(typ=kind, pure=True)
    yaml.Scanner = _CommentScanner if kind == "rt" else _PlainScanner
    yaml.preserve_quotes = True
    return yaml


def read_document(text: str, file: str) -> Document:
    """Read YAML text as plain data (maps, lists, texts, numbers, bools, null).

    Raises `InputError` with file and line for broken YAML, duplicate keys, tags, anchors and aliases, keys that are
    not text, documents that are too large or too deep.
    """
    if len(text) > LARGEST:
        raise InputError(f"the document has {len(text)} characters; at most {LARGEST}", file)
    try:
        _refuse_aliases(_yaml("safe").parse(text), file)
        node = _yaml("safe").compose(text)
    except InputError:
        raise
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise InputError(f"not valid YAML: {error.problem or error.context}", f"{file}:{line}") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"not valid YAML: {str(error).splitlines()[0] or 'nested too deep'}", file) from None
    lines: dict[Path, int] = {}
    if node is None:
        raise InputError("the document is empty", file)
    return Document(_plain(node, (), lines, file), lines, file)


def _refuse_aliases(events: Any, file: str) -> None:
    depth = 0
    for event in events:
        _check_event(event, file)
        name = type(event).__name__
        depth += name.endswith("StartEvent") - name.endswith("EndEvent")
        if depth > DEEPEST:
            raise InputError(f"nested deeper than {DEEPEST} levels", f"{file}:{event.start_mark.line + 1}")


def _check_event(event: Event, file: str) -> None:
    where = f"{file}:{event.start_mark.line + 1}"
    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        raise InputError("anchors (&) and aliases (*) are not allowed", where, "write the value out")
    if getattr(event, "ctag", None) is not None and str(event.ctag) not in ("None", ""):  # type: ignore[attr-defined]
        raise InputError(f"tags ({event.ctag}) are not allowed", where, "write a plain value")  # type: ignore[attr-defined]


def _plain(node: Node, path: Path, lines: dict[Path, int], file: str) -> Json:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, MappingNode):
        return _plain_map(node, path, lines, file)
    if isinstance(node, SequenceNode):
        return [_plain(item, (*path, index), lines, file) for index, item in enumerate(node.value)]
    assert isinstance(node, ScalarNode)
    return _scalar(node, file)


def _plain_map(node: MappingNode, path: Path, lines: dict[Path, int], file: str) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            raise InputError("a key must be a plain text", f"{file}:{line}")
        key = str(key_node.value)
        if key in found:
            first = lines[(*path, key)]
            raise InputError(f"the key '{key}' stands twice (first at line {first})", f"{file}:{line}", "remove one")
        found[key] = _plain(value_node, (*path, key), lines, file)
        lines[(*path, key)] = line
    return found


_INTEGER = re.compile(r"^[-+]?(0|[1-9][0-9]{0,18})$")
_FLOAT = re.compile(r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d{1,3})?$")


def _scalar(node: ScalarNode, file: str) -> Json:
    text = str(node.value)
    if node.style is not None:  # quoted or block: always text
        return text
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text):
        return float(text)
    return text


def read_record(document: Document, kind: type[Record], what: str) -> Record:
    """Return the document's data as a record of `kind`; raise `InputError` with file, line, key and near miss."""
    if not isinstance(document.data, dict):
        raise document.error((), f"a {what} must be a map with keys, not {type(document.data).__name__}")
    version = document.data.get("flowbot")
    if version != 1:
        raise document.error(("flowbot",), f"a {what} begins with 'flowbot: 1'; found {version!r}", "add that line")
    try:
        return kind.model_validate(document.data)
    except ValidationError as error:
        found = sorted(problems_of(error), key=lambda each: each["type"] != "extra_forbidden")
        words = [_words(each, kind, document.data) for each in found]
        more = f"(and {len(words) - 1} more: {'; '.join(words[1:4])})" if words[1:] else ""
        raise document.error(_file_path(found[0]["loc"], document.data), words[0], more) from None


def _words(problem: Mapping[str, Any], kind: type[BaseModel], data: Mapping[str, Json]) -> str:
    """Put one of pydantic's problems into words that name the key and what was meant."""
    loc = [str(part) for part in problem["loc"] if part not in ("call", "tool") or part in problem["loc"][-1:]]
    key = ".".join(loc)
    if loc[:1] == ["steps"] and len(loc) > 1:
        key = " ".join([_step_name(data, int(loc[1])), ".".join(loc[2:])]).strip()
    match problem["type"]:
        case "extra_forbidden":
            place = f" ({key})" if len(loc) > 1 else ""
            return f"unknown key '{loc[-1]}'{place}{nearest(loc[-1], _all_keys(kind))}"
        case "missing":
            place = f" ({key})" if len(loc) > 1 else ""
            return f"the key '{loc[-1]}' is missing{place}"
        case "workflow":
            return str(problem["msg"])
        case "union_tag_invalid" | "union_tag_not_found":
            return f"{key}: {problem['msg']}"
        case _:
            return f"{key}: {problem['msg']}" if key else str(problem["msg"])


def _step_name(data: Mapping[str, Json], index: int) -> str:
    step = data["steps"][index]
    return f"step '{step['id']}'" if isinstance(step, dict) and "id" in step else f"step {index + 1}"


def _all_keys(kind: type[BaseModel]) -> list[str]:
    """Return the keys of a record and of the records in it (for near misses only)."""
    schema = kind.model_json_schema(mode="validation")
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for part in parts for key in part.get("properties", {})})


def _file_path(loc: Sequence[str | int], data: Json) -> Path:
    """Drop from pydantic's location what does not stand in the file (the tags of a union)."""
    path: list[str | int] = []
    here = data
    for part in loc:
        if isinstance(here, dict) and part in here:
            here, path = here[part], [*path, part]  # pyright: ignore[reportUnknownVariableType]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):  # pyright: ignore
            here, path = here[part], [*path, part]  # pyright: ignore[reportUnknownVariableType]
    return tuple(path)


def write_document(data: Json, like: str = "") -> str:
    """Return plain data as YAML text; with `like`, an earlier text of it, comments and order there are kept."""
    writer = _yaml("rt")
    writer.width = 118
    writer.allow_unicode = True
    writer.indent(mapping=2, sequence=4, offset=2)
    tree = _merged(writer.load(like), data) if like.strip() else _tree(data)
    out = io.StringIO()
    writer.dump(tree, out)
    return out.getvalue()


def _tree(value: Json, key: str = "", depth: int = 0) -> Any:
    """Return the value as ruamel writes it nicely: texts of several lines as blocks, small maps in one line."""
    if isinstance(value, Mapping):
        made = CommentedMap({name: _tree(item, str(name), depth + 1) for name, item in value.items()})  # pyright: ignore
        if depth and key not in ("tools",) and _small(value):  # pyright: ignore[reportUnknownArgumentType]
            made.fa.set_flow_style()
        return made
    if isinstance(value, list | tuple):
        made = CommentedSeq([_tree(item, key, depth + 1) for item in value])  # pyright: ignore
        if value and all(isinstance(item, str | int | float) for item in value) and _small(value):  # pyright: ignore
            made.fa.set_flow_style()
        return made
    if isinstance(value, str) and (key == "prompt" or "\n" in value) and _blockable(value):
        return LiteralScalarString(value if value.endswith("\n") else value + "\n" if key == "prompt" else value)
    return value


def _small(value: Any) -> bool:
    items = list(value.values()) if isinstance(value, Mapping) else list(value)  # pyright: ignore
    plain = all(isinstance(item, str | int | float | bool | None) for item in items)  # pyright: ignore
    return plain and len(str(value)) <= 90 and "\n" not in str(items)


def _blockable(text: str) -> bool:
    printable = all(char in "\n\t" or char.isprintable() for char in text)
    return printable and not any(line != line.rstrip() or "\t" in line for line in text.split("\n"))


def _merged(old: Any, new: Json, key: str = "", depth: int = 0) -> Any:
    """Return `old` changed into `new` as little as possible, so that its comments stay."""
    if isinstance(old, CommentedMap) and isinstance(new, Mapping):
        for name in [name for name in old if name not in new]:
            del old[name]
        for name, item in new.items():  # pyright: ignore[reportUnknownVariableType]
            old[name] = _merged(old[name], item, str(name), depth + 1) if name in old else _tree(item, str(name), depth + 1)
        return old
    if isinstance(old, CommentedSeq) and isinstance(new, list):
        return _merged_list(old, new, key, depth)  # pyright: ignore[reportUnknownArgumentType]
    if type(old) is type(new) and old == new or isinstance(old, str) and isinstance(new, str) and str(old) == new:
        return old
    return _tree(new, key, depth)


def _merged_list(old: CommentedSeq, new: list[Json], key: str, depth: int) -> CommentedSeq:
    """Match the items of a list by their `id` where they have one, else by place."""
    by_id = {item["id"]: item for item in old if isinstance(item, CommentedMap) and "id" in item}
    items: list[Any] = []
    for index, item in enumerate(new):
        named = by_id.get(item["id"]) if isinstance(item, Mapping) and "id" in item else None  # pyright: ignore
        before = named if named is not None else old[index] if index < len(old) and not by_id else None
        items.append(_tree(item, key, depth + 1) if before is None else _merged(before, item, key, depth + 1))
    if len(items) == len(old) and all(a is b for a, b in zip(items, old, strict=True)):
        return old
    made = CommentedSeq(items)
    if old.fa.flow_style():
        made.fa.set_flow_style()
    same_places = len(items) >= len(old) and all(a is b or not by_id for a, b in zip(items, old, strict=False))
    if same_places:
        made.ca.items.update(old.ca.items)
    made.ca.comment = old.ca.comment
    return made
