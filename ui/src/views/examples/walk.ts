import { useQuery } from "@tanstack/react-query";
import { type Source, useSource, type Window } from "../../api/source";
import type { Cell, Table } from "./table";

/** How the reader left the table of a split, so that the way back leads to the same place. */
const left = new Map<string, { table: Table; cell: Cell }>();
const key = (run: string, split: string) => `${run}\n${split}`;

export const leave = (run: string, split: string, table: Table, cell: Cell) =>
  left.set(key(run, split), { table, cell });
export const found = (run: string, split: string) => left.get(key(run, split));

/** An example in the table: its id and its row. */
interface Spot {
  id: string;
  row: number;
}

export interface Neighbours {
  before: Spot | null;
  after: Spot | null;
  row: number;
  total: number;
}

/**
 * The examples before and behind one, in the order of the table that it was opened from, else in that of the data.
 * In a report those that it does not hold (with a run of `workflow`, where one is given) are passed over.
 */
export function useNeighbours(run: string, split: string, id: string, workflow?: string) {
  const source = useSource();
  return useQuery({
    queryKey: ["neighbours", run, split, id, workflow],
    queryFn: () => neighbours({ source, run, split, id, workflow }),
    enabled: split !== "",
    staleTime: 60_000,
  });
}

interface Asked {
  source: Source;
  run: string;
  split: string;
  id: string;
  workflow: string | undefined;
}

async function neighbours(asked: Asked): Promise<Neighbours | null> {
  const { run, split } = asked;
  const kept = found(run, split);
  const { columns = [], sort = "", descending = false, find = "" } = kept?.table ?? {};
  const window = { split, candidates: columns, sort, descending, find };
  return (kept && (await around(asked, { ...window, offset: kept.cell.row, limit: 0 }))) || (await byPlace(asked));
}

async function around({ source, run, split, id, workflow }: Asked, at: Window): Promise<Neighbours | null> {
  const part = source.holds
    ? { offset: 0, limit: Number.MAX_SAFE_INTEGER }
    : { offset: Math.max(0, at.offset - 2), limit: 5 };
  const page = await source.examples(run, { ...at, ...part });
  const spots = page.rows.map((each, place) => ({ id: each.id, row: page.offset + place }));
  const here = spots.findIndex((each) => each.id === id);
  if (here < 0) return null;
  const opens = (each: Spot) => source.holds?.(split, each.id, workflow) ?? true;
  const before = spots.slice(0, here).findLast(opens) ?? null;
  const after = spots.slice(here + 1).find(opens) ?? null;
  return { before, after, row: page.offset + here, total: page.total };
}

async function byPlace(asked: Asked): Promise<Neighbours | null> {
  const { source, run, split, id } = asked;
  const plain = { split, candidates: [], sort: "", descending: false };
  const page = await source.examples(run, { ...plain, find: id, offset: 0, limit: 50 });
  const row = page.rows.find((each) => each.id === id);
  return row ? around(asked, { ...plain, find: "", offset: row.place, limit: 0 }) : null;
}

/** The reader went on to another row: the table, when it is opened again, stands there. */
export function step(run: string, split: string, row: number): void {
  const kept = found(run, split);
  if (kept) kept.cell = { ...kept.cell, row };
}
