import { expect, test } from "vitest";
import { line, run } from "../../api/made";
import { incumbents } from "../../parts/charts/incumbents";
import { nearest, span } from "../../parts/charts/picture";
import { blamed, overTime } from "./blame";
import { purposes, summed } from "./ledger";
import { branches, matching, ordered, pressed } from "./listing";

const tree = [
  line("aa", { fate: "start", mean: 0.5 }),
  line("bb", { parent: "aa", operator: "fix", mean: null }),
  line("cc", { parent: "bb", hypothesis: "look twice", mean: 0.7 }),
  line("dd", { parent: "gone", mean: 0.6 }),
];
const every = new Set(tree.map((each) => each.id));
const ids = (rows: { line: { id: string } }[]) => rows.map((each) => each.line.id);

test("candidates are found by every word, and ordered with the unknown last", () => {
  expect([...matching(tree, "TWICE look", "any")]).toEqual(["cc"]);
  expect([...matching(tree, "", "start")]).toEqual(["aa"]);
  expect(ordered(tree, { by: "mean", descending: true }).map((each) => each.id)).toEqual(["cc", "dd", "aa", "bb"]);
  expect(ordered(tree, { by: "mean", descending: false }).map((each) => each.id)).toEqual(["aa", "dd", "cc", "bb"]);
});

test("the tree has parents before children, and the way to what matches", () => {
  expect(ids(branches(tree, every, new Set()))).toEqual(["aa", "bb", "cc", "dd"]);
  expect(ids(branches(tree, every, new Set(["aa"])))).toEqual(["aa", "dd"]);
  const found = branches(tree, new Set(["cc"]), new Set());
  expect(found.map((each) => each.match)).toEqual([false, false, true]);
  const ring = [line("aa", { parent: "bb" }), line("bb", { parent: "aa" })];
  expect(branches(ring, new Set(["aa", "bb"]), new Set()).length).toBeLessThanOrEqual(2);
});

test("keys in the tree", () => {
  const rows = branches(tree, every, new Set());
  expect(pressed("ArrowLeft", rows, 2, 10)).toEqual({ move: 1 });
  expect(pressed("ArrowLeft", rows, 0, 10)).toEqual({ turn: true });
  expect(pressed("ArrowRight", rows, 2, 10)).toEqual({ move: 2 });
  expect(pressed("x", rows, 0, 10)).toEqual({});
});

test("a ledger's money is not known where that of a line is not", () => {
  const paid = { purpose: "task", model: "m", calls: 2, input_tokens: 10, output_tokens: 1, cached_tokens: 0 };
  const lines = [
    { ...paid, usd: 1, seconds: 3, retries: 0 },
    { ...paid, purpose: "verdict", usd: null, seconds: 1, retries: 1 },
  ];
  expect(summed(lines)).toMatchObject({ calls: 4, seconds: 4, retries: 1, usd: null });
  expect(summed(lines.slice(0, 1)).usd).toBe(1);
  expect(purposes(lines).map((each) => each[0]?.purpose)).toEqual(["task", "verdict"]);
});

test("blame over iterations", () => {
  const at = { parent: "aa", items: 5, failed: 2 };
  const found = blamed([
    { ...at, number: 1, blame: [["a", 0.2]] },
    {
      ...at,
      number: 2,
      blame: [
        ["b", 1],
        ["a", 0.4],
      ],
    },
  ]);
  expect(found.map((each) => [each.step, each.shares])).toEqual([
    ["b", [0, 1]],
    ["a", [0.2, 0.4]],
  ]);
  expect(overTime([[2, 5, 1]], [1, 2], 1)).toEqual([null, 5]);
});

test("the best so far holds to the run's end", () => {
  const at = { kind: "validation" as const, label: "", candidate: null, value: 0.5, low: 0.4, high: 0.6 };
  const points = [
    { ...at, calls: 1, seconds: 1, best: 0.5 },
    { ...at, calls: 4, seconds: 2, best: null },
  ];
  expect(incumbents(run({ points }), "calls")).toEqual([
    [1, 0.5, 0.4, 0.6],
    [10, 0.5, 0.4, 0.6],
  ]);
  expect(incumbents(run(), "order")).toEqual([]);
});

test("axes have room, and the nearest mark is found", () => {
  expect(span([])).toBeNull();
  expect(span([0, 1])).toEqual([-0.05, 1.05]);
  expect(span([0, 10], true)).toEqual([8, 12.5]);
  const mark = { x: 1, y: 1, color: "", shape: "disc" as const, name: "one", told: [] };
  const at = () => [10, 10] as [number, number];
  expect(nearest([mark], at, 12, 10, 5)?.name).toBe("one");
  expect(nearest([mark], at, 30, 10, 5)).toBeNull();
});
