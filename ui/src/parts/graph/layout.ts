import { Graph, layout } from "@dagrejs/dagre";
import type { Flow } from "../../api/types";
import { type Flowing, flowings, type Tree, thinned, treeOf } from "./tree";

export interface Place {
  x: number;
  y: number;
}

/** A box with its place in the whole graph; `depth` counts the boxes around it. */
export interface Box extends Place {
  tree: Tree;
  depth: number;
  width: number;
  height: number;
}

/** A line through `points`; `from` and `to` are the boxes that it joins. */
export interface Line {
  id: string;
  from: string;
  to: string;
  points: Place[];
  label: string;
  full: string;
  at: Place;
  back: boolean;
}

interface Part {
  width: number;
  height: number;
  boxes: Box[];
  lines: Line[];
}

/** A workflow laid out; `left` counts the lines from the inputs that are left out. */
export interface Layout extends Part {
  left: number;
}

interface Size {
  width: number;
  height: number;
}

const STEP = { width: 232, height: 60 };
const PROMPT_LINE = 20;
const EMPTY_BODY = 26;
const CORNER = 20;
const HEAD = 50;
const BODY_HEAD = 28;
const PAD = 16;
const LETTER = 6.7;
const MOST_LETTERS = 30;
const FIELD_LINE = 18;

/** Lay a workflow out from top to bottom, boxes within boxes inside out. */
export function layoutFlow(flow: Flow): Layout {
  const tree = treeOf(flow);
  const { lines, left } = thinned(flowings(flow, tree), flow.steps.length);
  const ends = { inputs: flow.inputs.length, output: 1 };
  return { ...placed(tree, lines, ends, 0), left };
}

function placed(tree: Tree, all: Flowing[], ends: Record<"inputs" | "output", number>, depth: number): Part {
  const inner = new Map(tree.children.map((each) => [each.id, laid(each, all, ends, depth + 1)]));
  const lines = all.filter((each) => each.group === tree.id);
  const graph = new Graph({ multigraph: true });
  graph.setGraph({ rankdir: "TB", nodesep: 28, ranksep: 30, edgesep: 14 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const each of tree.children) {
    const size = inner.get(each.id);
    graph.setNode(each.id, { width: size?.width ?? 0, height: size?.height ?? 0 });
  }
  const entry = "\n in";
  const entering = lines.filter((each) => each.source === tree.id);
  if (entering.length > 0) graph.setNode(entry, { width: 1, height: 1 });
  // Arms stand beside each other, also one that nothing flows into.
  const bodies = tree.children.filter((each) => each.kind === "body" && !lines.some((line) => line.target === each.id));
  if (entering.length > 0) for (const each of bodies) graph.setEdge(entry, each.id, { width: 0, height: 0 }, "beside");
  const plain = new Set(entering.flatMap((each) => each.values)).size === 1;
  for (const each of lines) {
    const label = plain && each.source === tree.id ? "" : labelOf(each);
    const size = label ? { width: label.length * LETTER + 12, height: 18 } : { width: 0, height: 0 };
    const source = each.source === tree.id ? entry : each.source;
    const [v, w] = each.back ? [each.target, source] : [source, each.target];
    graph.setEdge(v, w, { ...size, labelpos: "c", label, weight: each.back ? 0 : 1 }, `${each.source}>${each.target}`);
  }
  layout(graph);
  const size: Size = graph.graph();
  const whole = tree.children.length > 0 ? { width: size.width, height: size.height } : { width: 0, height: 0 };
  const found: Part = { ...whole, boxes: [], lines: [] };
  for (const each of tree.children) {
    const part = inner.get(each.id);
    const middle: Place = graph.node(each.id);
    if (part === undefined) continue;
    const [dx, dy] = [middle.x - part.width / 2, middle.y - part.height / 2];
    found.boxes.push({ tree: each, depth, x: dx, y: dy, width: part.width, height: part.height });
    found.boxes.push(...part.boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + dy })));
    found.lines.push(...part.lines.map((line) => moved(line, dx, dy)));
  }
  for (const each of lines) {
    const source = each.source === tree.id ? entry : each.source;
    const [v, w] = each.back ? [each.target, source] : [source, each.target];
    const edge: { points: Place[]; label: string } & Place = graph.edge(v, w, `${each.source}>${each.target}`);
    const points = each.back ? [...edge.points].reverse() : docked(edge.points, graph.node(v), graph.node(w));
    const middle = points[Math.floor(points.length / 2)] ?? { x: 0, y: 0 };
    const at = edge.label ? { x: edge.x, y: edge.y } : middle;
    const full = each.values.join(", ");
    const id = `${tree.id}:${each.source}>${each.target}`;
    found.lines.push({ id, from: each.source, to: each.target, points, label: edge.label, full, at, back: each.back });
  }
  return found;
}

