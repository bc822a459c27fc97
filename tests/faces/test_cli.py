"""The command line: every command and option, what is printed where, exit codes. Help texts stand in golden/.

`FLOWBOT_GOLDEN=write` writes the help texts anew.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import xml.dom.minidom
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest

import flowbot
from flowbot.faces.cli import COMMANDS, cli, code_of
from flowbot.faces.doctor import Finding
from flowbot.store.journal import JournalError
from tests import worlds
from tests.commands import begin, finish
from tests.servers import Answer, Body, Server, serving
from tests.sessions import call, flow, tool
from tests.worlds import World

pytestmark = pytest.mark.usefixtures("bare")

GOLDEN = Path(__file__).parent / "golden"
GROUPS = {"models": ("list", "pull"), "bench": ("list", "run", "report")}
HELP = [[], *([name] for name in COMMANDS), *([group, name] for group, names in GROUPS.items() for name in names)]
RULES = "Rule: red\nRule: green\nRule: blue"
RECIPE = {"name": "paper", "batches": 1, "loops": 1, "inner": 3}
Out = pytest.CaptureFixture[str]


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(World().script) as made:
        yield made


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A task, and a workflow that knows two of the three rules."""
    worlds.write_task(tmp_path, {"train": 10, "val": 6, "test": 4}, recipe=RECIPE)
    flowbot.save(worlds.start().with_prompts({"answer": "Rule: red\nRule: green"}), tmp_path / "flow.yaml")
    return tmp_path


# ------------------------------------------------------------------ help


@pytest.mark.parametrize("command", HELP, ids=["-".join(command) or "flowbot" for command in HELP])
def test_the_help_is_as_written(command: list[str], capsys: Out) -> None:
    assert code_of([*command, "--help"]) == 0
    text = capsys.readouterr().out
    path = GOLDEN / f"{'-'.join(command) or 'flowbot'}.txt"
    if os.environ.get("FLOWBOT_GOLDEN") == "write":
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_help_text_is_of_a_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {"-".join(command) or "flowbot" for command in HELP}


def test_every_option_has_a_help(capsys: Out) -> None:
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert all(getattr(each, "help", None) for each in command.params if isinstance(each, click.Option)), name
        assert command.help


def test_the_version(capsys: Out) -> None:
    assert code_of(["-V"]) == 0
    assert capsys.readouterr().out == f"flowbot {flowbot.__version__}\n"


@pytest.mark.slow
def test_it_runs_as_a_module() -> None:
    assert finish(begin("--version")) == (0, f"flowbot {flowbot.__version__}\n", "")
    code, out, err = finish(begin("shwo"))
    assert (code, out) == (2, "")
    assert "no command 'shwo'; did you mean 'show'?" in err


@pytest.mark.parametrize("arguments", [["nothing"], ["show"], ["induce", "--run"], ["run", "x", "--concurrency", "0"]])
def test_a_wrong_use_ends_with_2(arguments: list[str], capsys: Out) -> None:
    assert code_of(arguments) == 2
    captured = capsys.readouterr()
    assert (captured.out, "Error: " in captured.err) == ("", True)


def test_a_full_disk_ends_with_1_and_no_traceback(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    async def full(*args: Any) -> None:
        raise JournalError("cannot write the journal: disk full; free some space and go on")

    monkeypatch.setattr("flowbot.store.journal.SqliteJournal.append", full)
    worlds.shelved(monkeypatch, World())
    assert code_of(["induce", "task.yaml", "--quiet"]) == 1
    assert capsys.readouterr().err == "flowbot: cannot write the journal: disk full; free some space and go on\n"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["run", "flow.yaml", "--input", "q=x", "--model", "foo"], "'foo' must be provider:model"),
        (["induce", "task.yaml", "--model", "foo"], "'foo' must be provider:model"),
        (["eval", "flow.yaml", "--task", "task.yaml", "--model", "foo"], "'foo' must be provider:model"),
        (["estimate", "task.yaml", "--meta-model", "foo"], "'foo' must be provider:model"),
        (["doctor", "--model", "foo"], "'foo' must be provider:model"),
        (["init", "flow.yaml/new"], "Not a directory"),
        (["induce", "task.yaml", "--run", "flow.yaml/new"], "flow.yaml/new"),
    ],
)
def test_what_cannot_be_is_one_line_and_ends_with_2(files: Path, command: list[str], said: str, capsys: Out) -> None:
    assert code_of(command) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("flowbot: ")
    assert err.count("\n") == 1


