import { IconChevronRight } from "@tabler/icons-react";
import { useState } from "react";
import { Link } from "wouter";
import type { Note, Played } from "../../api/types";
import { places } from "../../app/places";
import { Folded } from "../../parts/Folded";
import { NoteWords } from "../../parts/NoteWords";
import { Fields } from "../../parts/Value";
import { preview } from "../../parts/values";
import { count, many, money, seconds } from "../../parts/words";
import { Messages, ToolUses } from "./Messages";
import { about, blamed, bodyName, chosen, notesAt, takenWords } from "./tree";

/** What every step of a trace is shown with. */
export interface Place {
  at: string;
  workflow: string;
  notes: Note[];
  longest: number;
  isOpen: (path: string) => boolean;
  set: (path: string, is: boolean) => void;
}

/** One run of a step: a line that opens, and within it what it read, was sent, said and gave. */
export function PlayedStep({ step, place }: { step: Played; place: Place }) {
  const open = place.isOpen(step.path);
  return (
    <div className="fb-play" data-testid={`trace-step-${step.path}`}>
      <button type="button" className="fb-play-line" aria-expanded={open} onClick={() => place.set(step.path, !open)}>
        <IconChevronRight size={14} className="fb-play-chevron" aria-hidden="true" />
        <span className="fb-play-id">{step.step}</span>
        <span className="fb-quiet">{step.kind}</span>
        <Marks step={step} notes={place.notes} />
        <span className="fb-play-gave">{step.error || preview(step.gives)}</span>
        <Took step={step} longest={place.longest} />
      </button>
      {open && <Opened step={step} place={place} />}
    </div>
  );
}

function Marks({ step, notes }: { step: Played; notes: Note[] }) {
  const here = notesAt(notes, step);
  const first = here.some((note) => note.words.some((words) => blamed(words, step) === 1));
  const later = !first && here.some((note) => note.words.some((words) => blamed(words, step) > 1));
  const words = [
    step.error ? "✕ failed" : "",
    first ? "◆ blamed first" : later ? "◇ blamed" : "",
    here.some((note) => note.kind === "gradient") ? "∇ gradient" : "",
    step.tools.length > 0 ? many(step.tools.length, "tool call") : "",
    takenWords(step),
  ].filter(Boolean);
  return (
    <>
      {words.map((each) => (
        <span key={each} className={each.startsWith("✕") ? "fb-play-mark fb-play-bad" : "fb-play-mark"}>
          {each}
        </span>
      ))}
    </>
  );
}

/** How long it took, as a bar and in numbers. */
function Took({ step, longest }: { step: Played; longest: number }) {
  const { spent } = step;
  const tokens = spent.input_tokens + spent.output_tokens;
  const share = longest > 0 ? Math.min(100, (100 * spent.seconds) / longest) : 0;
  return (
    <span className="fb-play-took">
      <span className="fb-play-bar" aria-hidden="true">
        <span style={{ width: `${share}%` }} />
      </span>
      <span>{seconds(spent.seconds)}</span>
      <span title={`${count(spent.input_tokens)} in, ${count(spent.output_tokens)} out`}>
        {tokens > 0 ? `${count(tokens)} tokens` : ""}
      </span>
      <span>{spent.usd === null || tokens === 0 ? "" : money(spent.usd)}</span>
    </span>
  );
}

function Opened({ step, place }: { step: Played; place: Place }) {
  const notes = notesAt(place.notes, step);
  return (
    <div className="fb-play-open">
      <div className={notes.length > 0 ? "fb-play-beside" : undefined}>
        <div className="fb-play-main">
          {step.error && (
            <div className="fb-trace-error">
              <h4>Failed</h4>
              <Folded text={step.error} lines={8} mono />
            </div>
          )}
          <div className="fb-play-pair">
            <div>
              <h4>Read</h4>
              <Fields fields={step.reads} lines={3} />
            </div>
            <div>
              <h4>Gave</h4>
              <Fields fields={step.gives} lines={10} />
            </div>
          </div>
          {step.messages.length > 0 && <Messages messages={step.messages} />}
          {step.tools.length > 0 && <ToolUses uses={step.tools} />}
          <Link href={places.candidate(place.at, place.workflow, step.step)} className="fb-play-link">
            {step.step} in the workflow
          </Link>
        </div>
        {notes.length > 0 && (
          <aside aria-label={`What was said of ${step.step}`}>
            {notes.map((note) => (
              <NoteWords key={`${note.kind} ${note.name}`} note={note} only={(words) => about(words, step)} />
            ))}
          </aside>
        )}
      </div>
      {step.bodies.length > 0 && <Bodies block={step} place={place} />}
    </div>
  );
}

const MOST = 50;

/** The turns, samples, items or the arm of a block; each opens by itself where there are many. */
function Bodies({ block, place }: { block: Played; place: Place }) {
  const [all, setAll] = useState(false);
  const shown = all ? block.bodies : block.bodies.slice(0, MOST);
  return (
    <>
      {shown.map((body, number) => {
        const key = `${block.path}#${number}`;
        const name = bodyName(block, number);
        const few = block.bodies.length <= 4;
        const open = few !== place.isOpen(key);
        return (
          <div key={key} className="fb-turn">
            <button
              type="button"
              className="fb-turn-line"
              aria-expanded={open}
              onClick={() => place.set(key, few === open)}
            >
              <IconChevronRight size={12} className="fb-play-chevron" aria-hidden="true" />
              {name}
              {chosen(block, number) && <span className="fb-play-mark">✓ taken</span>}
              {body.some((each) => each.error) && <span className="fb-play-mark fb-play-bad">✕ failed</span>}
              {!open && <span className="fb-play-gave">{preview(body.at(-1)?.gives ?? {})}</span>}
            </button>
            {open && body.map((step) => <PlayedStep key={step.path} step={step} place={place} />)}
          </div>
        );
      })}
      {block.bodies.length > MOST && !all && (
        <button type="button" className="fb-turn-line" onClick={() => setAll(true)}>
          Show all {count(block.bodies.length)}
        </button>
      )}
    </>
  );
}
