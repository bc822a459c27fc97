/* Made from schema.json by `npm run types`: do not edit. */

export interface Schema {
  [k: string]: unknown;
}
/**
 * A workflow on the way from the start to a candidate, with what its steps said then (prompt or code by step id).
 *
 * `fixed` and `broken` are ids of validation examples, against its parent.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Ancestor".
 */
export interface Ancestor {
  id: string;
  name: string;
  operator: string;
  hypothesis: string;
  edits: string[];
  mean: number | null;
  steps: {
    [k: string]: string;
  };
  fixed: string[];
  broken: string[];
}
/**
 * A candidate with its workflow, how it came to be and what became of it. `way` leads from the start to it.
 *
 * `parts` say for each step, setting and line of a prompt which change of `way` (its place) brought it:
 * (step, kind, text, place).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Candidate".
 */
export interface Candidate {
  line: CandidateLine;
  flow: Flow;
  way: Ancestor[];
  parts: [string, string, string, number][];
  decision: Decision | null;
  rungs: Rung[];
  flips: string[];
  paid: {
    [k: string]: number | null;
  };
  draws: Split[];
}
/**
 * A candidate in the list of a run. `fate` is what became of it, `said` the same in words.
 *
 * `mean` with its interval is of validation; where it left the race early, of the `items` that it was run on.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "CandidateLine".
 */
export interface CandidateLine {
  id: string;
  parent: string | null;
  number: number;
  operator: string;
  hypothesis: string;
  edits: string[];
  clusters: string[];
  fate: "start" | "best" | "accepted" | "kept" | "rejected" | "undecided" | "dropped" | "guarded" | "pending" | "seed";
  said: string;
  mean: number | null;
  low: number | null;
  high: number | null;
  items: number;
  cost: number | null;
  gain: number | null;
  p_gain: number | null;
  failed: number;
  at: number | null;
}
/**
 * A workflow: its steps in file order, bodies included, and the edges between them; `yaml` is its file.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Flow".
 */
export interface Flow {
  id: string;
  name: string;
  model: string;
  inputs: Field[];
  output: string;
  steps: Step[];
  edges: Edge[];
  tools: {
    [k: string]: unknown;
  };
  yaml: string;
}
/**
 * A field that a step or the workflow takes or gives, with its type as the file writes it.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Field".
 */
export interface Field {
  name: string;
  type: string;
}
/**
 * A step of a workflow. `inside` are the bodies of a block: (name, step ids); `parent` is the block that it is in.
 *
 * `reads` are the references that it reads, `settings` what else the file says of it, in the words of the file.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Step".
 */
export interface Step {
  id: string;
  kind: string;
  parent: string | null;
  body: string;
  prompt: string;
  code: string;
  reads: string[];
  gives: Field[];
  demos: Demo[];
  tools: string[];
  model: string;
  settings: {
    [k: string]: unknown;
  };
  inside: [string, string[]][];
}
/**
 * A worked example in a prompt.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Demo".
 */
export interface Demo {
  reads: {
    [k: string]: unknown;
  };
  gives: {
    [k: string]: unknown;
  };
}
/**
 * A value that goes from a step (or "inputs") to another (or "output"), within one body or from around it.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Edge".
 */
export interface Edge {
  source: string;
  target: string;
  label: string;
}
/**
 * How a candidate was decided on: against the best of then. Ids are of validation, `hit` and `missed` of train.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Decision".
 */
export interface Decision {
  decision: string;
  why: string;
  gain: number;
  low: number;
  high: number;
  p_gain: number;
  undecided: boolean;
  fixed: string[];
  broken: string[];
  hit: string[];
  missed: string[];
}
/**
 * How a candidate stood on so many items of a race, and whether it went on.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Rung".
 */
export interface Rung {
  items: number;
  gain: number;
  p_gain: number;
  stays: boolean;
}
/**
 * A split of the data and how many examples of it are kept in the journal.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Split".
 */
export interface Split {
  name: string;
  count: number;
}
/**
 * Failures with one cause over the iterations: `counts` has (iteration, failing examples, edits tried).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "ClusterLine".
 */
export interface ClusterLine {
  name: string;
  defect: string;
  rule: string;
  examples: string[];
  counts: [number, number, number][];
  open: boolean;
}
/**
 * An example with all its runs, newest first (at most 500).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Example".
 */
export interface Example {
  split: string;
  id: string;
  inputs: {
    [k: string]: unknown;
  };
  target: unknown;
  runs: Scored[];
  notes: Note[];
}
/**
 * One run of a candidate on an example; `draw` is the split or stage that it was run for.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Scored".
 */
