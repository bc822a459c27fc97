import { expect, test } from "vitest";
import { played, trace } from "../../api/made";
import {
  about,
  blamed,
  bodyName,
  callsIn,
  chosen,
  loose,
  messageText,
  notesAt,
  openAtFirst,
  takenWords,
  walk,
} from "./tree";

const vote = played("answer", {
  kind: "vote",
  taken: 2,
  bodies: [[played("answer[1].say")], [played("answer[2].say")]],
});
const branch = played("a.route", { kind: "branch", taken: "refund", bodies: [[played("a.route[refund].reply")]] });

test("bodies are named by what they are", () => {
  expect(bodyName(vote, 1)).toBe("sample 2");
  expect(bodyName(branch, 0)).toBe("arm refund");
  expect(bodyName(played("all", { kind: "map", bodies: [[]] }), 0)).toBe("item 1");
  expect([chosen(vote, 0), chosen(vote, 1)]).toEqual([false, true]);
  expect(takenWords(vote)).toBe("took sample 2 of 2");
  expect(takenWords(branch)).toBe("took the arm refund");
  expect(takenWords(played("one"))).toBe("");
});

test("a walk goes through all bodies", () => {
  expect(walk([vote, branch]).map((each) => each.path)).toEqual([
    "answer",
    "answer[1].say",
    "answer[2].say",
    "a.route",
    "a.route[refund].reply",
  ]);
});

test("notes stand at the step that they are about, others above", () => {
  const verdict = { example: "e", blame: ["say", "answer"], defect: "format" };
  const gradient = { path: "answer[1].say", critique: "shorter" };
  const [first, second] = walk([vote]).slice(1);
  if (!first || !second) throw new Error("the vote has two samples");
  expect([blamed(verdict, first), blamed(verdict, vote), blamed(gradient, first)]).toEqual([1, 2, 0]);
  expect([about(gradient, first), about(gradient, second)]).toEqual([true, false]);
  const notes = [{ kind: "gradient", name: "", workflow: "w", words: [gradient] }];
  expect([notesAt(notes, first).length, notesAt(notes, second).length]).toEqual([1, 0]);
  const apart = loose(trace("w", "e", { steps: [vote] }));
  expect([apart({ path: "", critique: "c" }), apart(verdict), apart({ blame: ["gone"] })]).toEqual([true, false, true]);
});

test("steps that failed or are blamed first are open", () => {
  const note = { kind: "verdict", name: "", workflow: "w", words: [{ blame: ["answer"] }] };
  expect(openAtFirst(vote, [note], false)).toBe(true);
  expect(openAtFirst(branch, [note], false)).toBe(false);
  expect(openAtFirst(played("x", { error: "broke" }), [], false)).toBe(true);
});

test("messages of any form are read", () => {
  expect(messageText({ role: "user", content: "hi" })).toBe("hi");
  expect(messageText({ role: "assistant", content: null })).toBe("");
  expect(messageText({ role: "user", content: [{ type: "text" }] })).toContain("text");
  const call = (written: unknown) => ({ tool_calls: [{ id: "1", function: { name: "search", arguments: written } }] });
  expect(callsIn(call('{"q": 1}'))).toEqual([{ id: "1", name: "search", args: { q: 1 } }]);
  expect(callsIn(call("no json"))[0]?.args).toBe("no json");
  expect(callsIn({ tool_calls: [null] })[0]?.name).toBe("tool");
  expect(callsIn({})).toEqual([]);
});
