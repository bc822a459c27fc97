import type { Flow, Step } from "../../api/types";
import { bodyWords } from "./steps";

export const INPUTS = "inputs";
export const OUTPUT = "output";

/** A workflow as boxes within boxes: the whole, steps, blocks with their bodies, and the two ends. */
export interface Tree {
  id: string;
  kind: "all" | "inputs" | "output" | "step" | "block" | "body";
  title: string;
  step: Step | null;
  children: Tree[];
}

/** What flows between two children of one box; from the box itself (`source` is its id) where it comes from outside. */
export interface Flowing {
  group: string;
  source: string;
  target: string;
  values: string[];
  back: boolean;
}

export function treeOf(flow: Flow): Tree {
  const steps = new Map(flow.steps.map((each) => [each.id, each]));
  const grown = (step: Step): Tree => {
    const bodies = step.inside.map(([name, ids]): Tree => {
      const children = ids.flatMap((id) => steps.get(id) ?? []).map(grown);
      return { id: `${step.id}/${name}`, kind: "body", title: bodyWords(step, name), step: null, children };
    });
    const only = bodies.length === 1 && bodies[0]?.title === "" ? bodies[0].children : null;
    const kind = step.inside.length > 0 ? "block" : "step";
    return { id: step.id, kind, title: step.id, step, children: only ?? bodies };
  };
  const end = (id: "inputs" | "output", title: string): Tree => ({ id, kind: id, title, step: null, children: [] });
  const top = flow.steps.filter((each) => each.parent === null).map(grown);
  const children = [end(INPUTS, "Inputs"), ...top, end(OUTPUT, "Output")];
  return { id: "", kind: "all", title: flow.name, step: null, children };
}

/** The edges of a workflow, each cut where it goes into a box: one part among the children of every box on its way. */
export function flowings(flow: Flow, tree: Tree): Flowing[] {
  const ways = new Map<string, string[]>();
  const places = new Map<string, number>();
  const walk = (box: Tree, above: string[]) => {
    const way = [...above, box.id];
    ways.set(box.id, way);
    box.children.forEach((each, place) => {
      places.set(each.id, place);
      walk(each, way);
    });
  };
  walk(tree, []);
  const found = new Map<string, Flowing>();
  const add = (group: string, source: string, target: string, value: string) => {
    const key = `${group}\n${source}\n${target}`;
    const known = found.get(key);
    if (known === undefined) {
      const back = source !== group && (places.get(source) ?? 0) >= (places.get(target) ?? 0);
      found.set(key, { group, source, target, values: value ? [value] : [], back });
    } else if (value && !known.values.includes(value)) known.values.push(value);
  };
  for (const { source, target, label } of flow.edges) {
    const from = ways.get(source);
    const to = ways.get(target);
    if (from === undefined || to === undefined) continue;
    let same = 0;
    while (same < from.length && same < to.length && from[same] === to[same]) same += 1;
    const [near, far] = [from[same], to[same]];
    const group = to[same - 1];
    if (far === undefined || group === undefined) continue;
    add(group, near ?? group, far, label);
    for (let at = same + 1; at < to.length; at += 1) add(to[at - 1] ?? "", to[at - 1] ?? "", to[at] ?? "", label);
  }
  return [...found.values()];
}

const MANY = 12;

/** Of a large workflow, leave out what goes from the inputs to a step that reads another step too: it hides the rest. */
export function thinned(lines: Flowing[], steps: number): { lines: Flowing[]; left: number } {
  if (steps <= MANY) return { lines, left: 0 };
  const reads = new Set(lines.filter((each) => each.source !== INPUTS && !each.back).map((each) => each.target));
  const kept = lines.filter((each) => each.source !== INPUTS || !reads.has(each.target));
  return { lines: kept, left: lines.length - kept.length };
}