export interface Scored {
  candidate: string;
  draw: string;
  score: number | null;
  failed: boolean;
  feedback: string;
  calls: number;
  tokens: number;
  usd: number | null;
  seconds: number;
}
/**
 * What a meta model said of a run: a verdict, gradients or critiques, each a mapping; `name` is the stage.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Note".
 */
export interface Note {
  kind: string;
  name: string;
  workflow: string;
  words: {
    [k: string]: unknown;
  }[];
}
/**
 * An example in the table: the beginning of its inputs and target, and its score by candidate (null: not run).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "ExampleLine".
 */
export interface ExampleLine {
  id: string;
  place: number;
  inputs: string;
  target: string;
  scores: (number | null)[];
}
/**
 * A window of the table of examples; `total` counts the rows that the filter leaves.
 *
 * `means` are the candidates' mean scores over all of those rows (empty: not taken).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "ExamplePage".
 */
export interface ExamplePage {
  split: string;
  candidates: string[];
  total: number;
  offset: number;
  rows: ExampleLine[];
  means: (number | null)[];
}
/**
 * A workflow that no other beats on score and cost.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "FrontMember".
 */
export interface FrontMember {
  candidate: string;
  mean: number;
  low: number;
  high: number;
  cost: number;
  calls: number;
  length: number;
  steps: number;
  file: string;
}
/**
 * Two workflows on the same examples: their means, the gain with its 95 % interval, and P(gain > 0).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Gain".
 */
export interface Gain {
  n: number;
  old: number;
  new: number;
  gain: number;
  low: number;
  high: number;
  p_gain: number;
}
/**
 * What the page was opened on: a folder of runs, one run, or a workflow's file. `version` is FlowBot's.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Home".
 */
export interface Home {
  kind: "runs" | "run" | "workflow";
  name: string;
  version: string;
  can_try: boolean;
}
/**
 * What an iteration read of its parent on train: how many failed, and the shares of blame by step.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Iteration".
 */
export interface Iteration {
  number: number;
  parent: string;
  items: number;
  failed: number;
  blame: [string, number][];
}
/**
 * What one purpose cost with one model ("" where that is not known).
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "LedgerLine".
 */
export interface LedgerLine {
  purpose: string;
  model: string;
  calls: number;
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  usd: number | null;
  seconds: number;
  retries: number;
}
/**
 * A change without a meta model that was tried, whether it was kept, and why.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Move".
 */
export interface Move {
  name: string;
  kept: boolean;
  why: string;
  candidate: string | null;
  gain: number | null;
}
/**
 * How a tested search ended: `confirmed`, `undecided`, `unconfirmed` or `start`.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Outcome".
 */
export interface Outcome {
  decision: string;
  why: string;
  finalist: string | null;
  tested: number;
  comparison: Gain | null;
}
/**
 * The stage that a run is in, since when, and the calls by purpose that it was admitted with.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Phase".
 */
export interface Phase {
  name: string;
  calls: {
    [k: string]: number;
  };
  at: number;
}
/**
 * One run of a step: what it read, was sent, said and gave; `bodies` are the turns, samples or items of a block.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Played".
 */
export interface Played {
  path: string;
  step: string;
  kind: string;
  reads: {
    [k: string]: unknown;
  };
  gives: {
    [k: string]: unknown;
  };
  error: string;
  messages: {
    [k: string]: unknown;
  }[];
  tools: ToolUse[];
  taken: unknown;
  spent: Spent;
  bodies: Played[][];
}
/**
 * A tool call that a model made within its LLM call.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "ToolUse".
 */
export interface ToolUse {
  tool: string;
  args: {
    [k: string]: unknown;
  };
  value: unknown;
  failure: string;
  seconds: number;
}
/**
 * What a step or a run took.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Spent".
 */
export interface Spent {
  calls: number;
  input_tokens: number;
  output_tokens: number;
  usd: number | null;
  seconds: number;
}
/**
 * One measurement: after so many `calls` of the run, at `seconds` from its beginning.
 *
 * `batch` is the mean of a batch of train, `validation` that of a candidate on validation; `best` is the mean of the
 * best so far, with its interval.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Point".
 */
export interface Point {
  kind: "batch" | "validation";
  label: string;
  candidate: string | null;
  value: number;
  calls: number;
  seconds: number;
  best: number | null;
  low: number | null;
  high: number | null;
}
/**
 * What is wrong with a request, and what to do.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Problem".
 */
