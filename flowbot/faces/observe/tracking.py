"""MLflow: what a search was made with, how its best score grew by calls, and what came of it."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import flowbot
from flowbot.errors import InputError
from flowbot.models.secrets import scrub
from flowbot.store.files import write_text

if TYPE_CHECKING:
    from flowbot.faces.induction import Result
    from flowbot.task.task import Task

LOG = logging.getLogger("flowbot.mlflow")
KEPT = "mlflow.json"  # in the run's folder: which run of MLflow it is
PATIENCE = 30.0  # seconds at the end in which something more must have been sent
LONGEST = 500  # characters of a parameter
QUIET = {  # settings of MLflow's client that the environment may give otherwise
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}
Work = Callable[[Any, str], None]  # given the client and the id of its run


class Tracker:
    """Sends a search to MLflow from a thread of its own; what goes wrong there is told once and stops nothing.

    Hand `heard` to `induce`, and the result to `finish`. `MLFLOW_TRACKING_URI` names the server, else the folder
    ./mlruns is it; the experiment is `MLFLOW_EXPERIMENT_NAME`, else the task's name. A run that goes on is the same run
    there. Without `content` the workflows, which hold prompts, are not sent. Raises `InputError` without the package.
    """

    def __init__(self, task: Task, folder: Path, content: bool = True, told: Callable[[str], None] = LOG.warning):
        if find_spec("mlflow") is None:
            raise InputError("the package mlflow is missing", "--mlflow", "pip install 'flowbot[mlflow]'")
        self.task, self.folder, self.content, self.told = task, folder, content, told
        self.uri = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        self._state: Any = None
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._broken = False
        self._known = -1  # the last step that MLflow has from an earlier stretch
        self._status = "FAILED"
        self._thread = threading.Thread(target=self._send, name="mlflow", daemon=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run at MLflow, and wait a while for what is not sent yet."""
        if self._thread.ident is None:
            return
        status = "KILLED" if kind is not None and issubclass(kind, KeyboardInterrupt) else self._status
        self._later(lambda client, run: client.set_terminated(run, status))
        self._work.put(None)
        left = -1
        while self._thread.is_alive() and left != (left := self._work.qsize()):  # something was sent meanwhile
            self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self._fail(f"no answer within {PATIENCE:g} seconds")

    def heard(self, event: Mapping[str, Any]) -> None:
        """Take an event of the search."""
        match event["kind"]:
            case "open":
                self._state = event["state"]
                self._thread.start()
                self._later(lambda client, run: _parameters(client, run, _settings_of(self.task)))
            case "start":
                settings = {f"recipe.{name}": value for name, value in event["settings"].items()}
                plain = {name: event[name] for name in ("recipe", "train", "val", "seed")} | settings
                self._later(lambda client, run: _parameters(client, run, plain))
            case "best":
                self._measured({"best_score": event["mean"]})
            case "row" if event["split"] == "val":
                self._measured({"val_score": event["mean"]})
            case _:
                pass

    def finish(self, result: Result) -> None:
        """Take what came of the search: its measures, and its files."""
        found: dict[str, float | None] = {}
        for split, table in result.tables.items():
            plain = asdict(table) | {"gain": table.gain}
            names = {"old": "start", "new": "best", "low": "gain_low", "high": "gain_high"}
            found |= {f"{split}_{names.get(name, name)}": value for name, value in plain.items()}
        total = result.ledger.total
        found |= {"calls": total.calls, "tokens": total.tokens, "usd": total.usd}
        tags = {"flowbot.ended": result.ended, "flowbot.best": result.best.id}
        if result.outcome is not None:
            tags["flowbot.outcome"] = result.outcome.decision
        self._status = "FINISHED"
        self._later(lambda client, run: _finished(client, run, found, tags, total.calls))
        if result.folder is not None:
            names = ("best.yaml", "report.html", "front") if self.content else ("report.html",)
            files = [path for name in names if (path := result.folder / name).exists()]
            self._later(lambda client, run: _files(client, run, files))

    def _measured(self, values: dict[str, float]) -> None:
        total = self._state.ledger.total
        step, at = total.calls, round(time.time() * 1000)
        values |= {"tokens": total.tokens} | ({} if total.usd is None else {"usd": total.usd})

        def send(client: Any, run: str) -> None:
            if step > self._known:
                for name, value in values.items():
                    client.log_metric(run, name, value, at, step)

        self._later(send)

    def _later(self, work: Work) -> None:
        if not self._broken:
            self._work.put(work)

    def _send(self) -> None:
        """Work on what is to be sent, in order, until it ends or fails."""
        try:
            client, run = self._opened()
            while (work := self._work.get()) is not None:
                work(client, run)
        except Exception as error:
            self._fail(str(error) or type(error).__name__)

    def _fail(self, why: str) -> None:
        if not self._broken:
            self._broken = True
            self.told(f"MLflow does not take this run, which goes on without it: {scrub(why).splitlines()[0][:300]}")

    def _opened(self) -> tuple[Any, str]:
        """Return the client, and the id of the run: that of an earlier stretch where there is one."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        if not self.uri:
            self.uri = Path("mlruns").resolve().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # newer versions ask for it
        from mlflow import MlflowClient

        client: Any = MlflowClient(tracking_uri=self.uri)
        kept = self._kept()
        if kept:
            client.update_run(kept, status="RUNNING")
            steps = [
                each.step for name in ("best_score", "val_score") for each in client.get_metric_history(kept, name)
            ]
            self._known = max(steps, default=-1)
            return client, kept
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or self.task.name
        experiment = client.get_experiment_by_name(name)
        number = experiment.experiment_id if experiment else client.create_experiment(name)
        tags = {"flowbot.version": flowbot.__version__, "flowbot.task": self.task.name, "flowbot.run": str(self.folder)}
        run = client.create_run(number, run_name=self.folder.name, tags=tags).info.run_id
        write_text(self.folder / KEPT, json.dumps({"uri": scrub(self.uri), "run": run}), private=True)
        return client, run

    def _kept(self) -> str:
        """Return the id of the run that an earlier stretch began at the same server; empty where there is none."""
        try:
            plain = json.loads((self.folder / KEPT).read_text(encoding="utf-8"))
            return str(plain["run"]) if plain["uri"] == scrub(self.uri) else ""
        except (OSError, ValueError, LookupError, TypeError):
            return ""


def _settings_of(task: Task) -> dict[str, Any]:
    models = {f"model.{role}": task.models.of(role).name for role in ("task", "meta", "judge")}
    bounds = {f"budget.{name}": value for name, value in task.budget.model_dump().items() if value is not None}
    return {"task": task.name, "metric": task.metric.name, **models, **bounds}


def _parameters(client: Any, run: str, values: Mapping[str, Any]) -> None:
    """Log parameters that are not there yet: MLflow lets none be changed."""
    known = client.get_run(run).data.params
    for name, value in values.items():
        if name not in known and value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            client.log_param(run, name, scrub(text)[:LONGEST])


def _finished(client: Any, run: str, values: Mapping[str, float | None], tags: Mapping[str, str], step: int) -> None:
    for name, value in values.items():
        if value is not None:
            client.log_metric(run, name, value, step=step)
    for name, text in tags.items():
        client.set_tag(run, name, scrub(text))


def _files(client: Any, run: str, files: list[Path]) -> None:
    for path in files:
        if path.is_dir():
            client.log_artifacts(run, str(path), path.name)
        else:
            client.log_artifact(run, str(path))
