import "./workflow.css";
import { Text } from "@mantine/core";
import { useMemo } from "react";
import { useCandidate, useRun } from "../../api/hooks";
import { places } from "../../app/places";
import { Loading, Wrong } from "../../parts/Loading";
import { CandidateHead } from "./CandidateHead";
import { Decided } from "./Decided";
import { FlowPane } from "./FlowPane";
import { StepPanel } from "./StepPanel";
import { WayPanel } from "./WayPanel";

/** A candidate of a run: its graph on the left; on the right the step that is chosen, else how it came to be. */
export function WorkflowView({ run: id, id: workflow, step: chosen }: { run: string; id: string; step: string }) {
  const run = useRun(id);
  const candidate = useCandidate(id, workflow);
  const look = useMemo(
    () => ({ chosen, href: (step: string) => places.candidate(id, workflow, step) }),
    [chosen, id, workflow],
  );
  const wrong = run.data ? candidate.error : run.error;
  if (wrong) return <Wrong error={wrong} />;
  if (!run.data || !candidate.data) return <Loading />;
  const step = candidate.data.flow.steps.find((each) => each.id === chosen);
  return (
    <div data-testid="workflow-view">
      <CandidateHead run={run.data} candidate={candidate.data} />
      <Decided run={run.data} candidate={candidate.data} />
      <div className="fb-panes">
        <FlowPane flow={candidate.data.flow} content={run.data.content} {...look} />
        {step ? (
          <StepPanel key={step.id} run={run.data} candidate={candidate.data} step={step} />
        ) : (
          <div>
            {chosen && (
              <Text size="sm" mb="sm">
                This workflow has no step {chosen}.
              </Text>
            )}
            <WayPanel run={run.data} candidate={candidate.data} />
          </div>
        )}
      </div>
    </div>
  );
}