export interface Problem {
  error: string;
  mend: string;
}
/**
 * A sign of life of a run, sent as it goes: ask again for what is behind `seq`.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Pulse".
 */
export interface Pulse {
  line: RunLine;
  seq: number;
  phase: Phase | null;
  traces: number;
}
/**
 * A run in the list of runs. `id` is its folder, relative to the folder that is shown ("." for that one itself).
 *
 * `state` is `running` where its process is there, `stopped` where it is not and the run can go on, `failed` where
 * something broke it off. `start` and `best` are mean scores on validation, `result` is that of the sealed test, of
 * confirmation or of validation, as `where` says.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "RunLine".
 */
export interface RunLine {
  id: string;
  name: string;
  state: "running" | "stopped" | "done" | "failed";
  ended: "done" | "budget" | "interrupted" | "endpoint" | "sandbox" | "input" | "open";
  why: string;
  recipe: string;
  metric: string;
  models: string[];
  start: number | null;
  best: number | null;
  result: Gain | null;
  where: string;
  fraction: boolean;
  calls: number;
  tokens: number;
  usd: number | null;
  seconds: number;
  candidates: number;
  began: number | null;
  last: number | null;
  error: string;
}
/**
 * All that a report holds: the run, its most telling candidates whole, and some examples with traces.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "ReportData".
 */
export interface ReportData {
  run: Run;
  candidates: Candidate[];
  examples: ExamplePage[];
  traces: Trace[];
}
/**
 * All of a run but its workflows, examples and traces. `seq` counts its events; `headline` is the result in words.
 *
 * `dollars` says whether costs are money. `parts` are validation means after each part of the search. `notes` are
 * what the run has to say of itself. `content` is false where texts were left out on request.
 *
 * Where only what is behind a place was asked for, `points` and `updates` take the place of those known from
 * `points_from` and `updates_from` on (a point may change once: when its candidate becomes the best), and `candidates`
 * that of those with the same id.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Run".
 */
export interface Run {
  line: RunLine;
  seq: number;
  description: string;
  /**
   * @minItems 2
   * @maxItems 2
   */
  headline: [string, string];
  settings: {
    [k: string]: unknown;
  };
  budget: {
    [k: string]: number | null;
  };
  seed: number | null;
  version: string;
  stretches: number;
  start_id: string | null;
  best_id: string | null;
  tables: {
    [k: string]: Gain;
  };
  outcome: Outcome | null;
  parts: [string, number][];
  points: Point[];
  candidates: CandidateLine[];
  front: FrontMember[];
  dollars: boolean;
  ledger: LedgerLine[];
  clusters: ClusterLine[];
  iterations: Iteration[];
  updates: Update[];
  moves: Move[];
  splits: Split[];
  phase: Phase | null;
  notes: string[];
  content: boolean;
  points_from: number;
  updates_from: number;
}
/**
 * One step of the gradients: the mean of its batch before it, and what it changed.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Update".
 */
export interface Update {
  name: string;
  batch_mean: number;
  workflow: string;
  changed: string;
}
/**
 * A run of a workflow on an example, step by step. `missing` says why steps are not there.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "Trace".
 */
export interface Trace {
  workflow: string;
  draw: string;
  example: string;
  split: string;
  inputs: {
    [k: string]: unknown;
  };
  target: unknown;
  output: unknown;
  error: string;
  score: number | null;
  feedback: string;
  spent: Spent;
  steps: Played[];
  notes: Note[];
  missing: string;
}
/**
 * Inputs for a workflow: of a candidate of a run, or (run empty) of the file that the page was opened on.
 *
 * `agreed` is the price in dollars or, where none is known, the count of calls that the reader agreed to.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "TryAsk".
 */
export interface TryAsk {
  run: string;
  candidate: string;
  inputs: {
    [k: string]: unknown;
  };
  agreed: boolean;
}
/**
 * How trying a workflow ended.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "TryEnd".
 */
export interface TryEnd {
  output: unknown;
  error: string;
  spent: Spent;
}
/**
 * What trying will take at most, before anything is asked: LLM calls, and dollars where prices are known.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "TryPrice".
 */
export interface TryPrice {
  calls: number;
  usd: number | null;
  models: string[];
  tools: string[];
  problem: string;
}
/**
 * A step that began (`played` null) or ended, while a workflow is tried; sent as it happens.
 *
 * This interface was referenced by `Schema`'s JSON-Schema
 * via the `definition` "TryStep".
 */
export interface TryStep {
  path: string;
  played: Played | null;
}
