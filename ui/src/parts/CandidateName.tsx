import "./parts.css";
import { Link } from "wouter";
import type { CandidateLine, Run } from "../api/types";
import { places } from "../app/places";
import { fates } from "./Fate";
import { short } from "./words";

/** What a candidate is called in few words: its part in the run and the beginning of its id. */
export function nameOf(run: Run | undefined, id: string): string {
  const role = id === run?.best_id ? "best" : id === run?.start_id ? "start" : "";
  return role ? `${role} ${short(id)}` : short(id);
}

/** The line of a candidate; undefined where the run does not list it, as workflows between two updates. */
export function lineOf(run: Run | undefined, id: string): CandidateLine | undefined {
  return run?.candidates.find((each) => each.id === id);
}

/** A candidate by its mark and name, as a link to its workflow; `at` is the run's id. */
export function CandidateName({ at, run, id }: { at: string; run: Run | undefined; id: string }) {
  const line = lineOf(run, id);
  return (
    <Link href={places.candidate(at, id)} className="fb-candidate" title={line?.hypothesis || line?.said}>
      <Mark line={line} />
      {nameOf(run, id)}
    </Link>
  );
}

export function Mark({ line }: { line: CandidateLine | undefined }) {
  if (line === undefined) return null;
  const { color, mark } = fates[line.fate];
  return (
    <span aria-hidden="true" style={{ color }}>
      {mark}{" "}
    </span>
  );
}
