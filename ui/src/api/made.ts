import type { ExampleLine, ExamplePage, Flow, Played, ReportData, Run, Spent, Step, Trace } from "./types";

/** Made answers for tests. */

export const spent: Spent = { calls: 1, input_tokens: 10, output_tokens: 2, usd: null, seconds: 1 };

export function row(place: number, scores: (number | null)[]): ExampleLine {
  return { id: `ex${place}`, place, inputs: `question ${place}`, target: place % 2 ? "odd" : "even", scores };
}

export function page(rows: ExampleLine[], candidates: string[]): ExamplePage {
  return { split: "val", candidates, total: rows.length, offset: 0, rows, means: [] };
}

export function played(path: string, more: Partial<Played> = {}): Played {
  const step = path.slice(path.lastIndexOf(".") + 1);
  const nothing = { reads: {}, gives: {}, error: "", messages: [], tools: [], taken: null, bodies: [] };
  return { path, step, kind: "call", ...nothing, spent, ...more };
}

export function trace(workflow: string, example: string, more: Partial<Trace> = {}): Trace {
  const given = { inputs: { question: example }, target: "yes", output: "no", error: "", feedback: "wrong" };
  const at = { workflow, draw: "val", example, split: "val" };
  return { ...at, ...given, score: 0, spent, steps: [], notes: [], missing: "", ...more };
}

export function run(more: Partial<Run> = {}): Run {
  return {
    line: {
      id: ".",
      name: "made",
      state: "done",
      ended: "done",
      why: "",
      recipe: "race",
      metric: "exact",
      models: [],
      start: 0.4,
      best: 0.6,
      result: null,
      where: "val",
      fraction: true,
      calls: 10,
      tokens: 100,
      usd: null,
      seconds: 5,
      candidates: 0,
      began: 0,
      last: 5,
      error: "",
    },
    seq: 1,
    description: "",
    headline: ["", ""],
    settings: {},
    budget: {},
    seed: 0,
    version: "0",
    stretches: 1,
    start_id: "aa",
    best_id: "bb",
    tables: {},
    outcome: null,
    parts: [],
    points: [],
    candidates: [],
    front: [],
    dollars: false,
    ledger: [],
    clusters: [],
    iterations: [],
    updates: [],
    moves: [],
    splits: [],
    phase: null,
    notes: [],
    content: true,
    points_from: 0,
    updates_from: 0,
    ...more,
  };
}

export function line(id: string, more: Partial<Run["candidates"][number]> = {}): Run["candidates"][number] {
  return {
    id,
    parent: null,
    number: 1,
    operator: "fix",
    hypothesis: "",
    edits: [],
    clusters: [],
    fate: "rejected",
    said: "",
    mean: null,
    low: null,
    high: null,
    items: 0,
    cost: null,
    gain: null,
    p_gain: null,
    failed: 0,
    at: null,
    ...more,
  };
}

export function report(more: Partial<ReportData> = {}): ReportData {
  return { run: run(), candidates: [], examples: [], traces: [], ...more };
}

export function step(id: string, more: Partial<Step> = {}): Step {
  const nothing = { prompt: "", code: "", reads: [], gives: [], demos: [], tools: [], model: "", settings: {} };
  return { id, kind: "call", parent: null, body: "", ...nothing, inside: [], ...more };
}

export function flow(steps: Step[], edges: [string, string, string][] = []): Flow {
  const drawn = edges.map(([source, target, label]) => ({ source, target, label }));
  const inputs = [{ name: "question", type: "text" }];
  return { id: "aa", name: "made", model: "", inputs, output: "", steps, edges: drawn, tools: {}, yaml: "" };
}
