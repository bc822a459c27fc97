import { Anchor, Table, Text } from "@mantine/core";
import { Link } from "wouter";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Part } from "../../parts/Part";
import { flat } from "../../parts/settings";
import { count, when } from "../../parts/words";

/** What was asked for and on what: settings, splits, the budget, versions, and what the run says of itself. */
export function About({ id, run }: { id: string; run: Run }) {
  const { line } = run;
  const facts: [string, string][] = [
    ["Folder", line.id],
    ["Recipe", line.recipe],
    ["Metric", line.metric],
    ["Models", line.models.join(", ")],
    ["Seed", run.seed === null ? "" : String(run.seed)],
    ["Began", when(line.began)],
    ["Last sign of life", when(line.last)],
    ["Stretches", `${run.stretches}${run.stretches > 1 ? ": taken up again after each but the last" : ""}`],
    ["FlowBot", run.version],
  ];
  const bounds = Object.entries(run.budget).map(([name, value]): [string, string] => [
    name,
    value === null ? "no bound" : count2(value),
  ]);
  return (
    <>
      {run.description && (
        <Part title="Task">
          <Text size="sm" className="fb-text" maw={860}>
            {run.description}
          </Text>
        </Part>
      )}
      {run.notes.length > 0 && (
        <Part title="Notes" said="What the run has to say of itself">
          <ul style={{ margin: 0, paddingLeft: 20 }}>
            {run.notes.map((note) => (
              <li key={note}>
                <Text size="sm" className="fb-text">
                  {note}
                </Text>
              </li>
            ))}
          </ul>
        </Part>
      )}
      <div className="fb-columns">
        <div>
          <Part title="Run">
            <Facts rows={facts.filter(([, value]) => value)} />
          </Part>
          {bounds.length > 0 && (
            <Part title="Budget">
              <Facts rows={bounds} />
            </Part>
          )}
          {run.splits.length > 0 && (
            <Part title="Examples">
              <Table fz="sm" verticalSpacing={4} w="auto" miw={260}>
                <Table.Tbody>
                  {run.splits.map((split) => (
                    <Table.Tr key={split.name}>
                      <Table.Th scope="row" fw={400}>
                        <Anchor component={Link} inherit href={places.examples(id, split.name)}>
                          {split.name}
                        </Anchor>
                      </Table.Th>
                      <Table.Td ta="right">{count(split.count)}</Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </Part>
          )}
        </div>
        <Part title="Settings of the recipe">
          <Facts rows={flat(run.settings)} mono />
        </Part>
      </div>
    </>
  );
}

function count2(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 4 });
}

function Facts({ rows, mono = false }: { rows: [string, string][]; mono?: boolean }) {
  if (rows.length === 0)
    return (
      <Text size="sm" c="var(--fb-quiet)">
        None on record.
      </Text>
    );
  return (
    <Table fz="sm" verticalSpacing={4} data-testid={mono ? "settings" : undefined}>
      <Table.Tbody>
        {rows.map(([name, value]) => (
          <Table.Tr key={name} style={{ verticalAlign: "top" }}>
            <Table.Th scope="row" fw={400} c="var(--fb-quiet)" className={mono ? "fb-mono" : undefined} w={200}>
              {name}
            </Table.Th>
            <Table.Td className={mono ? "fb-text fb-mono" : "fb-text"}>{value}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
