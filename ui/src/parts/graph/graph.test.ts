import { expect, test } from "vitest";
import { flow, step } from "../../api/made";
import { layoutFlow } from "./layout";
import { marksOf, paired } from "./marks";
import { depthOf, kindWords, stepOf } from "./steps";
import { flowings, treeOf } from "./tree";

const nested = flow(
  [
    step("plan"),
    step("refine", { kind: "loop", inside: [["body", ["write", "check"]]] }),
    step("write", { parent: "refine", body: "body" }),
    step("check", { parent: "refine", body: "body" }),
    step("route", {
      kind: "branch",
      inside: [
        ["refund", ["reply"]],
        ["else", []],
      ],
    }),
    step("reply", { parent: "route", body: "refund" }),
  ],
  [
    ["inputs", "plan", "question"],
    ["plan", "write", "plan.notes"],
    ["write", "check", "write.draft"],
    ["check", "write", "check.critique"],
    ["refine", "reply", "refine.draft"],
    ["route", "output", "route.reply"],
  ],
);

test("a workflow is boxes within boxes", () => {
  const tree = treeOf(nested);
  expect(tree.children.map((each) => each.id)).toEqual(["inputs", "plan", "refine", "route", "output"]);
  expect(tree.children[2]?.children.map((each) => each.id)).toEqual(["write", "check"]);
  expect(tree.children[3]?.children.map((each) => each.title)).toEqual(["if refund", "else"]);
  expect(nested.steps.map((each) => depthOf(nested, each))).toEqual([0, 0, 1, 1, 0, 1]);
});

test("an edge is cut at each box that it goes into, and one to an earlier step goes back", () => {
  const found = flowings(nested, treeOf(nested)).map((each) => `${each.group}: ${each.source} > ${each.target}`);
  expect(found).toContain(": plan > refine");
  expect(found).toContain("refine: refine > write");
  expect(found).toContain("route/refund: route/refund > reply");
  const back = flowings(nested, treeOf(nested)).filter((each) => each.back);
  expect(back.map((each) => each.target)).toEqual(["write"]);
});

test("boxes lie within those around them, and beside each other without touching", () => {
  const { boxes, width, height } = layoutFlow(nested);
  expect(boxes).toHaveLength(10);
  for (const box of boxes) {
    expect(Math.min(box.x, box.y)).toBeGreaterThanOrEqual(0);
    expect([box.x + box.width <= width + 1, box.y + box.height <= height + 1]).toEqual([true, true]);
    for (const other of boxes) {
      if (other === box || other.depth !== box.depth) continue;
      const apart =
        box.x + box.width <= other.x ||
        other.x + other.width <= box.x ||
        box.y + box.height <= other.y ||
        other.y + other.height <= box.y;
      expect([box.tree.id, other.tree.id, apart]).toEqual([box.tree.id, other.tree.id, true]);
    }
  }
});

test("an empty workflow, and edges of steps that are not there, are drawn too", () => {
  expect(layoutFlow(flow([], [["inputs", "gone", "x"]])).boxes.map((each) => each.tree.id)).toEqual([
    "inputs",
    "output",
  ]);
});

test("steps of two workflows are marked", () => {
  const old = flow([step("a", { prompt: "one" }), step("b", { settings: { x: 1, y: 2 } }), step("c")]);
  const now = flow([step("a", { prompt: "two" }), step("b", { settings: { y: 2, x: 1 } }), step("d")]);
  const pairs = paired(old, now);
  expect([...marksOf(pairs)]).toEqual([
    ["a", "changed"],
    ["b", "same"],
    ["c", "removed"],
    ["d", "added"],
  ]);
  expect(paired(old, flow([step("c", { parent: "z" })])).find((each) => each.id === "c")?.mark).toBe("moved");
});

test("kinds in words", () => {
  expect(kindWords(step("a", { kind: "loop", settings: { max: 3, until: "check.ok" } }))).toBe(
    "loop, at most 3, until check.ok",
  );
  expect(kindWords(step("a", { tools: ["search"] }))).toBe("call with search");
  expect(stepOf("route[refund].refine[2].check")).toBe("check");
});
