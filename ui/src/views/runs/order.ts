import type { RunLine } from "../../api/types";
import { compared, type Order } from "../../parts/Sort";

export type RunKey = "name" | "state" | "recipe" | "best" | "gain" | "usd" | "calls" | "seconds" | "began";
export type Wanted = RunLine["state"] | "any";

const value: Record<RunKey, (run: RunLine) => string | number | null> = {
  name: (run) => run.name || run.id,
  state: (run) => run.state,
  recipe: (run) => run.recipe,
  best: (run) => run.best,
  gain: (run) => run.result?.gain ?? null,
  usd: (run) => run.usd,
  calls: (run) => run.calls,
  seconds: (run) => run.seconds,
  began: (run) => run.began,
};

/** The runs that hold every word of `find` and are in the state that is wanted, in order. */
export function listed(runs: RunLine[], find: string, state: Wanted, order: Order<RunKey>): RunLine[] {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (run: RunLine) => {
    const text = [run.id, run.name, run.recipe, run.metric, run.error, run.why, ...run.models].join("\n").toLowerCase();
    return words.every((word) => text.includes(word));
  };
  const of = value[order.by];
  return runs
    .filter((run) => (state === "any" || run.state === state) && holds(run))
    .sort((a, b) => compared(of(a), of(b), order.descending) || a.id.localeCompare(b.id));
}
