"""Python source of values, laid out as ruff lays it out. A text can only ever become one string literal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowbot.workflow.fields import Json, is_list, is_map

WIDTH = 88  # of a line; ruff's own figure


@dataclass(frozen=True)
class Group:
    """Source within brackets: `head` ends with the opening one; each item has a prefix (`name=` or a dict's key)."""

    head: str
    items: Sequence[tuple[str, Node]]
    tail: str


Node = str | Group


def call(function: str, *args: Node, **named: Node) -> Group:
    """Return a call's source."""
    return Group(
        f"{function}(", [*(("", arg) for arg in args), *((f"{name}=", arg) for name, arg in named.items())], ")"
    )


def table(pairs: Mapping[str, Node]) -> Group:
    """Return the source of a dict with text keys."""
    return Group("{", [(f"{quoted(name)}: ", value) for name, value in pairs.items()], "}")


def listed(items: Sequence[Node]) -> Group:
    """Return the source of a list."""
    return Group("[", [("", item) for item in items], "]")


def value(plain: Json) -> Node:
    """Return the source of a JSON value."""
    if is_map(plain):
        return table({str(name): value(item) for name, item in plain.items()})
    if is_list(plain):
        return listed([value(item) for item in plain])
    return text(plain) if isinstance(plain, str) else repr(plain)


def text(said: str) -> str:
    """Return a text's literal: with its lines below each other where it has several."""
    return block(said) if "\n" in said.strip("\n") else quoted(said)


def quoted(said: str) -> str:
    """Return a text as a literal in one line, in the quotes that need fewer escapes."""
    mark = "'" if said.count('"') > said.count("'") else '"'
    return mark + "".join(f"\\{char}" if char == mark else _safe(char) for char in said) + mark


def block(said: str) -> str:
    """Return a text as a literal of several lines, which begins at the start of a line."""
    lines = ["".join(map(_safe, line)) for line in said.split("\n")]
    lines = [f"{line[:-1]}\\x20" if line.endswith(" ") else line for line in lines]
    inner = "\n".join(lines).replace('"""', '""\\x22')
    inner = f"{inner[:-1]}\\x22" if inner.endswith('"') else inner
    return f'"""\\\n{inner}"""'


_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _safe(char: str) -> str:
    """Return a character as it stands in a literal; whatever does not print (or turns text around) is escaped."""
    if char in _ESCAPES or char.isprintable():
        return _ESCAPES.get(char, char)
    code = ord(char)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"


def assigned(name: str, said: str) -> str:
    """Return the assignment of a text: in one line where it fits, else as a block."""
    line = f"{name} = {quoted(said)}"
    return line if text(said) == quoted(said) and _fits(line, 0) else f"{name} = {block(said)}"


def laid(prefix: str, node: Node, suffix: str = "", indent: int = 0) -> str:
    """Return one statement: in a line where it fits, else with an item a line and a comma behind each."""
    flat = _flat(node)
    if flat is not None and _fits(prefix + flat + suffix, indent):
        return " " * indent + prefix + flat + suffix
    if isinstance(node, str) or not node.items:
        return " " * indent + prefix + (node if isinstance(node, str) else node.head + node.tail) + suffix
    inner = [laid(before, item, ",", indent + 4) for before, item in node.items]
    return "\n".join([" " * indent + prefix + node.head, *inner, " " * indent + node.tail + suffix])


def _flat(node: Node) -> str | None:
    """Return the source in one line; None where it has several."""
    if isinstance(node, str):
        return None if "\n" in node else node
    parts = [(before, _flat(item)) for before, item in node.items]
    if any(part is None for _, part in parts):
        return None
    return node.head + ", ".join(f"{before}{part}" for before, part in parts) + node.tail


def _fits(line: str, indent: int) -> bool:
    """Tell whether a line surely fits: what is not ASCII may take two columns."""
    return indent + sum(1 if char.isascii() else 2 for char in line) <= WIDTH


def bound(target: Node, run: Node, indent: int) -> str:
    """Return the assignment of what is awaited to a name or to a tuple of names."""
    if isinstance(target, str):
        return laid(f"{target} = await ", run, "", indent)
    flat = (_flat(target) or "")[1:-1]
    if _fits(f"{flat} = await {run if isinstance(run, str) else run.head}", indent):
        return laid(f"{flat} = await ", run, "", indent)
    inner = [laid("", each, ",", indent + 4) for _, each in target.items]
    return "\n".join([" " * indent + "(", *inner, laid(") = await ", run, "", indent)])


def returned(values: Sequence[str], indent: int = 4) -> str:
    """Return the statement that returns one value, or several as a tuple."""
    line = " " * indent + f"return {', '.join(values)}"
    if len(values) == 1 or _fits(line, 0):
        return line
    inner = [" " * (indent + 4) + f"{each}," for each in values]
    return "\n".join([" " * indent + "return (", *inner, " " * indent + ")"])
