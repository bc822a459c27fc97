import type { Run } from "../../api/types";
import { flat } from "../../parts/settings";

/** All that was chosen for a run. */
export function chosen(run: Run): [string, string][] {
  const { line } = run;
  return [
    ["recipe", line.recipe],
    ["metric", line.metric],
    ["models", line.models.join(", ")],
    ["seed", String(run.seed ?? "–")],
    ["FlowBot", run.version],
    ...run.splits.map(({ name, count }): [string, string] => [`examples.${name}`, String(count)]),
    ...flat(run.budget, "budget."),
    ...flat(run.settings),
  ];
}

/** The settings that are not the same in all runs: name, and a value a run ("–" where it has none). */
export function differing(runs: Run[]): [string, string[]][] {
  const maps = runs.map((run) => new Map(chosen(run)));
  const names = [...new Set(maps.flatMap((each) => [...each.keys()]))];
  return names
    .map((name): [string, string[]] => [name, maps.map((each) => each.get(name) ?? "–")])
    .filter(([, values]) => new Set(values).size > 1);
}
