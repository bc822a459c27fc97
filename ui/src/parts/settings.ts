/** Settings as lines (name, value), nested ones with dots between their names. */
export function flat(settings: Record<string, unknown>, before = ""): [string, string][] {
  return Object.entries(settings).flatMap(([name, value]): [string, string][] => {
    const path = before + name;
    if (value !== null && typeof value === "object" && !Array.isArray(value))
      return flat(value as Record<string, unknown>, `${path}.`);
    return [[path, typeof value === "string" ? value : JSON.stringify(value)]];
  });
}
