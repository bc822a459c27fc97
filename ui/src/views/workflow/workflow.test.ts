import { expect, test } from "vitest";
import { page, played, row, trace } from "../../api/made";
import { bothOf, told } from "../compare/rows";
import { costOf, decidingSplit, runsOf } from "./looks";
import { originsOf } from "./origins";

test("a prompt is cut by where its lines came from, and loses nothing", () => {
  const prompt = "Read  the notes.\nAnswer in (one) word.\nBe kind.";
  const found = originsOf(prompt, "answer", [
    ["answer", "line", "Read the notes.", 0],
    ["other", "line", "Be kind.", 3],
    ["answer", "line", "Answer in (one) word.", 2],
    ["answer", "line", "Not there.", 4],
  ]);
  expect(found.map((each) => each.text).join("")).toBe(prompt);
  expect(found.map((each) => each.came)).toEqual([0, null, 2, null]);
  expect(originsOf("", "answer", [])).toEqual([]);
});

test("a step's cost is summed within a trace, and averaged over traces", () => {
  const vote = played("vote", { bodies: [[played("vote[1].say")], [played("vote[2].say")]] });
  const traces = [trace("aa", "e1", { steps: [vote] }), trace("aa", "e2", { steps: [] })];
  expect(runsOf(traces[0]?.steps ?? [], "say")).toHaveLength(2);
  expect(costOf(traces, "say")).toEqual({ runs: 1, calls: 2, tokens: 24, usd: null, seconds: 2 });
  expect(costOf(traces, "gone")).toBeNull();
});

test("the split that decides is validation", () => {
  expect(decidingSplit([{ name: "train" }, { name: "val" }])).toBe("val");
  expect(decidingSplit([])).toBe("");
});

test("examples that were fixed and broken", () => {
  const rows = [row(0, [0, 1]), row(1, [1, 0.5]), row(2, [null, 1]), row(3, [1, 1])];
  const both = told(bothOf(page(rows, ["aa", "bb"]).rows));
  expect([both.fixed.map((each) => each.line.id), both.broken.map((each) => each.line.id)]).toEqual([["ex0"], ["ex1"]]);
  expect(both.left).toBeCloseTo(2 / 3);
  expect(told([]).left).toBeNull();
});
