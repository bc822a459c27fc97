"""The report: told from the journal alone, one file that loads nothing, private, no text of it markup; at any point."""

from __future__ import annotations

import asyncio
import json
import stat
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from flowbot.errors import InputError
from flowbot.faces import report as reports
from flowbot.faces.induction import ledger_line
from flowbot.faces.report import built_page, write_report
from flowbot.faces.story import headline, read_story
from flowbot.faces.ui.schema import ReportData
from flowbot.money import Line, Usage
from flowbot.store.journal import JournalReader, SqliteJournal
from flowbot.task.data import Example
from flowbot.workflow.document import read_workflow
from flowbot.workflow.graph import plain_workflow
from tests.kept import Kept, kept
from tests.nested import nested
from tests.papers import BEST, END, EVIL, MIDDLE, OPENING, SEARCH, START, TEST, candidate, row, written


class Page(HTMLParser):
    """Keeps the tags of a page with their attributes, and what stands in its report."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.held, self._reading = "", False
        self.title = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._reading = dict(attrs).get("id") == "report"

    def handle_data(self, data: str) -> None:
        tag = self.tags[-1][0] if self.tags else ""
        self.held += data if self._reading else ""
        self.title += data if tag == "title" and not self.title else ""

    def handle_endtag(self, tag: str) -> None:
        self._reading = False


def report(path: Path, content: bool = True) -> tuple[str, ReportData]:
    """Write the report of a journal; return its file and what it holds."""
    out = path.parent / "report.html"
    write_report(path, out, content=content)
    text = out.read_text(encoding="utf-8")
    return text, ReportData.model_validate(json.loads(Page(text).held))


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return kept(tmp_path_factory.mktemp("searched") / "run", "missing_hop", sizes=(40, 40, 5))


# ------------------------------------------------------------------ what it tells


def test_a_finished_run_is_told_whole(tmp_path: Path) -> None:
    run = report(written(tmp_path, OPENING + SEARCH, END))[1].run
    assert run.headline == (
        "12.5 % -> 81.3 %",
        "on the sealed test (+68.8 points, 95 % interval +57.5 to +78.8)",
    )
    assert {split: (each.low, each.high) for split, each in run.tables.items()} == {
        "val": (-0.25, 1.0),
        "test": (0.575, 0.7875),
    }
    assert run.parts == [("start", 0.25), ("gradients", 0.5), ("moves", 0.75)]
    assert [(move.name, move.kept, move.why, move.gain) for move in run.moves] == [
        ("output_type", False, "it does not apply here", None),
        ("demos", True, "P = 0.95", 0.25),
    ]
    assert [(point.kind, point.value, point.best) for point in run.points] == [
        ("validation", 0.25, 0.25),
        ("batch", 0.4, 0.25),
        ("batch", 0.6, 0.25),
        ("validation", 0.5, 0.5),
        ("validation", 0.75, 0.75),
    ]
    assert [(line.id, line.mean, line.fate) for line in run.candidates] == [
        (START.id, 0.25, "start"),
        (MIDDLE.id, 0.5, "accepted"),
        (BEST.id, 0.75, "best"),
    ]
    assert (run.seed, run.settings["batch"], run.line.ended, run.line.state) == (7, 5, "done", "done")
    assert [(each.name, "rule one" in each.changed) for each in run.updates] == [
        ("batch 1, outer", True),
        ("batch 1, inner 1", False),
    ]
    assert f"a note {EVIL}" in run.notes
    assert run.content


def test_the_candidates_are_whole_with_the_way_to_them(tmp_path: Path) -> None:
    data = report(written(tmp_path, OPENING + SEARCH, END))[1]
    assert [each.line.id for each in data.candidates] == [START.id, BEST.id, MIDDLE.id]
    best = data.candidates[1]
    assert [each.id for each in best.way] == [START.id, MIDDLE.id, BEST.id]
    assert best.way[0].steps == {"answer": "Send it to a team."}
    assert best.flow.steps[0].prompt == f"Name the team. {EVIL}\n- rule two"
    assert read_workflow(best.flow.yaml) == BEST
    page = data.examples[0]
    assert (page.split, page.candidates, page.total) == ("val", [START.id, BEST.id], 4)
    assert [row.scores for row in page.rows] == [[0, 1], [0, 1], [1, 0], [0, 1]]


def test_a_nested_workflow_is_told_by_its_steps(tmp_path: Path) -> None:
    start = nested("whole")
    best = start.with_prompts({"polish": "Polish it well."})
    events = [OPENING[0] | {"workflow": plain_workflow(start)}, candidate(start), candidate(best, start.id)]
    end = END | {"start": start.id, "best": best.id, "best_workflow": plain_workflow(best)}
    path = written(tmp_path, events, end)
    told = report(path)[1].candidates[1].flow
    assert [step.id for step in told.steps] == [step.id for step in best.all_steps]
    assert "Polish" not in report(path, content=False)[0].partition('id="report"')[2].partition("</script>")[0]


def test_traces_are_of_examples_that_were_fixed_broken_and_still_fail(searched: Kept) -> None:
    data = report(searched.journal)[1]
    start, best = data.run.start_id, data.run.best_id
    assert start != best
    ran = sorted(searched.ran, key=lambda each: each[1] == "val")  # the split's own draw counts, else the latest
    marks = {(trace.workflow.id, trace.example.id): trace.points for trace, _ in ran}
    shown = list(dict.fromkeys((trace.split, trace.example) for trace in data.traces))
    assert {split for split, _ in shown} == {"val", "test"}
    kinds = [(marks[start, key], marks[best, key]) for split, key in shown if split == "val" and start and best]
    assert {(0, 1), (0, 0)} <= set(kinds)
    assert (1, 1) not in kinds
    assert max(kinds.count(kind) for kind in set(kinds)) <= 12
    known = {(trace.workflow.id, draw, trace.example.id): trace for trace, draw in ran}
    for trace in data.traces:
        was = known[trace.workflow, trace.draw, trace.example]
        assert (trace.output, trace.score, trace.error) == (was.output, was.points, was.error)
        assert [step.path for step in trace.steps] == [part.path for part in was.steps]
        assert all(step.messages for step in trace.steps if step.kind == "call")
    assert any(f"The traces of {len(shown)} examples are in this report" in note for note in data.run.notes)


def test_a_long_text_in_a_trace_is_cut_in_the_middle(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", sizes=(4, 4, 0), iterations=1, seeds=1)
    text = "a" * 5_000 + "b" * 5_000
    assert run.change("UPDATE examples SET value=json_set(value, '$.target', ?)", text)
    cut = {trace.target for trace in report(run.journal)[1].traces}
    assert cut == {"a" * 2_000 + "\n[... 6,000 characters left out]\n" + "b" * 2_000}


# ------------------------------------------------------------------ what it keeps out


def test_no_text_becomes_markup_and_nothing_is_loaded(tmp_path: Path) -> None:
    end = END | {"task": END["task"] | {"name": EVIL}}
    text, data = report(written(tmp_path, OPENING + SEARCH, end))
    page, bare = Page(text), Page(built_page())
    assert data.run.description == f"Route it. {EVIL}"
    assert data.run.line.name == EVIL
    assert page.tags == bare.tags
    assert not set("<>&\u2028\u2029") & set(page.held)
    assert text.count("<title>") == built_page().count("<title>")
    assert EVIL not in text
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on") or name in ("src", "xlink:href")], tag
        assert (attrs.get("href") or "data:").startswith("data:")
    policy = next(attrs["content"] for _, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy


def test_texts_of_examples_and_replies_are_no_markup_either(tmp_path: Path) -> None:
    run = kept(tmp_path / "run", sizes=(4, 4, 0), iterations=1, seeds=1)
    run.change("UPDATE examples SET value=json_set(value, '$.target', ?)", EVIL)
    run.change("UPDATE traces SET feedback=?", EVIL)
    text, data = report(run.journal)
    assert {trace.target for trace in data.traces} == {trace.feedback for trace in data.traces} == {EVIL}
    assert Page(text).tags == Page(built_page()).tags


def test_without_content_no_prompt_and_no_diff(tmp_path: Path) -> None:
    text, data = report(written(tmp_path, OPENING + SEARCH, END), content=False)
    for part in (
        "Send it to a team",
        "Name the team",
        "rule one",
        "Route it",
        "secret hypothesis",
        "textual gradients",
    ):
        assert part not in text, part
    assert data.run.headline[0] == "12.5 % -> 81.3 %"
    assert not data.run.content
    assert not any(update.changed for update in data.run.updates)
    assert "left out of this report on request" in " ".join(data.run.notes)


def test_without_content_nothing_that_was_read_or_said_is_there(searched: Kept) -> None:
    text, data = report(searched.journal, content=False)
    held = Page(text).held
    assert data.traces == []
    assert [len(page.rows) for page in data.examples] == [40, 5]
    assert {(row.inputs, row.target) for page in data.examples for row in page.rows} == {("", "")}
    said: set[str] = set()
    for trace, _ in searched.ran:
        said |= {line for prompt in trace.workflow.prompts.values() for line in prompt.splitlines() if len(line) > 20}
        said |= {str(trace.example.inputs["order"]), trace.score.feedback if trace.score else ""} - {""}
    assert len(said) > 40
    assert not [part for part in said if json.dumps(part)[1:-1] in held]
    assert all(step.prompt == "" == each.flow.yaml for each in data.candidates for step in each.flow.steps)
    whole = report(searched.journal)[1]
    assert [line.mean for line in data.run.candidates] == [line.mean for line in whole.run.candidates]
    assert [step.id for step in data.candidates[1].flow.steps] == [step.id for step in whole.candidates[1].flow.steps]


def test_secrets_are_masked_and_the_rest_stays_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "key-of-the-house-123")
    task = END["task"] | {"description": 'key-of-the-house-123 "Authorization: abcdefgh\\" https://me:word@host/'}
    text, data = report(written(tmp_path, OPENING + SEARCH, END | {"task": task}))
    assert "key-of-the-house" not in text
    assert "me:word" not in text
    assert data.run.description.startswith("*** ")


def test_halves_of_characters_do_not_break_it(tmp_path: Path) -> None:
    data = report(written(tmp_path, OPENING, END | {"task": {"name": "half \ud83d", "description": ""}}))[1]
    assert data.run.line.name == "half ?"


# ------------------------------------------------------------------ size


def test_a_large_run_stays_small_and_says_what_it_left_out(tmp_path: Path) -> None:
    long = "State the rule in full. " * 700
    events = [*OPENING]
    for number in range(60):
        made = START.with_prompts({"answer": f"{number} {long}"})
        events += [candidate(made, START.id, ["bullets"], f"{number} {long}"), row(made, 0, 1, number % 2, 0)]
    text, data = report(written(tmp_path, events))
    assert len(text.encode()) < 2_000_000
    assert len(data.run.candidates) == 61
    assert 3 < len(data.candidates) < 40
    assert data.candidates[0].line.id == START.id
    assert "Long texts of candidates and updates are cut in this report." in data.run.notes
    assert any(note.startswith(f"{len(data.candidates)} of 61 candidates are in") for note in data.run.notes)


@pytest.mark.slow
def test_a_run_of_thousands_of_candidates_is_thinned(tmp_path: Path) -> None:
    events, before = [*OPENING], START.id
    for number in range(1_200):
        made = START.with_prompts({"answer": f"Take number {number}."})
        events += [candidate(made, before if number % 50 else START.id, ["e" * 50], "h" * 400), row(made, 0, 1, 0, 0)]
        before = made.id
    text, data = report(written(tmp_path, events, END | {"best": BEST.id}))
    assert len(text.encode()) < 2_000_000
    held = {line.id for line in data.run.candidates}
    assert 300 <= len(held) < 1_201
    assert all(line.parent in held for line in data.run.candidates if line.parent)
    assert any("The run is too large for a report" in note for note in data.run.notes)


def test_a_table_has_its_first_rows_and_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING + SEARCH, END)
    journal = SqliteJournal(path)

    async def fill() -> None:
        journal.shown.examples("val", [Example(f"v{at}", {"message": f"m{at}"}, "billing") for at in range(500)])
        await asyncio.sleep(0)

    asyncio.run(fill())
    journal.close()
    data = report(path)[1]
    assert (len(data.examples[0].rows), data.examples[0].total) == (200, 500)
    assert "200 of 500 examples of val are in this report." in data.run.notes


# ------------------------------------------------------------------ the file, and journals of all kinds


def test_the_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING + SEARCH, END)
    out = tmp_path / "report.html"
    out.write_text("old")
    out.chmod(0o644)
    write_report(path, out)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    names = ("report.html", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm")
    assert {each.name for each in tmp_path.iterdir()} <= set(names)


def test_it_is_written_within_a_running_loop(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING + SEARCH, END)

    async def main() -> None:
        write_report(path, tmp_path / "report.html")

    asyncio.run(main())
    assert (tmp_path / "report.html").is_file()


def test_a_page_that_is_not_built_is_said_clearly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PLACE", "nowhere")
    built_page.cache_clear()
    with pytest.raises(InputError, match="make ui"):
        write_report(written(tmp_path, OPENING), tmp_path / "report.html")


def test_turns_after_tool_calls_are_in_the_ledger_and_an_old_journal_has_none(tmp_path: Path) -> None:
    old = read_story(written(tmp_path, OPENING + SEARCH, END)).ledger.lines["task"]
    assert (old.usage.calls, old.turns, old.retries) == (12, 0, 2)
    (tmp_path / "new").mkdir()
    line = Line(Usage(12, 5000, 60, usd=0.5), repairs=1, retries=2, turns=5)
    path = written(tmp_path / "new", OPENING + SEARCH, END | {"ledger": [ledger_line("task", line)]})
    assert read_story(path).ledger.lines["task"] == line
    assert [line.calls for line in report(path)[1].run.ledger] == [2]  # of the sums, where the journal has them


def test_a_run_without_an_end_shows_what_is_there(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING + SEARCH)
    story = read_story(path)
    assert story.ended == "open"
    assert story.best == BEST
    assert story.tables["val"].gain == 0.5
    assert story.ledger.lines["task"].usage == Usage(2, 200, 20, usd=0.004)
    assert story.ledger.lines["task"].retries == 1
    assert list(story.ledger.lines) == ["task"]
    assert dict(story.parts) == {"start": 0.25, "gradients": 0.5, "moves": 0.75}
    assert headline(story)[1].startswith("on validation, so far (+50.0 points")
    assert report(path)[1].run.line.ended == "open"


def test_an_end_counts_only_if_nothing_was_decided_after_it(tmp_path: Path) -> None:
    stopped = END | {"ended": "interrupted", "best": START.id, "best_workflow": plain_workflow(START)}
    story = read_story(written(tmp_path, OPENING, stopped, later=SEARCH))
    assert story.ended == "open"
    assert story.best == BEST
    assert story.stretches == 2


@pytest.mark.parametrize(("events", "lead"), [(OPENING, "25.0 %"), (OPENING[:2], "no score yet"), ([], "no score yet")])
def test_a_run_that_has_hardly_begun(tmp_path: Path, events: list[dict[str, Any]], lead: str) -> None:
    path = written(tmp_path, events)
    assert headline(read_story(path))[0] == lead
    assert report(path)[1].run.headline[0] == lead


def test_a_start_that_nothing_beat(tmp_path: Path) -> None:
    same = TEST | {"new": 0.125, "gain": 0.0, "low": 0.0, "high": 0.0, "p_gain": 0.5}
    end = END | {"best": START.id, "best_workflow": plain_workflow(START), "tables": {"test": same}}
    data = report(written(tmp_path, OPENING, end))[1]
    assert data.run.headline == ("12.5 %", "on the sealed test: nothing beat the start")
    assert data.run.start_id == data.run.best_id
    assert [each.line.id for each in data.candidates] == [START.id]
    assert data.examples[0].candidates == [START.id]


def test_the_journal_is_not_written_to(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING + SEARCH, END)
    before = path.read_bytes()
    path.chmod(0o400)
    report(path)
    assert path.read_bytes() == before
    reader = JournalReader(path)
    assert [event["kind"] for event in reader.events()][:2] == ["start", "candidate"]
    assert reader.ends()[0]["at"] > 0
    reader.close()


def test_it_can_be_read_while_a_run_writes(tmp_path: Path) -> None:
    path = written(tmp_path, OPENING)
    journal = SqliteJournal(path)
    assert read_story(path).ended == "open"
    journal.finish(END)
    assert read_story(path).ended == "done"
    journal.close()


@pytest.mark.parametrize("content", [None, b"", b"not a database, but long enough to be looked at" * 20])
def test_what_is_no_journal_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "journal.sqlite"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"journal\.sqlite"):
        write_report(path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
