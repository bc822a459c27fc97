import { Group, Stack, Table, Text } from "@mantine/core";
import type { Candidate, Run } from "../../api/types";
import { ExampleLinks } from "../../parts/text/ExampleLinks";
import { chance, count, gain, interval, money } from "../../parts/words";
import { decidingSplit } from "./looks";

/** How a candidate was decided on, in a line; behind it the rungs of its race, what was predicted, and its price. */
export function Decided({ run, candidate }: { run: Run; candidate: Candidate }) {
  const { decision, rungs, flips, paid } = candidate;
  const price = Object.entries(paid).filter(([, value]) => value !== null);
  const { fraction } = run.line;
  if (decision === null && rungs.length === 0 && flips.length === 0 && price.length === 0) return null;
  const left = candidate.line.fate === "dropped" ? "It left the race before a decision." : "";
  const told = decision ? decisionWords(decision, fraction) : left;
  return (
    <details className="fb-decided" data-testid="decided">
      <summary>
        <Text span size="sm" c="var(--mantine-color-text)">
          {told}
        </Text>{" "}
        {told ? "How it was decided" : "What it took"}
      </summary>
      <Group align="flex-start" gap={48} mt="sm">
        <Stack gap={6} maw={620}>
          {decision?.why && (
            <Text size="sm" className="fb-text">
              {decision.why}
            </Text>
          )}
          {decision && <Flips run={run} candidate={candidate} />}
          {price.length > 0 && (
            <Text size="sm">
              <Quiet>The proposal took </Quiet>
              {price.map(([name, value]) => priceWords(name, value ?? 0)).join(", ")}
            </Text>
          )}
        </Stack>
        {rungs.length > 0 && <Rungs rungs={rungs} fraction={fraction} />}
      </Group>
    </details>
  );
}

export function decisionWords(decision: NonNullable<Candidate["decision"]>, fraction: boolean): string {
  const { gain: mean, low, high, p_gain } = decision;
  const open = decision.undecided && decision.decision !== "undecided" ? ", undecided" : "";
  const said = decision.decision === "pooled" ? "kept beside the best" : decision.decision;
  const word = `${said.charAt(0).toUpperCase()}${said.slice(1)}${open}`;
  return `${word}: ${gain(mean, fraction)} (${interval(low, high, fraction)}), P(better) ${chance(p_gain)}.`;
}

export function priceWords(name: string, value: number): string {
  if (name === "usd") return money(value);
  const words = name.replaceAll("_", " ");
  return `${count(value)} ${value === 1 ? words.replace(/s$/, "") : words}`;
}

function Quiet({ children }: { children: string }) {
  return (
    <Text span size="sm" c="var(--fb-quiet)">
      {children}
    </Text>
  );
}

function Flips({ run, candidate }: { run: Run; candidate: Candidate }) {
  const { decision, flips } = candidate;
  const deciding = decidingSplit(run.splits);
  const train = run.splits.find((each) => each.name === "train")?.name ?? deciding;
  if (decision === null) return null;
  const known = new Set([...decision.hit, ...decision.missed]);
  const lines: [string, string, string[], string][] = [
    ["▲ fixed", "var(--fb-good)", decision.fixed, deciding],
    ["▼ broke", "var(--fb-bad)", decision.broken, deciding],
  ];
  if (flips.length > 0) {
    lines.push(["✓ predicted and fixed", "var(--fb-good)", decision.hit, train]);
    lines.push(["✕ predicted, not fixed", "var(--fb-bad)", decision.missed, train]);
    const open = flips.filter((each) => !known.has(each));
    if (open.length > 0) lines.push(["… predicted, not seen", "var(--fb-quiet)", open, train]);
  }
  return lines.map(([words, color, ids, split]) => (
    <Text key={words} size="sm" component="div">
      <Text span size="sm" c={color} fw={600} mr={8}>
        {words} {ids.length}
      </Text>
      <ExampleLinks run={run.line.id} split={split} ids={ids} none="" />
    </Text>
  ));
}

function Rungs({ rungs, fraction }: { rungs: Candidate["rungs"]; fraction: boolean }) {
  return (
    <Table w="auto" fz="sm" verticalSpacing={3} aria-label="Rungs of its race">
      <Table.Thead>
        <Table.Tr>
          <Table.Th>Race: items</Table.Th>
          <Table.Th>Gain</Table.Th>
          <Table.Th>P(better)</Table.Th>
          <Table.Th>Went on</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {rungs.map((each) => (
          <Table.Tr key={each.items}>
            <Table.Td>{each.items}</Table.Td>
            <Table.Td>{gain(each.gain, fraction)}</Table.Td>
            <Table.Td>{chance(each.p_gain)}</Table.Td>
            <Table.Td>{each.stays ? "yes" : "no"}</Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  );
}
