import type { ClusterLine, Iteration } from "../../api/types";

/** The counts of a cluster at each iteration; null where the iteration did not see it. `at` chooses which count. */
export function overTime(counts: ClusterLine["counts"], numbers: number[], at: 1 | 2): (number | null)[] {
  const known = new Map(counts.map((each) => [each[0], each[at]]));
  return numbers.map((number) => known.get(number) ?? null);
}

export interface Blamed {
  step: string;
  /** The step's share at each iteration. */
  shares: number[];
  mean: number;
}

/** The steps that were blamed, those with the largest share over all iterations first. */
export function blamed(iterations: Iteration[]): Blamed[] {
  const made = new Map<string, number[]>();
  iterations.forEach(({ blame }, at) => {
    for (const [step, share] of blame) {
      const shares = made.get(step) ?? iterations.map(() => 0);
      shares[at] = share;
      made.set(step, shares);
    }
  });
  return [...made]
    .map(([step, shares]) => ({ step, shares, mean: shares.reduce((sum, each) => sum + each, 0) / iterations.length }))
    .sort((a, b) => b.mean - a.mean);
}
