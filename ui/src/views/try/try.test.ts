import { expect, test } from "vitest";
import { played } from "../../api/made";
import { entered, readType, typedOf } from "./fieldTypes";
import { heardStep, runsOfStep, statesOf } from "./playing";

test("types are read as the file writes them", () => {
  expect(readType("list[list[number]]")).toEqual({
    kind: "list",
    item: { kind: "list", item: { kind: "number" } },
  });
  expect(readType('choice[a, "b, c", d]')).toEqual({ kind: "choice", choices: ["a", "b, c", "d"] });
  expect(readType("something new")).toEqual({ kind: "json" });
});

test("what is typed becomes a value, or says what is wrong", () => {
  expect(entered(readType("number"), " 1.5 ")).toEqual({ value: 1.5 });
  expect(entered(readType("number"), "one")).toHaveProperty("wrong");
  expect(entered(readType("bool"), "false")).toEqual({ value: false });
  expect(entered(readType("list[number]"), "1\n\n2")).toEqual({ value: [1, 2] });
  expect(entered(readType("list[number]"), "1\nx")).toHaveProperty("wrong", "Line 2: Write a number, such as 12.5.");
  expect(entered(readType("json"), '{"a": [1]}')).toEqual({ value: { a: [1] } });
  expect(entered(readType("list[json]"), "{}")).toHaveProperty("wrong");
});

test("what is shown of a value reads back as that value", () => {
  const cases: [string, unknown][] = [
    ["text", "two\nlines"],
    ["number", 3],
    ["bool", true],
    ["list[text]", ["a", "b"]],
    ["list[list[number]]", [[1], [2]]],
    ["json", "a text"],
    ["json", { a: null }],
  ];
  for (const [type, value] of cases) {
    const read = readType(type);
    expect(entered(read, typedOf(read, value))).toEqual({ value });
  }
});

test("steps light up as they begin and end", () => {
  let going = heardStep(new Map(), { path: "vote[1].say", played: null });
  going = heardStep(going, { path: "vote[2].say", played: null });
  going = heardStep(going, { path: "vote[1].say", played: played("vote[1].say") });
  expect(statesOf(going, false).get("say")?.state).toBe("running");
  expect(statesOf(going, true).get("say")?.state).toBe("failed");
  going = heardStep(going, { path: "vote[2].say", played: played("vote[2].say") });
  expect(statesOf(going, false).get("say")?.state).toBe("done");
  expect(runsOfStep(going, "say")).toHaveLength(2);
});
