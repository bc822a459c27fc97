"""The report: one HTML file that tells a run from its journal alone. It loads nothing and runs no scripts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from flowbot.faces.front import WEIGHTED
from flowbot.faces.story import ENDINGS, Point, Story, Update, headline, read_story
from flowbot.faces.tables import (
    SPLITS,
    chance_text,
    cost_text,
    count_text,
    gain_text,
    interval_text,
    ledger_table,
    outcome_text,
    score_text,
)
from flowbot.search.compare import Comparison
from flowbot.store.files import write_text
from flowbot.workflow.document import write_workflow
from flowbot.workflow.draw import diff
from flowbot.workflow.fields import Json, as_text, is_list
from flowbot.workflow.picture import before_after, svg

Pair = tuple[str, float | None, float]  # an example id with its score under the start and under the best

LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 52, 64, 14, 44, 920, 300  # of the chart


def write_report(journal_path: Path, out: Path, *, content: bool = True) -> None:
    """Write the report of a run; it reads the journal alone, and no text in it is taken for markup.

    Without `content`, prompts, descriptions, hypotheses and diffs are left out. The file takes its place whole or
    not at all, and only its owner may read it. Raises `InputError` where there is no journal or the file cannot be
    written.
    """
    text = render(read_story(journal_path), content=content)
    write_text(out, text.encode("utf-8", "replace").decode(), private=True)


def render(story: Story, *, content: bool = True) -> str:
    """Return the report of a story as one HTML document."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: Any = page.filters
    filters.update(_filters(story.fraction, story.front.dollars))
    lead, tail = headline(story)
    facts: dict[str, Any] = {
        "story": story,
        "content": content,
        "lead": typeset(lead),
        "tail": typeset(tail),
        "ending": ENDINGS.get(story.ended, story.ended),
        "results": _results(story),
        "splits": SPLITS,
        "outcome": typeset(outcome_text(story.outcome, story.fraction)) if story.race is not None else "",
        "undecided": story.outcome is not None and story.outcome.decision == "undecided",
        "front": Markup(_race(page, story, content, "front")),
        "edits": Markup(_race(page, story, content, "edits")),
        "picture": Markup(_picture(story, content)),
        "chart": Markup(chart(story)) if story.points else "",
        "difference": diff(story.start, story.best) if story.start and story.best else "",
        "yaml": write_workflow(story.best) if content and story.best else "",
        "parts": _parts(story),
        "pairs": _pairs(story),
        "updates": _updates(story),
        "ledger": ledger_table(story.ledger),
        "took": _took(story.last - story.began) if story.last and story.began else "",
        "intervals": {split: Markup(text) for split, text in _intervals(story).items()},
    }
    return page.from_string(_template("report")).render(facts)


def _template(name: str) -> str:
    return (files("flowbot.faces") / f"{name}.html.j2").read_text(encoding="utf-8")


def _race(page: Any, story: Story, content: bool, part: str) -> str:
    """Return sections on a tested search, none for another recipe: `front`, or `edits` with what still fails."""
    if story.race is None:
        return ""
    facts: dict[str, Any] = {"race": story.race, "front": story.front, "content": content, "part": part}
    facts |= {"weighted": WEIGHTED, "fraction": story.fraction, "best": story.best.id if story.best else None}
    return page.from_string(_template("race")).render(facts)


def _filters(fraction: bool, dollars: bool) -> dict[str, Callable[[Any], Any]]:
    return {
        "cost": lambda cost: cost_text(cost, dollars),
        "score": lambda value: score_text(value, fraction),
        "gain": lambda value: typeset(gain_text(value, fraction)),
        "brief": lambda value: f"{100 * value if fraction else value:.4g}",
        "count": count_text,
        "chance": chance_text,
        "when": _when,
        "plain": _plain,
        "diff": lambda text: list(diff_lines(text)),
    }


def typeset(text: str) -> str:
    """Return words of a result with a true arrow and true minus signs."""
    text = text.replace("->", "→")
    return "".join("−" if char == "-" and text[at + 1 : at + 2].isdigit() else char for at, char in enumerate(text))


