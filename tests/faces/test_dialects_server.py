"""Other optimisers against a planted world over HTTP, each driven as its documentation says: they gain on its start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT
from tests.faces.test_scripted_server import served

COMMON = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from openai import OpenAI
from flowbot.workflow.document import read_workflow

URL, FOLDER = sys.argv[1], Path(sys.argv[2])
TRAIN, VAL, TEST = (
    [json.loads(line) for line in (FOLDER / f"{split}.jsonl").read_text().splitlines()][:size]
    for split, size in (("train", 60), ("val", 40), ("test", 100))
)
PROMPTS = {step.id: step.prompt for step in read_workflow((FOLDER / "start.yaml").read_text()).calls}
FORM = 'Reply with one JSON object only: {"marks": ["...", ...]}'
client = OpenAI(base_url=URL, api_key="any", max_retries=0)

def ask(model, user, system=None):
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": user})
    return client.chat.completions.create(model=model, messages=turns, temperature=0).choices[0].message.content

def feedback(row, marks):
    right = marks == row["marks"]
    return 1.0 if right else 0.0, "Right." if right else f"Wrong: expected {row['marks']}, got {marks}."

def told(start, found):
    print(json.dumps({"start": start, "found": found}))
"""
GEPA = """
import gepa
from gepa import EvaluationBatch

def run(prompts, row):
    notes = ask("planted", "order:\\n" + row["order"], prompts["note"])
    more = ask("planted", "note.notes:\\n" + notes, prompts["weigh"])
    text = ask("planted", "weigh.notes:\\n" + more, prompts["write"] + "\\n\\n" + FORM)
    score, said = feedback(row, json.loads(text)["marks"])
    steps = {"note": (row["order"], notes), "weigh": (notes, more), "write": (more, text)}
    return score, {name: {"Inputs": read, "Generated Outputs": gave, "Feedback": said}
                   for name, (read, gave) in steps.items()}

class Adapter:
    propose_new_texts = None

    def evaluate(self, batch, candidate, capture_traces=False):
        with ThreadPoolExecutor(4) as pool:
            ran = list(pool.map(lambda row: run(candidate, row), batch))
        traces = [records for _, records in ran]
        return EvaluationBatch(outputs=traces, scores=[score for score, _ in ran], trajectories=traces)

    def make_reflective_dataset(self, candidate, eval_batch, components_to_update):
        return {name: [records[name] for records in eval_batch.trajectories] for name in components_to_update}

def mean(prompts):
    return sum(Adapter().evaluate(TEST, prompts).scores) / len(TEST)

found = gepa.optimize(
    seed_candidate=PROMPTS, trainset=TRAIN, valset=VAL, adapter=Adapter(), max_metric_calls=600, seed=0,
    reflection_lm=lambda prompt: ask("planted-meta", prompt), run_dir=str(FOLDER / "gepa"),
)
told(mean(PROMPTS), mean(found.best_candidate))
"""
DSPY = """
import dspy

lm, meta = (dspy.LM(f"openai/{name}", api_base=URL, api_key="any", cache=False, num_retries=0, temperature=heat)
            for name, heat in (("planted", 0.0), ("planted-meta", 1.0)))
dspy.configure(lm=lm)

class Chain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.note = dspy.Predict(dspy.Signature("order -> notes", PROMPTS["note"]))
        self.weigh = dspy.Predict(dspy.Signature("before -> notes", PROMPTS["weigh"]))
        self.write = dspy.ChainOfThought(dspy.Signature("notes -> marks: list[str]", PROMPTS["write"]))

    def forward(self, order):
        return self.write(notes=self.weigh(before=self.note(order=order).notes).notes)

def rows(found):
    return [dspy.Example(order=row["order"], marks=row["marks"]).with_inputs("order") for row in found]

def metric(example, prediction, trace=None, pred_name=None, pred_trace=None):
    score, said = feedback(example, prediction.marks)
    return score if pred_name is None else dspy.Prediction(score=score, feedback=said)

def mean(program):
    return dspy.Evaluate(devset=rows(TEST), metric=metric, num_threads=4, display_progress=False)(program).score / 100
"""
MIPRO = """
search = dspy.MIPROv2(metric=metric, prompt_model=meta, task_model=lm, auto=None, num_candidates=5, num_threads=4)
found = search.compile(Chain(), trainset=rows(TRAIN), valset=rows(VAL), num_trials=12, minibatch=False)
told(mean(Chain()), mean(found))
"""
DSPY_GEPA = """
search = dspy.GEPA(metric=metric, reflection_lm=meta, max_metric_calls=600, num_threads=4, seed=0)
found = search.compile(Chain(), trainset=rows(TRAIN), valset=rows(VAL))
told(mean(Chain()), mean(found))
"""
TEXTGRAD = """
import random
import textgrad as tg
from textgrad.autograd import LLMCall, StringBasedFunction
from textgrad.engine.local_model_openai_api import ChatExternalClient

engine, meta = (ChatExternalClient(client=client, model_string=name) for name in ("planted", "planted-meta"))
tg.set_backward_engine(meta)
PROMPTS["write"] += "\\n\\n" + FORM
variables = {name: tg.Variable(text, requires_grad=True, role_description=f"system prompt of the call {name}")
             for name, text in PROMPTS.items()}
calls = [LLMCall(engine, variables[name]) for name in PROMPTS]

def run(row):
    said = tg.Variable(row["order"], requires_grad=False, role_description="the order")
    for call in calls:
        said = call(said)
    return said

def equal(prediction, target):
    score, said = feedback({"marks": json.loads(target.value)}, json.loads(prediction.value)["marks"])
    return said

def mean(found):
    return sum(feedback(row, json.loads(run(row).value)["marks"])[0] for row in found) / len(found)

compare = StringBasedFunction(equal, "compares the prediction with the expected marks")
optimiser = tg.TextualGradientDescent(parameters=list(variables.values()), engine=meta)
start, best = mean(TEST), mean(VAL)
rng = random.Random(0)
for step in range(8):
    optimiser.zero_grad()
    losses = []
    for row in rng.sample(TRAIN, 3):
        target = tg.Variable(json.dumps(row["marks"]), requires_grad=False, role_description="the expected marks")
        losses.append(compare(inputs={"prediction": run(row), "target": target}))
    tg.sum(losses).backward()
    before = {name: each.value for name, each in variables.items()}
    optimiser.step()
    if (now := mean(VAL)) < best:
        for name, each in variables.items():
            each.set_value(before[name])
    else:
        best = now
told(start, mean(TEST))
"""
SCRIPTS = {
    "gepa": ("gepa", GEPA),
    "mipro": ("dspy", DSPY + MIPRO),
    "dspy-gepa": ("dspy", DSPY + DSPY_GEPA),
    "textgrad": ("textgrad", TEXTGRAD),
}


def searched(script: str, url: str, folder: Path) -> dict[str, Any]:
    """Run a script in a process of its own, with its caches in the folder; return what it tells at its end."""
    program = folder / "search.py"
    program.write_text(COMMON + script, encoding="utf-8")
    settings = {
        "PYTHONPATH": str(ROOT),
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(folder),
        "OPENAI_API_KEY": "any",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "XDG_CACHE_HOME": str(folder / "cache"),
        "DSPY_CACHEDIR": str(folder / "cache"),
    }
    command = [sys.executable, str(program), url, str(folder)]
    ran = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_package_gains_over_the_start(name: str, tmp_path: Path) -> None:
    package, script = SCRIPTS[name]
    for needed in ("openai", package, *(["optuna"] if name == "mipro" else [])):
        if find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed")
    with served("--fault", "missing_instruction", "--skill", "0.9", "--write", tmp_path) as (url, _):
        came_to = searched(script, url, tmp_path)
    assert came_to["start"] < 0.8
    assert came_to["found"] > came_to["start"] + 0.15
