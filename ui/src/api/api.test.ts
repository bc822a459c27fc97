import { expect, test } from "vitest";
import { embeddedSource, mean, windowOf } from "./embedded";
import { events } from "./http";
import { line, page, report, row, run, trace } from "./made";
import { merged } from "./merge";
import type { Window } from "./source";
import type { Point } from "./types";

const window: Window = {
  split: "val",
  candidates: ["aa", "bb"],
  sort: "",
  descending: false,
  find: "",
  offset: 0,
  limit: 100,
};
const rows = [row(0, [1, 0]), row(1, [null, 1]), row(2, [0, 1]), row(3, [0.5, null])];
const held = page(rows, ["aa", "bb"]);
const ids = (asked: Partial<Window>) => windowOf(held, { ...window, ...asked }).rows.map((each) => each.place);

test("a window is sorted, and what is not known stands last either way", () => {
  expect(ids({})).toEqual([0, 1, 2, 3]);
  expect(ids({ sort: "aa" })).toEqual([2, 3, 0, 1]);
  expect(ids({ sort: "aa", descending: true })).toEqual([0, 3, 2, 1]);
  expect(ids({ sort: "bb-aa" })).toEqual([0, 2, 1, 3]);
  expect(ids({ sort: "bb-aa", descending: true })).toEqual([2, 0, 1, 3]);
  expect(ids({ sort: "bb", candidates: ["aa"] })).toEqual([0, 1, 2, 3]);
});

test("a window is filtered and cut, its means are of all that the filter leaves", () => {
  const cut = windowOf(held, { ...window, find: "EVEN", offset: 1, limit: 1 });
  expect(cut.rows.map((each) => each.id)).toEqual(["ex2"]);
  expect([cut.total, cut.offset]).toEqual([2, 1]);
  expect(cut.means).toEqual([0.5, 0.5]);
  expect(windowOf(held, { ...window, candidates: ["bb", "zz"] }).rows[0]?.scores).toEqual([0, null]);
  expect(mean([null])).toBeNull();
});

test("a report tells what it holds, and says what to do about the rest", async () => {
  const note = { kind: "verdict", name: "one", workflow: "aa", words: [] };
  const traces = [trace("aa", "ex0", { notes: [note] }), trace("aa", "ex0", { draw: "confirm", notes: [note] })];
  const source = embeddedSource(report({ examples: [held], traces }));
  expect(source.columns?.("val")).toEqual(["aa", "bb"]);
  expect([source.holds?.("val", "ex0"), source.holds?.("val", "ex0", "bb")]).toEqual([true, false]);
  const example = await source.example(".", "val", "ex0");
  expect(example.runs.map((each) => each.draw)).toEqual(["val", "confirm"]);
  expect(example.notes).toEqual([note]);
  expect((await source.trace(".", "aa", "confirm", "ex0")).draw).toBe("confirm");
  expect((await source.trace(".", "aa", "val", "ex0")).draw).toBe("val");
  await expect(source.trace(".", "bb", "val", "ex0")).rejects.toThrow("open the run with flowbot ui");
  await expect(source.example(".", "val", "ex9")).rejects.toThrow("not in this report");
});

test("news are put behind what is known, and replace a candidate that has changed", () => {
  const known = run({ seq: 1, candidates: [line("aa"), line("bb")], notes: ["old"] });
  const both = merged(known, run({ seq: 2, candidates: [line("bb", { fate: "best" }), line("cc")], notes: [] }));
  expect(both.candidates.map((each) => [each.id, each.fate])).toEqual([
    ["aa", "rejected"],
    ["bb", "best"],
    ["cc", "rejected"],
  ]);
  expect([both.seq, both.notes]).toEqual([2, []]);
});

test("a measurement that is told again stands once", () => {
  const point = (label: string, best: number | null): Point => ({
    kind: "validation",
    label,
    candidate: label,
    value: 0.5,
    calls: 1,
    seconds: 1,
    best,
    low: null,
    high: null,
  });
  const known = run({ points: [point("aa", 0.5), point("bb", null)] });
  const both = merged(known, run({ points: [point("bb", 0.6), point("cc", null)], points_from: 1 }));
  expect(both.points.map((each) => [each.label, each.best])).toEqual([
    ["aa", 0.5],
    ["bb", 0.6],
    ["cc", null],
  ]);
});

test("server-sent events are read however they are cut", async () => {
  const text = ': alive\n\ndata: {"path":"a"}\n\nevent: x\ndata: {"path":\ndata: "ü"}\n\ndata: {"never": "ended"}';
  const bytes = new TextEncoder().encode(text);
  for (const size of [1, 7, bytes.length]) {
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      start(stream) {
        for (let at = 0; at < bytes.length; at += size) stream.enqueue(bytes.slice(at, at + size));
        stream.close();
      },
    });
    const heard: unknown[] = [];
    for await (const event of events(new Response(body))) heard.push(event);
    expect(heard).toEqual([{ path: "a" }, { path: "ü" }]);
  }
});