def test_a_full_disk_elsewhere_ends_with_2(files: Path, monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("flowbot.store.files.load_workflow", full)
    assert code_of(["show", "flow.yaml"]) == 2
    assert capsys.readouterr().err == "flowbot: No space left on device\n"


# ------------------------------------------------------------------ induce


def test_induce_prints_the_result_and_where_it_is(files: Path, server: Server, capsys: Out) -> None:
    assert code_of(["induce", "task.yaml", "--base-url", server.url]) == 0
    captured = capsys.readouterr()
    folder = Path("runs") / "colours"
    assert f"best workflow: {folder / 'best.yaml'}" in captured.out
    assert f"report: {folder / 'report.html'}" in captured.out
    assert captured.err
    assert "Rule: " in (folder / "best.yaml").read_text()
    assert {path.name for path in folder.iterdir()} >= {"best.yaml", "journal.sqlite", "report.html", "task.yaml"}


def test_induce_quiet_prints_the_path_alone(files: Path, server: Server, capsys: Out) -> None:
    assert code_of(["induce", "task.yaml", "--base-url", server.url, "--run", "mine", "--quiet"]) == 0
    assert capsys.readouterr() == ("mine/best.yaml\n", "")


def test_induce_json_prints_an_event_a_line_and_the_result(files: Path, server: Server, capsys: Out) -> None:
    assert code_of(["induce", "task.yaml", "--base-url", server.url, "--json"]) == 0
    captured = capsys.readouterr()
    events: list[Mapping[str, Any]] = [json.loads(line) for line in captured.out.splitlines()]
    assert {"start", "candidate", "row", "best", "step", "part", "phase"} <= {event["kind"] for event in events}
    result = events[-1]
    assert (result["kind"], result["ended"]) == ("result", "done")
    assert set(result["tables"]) == {"val", "test"}
    assert result["tables"]["test"]["gain"] == result["tables"]["test"]["new"] - result["tables"]["test"]["old"]
    assert result["ledger"]["loss_gradient"]["calls"] == 15
    assert result["ledger"]["loss_gradient"]["usd"] >= 0
    assert Path(result["best"]).exists()
    assert captured.err == ""


def test_induce_options_reach_the_run(files: Path, server: Server, capsys: Out) -> None:
    options = ["--model", "vllm:big", "--meta-model", "vllm:writer", "--seed", "7", "--concurrency", "2"]
    bounds = ["--budget-calls", "5000", "--budget-tokens", "500000", "--max-seconds", "500", "--recipe", "paper"]
    start = ["--start", "flow.yaml", "--run", "mine"]
    command = ["induce", "task.yaml", "--base-url", server.url, *options, *bounds, *start, "--json"]
    assert code_of(command) == 0
    events: list[Mapping[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (began,) = [event for event in events if event["kind"] == "start"]
    assert (began["seed"], began["workflow"]["model"]) == (7, "vllm:big")
    assert began["workflow"]["steps"][0]["prompt"] == "Rule: red\nRule: green"
    assert {arrival.body["model"] for arrival in server.requests} == {"big", "writer"}
    assert server.most_in_flight <= 2 * 2  # two models, each with two calls in flight at most
    kept = flowbot.Task.model_validate(_yaml(Path("mine") / "task.yaml"))
    assert (kept.budget.calls, kept.budget.tokens, kept.budget.seconds, kept.seed) == (5000, 500000, 500.0, 7)


def _yaml(path: Path) -> Any:
    from ruamel.yaml import YAML

    return YAML(typ="safe").load(path.read_text())  # pyright: ignore[reportUnknownMemberType]


def test_induce_with_money_needs_a_price(files: Path, server: Server, capsys: Out) -> None:
    command = ["induce", "task.yaml", "--base-url", server.url, "--budget-usd", "0.5", "--model", "openrouter:x/y"]
    assert code_of(command) == 2
    assert "the price of openrouter:x/y is not known" in capsys.readouterr().err


def test_induce_takes_up_what_was_stopped(files: Path, server: Server, capsys: Out) -> None:
    command = ["induce", "task.yaml", "--base-url", server.url, "--quiet"]
    assert code_of([*command, "--budget-calls", "20"]) == 3
    asked = len(server.requests)
    assert asked <= 20
    assert code_of(command) == 0
    assert capsys.readouterr().out == "runs/colours/best.yaml\n" * 2
    once = len(server.requests)
    assert code_of(command) == 0
    assert len(server.requests) == once


# ------------------------------------------------------------------ run


def test_run_prints_the_output_alone(files: Path, server: Server, capsys: Out) -> None:
    assert code_of(["run", "flow.yaml", "--input", "q=item 3", "--base-url", server.url]) == 0
    assert capsys.readouterr() == ("red\n", "")
    assert code_of(["run", "flow.yaml", "--input", "q=item 4 = 5", "--base-url", server.url, "--trace"]) == 0
    assert capsys.readouterr() == ("green\n", 'answer: {"a": "green"}\n')
    assert server.requests[1].prompt == "q:\nitem 4 = 5"


def test_run_on_another_model(files: Path, server: Server) -> None:
    assert code_of(["run", "flow.yaml", "--input", "q=item 3", "--base-url", server.url, "--model", "vllm:big"]) == 0
    assert server.requests[0].body["model"] == "big"


def test_run_reads_typed_inputs(tmp_path: Path, capsys: Out) -> None:
    steps = [call("say", "words", "n", "sure", gives={"n": "number"})]
    inputs = {"words": "list[text]", "n": "number", "sure": "bool"}
    flowbot.save(_typed(steps, inputs), tmp_path / "t.yaml")
    with serving(['{"n": 4.0}']) as server:
        given = ["--input", 'words=["a", "b"]', "--input", "n=1,000", "--input", "sure=yes"]
        assert code_of(["run", "t.yaml", *given, "--base-url", server.url]) == 0
        assert server.requests[0].prompt == 'words:\n["a", "b"]\n\nn:\n1000\n\nsure:\ntrue'
        assert capsys.readouterr().out == "4\n"
        assert code_of(["run", "t.yaml", *given[:4], "--input", "sure=maybe", "--base-url", server.url]) == 2


def _typed(steps: list[dict[str, Any]], inputs: Mapping[str, str]) -> flowbot.Workflow:
    from flowbot.workflow.graph import build

    return build(name="t", model="vllm:m", inputs=inputs, steps=steps, output="say.n")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "give either --input q=... or --inputs FILE"),
        (["--input", "q=x", "--inputs", "rows.jsonl"], "give either"),
        (["--input", "q"], "'q' must be NAME=VALUE"),
        (["--input", "p=x"], "unknown input 'p'"),
        (["--inputs", "rows.jsonl"], "no such file"),
    ],
)
def test_run_says_what_is_missing(files: Path, given: list[str], reason: str, capsys: Out) -> None:
    assert code_of(["run", "flow.yaml", *given]) == 2
    assert reason in capsys.readouterr().err


