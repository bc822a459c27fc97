import { Anchor, Table, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "wouter";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { State } from "../../parts/Fate";
import { GainText, placeName } from "../../parts/GainText";
import { count, money, score, seconds } from "../../parts/words";
import { differing } from "./differ";

const ROWS: [string, (run: Run) => ReactNode][] = [
  ["State", ({ line }) => <State state={line.state} />],
  ["Start, validation", ({ line }) => score(line.start, line.fraction)],
  ["Best, validation", ({ line }) => score(line.best, line.fraction)],
  ["Result", ({ line }) => (line.result ? placeName(line.where) : "–")],
  ["Start there", ({ line }) => score(line.result?.old, line.fraction)],
  ["Best there", ({ line }) => score(line.result?.new, line.fraction)],
  [
    "Gain (95 % interval)",
    ({ line }) => (line.result ? <GainText found={line.result} fraction={line.fraction} /> : "–"),
  ],
  ["Outcome", ({ outcome }) => outcome?.decision ?? "–"],
  ["LLM calls", ({ line }) => count(line.calls)],
  ["Tokens", ({ line }) => count(line.tokens)],
  ["Money", ({ line }) => money(line.usd)],
  ["Time", ({ line }) => seconds(line.seconds)],
  ["Candidates", ({ line }) => count(line.candidates)],
  ["On the front", ({ front }) => count(front.length)],
];

/** What runs came to and cost, one column a run, and the settings that are not the same. */
export function Figures({ runs, names }: { runs: Run[]; names: string[] }) {
  const settings = differing(runs);
  return (
    <>
      <Title order={2} size="h5" mt="lg" mb="xs">
        Figures
      </Title>
      <div className="fb-scroll-x">
        <Table fz="sm" verticalSpacing={5} w="auto" miw={480} data-testid="figures">
          <Heads runs={runs} names={names} />
          <Table.Tbody>
            {ROWS.map(([name, cell]) => (
              <Table.Tr key={name}>
                <Table.Th scope="row" fw={400} c="var(--fb-quiet)">
                  {name}
                </Table.Th>
                {runs.map((run) => (
                  <Table.Td key={run.line.id} ta="right">
                    {cell(run)}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
      <Title order={2} size="h5" mt="lg" mb="xs">
        Settings that differ
      </Title>
      {settings.length === 0 ? (
        <Text size="sm" c="var(--fb-quiet)">
          All that is recorded of these runs' settings is the same.
        </Text>
      ) : (
        <div className="fb-scroll-x">
          <Table fz="sm" verticalSpacing={5} w="auto" miw={480} data-testid="settings-differ">
            <Heads runs={runs} names={names} />
            <Table.Tbody>
              {settings.map(([name, values]) => (
                <Table.Tr key={name}>
                  <Table.Th scope="row" fw={400} className="fb-mono" c="var(--fb-quiet)">
                    {name}
                  </Table.Th>
                  {values.map((value, at) => (
                    <Table.Td key={runs[at]?.line.id} ta="right" maw={320} className="fb-text">
                      {value}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
    </>
  );
}

function Heads({ runs, names }: { runs: Run[]; names: string[] }) {
  return (
    <Table.Thead>
      <Table.Tr>
        <Table.Td />
        {runs.map((run, at) => (
          <Table.Th key={run.line.id} ta="right" maw={320}>
            <Anchor component={Link} href={places.run(run.line.id)} inherit className="fb-text">
              {names[at]}
            </Anchor>
          </Table.Th>
        ))}
      </Table.Tr>
    </Table.Thead>
  );
}
