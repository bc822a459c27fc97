import { Code, Stack, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Flow, Step } from "../../api/types";
import { fieldWords } from "../../parts/graph/StepList";
import { kindWords } from "../../parts/graph/steps";
import { Fields } from "../../parts/Value";
import { plain } from "../../parts/values";

/** What the file says of a step beside its text: reads, gives, model, tools, settings and worked examples. */
export function StepFacts({ step, flow }: { step: Step; flow: Flow }) {
  const model = step.model || (step.kind === "call" ? `${flow.model} (the workflow's)` : "");
  const rows: [string, ReactNode][] = [
    ["kind", kindWords(step)],
    ["reads", <Names key="reads" names={step.reads} />],
    ["gives", <span key="gives">{fieldWords(step.gives)}</span>],
  ];
  if (model) rows.push(["model", model]);
  if (step.parent) rows.push(["stands in", `${step.body} of ${step.parent}`]);
  for (const [body, ids] of step.inside) rows.push([`steps of ${body}`, <Names key={body} names={ids} />]);
  for (const [name, value] of Object.entries(step.settings))
    rows.push([
      name,
      <Code key={name} className="fb-text">
        {plain(value)}
      </Code>,
    ]);
  return (
    <Stack gap="md">
      <Table fz="sm" verticalSpacing={4} data-testid="step-facts" aria-label={`What is set of ${step.id}`}>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th scope="row" w={120} fw={500} c="var(--fb-quiet)" style={{ verticalAlign: "top" }}>
                {name}
              </Table.Th>
              <Table.Td className="fb-text">{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {step.tools.length > 0 && (
        <section>
          <Text size="sm" fw={600} mb={4}>
            Tools
          </Text>
          <Fields fields={Object.fromEntries(step.tools.map((name) => [name, flow.tools[name] ?? "not declared"]))} />
        </section>
      )}
      {step.demos.length > 0 && <Demos step={step} />}
    </Stack>
  );
}

function Demos({ step }: { step: Step }) {
  return (
    <section>
      <Text size="sm" fw={600} mb={4}>
        {step.demos.length} worked {step.demos.length === 1 ? "example" : "examples"} in the prompt
      </Text>
      <Stack gap="xs" component="ol" pl={0} m={0} style={{ listStyle: "none" }}>
        {step.demos.map((demo, place) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: demos have no other key, and are never put in another order
          <li key={place} className="fb-demo">
            <Fields fields={demo.reads} lines={5} />
            <Text size="xs" fw={600} c="var(--fb-quiet)" my={4}>
              gives
            </Text>
            <Fields fields={demo.gives} lines={5} />
          </li>
        ))}
      </Stack>
    </section>
  );
}

function Names({ names }: { names: string[] }) {
  return <span>{names.join(", ") || "nothing"}</span>;
}