def test_run_that_fails_ends_with_1_and_says_why(files: Path, capsys: Out) -> None:
    with serving([Answer(text=None, refusal="No.")]) as server:
        assert code_of(["run", "flow.yaml", "--input", "q=x", "--base-url", server.url]) == 1
    assert capsys.readouterr() == ("", "flowbot: step 'answer' failed: the model refused: No.\n")


def test_run_where_nobody_answers_ends_with_4(files: Path, capsys: Out) -> None:
    with serving([Answer.error(404, "no such model")]) as server:
        assert code_of(["run", "flow.yaml", "--input", "q=x", "--base-url", server.url]) == 4
    assert "no such model" in capsys.readouterr().err


def refusing(body: Body, index: int) -> Answer:
    refuse = "item 2" in body["messages"][-1]["content"]
    return Answer(text=None, refusal="No.") if refuse else World().script(body, index)


def test_run_on_rows_keeps_their_order_and_says_which_failed(files: Path, capsys: Out) -> None:
    rows = [{"id": f"r{n}", "q": f"item {n}", "more": 1} for n in range(5)]
    Path("rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with serving(refusing) as server:
        command = ["run", "flow.yaml", "--inputs", "rows.jsonl", "--base-url", server.url]
        assert code_of([*command, "--output", "out.jsonl"]) == 1
        assert capsys.readouterr() == ("", "5 rows, 1 failed, written to out.jsonl\n")
        written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
        assert [row["id"] for row in written] == ["r0", "r1", "r2", "r3", "r4"]
        assert [row.get("a") for row in written] == ["red", "green", None, "red", "green"]
        assert written[2]["error"] == "step 'answer' failed: the model refused: No."
        assert code_of(command) == 1
        assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == written


def test_run_goes_on_with_the_rows_that_are_left(files: Path, capsys: Out) -> None:
    def failing(body: Body, index: int) -> Answer:
        lost = "item 3" in body["messages"][-1]["content"]
        return Answer.error(401, "no such key") if lost else World().script(body, index)

    Path("rows.jsonl").write_text("\n".join(json.dumps({"q": f"item {n}"}) for n in range(5)))
    command = ["run", "flow.yaml", "--inputs", "rows.jsonl", "--output", "out.jsonl", "--concurrency", "1"]
    with serving(failing) as server:
        assert code_of([*command, "--base-url", server.url]) == 4
    told = "3 of 5 rows are in out.jsonl; the same command with --resume goes on there"
    assert told in capsys.readouterr().err
    with Path("out.jsonl").open("a") as file:
        file.write('{"id": "4", "a"')  # cut while it was written
    with serving(World().script) as server:
        assert code_of([*command, "--resume", "--base-url", server.url]) == 0
        assert len(server.requests) == 2
        assert code_of([*command, "--resume", "--base-url", server.url]) == 0
        assert len(server.requests) == 2
    assert [json.loads(line)["id"] for line in Path("out.jsonl").read_text().splitlines()] == ["1", "2", "3", "4", "5"]
    capsys.readouterr()
    Path("out.jsonl").write_text("kept\n")
    assert code_of([*command, "--resume"]) == 2
    assert capsys.readouterr().err == "flowbot: out.jsonl: this is no output of `flowbot run`\n  name another file\n"
    assert Path("out.jsonl").read_text() == "kept\n"
    assert code_of(["run", "flow.yaml", "--inputs", "rows.jsonl", "--resume"]) == 2
    assert "--resume: there is nothing to go on with" in capsys.readouterr().err


def test_run_reads_csv(files: Path, server: Server, capsys: Out) -> None:
    with Path("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["q", "note"], ["item 0", "x"], ['item 1, "or" so', "y"]])
    assert code_of(["run", "flow.yaml", "--inputs", "rows.csv", "--base-url", server.url]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [{"id": "1", "a": "red"}, {"id": "2", "a": "green"}]
    assert {'q:\nitem 1, "or" so'} <= {arrival.prompt for arrival in server.requests}


def test_run_does_not_write_over_what_it_reads(files: Path, server: Server, capsys: Out) -> None:
    Path("rows.jsonl").write_text('{"q": "item 1"}\n')
    command = ["run", "flow.yaml", "--inputs", "rows.jsonl", "--output", "./rows.jsonl", "--base-url", server.url]
    assert code_of(command) == 2
    assert Path("rows.jsonl").read_text() == '{"q": "item 1"}\n'


def test_a_bad_row_has_its_reason_in_its_place(files: Path, server: Server, capsys: Out) -> None:
    Path("rows.jsonl").write_text('{"q": "item 0"}\n{"id": "odd", "p": 1}\n{"q": null}\n{"q": "item 1"}\n')
    command = ["run", "flow.yaml", "--inputs", "rows.jsonl", "--base-url", server.url]
    assert code_of([*command, "--output", "out.jsonl"]) == 1
    assert capsys.readouterr().err == "4 rows, 2 failed, written to out.jsonl\n"
    first, second, third, last = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert (first, last) == ({"id": "1", "a": "red"}, {"id": "4", "a": "green"})
    assert second["id"] == "odd"
    assert "rows.jsonl:2: the input 'q' is missing" in second["error"]
    assert "an input does not fit: expected text, got null" in third["error"]


def test_the_output_is_kept_where_the_rows_cannot_be_read(files: Path, server: Server, capsys: Out) -> None:
    Path("out.jsonl").write_text("kept\n")
    Path("rows.jsonl").write_text('{"q": "item 0"}\n{"q"\n')
    command = ["run", "flow.yaml", "--inputs", "rows.jsonl", "--base-url", server.url]
    assert code_of([*command, "--output", "out.jsonl"]) == 2
    assert "rows.jsonl:2: not valid JSON" in capsys.readouterr().err
    assert Path("out.jsonl").read_text() == "kept\n"
    Path("rows.jsonl").write_text('{"q": "item 0"}\n')
    assert code_of([*command, "--output", "no/such/out.jsonl"]) == 2
    assert capsys.readouterr().err == "flowbot: no/such/out.jsonl: cannot write the file: No such file or directory\n"
    assert server.requests == []


def test_lists_in_csv_are_unfolded(files: Path, capsys: Out) -> None:
    inputs = {"words": "list[text]", "more": "json"}
    flowbot.save(_typed([call("say", "words", "more", gives={"n": "number"})], inputs), "t.yaml")
    with Path("rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["words", "more"], ['["a", "b"]', '{"x": 1}'], ["a", "plain"]])
    with serving(['{"n": 4}']) as server:
        assert code_of(["run", "t.yaml", "--inputs", "rows.csv", "--base-url", server.url]) == 1
        assert [each.prompt for each in server.requests] == ['words:\n["a", "b"]\n\nmore:\n{"x": 1}']
    first, second = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert first == {"id": "1", "n": 4}
    assert "expected a list" in second["error"]


def test_the_output_of_one_input_goes_to_the_file(files: Path, server: Server, capsys: Out) -> None:
    command = ["run", "flow.yaml", "--input", "q=item 0", "--base-url", server.url]
    assert code_of([*command, "--output", "out.txt"]) == 0
    assert (Path("out.txt").read_text(), capsys.readouterr()) == ("red\n", ("", ""))
    assert code_of([*command, "--output", "no/out.txt"]) == 2
    assert "no/out.txt: cannot write the file" in capsys.readouterr().err


def test_the_traces_of_rows_are_on_standard_error(files: Path, server: Server, capsys: Out) -> None:
    Path("rows.jsonl").write_text('{"id": "x", "q": "item 0"}\n{"id": "y", "q": "item 1"}\n')
    assert code_of(["run", "flow.yaml", "--inputs", "rows.jsonl", "--base-url", server.url, "--trace"]) == 0
    assert capsys.readouterr().err == 'x: answer: {"a": "red"}\ny: answer: {"a": "green"}\n'


# ------------------------------------------------------------------ eval


def test_eval_says_score_interval_and_cost(files: Path, server: Server, capsys: Out) -> None:
    command = ["eval", "flow.yaml", "--task", "task.yaml", "--base-url", server.url]
    assert code_of(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("val: 66.7% on 6 examples (95 % interval ")
    assert "6 calls, " in out
    assert code_of([*command, "--split", "test", "--failures", "5"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("test: 50.0% on 4 examples")
    assert "- test0: " in out  # item 2000 is blue
    assert out.count("\n- ") == 2


def test_eval_json_has_every_score(files: Path, server: Server, capsys: Out) -> None:
    command = ["eval", "flow.yaml", "--task", "task.yaml", "--base-url", server.url, "--json", "--concurrency", "3"]
    assert code_of(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"] == {row["id"]: float(row["a"] != "blue") for row in worlds.rows("val", 6)}
    assert (found["split"], found["n"], found["calls"]) == ("val", 6, 6)
    assert found["low"] <= found["mean"] <= found["high"]
    assert server.most_in_flight <= 3


def test_eval_on_a_split_that_is_not_there(files: Path, capsys: Out) -> None:
    assert code_of(["eval", "flow.yaml", "--task", "task.yaml", "--split", "tets"]) == 2
    assert "there is no split 'tets' (splits: train, val, test)" in capsys.readouterr().err


# ------------------------------------------------------------------ show, diff


def test_show(tmp_path: Path, capsys: Out) -> None:
    workflow = flow(tool("sum", expression="$q"), call("answer", "q", "sum.value", gives={"a": "bool"}, prompt=RULES))
    flowbot.save(workflow, "flow.yaml")
    assert code_of(["show", "flow.yaml"]) == 0
    out = capsys.readouterr().out
    assert f"flow ({workflow.id}), model vllm:m\ninputs: q: text\n1. sum (tool calc) reads q" in out
    assert "at most 2 LLM calls an example, repairs and tool turns included" in out
    assert f"[answer]\n{RULES}" in out
    assert code_of(["show", "flow.yaml", "--prompts"]) == 0
    assert capsys.readouterr().out == f"## answer\n\n{RULES}\n\n"
    assert code_of(["show", "flow.yaml", "--mermaid"]) == 0
    assert capsys.readouterr().out.startswith("flowchart LR\n  in_q")
    assert code_of(["show", "flow.yaml", "--svg"]) == 0
    assert xml.dom.minidom.parseString(capsys.readouterr().out).documentElement.tagName == "svg"  # pyright: ignore


def test_show_says_where_a_file_is_wrong(tmp_path: Path, capsys: Out) -> None:
    Path("flow.yaml").write_text(
        "flowbot: 1\nname: x\ninputs: {q: text}\nsteps:\n  - {id: a, kind: cal}\noutput: a.b\n"
    )
    assert code_of(["show", "flow.yaml"]) == 2
    assert capsys.readouterr().err.startswith("flowbot: flow.yaml:5: ")
    assert code_of(["show", "flwo.yaml"]) == 2
    assert "no such workflow file; did you mean 'flow.yaml'?" in capsys.readouterr().err


def test_diff(files: Path, capsys: Out) -> None:
    flowbot.save(worlds.start().with_prompts({"answer": "Rule: red\nRule: blue"}), "other.yaml")
    assert code_of(["diff", "flow.yaml", "flow.yaml"]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert code_of(["diff", "flow.yaml", "other.yaml"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("~ answer\n    prompt:\n")
    assert "      -Rule: green" in out
    assert "      +Rule: blue" in out


# ------------------------------------------------------------------ init, estimate, doctor, models


def test_init_refuses_a_folder_that_is_not_empty(files: Path, capsys: Out) -> None:
    assert code_of(["init", str(files)]) == 2
    assert "the folder is not empty" in capsys.readouterr().err
    assert code_of(["init", "new"]) == 0
    out = capsys.readouterr().out
    assert "wrote new/task.yaml" in out
    assert code_of(["estimate", "new/task.yaml"]) == 0


def test_estimate_holds_what_a_run_costs(files: Path, server: Server, capsys: Out) -> None:
    assert code_of(["estimate", "task.yaml", "--json"]) == 0
    ends = json.loads(capsys.readouterr().out)
    assert code_of(["induce", "task.yaml", "--base-url", server.url, "--json"]) == 0
    ledger = json.loads(capsys.readouterr().out.splitlines()[-1])["ledger"]
    for purpose, line in ledger.items():
        low, high = (ends[end].get(purpose, {}).get("calls", 0) for end in ("low", "high"))
        assert low <= line["calls"] <= high, purpose
    assert server.requests


def test_estimate_prints_ranges_and_asks_nobody(files: Path, capsys: Out) -> None:
    options = ["--recipe", "paper", "--model", "openai:gpt-4.1-mini", "--meta-model", "openai:gpt-4.1"]
    assert code_of(["estimate", "task.yaml", *options]) == 0
    out = capsys.readouterr().out
    assert out.startswith("colours, recipe paper, task model openai:gpt-4.1-mini, meta model openai:gpt-4.1\n")
    total = next(line for line in out.splitlines() if line.startswith("total"))
    assert total.split()[-2] == "to"
    assert 0 <= float(total.split()[-3]) < float(total.split()[-1]) < 2
    assert code_of(["estimate", "task.yaml", "--model", "openrouter:x/y"]) == 0
    assert "price unknown" in capsys.readouterr().out


def test_estimate_says_where_the_budget_of_the_task_ends_it(files: Path, capsys: Out) -> None:
    assert code_of(["estimate", "task.yaml"]) == 0
    assert capsys.readouterr().out.endswith("A budget is a wall.\n")
    worlds.write_task(files, {"train": 10, "val": 6}, recipe=RECIPE, budget={"calls": 1200, "usd": 2.5})
    assert code_of(["estimate", "task.yaml"]) == 0
    assert capsys.readouterr().out.endswith("The task's budget ends it at $2.5, 1,200 calls.\n")
    assert code_of(["estimate", "task.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["budget"] == {"usd": 2.5, "calls": 1200}


@pytest.mark.parametrize("option", ["--model", "--meta-model"])
def test_estimate_knows_the_providers(files: Path, option: str, capsys: Out) -> None:
    assert code_of(["estimate", "task.yaml", option, "opnai:gpt-4.1"]) == 2
    assert "the provider 'opnai' is not known; did you mean 'openai'?" in capsys.readouterr().err


def test_the_high_end_holds_repairs_and_long_meta_replies(files: Path, capsys: Out) -> None:
    assert code_of(["estimate", "task.yaml", "--json"]) == 0
    ends = json.loads(capsys.readouterr().out)
    low, high = (ends[end]["loss_gradient"] for end in ("low", "high"))
    assert high["calls"] == 2 * low["calls"]
    assert high["output_tokens"] == high["calls"] * 1024


def test_doctor_shows_that_keys_are_there_and_never_the_keys(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    monkeypatch.setattr("flowbot.faces.doctor._models", lambda: iter([Finding("disk", True, "room enough")]))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-12345678")
    assert code_of(["doctor", "--base-url", server.url]) == 0
    out = capsys.readouterr().out
    assert "ok  key openai: OPENAI_API_KEY is set" in out
    assert "ok  endpoint openai:gpt-4.1-mini: answers in" in out
    assert "sk-secret" not in out
    assert len(server.requests) == 1


def test_doctor_ends_with_2_where_something_is_bad(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    with serving([Answer.error(401, "bad key sk-secret-12345678")]) as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-12345678")
        assert code_of(["doctor", "--model", "openai:x", "--base-url", server.url]) == 2
    out = capsys.readouterr().out
    assert "BAD  endpoint openai:x" in out
    assert "sk-secret" not in out


def test_models_lists_the_catalogue(capsys: Out, tmp_path: Path) -> None:
    assert code_of(["models", "list"]) == 0
    out = capsys.readouterr().out
    assert out.count("local:") >= 1
    assert "the default" in out
    assert str(tmp_path / "home" / "models") in out


def test_models_pull_knows_its_names(capsys: Out) -> None:
    assert code_of(["models", "pull", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err
