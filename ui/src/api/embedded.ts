import { Refused, type Source, type Window } from "./source";
import type { Example, ExampleLine, ExamplePage, ReportData, Trace } from "./types";

const absent = (what: string) =>
  Promise.reject(new Refused(404, `${what} is not in this report`, "open the run with flowbot ui"));

/** The data that stands in a report. */
export function embeddedSource(data: ReportData): Source {
  const { run, candidates, examples, traces } = data;
  const page = (split: string) => examples.find((each) => each.split === split);
  return {
    live: false,
    columns: (split) => page(split)?.candidates ?? [],
    holds: (split, example, workflow) =>
      traces.some(
        (each) =>
          each.split === split && each.example === example && (workflow === undefined || each.workflow === workflow),
      ),
    home: () => Promise.resolve({ kind: "run", name: run.line.name, version: run.version, can_try: false }),
    runs: () => Promise.resolve([run.line]),
    run: () => Promise.resolve(run),
    candidate: async (_, id) => candidates.find((each) => each.line.id === id) ?? absent("this candidate"),
    examples: async (_, window) => {
      const held = page(window.split);
      return held === undefined ? absent("this split") : windowOf(held, window);
    },
    example: async (_, split, id) => exampleOf(traces, split, id) ?? absent("this example"),
    trace: async (_, workflow, draw, example) => {
      const of = traces.filter((each) => each.workflow === workflow && each.example === example);
      const wanted = of.find((each) => each.draw === draw) ?? of.find((each) => each.split === draw);
      return wanted ?? absent("this trace");
    },
    flow: () => absent("the workflow"),
    follow: () => () => undefined,
    price: () => absent("trying"),
    attempt: () => absent("trying"),
  };
}

/** What a server would answer of a table of examples: filtered, sorted, and the window of it. */
export function windowOf(page: ExamplePage, window: Window): ExamplePage {
  const columns = window.candidates.map((id) => page.candidates.indexOf(id));
  const find = window.find.toLowerCase();
  const rows = page.rows
    .filter((row) => !find || `${row.id} ${row.inputs} ${row.target}`.toLowerCase().includes(find))
    .map((row) => ({ row, value: sortValue(page, row, window.sort) }))
    .sort((a, b) => inOrder(a.value, b.value, window.descending) || a.row.place - b.row.place)
    .map(({ row }) => ({ ...row, scores: columns.map((at) => row.scores[at] ?? null) }));
  return {
    split: page.split,
    candidates: window.candidates,
    total: rows.length,
    offset: window.offset,
    rows: rows.slice(window.offset, window.offset + window.limit),
    means: columns.map((_, at) => mean(rows.map((row) => row.scores[at] ?? null))),
  };
}

/** `sort` is empty (the data's own order), a candidate, or two of them with a minus between: their difference. */
function sortValue(page: ExamplePage, row: ExampleLine, sort: string): number | null {
  if (!sort) return row.place;
  const [first, second] = sort.split("-").map((id) => row.scores[page.candidates.indexOf(id)] ?? null);
  if (second === undefined || first === null || first === undefined) return first ?? null;
  return second === null ? null : first - second;
}

/** What is not known stands last, whichever way the others go. */
function inOrder(a: number | null, b: number | null, descending: boolean): number {
  if (a === null || b === null) return Number(a === null) - Number(b === null);
  return descending ? b - a : a - b;
}

/** The mean of what is known; null where nothing is. */
export function mean(values: (number | null)[]): number | null {
  const known = values.filter((each) => each !== null);
  return known.length === 0 ? null : known.reduce((sum, each) => sum + each, 0) / known.length;
}

function exampleOf(traces: Trace[], split: string, id: string): Example | null {
  const of = traces.filter((each) => each.example === id && each.split === split);
  const first = of[0];
  if (first === undefined) return null;
  const runs = of.map((each) => ({
    candidate: each.workflow,
    draw: each.draw,
    score: each.score,
    failed: each.error !== "",
    feedback: each.feedback,
    calls: each.spent.calls,
    tokens: each.spent.input_tokens + each.spent.output_tokens,
    usd: each.spent.usd,
    seconds: each.spent.seconds,
  }));
  const notes = new Map(of.flatMap((each) => each.notes).map((each) => [JSON.stringify(each), each]));
  return { split, id, inputs: first.inputs, target: first.target, runs, notes: [...notes.values()] };
}
