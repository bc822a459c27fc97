import { expect, test } from "vitest";
import { run } from "../../api/made";
import { differing } from "./differ";
import { listed } from "./order";

const lines = [
  { ...run().line, id: "b", name: "two", best: null, state: "running" as const },
  { ...run().line, id: "a", name: "one", best: 0.4, models: ["openai:small"] },
  { ...run().line, id: "c", name: "ten", best: 0.9 },
];

test("runs are found, filtered and ordered", () => {
  const ids = (find: string, state: "any" | "running", descending: boolean) =>
    listed(lines, find, state, { by: "best", descending }).map((each) => each.id);
  expect(ids("", "any", true)).toEqual(["c", "a", "b"]);
  expect(ids("", "any", false)).toEqual(["a", "c", "b"]);
  expect(ids("SMALL one", "any", true)).toEqual(["a"]);
  expect(ids("", "running", true)).toEqual(["b"]);
});

test("only the settings that differ are told", () => {
  const one = run({ settings: { rounds: 3, moves: { demos: true } }, budget: { usd: 5 } });
  const two = run({ settings: { rounds: 4, moves: { demos: true }, extra: "x" }, budget: { usd: 5 } });
  expect(differing([one, two])).toEqual([
    ["rounds", ["3", "4"]],
    ["extra", ["–", "x"]],
  ]);
});
