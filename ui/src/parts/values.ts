/** Values of the data as plain text. */

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value in one text: a text as it is, everything else as JSON. */
export function plain(value: unknown, indent = 0): string {
  if (typeof value === "string") return value;
  return JSON.stringify(value, null, indent) ?? "";
}

/** The beginning of a value in one line. */
export function preview(value: unknown, length = 160): string {
  const entries = isRecord(value) ? Object.entries(value) : null;
  const only = entries?.length === 1 ? entries[0]?.[1] : undefined;
  const text =
    only === undefined && entries
      ? entries.map(([name, each]) => `${name}: ${plain(each)}`).join("  ·  ")
      : plain(only ?? value);
  const line = text
    .slice(0, 4 * length)
    .replace(/\s+/g, " ")
    .trim();
  return line.length > length ? `${line.slice(0, length - 1)}…` : line;
}
