/** The places of the page, as links: one line a view. Run ids may hold slashes, so every part is encoded. */
const at = (...parts: string[]) => `/${parts.map(encodeURIComponent).join("/")}`;

export const places = {
  runs: () => "/",
  compareRuns: (ids: string[]) => `${at("compare-runs")}/${ids.map(encodeURIComponent).join(",")}`,
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
