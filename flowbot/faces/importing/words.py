"""Prompts from elsewhere in FlowBot's words: placeholders become inputs, which a call reads as labelled sections."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_]\w{0,63})\s*\}\}|(?<!\{)\{([A-Za-z_]\w{0,63})\}(?!\})", re.ASCII)
MARKS = " \t\"'`"


def placeholders(text: str) -> list[str]:
    """Return the names of a text's placeholders, `{name}` and `{{name}}`, each once, in order."""
    return list(dict.fromkeys(_name(found) for found in PLACEHOLDER.finditer(text)))


def worded(text: str, names: Collection[str]) -> str:
    """Return an instruction without placeholders: one within a sentence becomes `the section "name"`.

    A line that holds nothing but a value, or its name and the value (`Question: {question}`), goes with a line above
    that holds its name alone: a section has its own label.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        found = PLACEHOLDER.search(line)
        name = _name(found) if found else ""
        before = line[: found.start()].strip(MARKS) if found else line
        whole = found is not None and name in names and not line[found.end() :].strip(MARKS)
        if not whole or (before and not _labels(before, name)):
            lines.append(PLACEHOLDER.sub(lambda each: _section(each, names), line))
        elif not before and lines and _labels(lines[-1], name):
            lines.pop()
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _labels(line: str, name: str) -> bool:
    """Tell whether a line is a value's label and nothing else: `## Question:`, `User's question:`."""
    said = " ".join(re.findall(r"[a-z0-9']+", line.casefold()))
    wish = " ".join(name.casefold().replace("_", " ").split())
    marked = line.rstrip().endswith((":", "=")) or line.lstrip().startswith("#")
    return marked and said.endswith(wish) and len(said) <= len(wish) + 8


def _section(found: re.Match[str], names: Collection[str]) -> str:
    name = _name(found)
    return f'the section "{name}"' if name in names else found[0]


def _name(found: re.Match[str]) -> str:
    return found[1] or found[2]


def taken_apart(template: str, text: str) -> dict[str, str] | None:
    """Return what stands in a text where its template has placeholders; None where it is not of that form.

    A value ends where the template's next words begin for the first time; two placeholders side by side are no form.
    """
    pieces = list(PLACEHOLDER.finditer(template))
    between = _between(template.strip(), list(PLACEHOLDER.finditer(template.strip())))
    left, values = text.strip(), dict[str, str]()
    if not pieces or not left.startswith(between[0].rstrip()) or "" in between[1:-1]:
        return None
    left = left[len(between[0].rstrip()) :]
    for found, words in zip(pieces, between[1:], strict=True):
        last = words is between[-1]
        at = len(left) - len(words) if last and left.endswith(words) else -1 if last else left.find(words)
        value = left[: max(at, 0)].strip()
        if at < 0 or values.setdefault(_name(found), value) != value:
            return None
        left = left[at + len(words) :]
    return values


def _between(template: str, pieces: Sequence[re.Match[str]]) -> list[str]:
    """Return the words before, between and behind the placeholders."""
    ends = [0, *(piece.end() for piece in pieces)]
    starts = [*(piece.start() for piece in pieces), len(template)]
    return [template[end:start] for end, start in zip(ends, starts, strict=True)]
