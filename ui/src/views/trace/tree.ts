import type { Note, Played, Trace } from "../../api/types";

const bodies: Record<string, string> = { vote: "sample", loop: "turn", map: "item", branch: "arm" };

/** What a body of a block is called: "turn 2", "sample 1", "item 3", "arm refund". */
export function bodyName(block: Played, place: number): string {
  const inner = block.bodies[place]?.[0]?.path.slice(block.path.length) ?? "";
  const key = /^\[([^\]]*)\]/.exec(inner)?.[1] ?? String(place + 1);
  return `${bodies[block.kind] ?? "body"} ${key}`;
}

/** Whether a body is the one that its block took: the sample of a vote. */
export function chosen(block: Played, place: number): boolean {
  return block.kind === "vote" && block.taken === place + 1;
}

/** What a block took, in words. */
export function takenWords(block: Played): string {
  if (block.taken === null || block.taken === undefined || block.bodies.length === 0) return "";
  if (block.kind === "vote") return `took sample ${String(block.taken)} of ${block.bodies.length}`;
  if (block.kind === "branch") return `took the arm ${String(block.taken)}`;
  return `${block.bodies.length} ${bodies[block.kind] ?? "body"}${block.bodies.length === 1 ? "" : "s"}`;
}

/** A step and all that was run within it, in order. */
export function walk(steps: Played[]): Played[] {
  return steps.flatMap((step) => [step, ...step.bodies.flatMap(walk)]);
}

type Words = Note["words"][number];

/** Whether what was said is about this run of a step: by its path, or as the one that is blamed (`place` from 1). */
export function about(words: Words, step: Played): boolean {
  if (typeof words.path === "string" && words.path) return words.path === step.path;
  return blamed(words, step) > 0;
}

/** The place of a step among those blamed, from 1; 0 where it is not among them. */
export function blamed(words: Words, step: Played): number {
  return Array.isArray(words.blame) ? words.blame.indexOf(step.step) + 1 : 0;
}

/** The notes that are about a step. */
export function notesAt(notes: Note[], step: Played): Note[] {
  return notes.filter((note) => note.words.some((words) => about(words, step)));
}

/** Tells whether words are about no step of a trace, so that they stand above it. */
export function loose(trace: Trace): (words: Words) => boolean {
  const steps = walk(trace.steps);
  return (words) => !steps.some((step) => about(words, step));
}

/** Whether a step is open before the reader has touched it: it failed, it is blamed first, or there are few. */
export function openAtFirst(step: Played, notes: Note[], few: boolean): boolean {
  if (few || step.error !== "") return true;
  return notes.some((note) => note.words.some((words) => blamed(words, step) === 1));
}

/** The text of a message, whatever form it has. */
export function messageText(message: Played["messages"][number]): string {
  const { content } = message;
  if (typeof content === "string") return content;
  return content === null || content === undefined ? "" : JSON.stringify(content, null, 2);
}

export interface Called {
  id: string;
  name: string;
  args: unknown;
}

/** The tool calls in a message of the assistant; arguments that are no JSON stay as they were written. */
export function callsIn(message: Played["messages"][number]): Called[] {
  if (!Array.isArray(message.tool_calls)) return [];
  return message.tool_calls.map((each: unknown, place) => {
    const call = (each ?? {}) as { id?: unknown; function?: { name?: unknown; arguments?: unknown } };
    const written = call.function?.arguments;
    return { id: String(call.id ?? place), name: String(call.function?.name ?? "tool"), args: read(written) };
  });
}

function read(written: unknown): unknown {
  if (typeof written !== "string") return written ?? {};
  try {
    return JSON.parse(written);
  } catch {
    return written;
  }
}
