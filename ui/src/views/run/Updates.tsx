import { Anchor, Button, SegmentedControl, Table, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Folded } from "../../parts/Folded";
import { Part } from "../../parts/Part";
import { gain, score, short } from "../../parts/words";

const MOST = 60;

/** What the gradients changed update by update, and the moves that were tried without a meta model. */
export function Updates({ id, run }: { id: string; run: Run }) {
  return (
    <>
      {run.updates.length > 0 && <UpdateTable id={id} run={run} />}
      {run.moves.length > 0 && <Moves id={id} run={run} />}
    </>
  );
}

function UpdateTable({ id, run }: { id: string; run: Run }) {
  const changing = run.updates.filter((each) => each.changed).length;
  const [which, setWhich] = useState(changing > 0 ? "changing" : "every");
  const [all, setAll] = useState(false);
  const found = which === "changing" ? run.updates.filter((each) => each.changed) : run.updates;
  const rows = all ? found : found.slice(0, MOST);
  return (
    <Part
      title="Updates"
      said="One step of the gradients each: the mean of its batch before it, and what it changed"
      aside={
        <SegmentedControl
          size="xs"
          aria-label="Updates"
          value={which}
          onChange={setWhich}
          data={[
            { value: "changing", label: `with a change ${changing}` },
            { value: "every", label: `all ${run.updates.length}` },
          ]}
        />
      }
    >
      <Table fz="sm" verticalSpacing={6} data-testid="updates">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Update</Table.Th>
            <Table.Th ta="right">Batch before</Table.Th>
            <Table.Th>Changed</Table.Th>
            <Table.Th>Workflow</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {rows.map((each, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: updates are only ever put behind one another
            <Table.Tr key={at} style={{ verticalAlign: "top" }}>
              <Table.Td style={{ whiteSpace: "nowrap" }}>{each.name}</Table.Td>
              <Table.Td ta="right">{score(each.batch_mean, run.line.fraction)}</Table.Td>
              <Table.Td>
                {each.changed ? <Folded text={each.changed} /> : <span className="fb-quiet">nothing</span>}
              </Table.Td>
              <Table.Td className="fb-mono">
                <Anchor component={Link} inherit href={places.candidate(id, each.workflow)}>
                  {short(each.workflow)}
                </Anchor>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {rows.length < found.length && (
        <Button variant="subtle" size="compact-sm" mt="xs" onClick={() => setAll(true)}>
          Show all {found.length}
        </Button>
      )}
    </Part>
  );
}

function Moves({ id, run }: { id: string; run: Run }) {
  return (
    <Part title="Moves" said="Changes that need no meta model">
      <Table fz="sm" verticalSpacing={6} data-testid="moves">
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Move</Table.Th>
            <Table.Th>Kept</Table.Th>
            <Table.Th ta="right">Gain</Table.Th>
            <Table.Th>Why</Table.Th>
            <Table.Th>Workflow</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {run.moves.map((each, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: moves are only ever put behind one another
            <Table.Tr key={at} style={{ verticalAlign: "top" }}>
              <Table.Td>{each.name}</Table.Td>
              <Table.Td style={{ whiteSpace: "nowrap" }}>
                <Text span inherit c={each.kept ? "var(--fb-good)" : "var(--fb-bad)"}>
                  {each.kept ? "▲ kept" : "✕ not kept"}
                </Text>
              </Table.Td>
              <Table.Td ta="right">{gain(each.gain, run.line.fraction)}</Table.Td>
              <Table.Td className="fb-text">{each.why || "–"}</Table.Td>
              <Table.Td className="fb-mono">
                {each.candidate ? (
                  <Anchor component={Link} inherit href={places.candidate(id, each.candidate)}>
                    {short(each.candidate)}
                  </Anchor>
                ) : (
                  "–"
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Part>
  );
}
