import { Button, Group, SegmentedControl, Table, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Loading, Wrong } from "../../parts/Loading";
import { gain, score } from "../../parts/words";
import { decidingSplit } from "../workflow/looks";
import { type Both, told, useBoth } from "./rows";

interface Props {
  run: Run;
  left: string;
  right: string;
}

/** The scores of two candidates on the same examples: which ones the right one fixed, and which it broke. */
export function ScoresBeside({ run, left, right }: Props) {
  const [split, setSplit] = useState(() => decidingSplit(run.splits));
  const both = useBoth(run.line.id, split, left, right);
  const { fraction } = run.line;
  const names = run.splits.map((each) => each.name);
  return (
    <section aria-label="Scores on the same examples" data-testid="scores-beside">
      <Group justify="space-between" mb="xs">
        <Text component="h2" fz={17} fw={600} m={0}>
          Scores on the same examples
        </Text>
        {names.length > 1 && (
          <SegmentedControl size="xs" data={names} value={split} onChange={setSplit} aria-label="Split" />
        )}
      </Group>
      {both.error && <Wrong error={both.error} />}
      {both.isPending && split !== "" && <Loading />}
      {both.data?.length === 0 && (
        <Text size="sm" c="var(--fb-quiet)">
          No example of {split} has a score of both.
        </Text>
      )}
      {both.data && both.data.length > 0 && (
        <Beside key={split} both={both.data} run={run.line.id} split={split} fraction={fraction} />
      )}
    </section>
  );
}

function Beside({ both, run, split, fraction }: { both: Both[]; run: string; split: string; fraction: boolean }) {
  const { fixed, broken, left, right } = told(both);
  const same = both.length - fixed.length - broken.length;
  return (
    <>
      <Text size="sm" mb="sm">
        {both.length} examples: left {score(left, fraction)}, right {score(right, fraction)} (
        {gain((right ?? 0) - (left ?? 0), fraction)}); {fixed.length} better, {broken.length} worse, {same} alike.
      </Text>
      <div className="fb-two">
        <Flipped title="▲ better on the right" color="var(--fb-good)" rows={fixed} {...{ run, split, fraction }} />
        <Flipped title="▼ worse on the right" color="var(--fb-bad)" rows={broken} {...{ run, split, fraction }} />
      </div>
    </>
  );
}

interface FlippedProps {
  title: string;
  color: string;
  rows: Both[];
  run: string;
  split: string;
  fraction: boolean;
}

const FEW = 12;

function Flipped({ title, color, rows, run, split, fraction }: FlippedProps) {
  const [all, setAll] = useState(false);
  const shown = all ? rows : rows.slice(0, FEW);
  return (
    <div style={{ minWidth: 0 }}>
      <Text size="sm" fw={600} c={color}>
        {title}: {rows.length}
      </Text>
      {rows.length > 0 && (
        <Table fz="sm" verticalSpacing={4} layout="fixed" aria-label={title}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Example</Table.Th>
              <Table.Th w={150} ta="right">
                Left → right
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {shown.map(({ line, left, right }) => (
              <Table.Tr key={line.id}>
                <Table.Td className="fb-cut">
                  <Link className="fb-link" href={places.example(run, split, line.id)}>
                    {line.id}
                  </Link>{" "}
                  <Text span size="sm" c="var(--fb-quiet)">
                    {line.inputs}
                  </Text>
                </Table.Td>
                <Table.Td ta="right">
                  {score(left, fraction)} → {score(right, fraction)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      {shown.length < rows.length && (
        <Button variant="subtle" size="compact-xs" onClick={() => setAll(true)}>
          {rows.length - shown.length} more
        </Button>
      )}
    </div>
  );
}
