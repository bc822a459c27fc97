import { expect, test } from "vitest";
import { isRecord, plain, preview } from "./values";

test("a text stays as it is, all else is JSON", () => {
  expect(plain("<b>")).toBe("<b>");
  expect(plain(["a", 1])).toBe('["a",1]');
  expect(plain(undefined)).toBe("");
});

test("a preview is one short line", () => {
  expect(preview({ answer: "yes,\n  both" })).toBe("yes, both");
  expect(preview({ a: 1, b: "two" })).toBe("a: 1 · b: two");
  expect(preview("x".repeat(500), 20)).toHaveLength(20);
  expect(preview({})).toBe("");
});

test("only mappings are records", () => {
  expect([{}, [], null, "a"].map(isRecord)).toEqual([true, false, false, false]);
});
