import type { Window } from "../../api/source";
import type { CandidateLine, ExampleLine, Run } from "../../api/types";

/** How the reader has set the table of examples: its columns, the two that are subtracted, order and filter. */
export interface Table {
  columns: string[];
  minus: [string, string] | null;
  sort: string;
  descending: boolean;
  find: string;
}

export const PAGE = 100;
const MOST = 6;

/** The candidates that are shown at first: start, best, those on the front, and the one accepted last. */
export function firstColumns(run: Run, held: string[] | undefined): string[] {
  const accepted = run.candidates.filter((each) => each.fate === "accepted" || each.fate === "best");
  const latest = accepted.reduce<CandidateLine | null>(
    (last, each) => (last === null || (each.at ?? 0) > (last.at ?? 0) ? each : last),
    null,
  );
  const ids = [run.start_id, run.best_id, ...run.front.map((each) => each.candidate), latest?.id];
  const known = [...new Set(ids)].filter((id) => id !== null && id !== undefined);
  const shown = known.filter((id) => held === undefined || held.includes(id)).slice(0, MOST);
  return shown.length > 0 ? shown : (held ?? []).slice(0, MOST);
}

/** The table as it is opened: the difference of best and start where both are there. */
export function firstTable(run: Run, held: string[] | undefined): Table {
  const columns = firstColumns(run, held);
  const pair = [run.best_id, run.start_id].filter((id) => id !== null && columns.includes(id)) as string[];
  const [best, start] = pair;
  const minus: Table["minus"] = best !== undefined && start !== undefined && best !== start ? [best, start] : null;
  return { columns, minus, sort: "", descending: false, find: "" };
}

export function withoutColumn(table: Table, id: string): Table {
  const minus = table.minus?.includes(id) ? null : table.minus;
  const sorted = table.sort.split("-").includes(id);
  return { ...table, columns: table.columns.filter((each) => each !== id), minus, sort: sorted ? "" : table.sort };
}

export function withMinus(table: Table, minus: Table["minus"]): Table {
  const columns = [...table.columns, ...(minus ?? []).filter((id) => !table.columns.includes(id))];
  const sort = table.sort.includes("-") ? (minus?.join("-") ?? "") : table.sort;
  return { ...table, columns, minus, sort };
}

/** A column's heading was pressed: lowest first, then highest first, then the data's own order. */
export function sortedBy(table: Table, sort: string): Table {
  if (table.sort !== sort) return { ...table, sort, descending: false };
  return table.descending ? { ...table, sort: "", descending: false } : { ...table, descending: true };
}

export function windowAt(split: string, table: Table, offset: number, limit = PAGE): Window {
  const { columns, sort, descending, find } = table;
  return { split, candidates: columns, sort, descending, find, offset, limit };
}

/** Where the pages begin that hold the rows from `first` to `last`. */
export function pagesOf(first: number, last: number): number[] {
  const offsets: number[] = [];
  for (let page = Math.floor(first / PAGE); page <= Math.floor(Math.max(first, last) / PAGE); page += 1)
    offsets.push(page * PAGE);
  return offsets;
}

/** The difference of two columns in a row; null where either was not run. */
export function difference(row: ExampleLine, table: Table): number | null {
  if (table.minus === null) return null;
  const [first, second] = table.minus.map((id) => row.scores[table.columns.indexOf(id)] ?? null);
  return first === null || first === undefined || second === null || second === undefined ? null : first - second;
}

/** The background of a score: warm where it is low, blue where it is high, none in the middle. */
export function shade(value: number | null, low = 0, high = 1): string | undefined {
  if (value === null || high <= low) return undefined;
  const share = Math.min(1, Math.max(0, (value - low) / (high - low)));
  const depth = Math.round(52 * Math.abs(share - 0.5));
  if (depth === 0) return undefined;
  return `color-mix(in srgb, var(${share < 0.5 ? "--fb-bad" : "--fb-best"}) ${depth}%, transparent)`;
}

export interface Cell {
  row: number;
  column: number;
}

/** Where a key leads to in the table; null for keys that do not move. */
export function moved(at: Cell, key: string, rows: number, columns: number, screen: number): Cell | null {
  const moves: Record<string, [number, number]> = {
    ArrowUp: [-1, 0],
    ArrowDown: [1, 0],
    ArrowLeft: [0, -1],
    ArrowRight: [0, 1],
    PageUp: [-screen, 0],
    PageDown: [screen, 0],
    Home: [-rows, 0],
    End: [rows, 0],
  };
  const move = moves[key];
  if (move === undefined) return null;
  const within = (value: number, count: number) => Math.max(0, Math.min(count - 1, value));
  return { row: within(at.row + move[0], rows), column: within(at.column + move[1], columns) };
}