def diff_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield the lines of `flowbot.workflow.draw.diff` as (`head`, `plus`, `minus`, `same` or `note`, text)."""
    state = ""
    for line in text.splitlines():
        if not line.startswith("    "):
            state = line[:1] if line[:2] in ("+ ", "- ", "~ ") else ""
            yield {"+": "plus", "-": "minus"}.get(state, "head"), line
        elif state == "+":
            yield "plus", "  " + line[4:]
        elif state == "~" and line.startswith("      "):
            yield {"+": "plus", "-": "minus"}.get(line[6:7], "same"), f"{line[6:7]} {line[7:]}"
        else:
            yield "note", line[4:]


def chart(story: Story) -> str:
    """Return the score over the run as SVG: batch means, validation means and the best so far, in order."""
    points = story.points
    values = [point.value for point in points]
    low, high = (0.0, 1.0) if story.fraction else (min(0.0, *values), max(*values, 1.0))

    def x(index: int) -> float:
        share = index / (len(points) - 1) if len(points) > 1 else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(value: float) -> float:
        return round(HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    parts = [f'<svg class="chart" role="img" viewBox="0 0 {WIDTH} {HEIGHT}"><title>score over the run</title>']
    for tick in (low + (high - low) * part / 4 for part in range(5)):
        parts.append(f'<path class="grid" d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}"/>')
        label = f"{100 * tick:.0f} %" if story.fraction else f"{tick:.3g}"
        parts.append(f'<text x="{LEFT - 10}" y="{y(tick) + 4}" text-anchor="end">{label}</text>')
    parts.append(_incumbent(points, x, y, story.fraction))
    for kind, size in (("batch", 3), ("validation", 5)):
        for index, point in enumerate(points):
            if point.kind == kind:
                tip = _escaped(f"{kind} {point.label}: {score_text(point.value, story.fraction)}")
                place = f'cx="{x(index)}" cy="{y(point.value)}" r="{size}"'
                parts.append(f'<circle class="{kind}" {place}><title>{tip}</title></circle>')
    axis = "updates and validations, in order"
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{axis}</text>')
    first = f'<text x="{x(0)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">1</text>'
    last = f'<text x="{x(len(points) - 1)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{len(points)}</text>'
    return "".join([*parts, first, last if len(points) > 1 else "", "</svg>"])


def _incumbent(points: Sequence[Point], x: Callable[[int], float], y: Callable[[float], float], fraction: bool) -> str:
    """Return the line of the best so far, as stairs, with its last height in words."""
    path, last = "", None
    for index, point in enumerate(points):
        if point.best is not None:
            path += f"M{x(index)} {y(point.best)}" if last is None else f"H{x(index)}V{y(point.best)}"
            last = point.best
    if last is None:
        return ""
    end = x(len(points) - 1)
    text = f'<text class="strong" x="{end + 10}" y="{y(last) + 4}">{score_text(last, fraction)}</text>'
    return f'<path class="best" d="{path}H{end}"/>{text}'


def _picture(story: Story, content: bool) -> str:
    start, best = story.start, story.best
    if start is None:
        return ""
    if best is None or best.id == start.id:
        drawn = svg(start, prompts=content)
    else:
        drawn = before_after(start, best, prompts=content)
    width = int(drawn.partition('width="')[2].partition('"')[0])
    wide = f'<svg style="min-width:{width * 3 // 4}px" '  # a wide one scrolls: it stays legible
    return drawn.replace("<svg ", wide, 1)


def _results(story: Story) -> list[tuple[str, Comparison, str]]:
    shown = [(split, story.tables[split]) for split in SPLITS if split in story.tables]
    return [(split, found, typeset(interval_text(found, story.fraction))) for split, found in shown]


def _intervals(story: Story) -> dict[str, str]:
    """Return each gain with its interval as a small drawing, all on one scale with a line at zero."""
    found = story.tables
    ends = [0.0, *(end for each in found.values() for end in (each.low, each.high))]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def x(value: float) -> float:
        return round(6 + 128 * (value - low) / span, 1)

    return {
        split: '<svg class="interval" width="140" height="16" viewBox="0 0 140 16" aria-hidden="true">'
        f'<path class="zero" d="M{x(0)} 1V15"/><path class="span" d="M{x(each.low)} 8H{x(each.high)}"/>'
        f'<circle cx="{x(each.gain)}" cy="8" r="4"/></svg>'
        for split, each in found.items()
    }


def _parts(story: Story) -> list[tuple[str, float, float | None]]:
    """Return each part with its score and what it alone added."""
    before = [None, *story.parts.values()]
    return [
        (name, score, None if old is None else score - old)
        for (name, score), old in zip(story.parts.items(), before, strict=False)
    ]


def _updates(story: Story) -> list[list[Update]]:
    """Return the updates in order, those in a row that changed nothing together."""
    groups: list[list[Update]] = []
    for update in story.updates:
        if groups and not update.changed and not groups[-1][0].changed:
            groups[-1].append(update)
        else:
            groups.append([update])
    return groups


def _pairs(story: Story) -> dict[str, list[Pair]]:
    """Return the validation examples of the best by what became of them against the start: (id, before, after)."""
    best, start = story.candidate(story.best), story.candidate(story.start)
    before: Mapping[str, float] = start.scores if start else {}
    pairs: list[Pair] = [(key, before.get(key), after) for key, after in best.scores.items()] if best else []
    groups: dict[str, list[Pair]] = {
        "better than the start": [pair for pair in pairs if pair[1] is not None and pair[2] > pair[1]],
        "worse than the start": [pair for pair in pairs if pair[1] is not None and pair[2] < pair[1]],
        "still not solved": [pair for pair in pairs if pair[2] < 1 and (pair[1] is None or pair[2] == pair[1])],
    }
    solved = [pair for pair in pairs if pair[2] >= 1 and (pair[1] is None or pair[1] == pair[2])]
    return groups | {"solved as before": solved} if pairs else {}


def _plain(value: Json) -> str:
    if is_list(value):
        return ", ".join(as_text(item) for item in value) or "none"
    return "none" if value is None else as_text(value)


def _when(at: float | None) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC") if at else ""


def _took(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
