import { describe, expect, it } from "vitest";
import { decoded, encoded, places } from "./places";

describe("a part of a place", () => {
  it.each(["plain", "a/b", "50%", "%2F", "~", "~2F", "a,b", "é 漢字", ".", "..", "", "#?&=", "%E0%A4%A"])(
    "%s comes back",
    (part) => {
      const once = decodeURI(encoded(part)); // as the router does
      expect(decoded(once)).toBe(part);
      expect(encoded(part)).not.toMatch(/[/%,#?]/);
    },
  );

  it("stands for itself where it was written by hand", () => {
    expect(decoded("~zz")).toBe("~zz");
    expect(decoded(undefined)).toBe("");
  });
});

describe("places", () => {
  it("keep runs with slashes and commas apart", () => {
    const place = places.compareRuns(["a/b", "c,d"]);
    expect(place.split("/").at(-1)?.split(",").map(decoded)).toEqual(["a/b", "c,d"]);
  });
});
