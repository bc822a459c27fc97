import type { Candidate } from "../../api/types";

/** A piece of a prompt, and the place in the way of the change that brought it; null where that is not told. */
export interface Origin {
  text: string;
  came: number | null;
}

/** Cut a prompt into pieces by where they came from. `parts` hold its lines in order, with their white space evened. */
export function originsOf(prompt: string, step: string, parts: Candidate["parts"]): Origin[] {
  const found: Origin[] = [];
  let at = 0;
  const put = (text: string, came: number | null) => {
    if (text) found.push({ text, came });
  };
  for (const [of, kind, text, came] of parts) {
    if (of !== step || kind !== "line") continue;
    const words = text.split(/\s+/).filter(Boolean).map(escaped);
    if (words.length === 0) continue;
    const match = new RegExp(words.join("\\s+")).exec(prompt.slice(at));
    if (match === null) continue;
    put(prompt.slice(at, at + match.index), null);
    put(match[0], came);
    at += match.index + match[0].length;
  }
  put(prompt.slice(at), null);
  return joined(found);
}

/** Put neighbours of one origin together, with the white space between them. */
function joined(pieces: Origin[]): Origin[] {
  const found: Origin[] = [];
  pieces.forEach((piece, at) => {
    const last = found.at(-1);
    const next = pieces[at + 1];
    const blank = piece.came === null && piece.text.trim() === "";
    if (last !== undefined && (last.came === piece.came || (blank && next?.came === last.came)))
      last.text += piece.text;
    else found.push({ ...piece });
  });
  return found;
}

function escaped(word: string): string {
  return word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
