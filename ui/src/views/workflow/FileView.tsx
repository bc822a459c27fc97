import "./workflow.css";
import { Button, Group, Text, Title } from "@mantine/core";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { useFlow, useHome } from "../../api/hooks";
import { places } from "../../app/places";
import { fieldWords } from "../../parts/graph/StepList";
import { Loading, Wrong } from "../../parts/Loading";
import { Fields } from "../../parts/Value";
import { FlowPane } from "./FlowPane";
import { FileStepPanel } from "./StepPanel";

/** A workflow's file without a run: its graph, and the step that is chosen. */
export function FileView() {
  const flow = useFlow();
  const home = useHome();
  const [chosen, setChosen] = useState("");
  const look = useMemo(() => ({ chosen, open: setChosen }), [chosen]);
  if (flow.error) return <Wrong error={flow.error} />;
  if (!flow.data) return <Loading />;
  const step = flow.data.steps.find((each) => each.id === chosen);
  const tools = Object.keys(flow.data.tools).length;
  return (
    <div data-testid="file-view">
      <Group justify="space-between">
        <Title order={1} fz={22} className="fb-text">
          {flow.data.name}
        </Title>
        {home.data?.can_try && (
          <Button component={Link} href={places.attemptFlow()} size="xs" data-testid="try-it">
            Try it
          </Button>
        )}
      </Group>
      <div className="fb-panes">
        <FlowPane flow={flow.data} content {...look} />
        {step ? (
          <FileStepPanel step={step} flow={flow.data} close={() => setChosen("")} />
        ) : (
          <section className="fb-side">
            <Text size="sm" c="var(--fb-quiet)" mb="sm">
              Choose a step for its prompt.
            </Text>
            <Text size="sm">
              <b>Inputs</b> {fieldWords(flow.data.inputs)}
            </Text>
            <Text size="sm">
              <b>Output</b> {flow.data.output}
            </Text>
            {tools > 0 && (
              <>
                <Text size="sm" fw={600} mt="sm">
                  Tools
                </Text>
                <Fields fields={flow.data.tools} />
              </>
            )}
          </section>
        )}
      </div>
    </div>
  );
}