/** Let a line leave its box at the bottom and enter the next one at the top, as near as may be to where it goes. */
function docked(points: Place[], from: Size & Place, to: Size & Place): Place[] {
  const inner = points.slice(1, -1);
  const near = (box: Size & Place, x: number) => {
    const half = Math.max(0, box.width / 2 - CORNER);
    return Math.min(box.x + half, Math.max(box.x - half, x));
  };
  const first = { x: near(from, inner[0]?.x ?? to.x), y: from.y + from.height / 2 };
  const last = { x: near(to, inner.at(-1)?.x ?? from.x), y: to.y - to.height / 2 };
  return [first, ...inner, last];
}

/** Lay out one box with what is in it, its own frame included. */
function laid(tree: Tree, all: Flowing[], ends: Record<"inputs" | "output", number>, depth: number): Part {
  if (tree.kind === "inputs" || tree.kind === "output")
    return { width: 180, height: 36 + FIELD_LINE * Math.max(1, Math.min(8, ends[tree.kind])), boxes: [], lines: [] };
  if (tree.kind === "step") {
    const more = tree.step && (tree.step.prompt || tree.step.code) ? PROMPT_LINE : 0;
    return { width: STEP.width, height: STEP.height + more, boxes: [], lines: [] };
  }
  const inner = placed(tree, all, ends, depth);
  const head = tree.kind === "block" ? HEAD : BODY_HEAD;
  const least = tree.kind === "block" ? 250 : 180;
  const width = Math.max(least, inner.width + 2 * PAD);
  const dx = (width - inner.width) / 2;
  return {
    width,
    height: head + (tree.children.length > 0 ? inner.height + PAD : EMPTY_BODY),
    boxes: inner.boxes.map((box) => ({ ...box, x: box.x + dx, y: box.y + head })),
    lines: inner.lines.map((line) => moved(line, dx, head)),
  };
}

function moved(line: Line, dx: number, dy: number): Line {
  const shift = ({ x, y }: Place) => ({ x: x + dx, y: y + dy });
  return { ...line, points: line.points.map(shift), at: shift(line.at) };
}

function labelOf({ values }: Flowing): string {
  const full = values.join(", ");
  if (full.length <= MOST_LETTERS) return full;
  const first = values[0] ?? "";
  if (values.length > 1 && first.length <= MOST_LETTERS - 8) return `${first}, ${values.length - 1} more`;
  return `${full.slice(0, MOST_LETTERS - 1)}…`;
}

/** A smooth path through points. */
export function pathOf(points: Place[]): string {
  const [first, ...rest] = points;
  if (first === undefined) return "";
  const last = rest.at(-1) ?? first;
  let path = `M${first.x} ${first.y}`;
  if (rest.length < 2) return `${path}L${last.x} ${last.y}`;
  for (let at = 0; at < rest.length - 1; at += 1) {
    const [here, next] = [rest[at] ?? last, rest[at + 1] ?? last];
    const stop = at === rest.length - 2 ? last : { x: (here.x + next.x) / 2, y: (here.y + next.y) / 2 };
    path += `Q${here.x} ${here.y} ${stop.x} ${stop.y}`;
  }
  return path;
}
