import type { CandidateLine, Run } from "../../api/types";
import { places } from "../../app/places";
import { type Across, place } from "../../parts/charts/incumbents";
import type { Mark } from "../../parts/charts/picture";
import { look } from "../../parts/charts/shapes";
import { score, short } from "../../parts/words";

export type Kind = CandidateLine["fate"] | "batch" | "other";

const LONGEST = 160;

/** What a candidate is for, in a line: its hypothesis, else its edits. */
export function purposeOf(line: CandidateLine): string {
  return line.hypothesis || line.edits.join("; ");
}

/** What a candidate is called: its operator with the beginning of its id. */
export function titleOf(line: CandidateLine): string {
  const role = line.fate === "start" || line.fate === "best" ? `${line.fate}, ` : "";
  return `${role}${line.operator ? `${line.operator} ` : ""}${short(line.id)}`;
}

function cut(text: string): string {
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}

/** The score of a candidate with its interval, in words. */
export function scored(line: CandidateLine, fraction: boolean): string {
  if (line.low === null || line.high === null) return score(line.mean, fraction);
  return `${score(line.mean, fraction)} (${score(line.low, fraction)} to ${score(line.high, fraction)})`;
}

export interface Measured {
  kind: Kind;
  mark: Mark;
}

/** The measurements of a run as marks, in order. */
export function marksOf(id: string, run: Run, across: Across): Measured[] {
  const known = new Map(run.candidates.map((each) => [each.id, each]));
  return run.points.map((point, order): Measured => {
    const line = known.get(point.candidate ?? "");
    const x = place(point, order, across);
    const value = score(point.value, run.line.fraction);
    if (point.kind === "batch" || line === undefined) {
      const kind = point.kind === "batch" ? "batch" : "other";
      const what = kind === "batch" ? `a batch of train: ${value}` : value;
      const href = point.candidate ? places.candidate(id, point.candidate) : undefined;
      return {
        kind,
        mark: { x, y: point.value, color: "--fb-quiet", shape: "dot", name: point.label, told: [what], href },
      };
    }
    const told = [cut(purposeOf(line)), `${value} – ${cut(line.said || line.fate)}`].filter(Boolean);
    const href = places.candidate(id, line.id);
    return {
      kind: line.fate,
      mark: { x, y: point.value, ...look(line.fate), name: titleOf(line), told, href, over: isTop(line.fate) },
    };
  });
}

/** Whether a candidate of this fate became or stays what others are measured against. */
function isTop(fate: Kind): boolean {
  return fate === "start" || fate === "accepted" || fate === "best";
}
