import type { CandidateLine, Run } from "./types";

/** Put what is new of a run in its place behind what is known of it. */
export function merged(known: Run, news: Run): Run {
  const candidates = new Map<string, CandidateLine>(known.candidates.map((each) => [each.id, each]));
  for (const each of news.candidates) candidates.set(each.id, each);
  return {
    ...news,
    candidates: [...candidates.values()],
    points: [...known.points.slice(0, news.points_from), ...news.points],
    updates: [...known.updates.slice(0, news.updates_from), ...news.updates],
  };
}
