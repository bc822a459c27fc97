import { useQuery } from "@tanstack/react-query";
import { type Source, useSource, type Window } from "../../api/source";
import type { Cell, Table } from "./table";

/** How the reader left the table of a split, so that the way back leads to the same place. */
const left = new Map<string, { table: Table; cell: Cell }>();
const key = (run: string, split: string) => `${run}\n${split}`;

export const leave = (run: string, split: string, table: Table, cell: Cell) => left.set(key(run, split), { table, cell });
export const found = (run: string, split: string) => left.get(key(run, split));

export interface Neighbours {
  before: string | null;
  after: string | null;
  place: number;
  total: number;
}

/** The examples before and behind one, in the order of the table that it was opened from, else in that of the data. */
export function useNeighbours(run: string, split: string, id: string) {
  const source = useSource();
  return useQuery({
    queryKey: ["neighbours", run, split, id],
    queryFn: () => neighbours(source, run, split, id),
    enabled: split !== "",
    staleTime: 60_000,
  });
}

async function neighbours(source: Source, run: string, split: string, id: string): Promise<Neighbours | null> {
  const kept = found(run, split);
  const { columns = [], sort = "", descending = false, find = "" } = kept?.table ?? {};
  const window = { split, candidates: columns, sort, descending, find };
  return (
    (kept && (await around(source, run, { ...window, offset: kept.cell.row, limit: 0 }, id))) ||
    (await byPlace(source, run, split, id))
  );
}

async function around(source: Source, run: string, at: Window, id: string): Promise<Neighbours | null> {
  const offset = Math.max(0, at.offset - 2);
  const page = await source.examples(run, { ...at, offset, limit: 5 });
  const found = page.rows.findIndex((each) => each.id === id);
  if (found < 0) return null;
  const before = page.rows[found - 1]?.id ?? null;
  const after = page.rows[found + 1]?.id ?? null;
  return { before, after, place: offset + found, total: page.total };
}

async function byPlace(source: Source, run: string, split: string, id: string): Promise<Neighbours | null> {
  const plain = { split, candidates: [], sort: "", descending: false };
  const page = await source.examples(run, { ...plain, find: id, offset: 0, limit: 50 });
  const row = page.rows.find((each) => each.id === id);
  return row ? around(source, run, { ...plain, find: "", offset: row.place, limit: 0 }, id) : null;
}

/** The reader went on by a step: the table, when it is opened again, stands there. */
export function step(run: string, split: string, place: number): void {
  const kept = found(run, split);
  if (kept) kept.cell = { ...kept.cell, row: place };
}
