import { Button, Group } from "@mantine/core";
import type { Run, Trace } from "../../api/types";
import { CandidateName } from "../../parts/CandidateName";
import { Folded } from "../../parts/Folded";
import { NoteWords } from "../../parts/NoteWords";
import { Value } from "../../parts/Value";
import { count, money, points, seconds, splitName } from "../../parts/words";
import { PlayedStep } from "./PlayedStep";
import { loose, openAtFirst, walk } from "./tree";

/** Which steps the reader has opened or closed, by path: kept from example to example. */
export interface Open {
  opened: Map<string, boolean>;
  set: (path: string, is: boolean) => void;
}

type Props = { at: string; run: Run; trace: Trace; open: Open; named: boolean };

/** One run: what it came to, what was said of it, and its steps. */
export function TracePane({ at, run, trace, open, named }: Props) {
  const all = walk(trace.steps);
  const few = all.length <= 3;
  const isOpen = (path: string) => {
    const step = all.find((each) => each.path === path);
    return open.opened.get(path) ?? (step ? openAtFirst(step, trace.notes, few) : false);
  };
  const longest = Math.max(trace.spent.seconds, ...trace.steps.map((each) => each.spent.seconds));
  const apart = loose(trace);
  const free = trace.notes.filter((note) => note.words.some(apart));
  const turn = (is: boolean) => {
    for (const each of all) open.set(each.path, is);
  };
  return (
    <article className="fb-trace-pane" data-testid="trace" aria-label={`Run of ${trace.workflow}`}>
      {named && (
        <h2 className="fb-trace-name">
          <CandidateName at={at} run={run} id={trace.workflow} />
          <span className="fb-quiet">{splitName(trace.draw)}</span>
        </h2>
      )}
      <Figures run={run} trace={trace} />
      {trace.error && (
        <section className="fb-trace-error" aria-label="Error" data-testid="trace-error">
          <h3>The run failed</h3>
          <Folded text={trace.error} lines={8} mono />
        </section>
      )}
      <div className="fb-trace-came">
        {trace.output !== null && trace.output !== undefined && (
          <section className="fb-trace-part" aria-label="Output">
            <h3>Output</h3>
            <Value value={trace.output} lines={10} />
          </section>
        )}
        {trace.feedback && trace.feedback !== trace.error && (
          <section className="fb-trace-part" aria-label="Feedback">
            <h3>Feedback of the metric</h3>
            <Folded text={trace.feedback} lines={8} />
          </section>
        )}
      </div>
      {free.length > 0 && (
        <section className="fb-trace-part" aria-label="Notes">
          <h3>What was said of this run</h3>
          {free.map((note) => (
            <NoteWords key={`${note.kind} ${note.name}`} note={note} only={apart} />
          ))}
        </section>
      )}
      {trace.missing && (
        <p className="fb-trace-missing" role="note" data-testid="trace-missing">
          {trace.missing}
        </p>
      )}
      {trace.steps.length > 0 && (
        <section aria-label="Steps" className="fb-trace-part">
          <Group justify="space-between" mb={4}>
            <h3>
              Steps <span className="fb-quiet">{ran(trace.steps.length, all.length)}</span>
            </h3>
            <Group gap={4}>
              <Button variant="subtle" size="compact-xs" onClick={() => turn(true)} data-testid="open-all">
                Open all
              </Button>
              <Button variant="subtle" size="compact-xs" onClick={() => turn(false)}>
                Close all
              </Button>
            </Group>
          </Group>
          {trace.steps.map((step) => (
            <PlayedStep
              key={step.path}
              step={step}
              place={{ at, workflow: trace.workflow, notes: trace.notes, longest, isOpen, set: open.set }}
            />
          ))}
        </section>
      )}
    </article>
  );
}

function ran(steps: number, all: number): string {
  return all > steps ? `${count(steps)}, with those within them ${count(all)} runs` : count(steps);
}

function Figures({ run, trace }: { run: Run; trace: Trace }) {
  const { spent } = trace;
  const told: [string, string][] = [
    ["Score", points(trace.score, run.line.fraction)],
    ["Calls", count(spent.calls)],
    ["Tokens", tokens(trace)],
    ["Cost", money(spent.usd)],
    ["Time", seconds(spent.seconds)],
  ];
  return (
    <dl className="fb-trace-figures">
      {told.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd data-testid={`trace-${name.toLowerCase()}`}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

function tokens({ spent, missing }: Trace): string {
  if (missing) return count(spent.input_tokens + spent.output_tokens);
  return `${count(spent.input_tokens)} in, ${count(spent.output_tokens)} out`;
}
