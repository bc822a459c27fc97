"""What a meter counted, as a table for people."""

from __future__ import annotations

from flowbot.faces.meter.labels import Meter
from flowbot.faces.meter.wall import Tally
from flowbot.faces.tables import Table, count_text, money_text

COLUMNS = ("", "calls", "input", "output", "seconds", "cost", "refused", "errors", "cached", "gone")
ALWAYS = 6  # columns that are shown when they are zero, too


def spent_table(meter: Meter, most: int | None = None) -> Table:
    """Return what each label spent, the sum last; `most` labels at most, those of the last first calls."""
    labels = meter.labels
    shown = labels if most is None else labels[-most:]
    rows = [_row(label, meter.tally(label)) for label in shown]
    total = _row("all labels", meter.total)
    if len(labels) != 1:
        rows.append(total)
    keep = [at for at in range(len(COLUMNS)) if at < ALWAYS or total[at] != "0"]
    notes = ("(estimated): the provider did not report some token counts",) if meter.total.usage.estimated else ()
    more = (f"and {len(labels) - len(shown)} labels before them",) if len(shown) < len(labels) else ()
    cells = tuple(tuple(row[at] for at in keep) for row in rows)
    return Table("", tuple(COLUMNS[at] for at in keep), cells, summed=len(labels) != 1, notes=more + notes)


def _row(label: str, tally: Tally) -> tuple[str, ...]:
    usage = tally.usage
    tokens = (usage.calls, usage.input_tokens, usage.output_tokens)
    counts = (tally.refused, tally.errors, tally.cached, tally.gone)
    name = label + (" (estimated)" if usage.estimated else "")
    paid = (f"{usage.seconds:,.1f}", money_text(usage.usd))
    return (name, *map(count_text, tokens), *paid, *map(count_text, counts))
