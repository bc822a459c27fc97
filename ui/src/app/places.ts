/** One part of a place, whatever it holds: slashes, commas, per cents. The router undoes per cents once, so none is left. */
export function encoded(part: string): string {
  return encodeURIComponent(part).replaceAll("~", "%7E").replaceAll("%", "~");
}

/** What a part of a place stands for; one that was not made by `encoded` stands for itself. */
export function decoded(part: string | undefined): string {
  try {
    return decodeURIComponent((part ?? "").replaceAll("~", "%"));
  } catch {
    return part ?? "";
  }
}

const at = (...parts: string[]) => `/${parts.map(encoded).join("/")}`;

/** The places of the page, as links: one line a view. */
export const places = {
  runs: () => "/",
  compareRuns: (ids: string[]) => `${at("compare-runs")}/${ids.map(encoded).join(",")}`,
  run: (run: string, part?: string) => at("run", run) + (part ? at("part", part) : ""),
  candidate: (run: string, id: string, step?: string) => at("run", run, "workflow", id) + (step ? at(step) : ""),
  compare: (run: string, left: string, right: string) => at("run", run, "compare", left, right),
  examples: (run: string, split?: string) => at("run", run, "examples") + (split ? at(split) : ""),
  example: (run: string, split: string, id: string) => at("run", run, "examples", split, id),
  trace: (run: string, workflow: string, draw: string, example: string) =>
    at("run", run, "trace", workflow, draw, example),
  attempt: (run: string, id: string) => at("run", run, "try", id),
  flow: () => "/flow",
  attemptFlow: () => "/flow/try",
};
