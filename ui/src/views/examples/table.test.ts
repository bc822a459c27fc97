import { expect, test } from "vitest";
import { line, row, run } from "../../api/made";
import { difference, firstTable, moved, pagesOf, shade, sortedBy, type Table, withMinus, withoutColumn } from "./table";

const table: Table = { columns: ["aa", "bb"], minus: ["bb", "aa"], sort: "bb-aa", descending: false, find: "" };

test("at first: start, best, the front, the latest accepted", () => {
  const member = { candidate: "cc", mean: 1, low: 1, high: 1, cost: 1, calls: 1, length: 1, steps: 1, file: "" };
  const candidates = [line("dd", { fate: "accepted", at: 3 }), line("ee", { fate: "accepted", at: 2 })];
  const made = run({ candidates, front: [member] });
  expect(firstTable(made, undefined).columns).toEqual(["aa", "bb", "cc", "dd"]);
  expect(firstTable(made, undefined).minus).toEqual(["bb", "aa"]);
  expect(firstTable(made, ["bb", "zz"])).toMatchObject({ columns: ["bb"], minus: null });
  expect(firstTable(run({ best_id: "aa" }), undefined).minus).toBeNull();
});

test("a column that goes takes its order and its difference with it", () => {
  expect(withoutColumn(table, "aa")).toMatchObject({ columns: ["bb"], minus: null, sort: "" });
  expect(withoutColumn({ ...table, sort: "bb" }, "aa").sort).toBe("bb");
});

test("another difference keeps the order by difference, and brings its columns", () => {
  expect(withMinus(table, ["cc", "aa"])).toMatchObject({ columns: ["aa", "bb", "cc"], sort: "cc-aa" });
  expect(withMinus(table, null)).toMatchObject({ minus: null, sort: "" });
});

test("a heading turns: lowest first, highest first, the data's order", () => {
  const first = sortedBy(table, "aa");
  expect([first.sort, first.descending]).toEqual(["aa", false]);
  const second = sortedBy(first, "aa");
  expect([second.sort, second.descending]).toEqual(["aa", true]);
  expect(sortedBy(second, "aa").sort).toBe("");
});

test("differences of what was run", () => {
  expect(difference(row(0, [0.25, 1]), table)).toBe(0.75);
  expect(difference(row(0, [null, 1]), table)).toBeNull();
});

test("pages and keys", () => {
  expect(pagesOf(95, 210)).toEqual([0, 100, 200]);
  expect(pagesOf(0, 0)).toEqual([0]);
  expect(moved({ row: 0, column: 0 }, "ArrowUp", 10, 3, 5)).toEqual({ row: 0, column: 0 });
  expect(moved({ row: 0, column: 2 }, "PageDown", 10, 3, 5)).toEqual({ row: 5, column: 2 });
  expect(moved({ row: 0, column: 0 }, "x", 10, 3, 5)).toBeNull();
});

test("shades: warm for low, blue for high, none between or unknown", () => {
  expect(shade(0)).toContain("--fb-bad");
  expect(shade(1)).toContain("--fb-best");
  expect([shade(0.5), shade(null), shade(3, 3, 3)]).toEqual([undefined, undefined, undefined]);
});
