import { Anchor, Table, Text } from "@mantine/core";
import { Link } from "wouter";
import type { Outcome, Run } from "../../api/types";
import { places } from "../../app/places";
import { GainBar, reachOf } from "../../parts/charts/GainBar";
import { GainText, placeName } from "../../parts/GainText";
import { Part } from "../../parts/Part";
import { chance, count, score, short } from "../../parts/words";

const ORDER = ["test", "confirm", "val"];
const OUTCOMES: Record<string, string> = {
  confirmed: "Confirmed: the finalist beat the start on examples that the search never saw.",
  undecided: "Undecided: the finalist did not beat the start on examples kept back, so the start stays.",
  unconfirmed: "Not confirmed: there were no examples kept back to test the finalist on.",
  start: "The start stays: nothing beat it.",
};

/** What the run came to, by split; the outcome in words; what each part of the search brought. */
export function Result({ id, run }: { id: string; run: Run }) {
  const { fraction } = run.line;
  const names = Object.keys(run.tables).sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
  const reach = reachOf(Object.values(run.tables));
  if (names.length === 0 && run.outcome === null && run.parts.length < 2) return null;
  return (
    <div className={run.parts.length > 1 ? "fb-columns fb-columns-wide" : "fb-columns"}>
      <Part title="Result" said="Start against best on the same examples, scores paired">
        {run.outcome && <Ending id={id} outcome={run.outcome} />}
        {names.length === 0 ? (
          <Text size="sm" c="var(--fb-quiet)">
            Start and best have not been compared yet.
          </Text>
        ) : (
          <div className="fb-scroll-x">
            <Table
              fz="sm"
              verticalSpacing={6}
              horizontalSpacing="xs"
              w="auto"
              className="fb-tight"
              data-testid="result"
            >
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>On</Table.Th>
                  <Table.Th ta="right">Start</Table.Th>
                  <Table.Th ta="right">Best</Table.Th>
                  <Table.Th>Gain (95 % interval)</Table.Th>
                  <Table.Th>
                    <span className="fb-hidden">Gain drawn</span>
                  </Table.Th>
                  <Table.Th ta="right">P(gain &gt; 0)</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {names.map((name) => {
                  const found = run.tables[name];
                  if (found === undefined) return null;
                  return (
                    <Table.Tr key={name}>
                      <Table.Th scope="row" fw={500}>
                        {placeName(name)}{" "}
                        <Text span size="xs" fw={400} c="var(--fb-quiet)">
                          n = {count(found.n)}
                        </Text>
                      </Table.Th>
                      <Table.Td ta="right">{score(found.old, fraction)}</Table.Td>
                      <Table.Td ta="right" fw={600}>
                        {score(found.new, fraction)}
                      </Table.Td>
                      <Table.Td>
                        <GainText found={found} fraction={fraction} />
                      </Table.Td>
                      <Table.Td>
                        <GainBar found={found} reach={reach} fraction={fraction} />
                      </Table.Td>
                      <Table.Td ta="right">{chance(found.p_gain)}</Table.Td>
                    </Table.Tr>
                  );
                })}
              </Table.Tbody>
            </Table>
          </div>
        )}
      </Part>
      {run.parts.length > 1 && (
        <Part title="By part of the search" said="Best on validation behind each part">
          <Table fz="sm" verticalSpacing={5} w="auto" miw={260}>
            <Table.Tbody>
              {run.parts.map(([name, value]) => (
                <Table.Tr key={name}>
                  <Table.Th scope="row" fw={400}>
                    {name}
                  </Table.Th>
                  <Table.Td ta="right">{score(value, fraction)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Part>
      )}
    </div>
  );
}

function sentence(text: string): string {
  const whole = text && !/[.!?]$/.test(text) ? `${text}.` : text;
  return whole.charAt(0).toUpperCase() + whole.slice(1);
}

function Ending({ id, outcome }: { id: string; outcome: Outcome }) {
  return (
    <Text size="sm" mb="xs" className="fb-text" data-testid="outcome">
      <Text span inherit fw={600}>
        {OUTCOMES[outcome.decision] ?? outcome.decision}
      </Text>{" "}
      {sentence(outcome.why)}
      {outcome.finalist && (
        <>
          {" "}
          Finalist:{" "}
          <Anchor component={Link} inherit href={places.candidate(id, outcome.finalist)}>
            {short(outcome.finalist)}
          </Anchor>
          {outcome.tested > 0 && `, of ${count(outcome.tested)} candidates raced`}.
        </>
      )}
    </Text>
  );
}
