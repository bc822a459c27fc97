import type { Flow, Step } from "../../api/types";

const said = (value: unknown) => (typeof value === "string" || typeof value === "number" ? String(value) : "");

/** A step's kind with what is set of it, in words: `loop, at most 3, until check.ok`. */
export function kindWords(step: Step): string {
  const set = (name: string) => said(step.settings[name]);
  switch (step.kind) {
    case "call":
      return step.tools.length > 0 ? `call with ${step.tools.join(", ")}` : "call";
    case "tool":
      return `tool ${set("tool") || step.tools.join(", ")}`.trim();
    case "vote":
      return `vote of ${set("n") || "several"} by ${set("by") || "majority"}`;
    case "branch":
      return `branch on ${set("on") || step.reads[0] || "a value"}`;
    case "map":
      return `map over ${set("over") || step.reads[0] || "a list"}${set("cap") ? `, at most ${set("cap")}` : ""}`;
    case "loop":
      return `loop, at most ${set("max") || "2"}${set("until") ? `, until ${set("until")}` : ""}`;
    default:
      return step.kind;
  }
}

/** What a step says: the prompt of a call, the program of a code step. */
export function textOf(step: Step): string {
  return step.prompt || step.code;
}

/** What a body is called in its block: an arm by its value, others by their name; nothing where there is only one. */
export function bodyWords(block: Step, body: string): string {
  if (block.kind === "branch") return body === "else" ? "else" : `if ${body}`;
  return block.inside.length > 1 ? body : "";
}

/** How deep a step stands within blocks: 0 at the top. */
export function depthOf(flow: Flow, step: Step): number {
  let depth = 0;
  let above = step.parent;
  while (above !== null && depth < flow.steps.length) {
    depth += 1;
    above = flow.steps.find((each) => each.id === above)?.parent ?? null;
  }
  return depth;
}

/** Of a path such as `refine[2].check`, the step that it ends in. */
export function stepOf(path: string): string {
  return /[a-z][a-z0-9_]*$/.exec(path)?.[0] ?? path;
}
