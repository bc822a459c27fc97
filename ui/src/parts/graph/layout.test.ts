import { describe, expect, it } from "vitest";
import type { Flow, Step } from "../../api/types";
import { layoutFlow } from "./layout";
import { marksOf, paired } from "./marks";
import { stepOf } from "./steps";

const step = (id: string, more: Partial<Step> = {}): Step => ({
  id,
  kind: "call",
  parent: null,
  body: "",
  prompt: `Do ${id}.`,
  code: "",
  reads: [],
  gives: [],
  demos: [],
  tools: [],
  model: "",
  settings: {},
  inside: [],
  ...more,
});

const flow = (steps: Step[], edges: [string, string, string][]): Flow => ({
  id: "f",
  name: "f",
  model: "",
  inputs: [{ name: "question", type: "text" }],
  output: "route.answer",
  steps,
  edges: edges.map(([source, target, label]) => ({ source, target, label })),
  tools: {},
  yaml: "",
});

const branch = step("route", {
  kind: "branch",
  prompt: "",
  inside: [
    ["true", ["polish"]],
    ["false", []],
  ],
});
const nested = flow(
  [step("plan"), branch, step("polish", { parent: "route", body: "true" })],
  [
    ["inputs", "plan", "question"],
    ["plan", "route", "hard"],
    ["plan", "polish", "draft"],
    ["route", "output", "answer"],
  ],
);

describe("layoutFlow", () => {
  it("puts every box within the one around it, and nothing above another of its group", () => {
    const { boxes, width, height } = layoutFlow(nested);
    const box = (id: string) => boxes.find((each) => each.tree.id === id) ?? expect.fail(id);
    for (const { x, y, width: wide, height: high } of boxes) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(y + high).toBeLessThanOrEqual(height + 0.5);
      expect(x + wide).toBeLessThanOrEqual(width + 0.5);
    }
    const [outer, arm, inner, other] = [box("route"), box("route/true"), box("polish"), box("route/false")];
    for (const [around, within] of [
      [outer, arm],
      [outer, other],
      [arm, inner],
    ] as const) {
      expect(within.x).toBeGreaterThanOrEqual(around.x);
      expect(within.y + within.height).toBeLessThanOrEqual(around.y + around.height);
    }
    expect(arm.x + arm.width <= other.x || other.x + other.width <= arm.x).toBe(true);
    expect(box("plan").y + box("plan").height).toBeLessThan(outer.y);
  });

  it("cuts a line at each box that it goes into", () => {
    const ends = layoutFlow(nested).lines.map((each) => `${each.from}>${each.to}`);
    expect(ends.sort()).toEqual(["inputs>plan", "plan>route", "route/true>polish", "route>output", "route>route/true"]);
  });

  it("lays out 40 steps that all read the inputs, and says how many lines are left out", () => {
    const steps = Array.from({ length: 40 }, (_, at) => step(`s${at}`));
    const edges = steps.flatMap((each, at): [string, string, string][] => [
      ["inputs", each.id, "question"],
      ...(at > 0 ? [[`s${at - 1}`, each.id, "a"] as [string, string, string]] : []),
    ]);
    const found = layoutFlow(flow(steps, edges));
    expect(found.left).toBe(39);
    expect(found.lines).toHaveLength(40);
  });
});

describe("paired", () => {
  it("tells added, removed, changed, moved and same steps apart, in order", () => {
    const old = flow([step("a"), step("gone"), step("b"), step("m")], []);
    const now = flow([step("a"), step("b", { prompt: "New." }), step("m", { parent: "a" }), step("c")], []);
    const found = paired(old, now);
    expect(found.map((each) => each.id)).toEqual(["a", "gone", "b", "m", "c"]);
    expect([...marksOf(found).values()]).toEqual(["same", "removed", "changed", "moved", "added"]);
  });
});

describe("stepOf", () => {
  it("finds the step that a path ends in", () => {
    expect(stepOf("refine[2].check")).toBe("check");
    expect(stepOf("route[a.b].x_1")).toBe("x_1");
  });
});
