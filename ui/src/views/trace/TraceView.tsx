import { Select, Title } from "@mantine/core";
import { type ReactNode, useMemo, useState } from "react";
import { Link, Redirect } from "wouter";
import { useExample, useRun, useTrace } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Run, Scored, Trace } from "../../api/types";
import { places } from "../../app/places";
import { CandidateName, nameOf } from "../../parts/CandidateName";
import { Loading, Wrong } from "../../parts/Loading";
import { Trail } from "../../parts/Trail";
import { Fields } from "../../parts/Value";
import { plain, preview } from "../../parts/values";
import { points, splitName } from "../../parts/words";
import { Steps } from "../examples/Steps";
import { TracePane } from "./TracePane";
import "./trace.css";

type Props = { run: string; workflow: string; draw: string; example: string };
type Other = { workflow: string; draw: string };

/** A run of a workflow on an example, step by step; on request beside another workflow's run on the same example. */
export function TraceView({ run: at, workflow, draw, example }: Props) {
  const [other, setOther] = useState<Other | null>(null);
  const [opened, setOpened] = useState<Map<string, boolean>>(new Map());
  const open = { opened, set: (path: string, is: boolean) => setOpened((was) => new Map(was).set(path, is)) };
  const run = useRun(at);
  const trace = useTrace(at, workflow, draw, example);
  const runs = useExample(at, trace.data?.split ?? "", example);
  const mate = other && mateOf(other, runs.data?.runs ?? []);
  const beside = useTrace(at, mate?.workflow ?? "", mate?.draw ?? "", example);
  const error = run.error ?? trace.error;
  if (error) return <Wrong error={error} />;
  if (!run.data || !trace.data) return <Loading />;
  const known = trace.data.split ? runs.data?.runs : [];
  const elsewhere = known && strayed(trace.data, known);
  if (elsewhere) return <Redirect to={places.trace(at, workflow, elsewhere, example)} replace />;
  return (
    <>
      <Head at={at} run={run.data} trace={trace.data}>
        <Others run={run.data} trace={trace.data} runs={known ?? []} chosen={mate} choose={setOther} />
      </Head>
      <Given trace={trace.data} content={run.data.content} />
      <div className={other ? "fb-trace-two" : undefined}>
        <TracePane at={at} run={run.data} trace={trace.data} open={open} named={other !== null} />
        {other && beside.error && <Wrong error={beside.error} />}
        {other && !beside.error && !beside.data && <Loading />}
        {other && beside.data && <TracePane at={at} run={run.data} trace={beside.data} open={open} named />}
      </div>
    </>
  );
}

/** The run of the workflow beside on this example: at the same stage, or at another where there is none. */
function mateOf(other: Other, runs: Scored[]): Other {
  const mine = runs.filter((each) => each.candidate === other.workflow);
  const same = mine.length === 0 || mine.some((each) => each.draw === other.draw);
  return same ? other : { workflow: other.workflow, draw: mine[0]?.draw ?? other.draw };
}

/** The stage that this workflow was run for on this example, where it was not the one that was asked for. */
function strayed(trace: Trace, runs: Scored[]): string | null {
  const mine = runs.filter((each) => each.candidate === trace.workflow);
  if (trace.steps.length > 0 || mine.length === 0 || mine.some((each) => each.draw === trace.draw)) return null;
  return mine[0]?.draw ?? null;
}

function Head({ at, run, trace, children }: { at: string; run: Run; trace: Trace; children: ReactNode }) {
  const { split, draw, example, workflow } = trace;
  const table: [string, string][] = split ? [[`Examples: ${splitName(split)}`, places.examples(at, split)]] : [];
  return (
    <>
      <Trail
        above={[
          [run.line.name, places.run(at)],
          ...table,
          ...(split ? ([[example, places.example(at, split, example)]] as [string, string][]) : []),
        ]}
        here={`Run of ${nameOf(run, workflow)}`}
      />
      <div className="fb-trace-head">
        <Title order={1} size="h3">
          <CandidateName at={at} run={run} id={workflow} /> on example{" "}
          {split ? <Link href={places.example(at, split, example)}>{example}</Link> : example}
          {draw !== split && <span className="fb-trace-draw"> for {splitName(draw)}</span>}
        </Title>
        <div className="fb-trace-acts">
          {children}
          <Steps
            at={at}
            split={split}
            id={example}
            workflow={workflow}
            to={(next) => places.trace(at, workflow, draw, next)}
          />
        </div>
      </div>
    </>
  );
}

type OthersProps = {
  run: Run;
  trace: Trace;
  runs: Scored[];
  chosen: Other | null;
  choose: (other: Other | null) => void;
};

/** The other workflows that were run on this example, to look at one beside this. */
function Others({ run, trace, runs, chosen, choose }: OthersProps) {
  const source = useSource();
  const options = useMemo(() => {
    const first = (each: Scored) => Number(each.candidate !== run.best_id) + Number(each.candidate !== run.start_id);
    return runs
      .filter((each) => each.candidate !== trace.workflow || each.draw !== trace.draw)
      .filter((each) => source.holds?.(trace.split, trace.example, each.candidate) ?? true)
      .toSorted((a, b) => first(a) - first(b))
      .map((each) => ({
        value: JSON.stringify([each.candidate, each.draw]),
        label: `${nameOf(run, each.candidate)}, ${splitName(each.draw)}: ${points(each.score, run.line.fraction)}`,
      }));
  }, [runs, run, trace, source]);
  if (options.length === 0 && !chosen) return null;
  const pick = (value: string | null) => {
    const [workflow, draw] = value === null ? [] : (JSON.parse(value) as [string, string]);
    choose(workflow && draw ? { workflow, draw } : null);
  };
  return (
    <Select
      size="xs"
      w={230}
      aria-label="Compare with the run of"
      placeholder="Compare with…"
      data={options}
      searchable
      clearable
      limit={60}
      value={chosen ? JSON.stringify([chosen.workflow, chosen.draw]) : null}
      onChange={pick}
      data-testid="trace-compare"
    />
  );
}

/** What the example gives, and what it wants; closed where it is long, for the steps are what one came for. */
function Given({ trace, content }: { trace: Trace; content: boolean }) {
  if (!content) return <p className="fb-quiet">Texts were left out of this run on request; what it cost is here.</p>;
  return (
    <details className="fb-trace-given" open={plain(trace.inputs).length < 400} data-testid="trace-given">
      <summary>
        <b>Inputs and target</b>
        <span className="fb-play-gave">{preview(trace.inputs, 240)}</span>
      </summary>
      <div className="fb-trace-both">
        <section aria-label="Inputs">
          <Fields fields={trace.inputs} lines={6} />
        </section>
        <section aria-label="Target">
          <Fields fields={{ target: trace.target }} lines={6} />
        </section>
      </div>
    </details>
  );
}
