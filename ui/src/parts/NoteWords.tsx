import "./parts.css";
import type { Note } from "../api/types";
import { Folded } from "./Folded";
import { Fields } from "./Value";

const kinds: Record<string, string> = {
  verdict: "Verdict",
  gradient: "Gradient",
  critique: "Critique of the workflow",
};

/** The words that are shown as headings of their own; all others by their names. */
const known = new Set(["example", "blame", "defect", "rule", "should", "path", "critique"]);

/** What a meta model said of a run, readable. `only` leaves out what is of other steps. */
export function NoteWords({ note, only }: { note: Note; only?: (words: Note["words"][number]) => boolean }) {
  const words = note.words.filter((each) => only?.(each) ?? true);
  return (
    <div className="fb-note" data-testid="note">
      <div className="fb-note-kind">
        {kinds[note.kind] ?? note.kind} <span className="fb-quiet">{note.name}</span>
      </div>
      {words.map((each, place) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: what was said has no other key, and keeps its order
        <Said key={place} words={each} />
      ))}
    </div>
  );
}

const text = (value: unknown) => (typeof value === "string" ? value : "");

function Said({ words }: { words: Note["words"][number] }) {
  const { blame, defect, rule, should, path, critique } = words;
  const others = Object.fromEntries(Object.entries(words).filter(([name]) => !known.has(name)));
  return (
    <div className="fb-said">
      {Array.isArray(blame) && blame.length > 0 && (
        <p>
          Blames <b>{blame.map(String).join(", then ")}</b>
          {defect ? ` for ${text(defect)}` : ""}
        </p>
      )}
      {!Array.isArray(blame) && text(defect) && <p>Defect: {text(defect)}</p>}
      {text(path) && <p className="fb-mono fb-quiet">{text(path)}</p>}
      {text(critique) && <Folded text={text(critique)} />}
      {text(rule) && (
        <p className="fb-text">
          <span className="fb-quiet">Rule:</span> {text(rule)}
        </p>
      )}
      {should !== undefined && should !== null && <Fields fields={{ "should have given": should }} />}
      {Object.keys(others).length > 0 && <Fields fields={others} />}
    </div>
  );
}
