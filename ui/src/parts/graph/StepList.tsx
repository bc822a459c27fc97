import { Anchor, ScrollArea, Table, Text } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Field, Flow, Step } from "../../api/types";
import type { GraphLook } from "./look";
import { marks } from "./marks";
import { depthOf, kindWords } from "./steps";

/** The steps of a workflow in words: what the graph shows, for those who read or listen. */
export function StepList({ flow, chosen, marks: marked, states, href, open }: GraphLook & { flow: Flow }) {
  const mark = (step: Step) => marked?.get(step.id) ?? "same";
  return (
    <ScrollArea type="auto">
      <Table verticalSpacing={6} fz="sm" data-testid="step-list" aria-label="Steps of the workflow">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Step</Table.Th>
            <Table.Th>Kind</Table.Th>
            <Table.Th>Reads</Table.Th>
            <Table.Th>Gives</Table.Th>
            {states && <Table.Th>State</Table.Th>}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {flow.steps.map((step) => (
            <Table.Tr key={step.id} aria-current={chosen === step.id ? "true" : undefined}>
              <Table.Td style={{ paddingLeft: 10 + 18 * depthOf(flow, step), whiteSpace: "nowrap" }}>
                <Opening step={step} href={href} open={open}>
                  {step.id}
                </Opening>
                {mark(step) !== "same" && (
                  <Text span size="xs" ml={6} c={marks[mark(step)].color}>
                    {marks[mark(step)].sign} {mark(step)}
                  </Text>
                )}
                {inBody(flow, step) && (
                  <Text span size="xs" ml={6} c="var(--fb-quiet)">
                    {inBody(flow, step)}
                  </Text>
                )}
              </Table.Td>
              <Table.Td>{kindWords(step)}</Table.Td>
              <Table.Td className="fb-text">{step.reads.join(", ") || "–"}</Table.Td>
              <Table.Td className="fb-text">{fieldWords(step.gives)}</Table.Td>
              {states && <Table.Td>{states.get(step.id)?.words ?? "waits"}</Table.Td>}
            </Table.Tr>
          ))}
          <Table.Tr>
            <Table.Td>output</Table.Td>
            <Table.Td />
            <Table.Td>{flow.output}</Table.Td>
            <Table.Td />
            {states && <Table.Td />}
          </Table.Tr>
        </Table.Tbody>
        <Table.Caption>Inputs: {fieldWords(flow.inputs)}</Table.Caption>
      </Table>
    </ScrollArea>
  );
}

export function fieldWords(fields: Field[]): string {
  return fields.map(({ name, type }) => `${name}: ${type}`).join(", ") || "–";
}

function inBody(flow: Flow, step: Step): string {
  const around = flow.steps.find((each) => each.id === step.parent);
  if (around === undefined || step.body === "body") return "";
  return around.kind === "branch" ? `if ${step.body}` : step.body;
}

type Opened = Pick<GraphLook, "href" | "open"> & { step: Step; children: ReactNode };

function Opening({ step, href, open, children }: Opened) {
  if (href)
    return (
      <Anchor component={Link} href={href(step.id)} size="sm">
        {children}
      </Anchor>
    );
  if (open)
    return (
      <Anchor component="button" type="button" size="sm" onClick={() => open(step.id)}>
        {children}
      </Anchor>
    );
  return children;
}
