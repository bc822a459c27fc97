import { describe, expect, it } from "vitest";
import { foldedRows, rowsOf } from "./difference";

const said = (side: { text: string }[] | null) => side?.map((each) => each.text).join("") ?? null;

describe("rowsOf", () => {
  it("gives both texts back, side by side", () => {
    const [old, now] = ["one\ntwo words here\nthree\n", "one\ntwo other words here\nthree\nfour"];
    const rows = rowsOf(old, now);
    expect(rows.map((each) => each.kind)).toEqual(["same", "changed", "same", "in"]);
    expect(rows.flatMap((each) => said(each.left) ?? [])).toEqual(old.trimEnd().split("\n"));
    expect(rows.flatMap((each) => said(each.right) ?? [])).toEqual(now.split("\n"));
    expect(rows[1]?.right?.filter((each) => each.kind === "in").map((each) => each.text.trim())).toEqual(["other"]);
  });

  it("knows lines that have nothing in common, and empty texts", () => {
    expect(rowsOf("abc def", "xyz uvw").map((each) => each.kind)).toEqual(["out", "in"]);
    expect(rowsOf("", "new").map((each) => each.kind)).toEqual(["in"]);
    expect(rowsOf("same", "same\n").map((each) => each.kind)).toEqual(["same"]);
  });

  it("folds what is far from a change", () => {
    const lines = Array.from({ length: 30 }, (_, at) => `line ${at}`);
    const shown = foldedRows(rowsOf(lines.join("\n"), [...lines, "more"].join("\n")));
    expect(shown[0]).toEqual({ at: 0, hidden: 28 });
    expect(shown).toHaveLength(4);
  });
});
