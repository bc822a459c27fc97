import { useQuery } from "@tanstack/react-query";
import { useSource } from "../../api/source";
import type { ExampleLine } from "../../api/types";

const PAGE = 500;
const MOST = 5000;

/** The examples of a split that two candidates were run on, with both scores, left first. */
export interface Both {
  line: ExampleLine;
  left: number;
  right: number;
}

/** All examples of a split on which two candidates have a score (of very many the first 5,000). */
export function useBoth(run: string, split: string, left: string, right: string) {
  const source = useSource();
  return useQuery({
    queryKey: ["both", run, split, left, right],
    staleTime: 30_000,
    enabled: split !== "",
    queryFn: async () => {
      const found: Both[] = [];
      for (let offset = 0; offset < MOST; ) {
        const window = { split, candidates: [left, right], sort: "", descending: false, find: "", offset, limit: PAGE };
        const page = await source.examples(run, window);
        found.push(...bothOf(page.rows));
        offset += page.rows.length;
        if (page.rows.length === 0 || offset >= page.total) break;
      }
      return found;
    },
  });
}

export function bothOf(rows: ExampleLine[]): Both[] {
  return rows.flatMap((line) => {
    const [left, right] = line.scores;
    return typeof left === "number" && typeof right === "number" ? [{ line, left, right }] : [];
  });
}

/** Those that differ, the largest differences first, and the means over all. */
export function told(both: Both[]) {
  const mean = (of: (each: Both) => number) => both.reduce((sum, each) => sum + of(each), 0) / both.length;
  const size = ({ left, right }: Both) => Math.abs(right - left);
  const sorted = [...both].sort((a, b) => size(b) - size(a) || a.line.place - b.line.place);
  return {
    fixed: sorted.filter(({ left, right }) => right > left),
    broken: sorted.filter(({ left, right }) => right < left),
    left: both.length > 0 ? mean((each) => each.left) : null,
    right: both.length > 0 ? mean((each) => each.right) : null,
  };
}
