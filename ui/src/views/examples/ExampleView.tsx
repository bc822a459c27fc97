import { Title } from "@mantine/core";
import { useExample, useRun } from "../../api/hooks";
import type { Example, Run } from "../../api/types";
import { places } from "../../app/places";
import { CandidateName } from "../../parts/CandidateName";
import { Loading, Wrong } from "../../parts/Loading";
import { NoteWords } from "../../parts/NoteWords";
import { Trail } from "../../parts/Trail";
import { Fields, Value } from "../../parts/Value";
import { splitName } from "../../parts/words";
import "./examples.css";
import { ExampleRuns } from "./ExampleRuns";
import { Steps } from "./Steps";

/** One example: what goes in, what should come out, and all that was run on it. */
export function ExampleView({ run: at, split, id }: { run: string; split: string; id: string }) {
  const run = useRun(at);
  const example = useExample(at, split, id);
  const error = run.error ?? example.error;
  if (error) return <Wrong error={error} />;
  if (!run.data || !example.data) return <Loading />;
  return (
    <>
      <Trail
        above={[
          [run.data.line.name, places.run(at)],
          [`Examples: ${splitName(split)}`, places.examples(at, split)],
        ]}
        here={id}
      />
      <div className="fb-ex-head">
        <Title order={1} size="h3" className="fb-ex-name">
          Example {id}
        </Title>
        <Steps at={at} split={split} id={id} to={(next) => places.example(at, split, next)} />
      </div>
      <Shown at={at} run={run.data} example={example.data} />
    </>
  );
}

function Shown({ at, run, example }: { at: string; run: Run; example: Example }) {
  return (
    <>
      {!run.content && <p className="fb-quiet">Texts were left out of this run on request.</p>}
      <div className="fb-ex-pair">
        <section className="fb-panel" aria-label="Inputs">
          <h2>Inputs</h2>
          <Fields fields={example.inputs} lines={30} />
        </section>
        <section className="fb-panel" aria-label="Target">
          <h2>Target</h2>
          <Value value={example.target} lines={30} />
        </section>
      </div>
      <section aria-label="Runs" className="fb-ex-part">
        <h2>Runs</h2>
        <ExampleRuns at={at} run={run} example={example} />
      </section>
      {example.notes.length > 0 && (
        <section aria-label="Notes" className="fb-ex-part" data-testid="example-notes">
          <h2>What was said of it</h2>
          {example.notes.map((note) => (
            <div key={`${note.workflow} ${note.kind} ${note.name}`} className="fb-note-of">
              <p>
                On the run of <CandidateName at={at} run={run} id={note.workflow} />
              </p>
              <NoteWords note={note} />
            </div>
          ))}
        </section>
      )}
    </>
  );
}
