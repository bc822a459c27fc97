import "../workflow/workflow.css";
import { Text } from "@mantine/core";
import { useCandidate, useFlow, useRun } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Flow, Run } from "../../api/types";
import { places } from "../../app/places";
import { nameOf } from "../../parts/CandidateName";
import { Loading, Wrong } from "../../parts/Loading";
import { Trail } from "../../parts/Trail";
import { TryPage } from "./TryPage";

/** Try a workflow: of a candidate of a run, or (run empty) of the file that the page was opened on. */
export function TryView({ run, candidate }: { run: string; candidate: string }) {
  const source = useSource();
  if (!source.live) return <Text>A report holds no way to run a workflow. Open the run with flowbot ui.</Text>;
  return run ? <OfRun run={run} candidate={candidate} /> : <OfFile />;
}

function OfRun({ run: id, candidate }: { run: string; candidate: string }) {
  const run = useRun(id);
  const found = useCandidate(id, candidate);
  const wrong = run.error ?? found.error;
  if (wrong) return <Wrong error={wrong} />;
  if (!run.data || !found.data) return <Loading />;
  return (
    <>
      <Trail above={above(run.data, candidate)} here="try it" />
      <TryPage key={candidate} run={id} candidate={candidate} flow={found.data.flow} />
    </>
  );
}

function above(run: Run, candidate: string): [string, string][] {
  const { id, name } = run.line;
  return [
    [name, places.run(id)],
    [`workflow ${nameOf(run, candidate)}`, places.candidate(id, candidate)],
  ];
}

function OfFile() {
  const flow = useFlow();
  if (flow.error) return <Wrong error={flow.error} />;
  if (!flow.data) return <Loading />;
  const here: Flow = flow.data;
  return (
    <>
      <Trail above={[[here.name, places.flow()]]} here="try it" />
      <TryPage run="" candidate="" flow={here} />
    </>
  );
}
