/** A field's type as the file writes it: `text`, `number`, `bool`, `choice[a, "b, c"]`, `list[TYPE]`, `json`. */
export type FieldType =
  | { kind: "text" | "number" | "bool" | "json" }
  | { kind: "choice"; choices: string[] }
  | { kind: "list"; item: FieldType };

export function readType(spelled: string): FieldType {
  const text = spelled.trim();
  if (text === "text" || text === "number" || text === "bool") return { kind: text };
  if (text.startsWith("list[") && text.endsWith("]")) return { kind: "list", item: readType(text.slice(5, -1)) };
  if (text.startsWith("choice[") && text.endsWith("]"))
    return { kind: "choice", choices: choicesOf(text.slice(7, -1)) };
  return { kind: "json" };
}

function choicesOf(inner: string): string[] {
  const found: string[] = [];
  for (const [, quoted, bare] of inner.matchAll(/\s*(?:("(?:[^"\\]|\\.)*")|([^,"]+))\s*(?:,|$)/g)) {
    if (quoted !== undefined) found.push(unquoted(quoted));
    else if (bare !== undefined) found.push(bare.trim());
  }
  return found;
}

function unquoted(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

/** What a form says of a field: its value, or what is wrong with it. */
export type Entered = { value: unknown } | { wrong: string };

/** Read what was typed for a field. An empty text is a text; anything else must be given. */
export function entered(type: FieldType, typed: string): Entered {
  switch (type.kind) {
    case "text":
      return typed.trim() === "" ? { wrong: "Write a text." } : { value: typed };
    case "number": {
      const value = Number(typed.trim());
      return typed.trim() === "" || !Number.isFinite(value) ? { wrong: "Write a number, such as 12.5." } : { value };
    }
    case "bool":
      return typed === "true" || typed === "false" ? { value: typed === "true" } : { wrong: "Choose yes or no." };
    case "choice":
      return type.choices.includes(typed) ? { value: typed } : { wrong: "Choose one of these." };
    case "list":
      return enteredList(type.item, typed);
    default:
      return enteredJson(typed);
  }
}

/** A list is written an item a line; one of lists or JSON as JSON. */
function enteredList(item: FieldType, typed: string): Entered {
  if (item.kind === "list" || item.kind === "json") {
    const read = enteredJson(typed);
    return "value" in read && !Array.isArray(read.value) ? { wrong: "Write a JSON list: [ … ]." } : read;
  }
  const lines = typed.split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0) return { wrong: "Write one item on each line." };
  const read = lines.map((line) => entered(item, item.kind === "text" ? line : line.trim()));
  const place = read.findIndex((each) => "wrong" in each);
  const first = read[place];
  if (first !== undefined && "wrong" in first) return { wrong: `Line ${place + 1}: ${first.wrong}` };
  return { value: read.flatMap((each) => ("value" in each ? [each.value] : [])) };
}

function enteredJson(typed: string): Entered {
  if (typed.trim() === "") return { wrong: "Write a JSON value." };
  try {
    return { value: JSON.parse(typed) };
  } catch (error) {
    return { wrong: `This is no JSON: ${error instanceof Error ? error.message : "it cannot be read"}.` };
  }
}

/** What stands in a form for a value, for a form that is filled from an example. */
export function typedOf(type: FieldType, value: unknown): string {
  if (type.kind === "list" && type.item.kind !== "list" && type.item.kind !== "json" && Array.isArray(value))
    return value.map(String).join("\n");
  return typeof value === "string" && type.kind !== "json" ? value : JSON.stringify(value, null, 2);
}
