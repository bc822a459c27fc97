import type { Flow, Step } from "../../api/types";

export type Mark = "same" | "changed" | "added" | "removed" | "moved";

export const marks: Record<Mark, { sign: string; color: string; soft: string }> = {
  same: { sign: "", color: "var(--fb-quiet)", soft: "transparent" },
  changed: { sign: "~", color: "var(--fb-open)", soft: "var(--fb-open-soft)" },
  moved: { sign: "↕", color: "var(--fb-open)", soft: "var(--fb-open-soft)" },
  added: { sign: "+", color: "var(--fb-good)", soft: "var(--fb-good-soft)" },
  removed: { sign: "−", color: "var(--fb-bad)", soft: "var(--fb-bad-soft)" },
};

/** A step of two workflows: as it was and as it is, one of them null where it is not there. */
export interface Pair {
  id: string;
  old: Step | null;
  new: Step | null;
  mark: Mark;
}

/** Put the steps of two workflows beside each other by id, in the order of the new one; removed ones where they were. */
export function paired(left: Flow, right: Flow): Pair[] {
  const old = new Map(left.steps.map((each) => [each.id, each]));
  const now = new Map(right.steps.map((each) => [each.id, each]));
  const pairs = right.steps.map((step): Pair => {
    const was = old.get(step.id) ?? null;
    return { id: step.id, old: was, new: step, mark: markOf(was, step) };
  });
  left.steps.forEach((step, place) => {
    if (now.has(step.id)) return;
    const before = left.steps.slice(0, place).map((each) => each.id);
    let at = pairs.length;
    while (at > 0 && !before.includes(pairs[at - 1]?.id ?? "")) at -= 1;
    pairs.splice(at, 0, { id: step.id, old: step, new: null, mark: "removed" });
  });
  return pairs;
}

function markOf(old: Step | null, now: Step): Mark {
  if (old === null) return "added";
  if (ownText(old) !== ownText(now)) return "changed";
  return old.parent === now.parent && old.body === now.body ? "same" : "moved";
}

/** All that is said of a step itself, its bodies left out: two steps are the same where this is. */
export function ownText(step: Step): string {
  const { kind, prompt, code, reads, gives, demos, tools, model, settings } = step;
  return JSON.stringify([kind, prompt, code, reads, gives, demos, tools, model, sorted(settings)]);
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, each]) => [key, sorted(each)]),
  );
}

export function marksOf(pairs: Pair[]): Map<string, Mark> {
  return new Map(pairs.map((each) => [each.id, each.mark]));
}
