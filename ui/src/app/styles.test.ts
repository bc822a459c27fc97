import { expect, test } from "vitest";

const sources: Record<string, string> = import.meta.glob("../**/*.tsx", {
  query: "?raw",
  import: "default",
  eager: true,
});
const listed: Record<string, string> = import.meta.glob("./styles.ts", {
  query: "?raw",
  import: "default",
  eager: true,
});
const styled = Object.keys(import.meta.glob("../../node_modules/@mantine/core/styles/*.css"));

test("every component of Mantine that is used has its styles imported", () => {
  const text = Object.values(listed).join("");
  const used = Object.values(sources).flatMap((source) =>
    [...source.matchAll(/import \{([^}]*)\} from "@mantine\/core"/g)].flatMap((found) =>
      (found[1] ?? "").split(",").map((name) => name.trim()),
    ),
  );
  expect(used.length).toBeGreaterThan(5);
  const missing = [...new Set(used)].filter(
    (name) => styled.some((path) => path.endsWith(`/${name}.css`)) && !text.includes(`/${name}.css`),
  );
  expect(missing).toEqual([]);
});
