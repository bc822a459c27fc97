"""The chart: test scores with their intervals, a panel a benchmark and a row a method, as one SVG that stands alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from flowbot.bench.findings import Board, Entry, Findings
from flowbot.faces.tables import score_text

PANEL, GAP, MARGIN = 460, 28, 20  # widths in pixels
TITLE, ROW, AXIS, HEAD = 34, 24, 30, 64  # heights
LEFT, RIGHT = 124, 66  # of a panel's plot: names and figures stand there
CHARS = 16  # of a name
STYLE = """
.fbb{font-family:ui-sans-serif,system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;
font-variant-numeric:tabular-nums}
.fbb text{fill:#1f2328;font-size:13px}.fbb text.title{font-weight:600;font-size:14px}
.fbb text.soft{fill:#5d646b;font-size:12px}.fbb .paper{fill:#fff}.fbb .grid{stroke:#e4e5e1}
.fbb .line{stroke:#5d646b;stroke-width:2}.fbb .dot{fill:#fff;stroke:#5d646b;stroke-width:2}
.fbb .level{stroke:#0b63a5;stroke-dasharray:3 3}.fbb .reference .line{stroke:#0b63a5}
.fbb .reference .dot{fill:#0b63a5;stroke:#0b63a5}.fbb .reference text{font-weight:600}
.fbb .decided .dot{fill:#5d646b}
@media (prefers-color-scheme:dark){.fbb text{fill:#e4e5e2}.fbb text.soft{fill:#a3a9b0}.fbb .paper{fill:#16181b}
.fbb .grid{stroke:#2e3237}.fbb .line{stroke:#a3a9b0}.fbb .dot{fill:#16181b;stroke:#a3a9b0}
.fbb .level{stroke:#6db7f2}.fbb .reference .line{stroke:#6db7f2}.fbb .reference .dot{fill:#6db7f2;stroke:#6db7f2}
.fbb .decided .dot{fill:#a3a9b0}}
"""


def chart(found: Findings) -> str:
    """Return the SVG of all benchmarks, empty where none has scores. It has no scripts and loads nothing."""
    boards = found.boards
    if not boards:
        return ""
    columns = min(2, len(boards))
    width = 2 * MARGIN + columns * PANEL + (columns - 1) * GAP
    top, parts = HEAD, list[str]()
    for start in range(0, len(boards), columns):
        row = boards[start : start + columns]
        for at, board in enumerate(row):
            x = MARGIN + at * (PANEL + GAP)
            parts.append(f'<g transform="translate({x} {top})">{_panel(board, found.reference)}</g>')
        top += max(_height(board) for board in row) + GAP
    name = f"test scores with 95 % intervals; the line is {_clip(found.reference, 40)}"
    reference = _text(_clip(found.reference, CHARS))
    key = f"square and dashed line: {reference}; filled circle: better or worse than it at 5 %"
    title = f'<text class="title" x="{MARGIN}" y="26">Sealed test, 95 % intervals</text>'
    title += f'<text class="soft" x="{MARGIN}" y="46">{key}</text>'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="fbb" role="img" width="{width}" height="{top}"'
    paper = f'<rect class="paper" width="{width}" height="{top}"/>'
    body = "".join([paper, title, *parts])
    return f'{head} viewBox="0 0 {width} {top}"><title>{_text(name)}</title><style>{STYLE}</style>{body}</svg>\n'


def _height(board: Board) -> int:
    return TITLE + ROW * len(board.entries) + AXIS


def _panel(board: Board, reference: str) -> str:
    """Return one benchmark's drawing at (0, 0)."""
    ticks = _ticks(min(each.score.low for each in board.entries), max(each.score.high for each in board.entries))
    low, high = ticks[0], ticks[-1]

    def x(value: float) -> float:
        return round(LEFT + (value - low) / (high - low) * (PANEL - LEFT - RIGHT), 1)

    bottom = TITLE + ROW * len(board.entries)
    parts = [f'<text class="title" x="0" y="20">{_text(_clip(board.name, 48))}</text>']
    for tick in ticks:
        label = f"{100 * tick:.4g} %" if board.fraction else f"{tick:.4g}"
        parts.append(f'<path class="grid" d="M{x(tick)} {TITLE}V{bottom}"/>')
        parts.append(f'<text class="soft" x="{x(tick)}" y="{bottom + 17}" text-anchor="middle">{label}</text>')
    for each in board.entries:
        if each.method == reference:
            parts.append(f'<path class="level" d="M{x(each.score.value)} {TITLE}V{bottom}"/>')
    for at, each in enumerate(board.entries):
        parts.append(
            _row(
                each,
                reference,
                board.fraction,
                TITLE + ROW * at + ROW // 2,
                (x(each.score.low), x(each.score.value), x(each.score.high)),
            )
        )
    return "".join(parts)


def _row(each: Entry, reference: str, fraction: bool, y: int, at: tuple[float, float, float]) -> str:
    """Return a method's name, interval, mean and figure. The reference is a square: colour alone says nothing."""
    low, middle, high = at
    kind = "reference" if each.method == reference else "decided" if each.verdict in ("better", "worse") else "method"
    if kind == "reference":
        dot = f'<rect class="dot" x="{middle - 4.5:g}" y="{y - 4.5:g}" width="9" height="9"/>'
    else:
        dot = f'<circle class="dot" cx="{middle}" cy="{y}" r="5"/>'
    score = score_text(each.score.value, fraction)
    bounds = f"{score_text(each.score.low, fraction)} to {score_text(each.score.high, fraction)}"
    tip = f"<title>{_text(f'{each.method}: {score}, 95 % interval {bounds} {each.verdict}'.rstrip())}</title>"
    name = f'<text x="{LEFT - 14}" y="{y + 4}" text-anchor="end">{_text(_clip(each.method, CHARS))}</text>'
    figure = f'<text x="{PANEL}" y="{y + 4}" text-anchor="end">{score}</text>'
    return f'<g class="{kind}">{tip}{name}<path class="line" d="M{low} {y}H{high}"/>{dot}{figure}</g>'


def _ticks(low: float, high: float) -> Sequence[float]:
    """Return three to six round numbers; all values lie between the first and the last."""
    span = max(high - low, 1e-3 * max(1.0, abs(low), abs(high)))
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(size * power for size in (1, 2, 5, 10) if span / (size * power) <= 4)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [at * step for at in range(first, max(last, first + 1) + 1)]


def _clip(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(text: str) -> str:
    """Return a text for XML: signs escaped, characters that XML does not know replaced."""
    return escape("".join(char if char.isprintable() else " " for char in text))
