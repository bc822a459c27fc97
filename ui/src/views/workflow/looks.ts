import { useQuery, useQueryClient } from "@tanstack/react-query";
import { type Source, useSource } from "../../api/source";
import type { Played, Trace } from "../../api/types";

/** What a step took on average over `runs` runs of the workflow. */
export interface StepCost {
  runs: number;
  calls: number;
  tokens: number;
  usd: number | null;
  seconds: number;
}

/** The draws of a candidate on an example, that of the split itself first. */
export async function drawsOf(source: Source, run: string, candidate: string, split: string, id: string) {
  const example = await source.example(run, split, id);
  const draws = example.runs.filter((each) => each.candidate === candidate).map((each) => each.draw);
  return draws.sort((a, b) => Number(b === split) - Number(a === split));
}

/** The traces of a candidate on the first few examples of a split that it was run on; those that are not there are left out. */
export function useLooks(run: string, candidate: string, split: string, most: number) {
  const source = useSource();
  const client = useQueryClient();
  return useQuery({
    queryKey: ["looks", run, candidate, split, most],
    staleTime: 60_000,
    retry: false,
    placeholderData: (known: Trace[] | undefined) => known,
    queryFn: async () => {
      const window = { split, candidates: [candidate], sort: "", descending: false, find: "", offset: 0, limit: 200 };
      const page = await source.examples(run, window);
      const ids = page.rows.filter((row) => row.scores[0] !== null && row.scores[0] !== undefined).map((row) => row.id);
      const found: Trace[] = [];
      for (const id of ids) {
        if (found.length >= most) break;
        try {
          const [draw] = await drawsOf(source, run, candidate, split, id);
          if (draw === undefined) continue;
          const trace = await client.fetchQuery({
            queryKey: ["trace", run, candidate, draw, id],
            queryFn: () => source.trace(run, candidate, draw, id),
            staleTime: 60_000,
            retry: false,
          });
          if (!trace.missing) found.push(trace);
        } catch {
          // Not in this report, or no more in the journal: another example tells as much.
        }
      }
      return found;
    },
    enabled: split !== "",
  });
}

/** All runs of a step within a trace, those in bodies included, in order. */
export function runsOf(steps: Played[], step: string): Played[] {
  return steps.flatMap((each) => [
    ...(each.step === step ? [each] : []),
    ...each.bodies.flatMap((body) => runsOf(body, step)),
  ]);
}

/** What a step took on average over traces: its runs are summed within each. Null where no trace has it. */
export function costOf(traces: Trace[], step: string): StepCost | null {
  const sums = traces.map((trace) => runsOf(trace.steps, step)).filter((runs) => runs.length > 0);
  if (sums.length === 0) return null;
  const all = sums.flat().map((each) => each.spent);
  const mean = (of: (spent: (typeof all)[number]) => number) =>
    all.reduce((sum, each) => sum + of(each), 0) / sums.length;
  const priced = all.every((each) => each.usd !== null);
  return {
    runs: sums.length,
    calls: mean((each) => each.calls),
    tokens: mean((each) => each.input_tokens + each.output_tokens),
    usd: priced ? mean((each) => each.usd ?? 0) : null,
    seconds: mean((each) => each.seconds),
  };
}

/** The split whose examples decide: validation where there is one. */
export function decidingSplit(splits: { name: string }[]): string {
  const names = splits.map((each) => each.name);
  return names.find((each) => each.startsWith("val")) ?? names[0] ?? "";
}
