import type { CandidateLine } from "../../api/types";
import { compared, type Order } from "../../parts/Sort";

export type CandidateKey = "number" | "operator" | "fate" | "mean" | "items" | "gain" | "p_gain" | "cost" | "failed";
export type WantedFate = CandidateLine["fate"] | "any";

/** The candidates that hold every word of `find` and have the fate that is wanted, by id. */
export function matching(candidates: CandidateLine[], find: string, fate: WantedFate): Set<string> {
  const words = find.toLowerCase().split(/\s+/).filter(Boolean);
  const holds = (line: CandidateLine) => {
    if (words.length === 0) return true;
    const text = [line.id, line.operator, line.hypothesis, line.said, ...line.edits, ...line.clusters]
      .join("\n")
      .toLowerCase();
    return words.every((word) => text.includes(word));
  };
  return new Set(
    candidates.filter((each) => (fate === "any" || each.fate === fate) && holds(each)).map(({ id }) => id),
  );
}

/** Candidates in order; those that are equal stay as they came. */
export function ordered(candidates: CandidateLine[], { by, descending }: Order<CandidateKey>): CandidateLine[] {
  return [...candidates].sort((a, b) => compared(a[by], b[by], descending));
}

export interface Branch {
  line: CandidateLine;
  depth: number;
  children: number;
  open: boolean;
  /** Whether it is there for itself, and not only as the way to one that matches. */
  match: boolean;
}

/** The tree of candidates as rows, parents before children; `closed` ones keep theirs. */
export function branches(candidates: CandidateLine[], matches: Set<string>, closed: Set<string>): Branch[] {
  const known = new Map(candidates.map((each) => [each.id, each]));
  const parentOf = (line: CandidateLine) =>
    line.parent !== null && line.parent !== line.id && known.has(line.parent) ? line.parent : null;
  const wanted = new Set<string>();
  for (const id of matches) {
    let at: string | null = id;
    while (at !== null && !wanted.has(at)) {
      wanted.add(at);
      const line = known.get(at);
      at = line ? parentOf(line) : null;
    }
  }
  const children = new Map<string | null, CandidateLine[]>();
  for (const line of candidates) {
    if (!wanted.has(line.id)) continue;
    const parent = parentOf(line);
    const list = children.get(parent);
    if (list) list.push(line);
    else children.set(parent, [line]);
  }
  const rows: Branch[] = [];
  const seen = new Set<string>();
  const waiting = (children.get(null) ?? []).map((line) => ({ line, depth: 0 })).reverse();
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    const { line, depth } = next;
    if (seen.has(line.id)) continue;
    seen.add(line.id);
    const own = children.get(line.id) ?? [];
    const open = !closed.has(line.id);
    rows.push({ line, depth, children: own.length, open, match: matches.has(line.id) });
    if (open) for (const child of [...own].reverse()) waiting.push({ line: child, depth: depth + 1 });
  }
  return rows;
}

/** The place of the row's parent; its own where it has none. */
function parentAt(rows: Branch[], at: number): number {
  const depth = rows[at]?.depth ?? 0;
  for (let up = at - 1; up >= 0; up--) if ((rows[up]?.depth ?? 0) < depth) return up;
  return at;
}

/** What a key means in the tree, on the row `at`: to move to another row, or to turn this one open or closed. */
export function pressed(key: string, rows: Branch[], at: number, page: number): { move?: number; turn?: true } {
  const row = rows[at];
  const inner = row !== undefined && row.children > 0;
  if (key === "ArrowDown") return { move: at + 1 };
  if (key === "ArrowUp") return { move: at - 1 };
  if (key === "PageDown") return { move: at + page };
  if (key === "PageUp") return { move: at - page };
  if (key === "Home") return { move: 0 };
  if (key === "End") return { move: rows.length - 1 };
  if (key === "ArrowRight") return inner && !row.open ? { turn: true } : { move: inner ? at + 1 : at };
  if (key === "ArrowLeft") return inner && row.open ? { turn: true } : { move: parentAt(rows, at) };
  return {};
}
