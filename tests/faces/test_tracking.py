"""MLflow: a search in a store of files as its client reads it, what is not sent, and a tracker that fails."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

import flowbot
from flowbot.errors import InputError
from flowbot.faces.cli import code_of
from flowbot.faces.observe.tracking import KEPT, Tracker
from tests import worlds
from tests.worlds import World

RECIPE = {"name": "paper", "batches": 1, "inner": 2, "batch": 4}
SIZES = {"train": 8, "val": 4, "test": 2}
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def induced(patch: pytest.MonkeyPatch, *options: str, world: Any = None) -> int:
    """Run `flowbot induce --mlflow` in the world, in the folder ./run."""
    worlds.shelved(patch, world or World())
    task = worlds.write_task(Path("data"), SIZES, recipe=RECIPE)
    return code_of(["induce", str(task), "--run", "run", "--quiet", "--mlflow", *options])


def stored(experiment: str = "colours") -> tuple[Any, Any]:
    """Return the client of ./mlruns, and the one run that it holds."""
    client: Any = MlflowClient(tracking_uri=Path("mlruns").resolve().as_uri())
    number = client.get_experiment_by_name(experiment).experiment_id
    [run] = client.search_runs([number])
    return client, run


def files(client: Any, run: Any, path: str | None = None) -> set[str]:
    return {each.path for each in client.list_artifacts(run.info.run_id, path)}


def history(client: Any, run: Any, name: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]


def test_a_search_is_one_run_with_its_settings_curve_measures_and_files(
    monkeypatch: pytest.MonkeyPatch, capsys: Out
) -> None:
    assert induced(monkeypatch, "--seed", "3") == 0
    assert capsys.readouterr().err == ""
    client, run = stored()
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    told = run.data.params
    assert (told["recipe"], told["seed"], told["train"], told["model.task"]) == ("paper", "3", "8", "vllm:m")
    assert told["recipe.batch"] == "4"
    assert run.data.tags["flowbot.ended"] == "done"
    curve = history(client, run, "best_score")
    assert [step for step, _ in curve] == sorted(step for step, _ in curve)
    assert curve[0][1] < curve[-1][1]
    best = flowbot.load(Path("run/best.yaml"))
    assert run.data.tags["flowbot.best"] == best.id
    measures = run.data.metrics
    assert measures["test_gain"] == pytest.approx(measures["test_best"] - measures["test_start"])
    assert measures["val_gain_low"] <= measures["val_gain"] <= measures["val_gain_high"]
    assert measures["calls"] > curve[-1][0] > 0
    assert files(client, run) >= {"best.yaml", "report.html"}


def test_a_run_that_goes_on_is_the_same_run_there(monkeypatch: pytest.MonkeyPatch, capsys: Out) -> None:
    assert induced(monkeypatch, "--budget-calls", "30") == 3
    client, run = stored()
    before = history(client, run, "val_score")
    assert induced(monkeypatch) == 0
    client, run = stored()
    after = history(client, run, "val_score")
    assert after[: len(before)] == before
    assert len(after) > len(before)
    steps = [step for step, _ in after]
    assert steps == sorted(set(steps))
    assert run.data.tags["flowbot.ended"] == "done"


def test_without_content_no_workflow_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    assert induced(monkeypatch, "--no-content") == 0
    assert files(*stored()) == {"report.html"}


def test_the_environment_names_experiment_and_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "elsewhere").as_uri())
    assert induced(monkeypatch) == 0
    assert not Path("mlruns").exists()
    client: Any = MlflowClient(tracking_uri=(tmp_path / "elsewhere").as_uri())
    assert client.get_experiment_by_name("mine") is not None


@pytest.fixture
def refusing() -> Generator[str]:
    """Yield the address of a server that refuses everything."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(403)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://user:a-secret-word@127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_tracker_that_fails_is_told_of_once_and_breaks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: Out, refusing: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", refusing)
    assert induced(monkeypatch) == 0
    captured = capsys.readouterr()
    assert captured.err.count("MLflow does not take this run") == 1
    assert len(captured.err.splitlines()) == 1
    assert "a-secret-word" not in captured.err
    assert captured.out.endswith("best.yaml\n")


def test_a_tracker_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[str] = []
    monkeypatch.setattr("flowbot.faces.observe.tracking.PATIENCE", 0.2)
    gate = threading.Event()

    def opened(tracker: Tracker) -> tuple[Any, str]:
        gate.wait(20)
        return None, "run"

    monkeypatch.setattr(Tracker, "_opened", opened)
    worlds.shelved(monkeypatch, World())
    task = worlds.task(recipe=RECIPE)
    with Tracker(task, tmp_path / "run", told=told.append) as tracker:
        tracker.finish(flowbot.induce(task, data=worlds.data(8, 4, 2), run=tmp_path / "run", heard=tracker.heard))
    gate.set()
    assert told == ["MLflow does not take this run, which goes on without it: no answer within 0.2 seconds"]


def test_a_broken_run_has_failed_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(World):
        async def complete(self, request: Any) -> Any:
            if len(self.requests) > 6:
                raise flowbot.EndpointError("gone")
            return await super().complete(request)

    assert induced(monkeypatch, world=Broken()) == 4
    assert stored()[1].info.status == "FAILED"


def test_a_missing_package_is_said_before_anything_is_paid(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def missing(name: str) -> None:
        return None

    monkeypatch.setattr("flowbot.faces.observe.tracking.find_spec", missing)
    with pytest.raises(InputError, match="pip install 'flowbot\\[mlflow\\]'"):
        Tracker(worlds.task(), tmp_path)


def test_what_is_kept_of_the_run_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert induced(monkeypatch) == 0
    kept = json.loads(Path("run", KEPT).read_text("utf-8"))
    assert kept["run"] == stored()[1].info.run_id
