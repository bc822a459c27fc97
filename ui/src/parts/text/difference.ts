import { diffLines, diffWordsWithSpace } from "diff";

/** A piece of a line: in both texts, or only in the old (`out`) or the new (`in`) one. */
export interface Piece {
  kind: "same" | "out" | "in";
  text: string;
}

/** A row of two texts beside each other; a side that has no such line is null. */
export interface Row {
  kind: "same" | "changed" | "out" | "in";
  left: Piece[] | null;
  right: Piece[] | null;
}

const MOST_CHANGES = 4000;
const LEAST_ALIKE = 0.25;

const linesOf = (text: string) => {
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines;
};

/** Compare two texts line by line, and lines that were changed word by word. */
export function rowsOf(old: string, now: string): Row[] {
  const ended = (text: string) => (text === "" || text.endsWith("\n") ? text : `${text}\n`);
  const changes = diffLines(ended(old), ended(now), { maxEditLength: MOST_CHANGES }) ?? [
    { value: old, removed: true, added: false },
    { value: now, removed: false, added: true },
  ];
  const rows: Row[] = [];
  let gone: string[] = [];
  const flush = () => {
    for (const line of gone) rows.push({ kind: "out", left: [{ kind: "out", text: line }], right: null });
    gone = [];
  };
  for (const { value, removed, added } of changes) {
    const lines = linesOf(value);
    if (removed) gone.push(...lines);
    else if (added) {
      const pairs = Math.min(gone.length, lines.length);
      for (let at = 0; at < pairs; at += 1) rows.push(...changedRows(gone[at] ?? "", lines[at] ?? ""));
      gone = gone.slice(pairs);
      flush();
      for (const line of lines.slice(pairs)) rows.push({ kind: "in", left: null, right: [{ kind: "in", text: line }] });
    } else {
      flush();
      for (const line of lines) {
        const same: Piece[] = [{ kind: "same", text: line }];
        rows.push({ kind: "same", left: same, right: same });
      }
    }
  }
  flush();
  return rows;
}

/** Two lines word by word; where they have little in common, the one goes and the other comes. */
function changedRows(old: string, now: string): Row[] {
  const pieces = diffWordsWithSpace(old, now, { maxEditLength: MOST_CHANGES });
  const whole: Row[] = [
    { kind: "out", left: [{ kind: "out", text: old }], right: null },
    { kind: "in", left: null, right: [{ kind: "in", text: now }] },
  ];
  if (pieces === undefined) return whole;
  const shared = pieces
    .filter((each) => !each.added && !each.removed)
    .reduce((sum, each) => sum + each.value.length, 0);
  if (shared < LEAST_ALIKE * Math.max(old.length, now.length)) return whole;
  const side = (kind: "out" | "in"): Piece[] =>
    pieces
      .filter((each) => (kind === "out" ? !each.added : !each.removed))
      .map((each) => ({ kind: each.added || each.removed ? kind : "same", text: each.value }));
  return [{ kind: "changed", left: side("out"), right: side("in") }];
}

/** A row to show, or a number of rows that are alike and folded away; `at` is its place among the rows. */
export type Shown = { at: number; row: Row } | { at: number; hidden: number };

/** Fold away what is alike, but for some lines around each change. */
export function foldedRows(rows: Row[], around = 2): Shown[] {
  const near = new Set<number>();
  rows.forEach((row, at) => {
    if (row.kind !== "same") for (let each = at - around; each <= at + around; each += 1) near.add(each);
  });
  const shown: Shown[] = [];
  rows.forEach((row, at) => {
    const last = shown.at(-1);
    if (near.has(at)) shown.push({ at, row });
    else if (last !== undefined && "hidden" in last) last.hidden += 1;
    else shown.push({ at, hidden: 1 });
  });
  return shown;
}
