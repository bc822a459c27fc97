import { Anchor, Checkbox, Table, Text } from "@mantine/core";
import { Link } from "wouter";
import type { RunLine } from "../../api/types";
import { places } from "../../app/places";
import { State } from "../../parts/Fate";
import { FromTo, GainText, placeName } from "../../parts/GainText";
import { ariaSort, type Order, SortHead } from "../../parts/Sort";
import { count, money, seconds, when } from "../../parts/words";
import type { RunKey } from "./order";

const HEADS: [RunKey, string, boolean, boolean][] = [
  ["name", "Run", false, false],
  ["state", "State", false, false],
  ["recipe", "Recipe", false, false],
  ["best", "Start → best", true, true],
  ["gain", "Result, gain (95 % interval)", true, false],
  ["usd", "Cost", true, true],
  ["calls", "Calls", true, true],
  ["seconds", "Time", true, true],
  ["began", "Began", true, true],
];

interface RunsTableProps {
  runs: RunLine[];
  order: Order<RunKey>;
  onOrder: (order: Order<RunKey>) => void;
  chosen: string[];
  onChosen: (ids: string[]) => void;
}

export function RunsTable({ runs, order, onOrder, chosen, onChosen }: RunsTableProps) {
  return (
    <div className="fb-scroll-x">
      <Table verticalSpacing={8} horizontalSpacing={8} fz="sm" highlightOnHover stickyHeader data-testid="runs">
        <Table.Thead>
          <Table.Tr>
            <Table.Th w={36}>
              <span className="fb-hidden">Compare</span>
            </Table.Th>
            {HEADS.map(([by, label, down, right]) => (
              <Table.Th key={by} ta={right ? "right" : "left"} aria-sort={ariaSort(order, by)}>
                <SortHead order={order} by={by} label={label} down={down} onOrder={onOrder} />
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {runs.map((run) => (
            <RunRow
              key={run.id}
              run={run}
              chosen={chosen.includes(run.id)}
              onChosen={(on) => onChosen(on ? [...chosen, run.id] : chosen.filter((id) => id !== run.id))}
            />
          ))}
        </Table.Tbody>
      </Table>
    </div>
  );
}

function RunRow({ run, chosen, onChosen }: { run: RunLine; chosen: boolean; onChosen: (on: boolean) => void }) {
  const broke = run.error || (run.state === "failed" ? run.why : "");
  return (
    <Table.Tr bg={chosen ? "var(--fb-panel)" : undefined} data-testid="run-row">
      <Table.Td>
        <Checkbox
          size="xs"
          aria-label={`Compare ${run.name} (${run.id})`}
          checked={chosen}
          onChange={(event) => onChosen(event.currentTarget.checked)}
        />
      </Table.Td>
      <Table.Td miw={200} maw={420}>
        <Anchor
          component={Link}
          href={places.run(run.id)}
          fw={600}
          fz="sm"
          lineClamp={2}
          title={run.name}
          className="fb-text"
        >
          {run.name || run.id}
        </Anchor>
        <Text size="xs" c="var(--fb-quiet)" lineClamp={2} title={run.id} className="fb-text">
          {run.id}
          {run.models.length > 0 && ` · ${run.models.join(", ")}`}
        </Text>
        {broke && (
          <Text size="xs" c="var(--fb-bad)" lineClamp={2} title={broke} className="fb-text" data-testid="run-error">
            <span aria-hidden="true">✕</span> {broke}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        <State state={run.state} />
      </Table.Td>
      <Table.Td>{run.recipe || "–"}</Table.Td>
      <Table.Td ta="right">
        <FromTo from={run.start} to={run.best} fraction={run.fraction} />
      </Table.Td>
      <Table.Td>
        {run.result ? (
          <>
            <GainText found={run.result} fraction={run.fraction} />
            <Text size="xs" c="var(--fb-quiet)" style={{ whiteSpace: "nowrap" }}>
              <FromTo from={run.result.old} to={run.result.new} fraction={run.fraction} /> on {placeName(run.where)}, n
              = {count(run.result.n)}
            </Text>
          </>
        ) : (
          "–"
        )}
      </Table.Td>
      <Table.Td ta="right">{money(run.usd)}</Table.Td>
      <Table.Td ta="right">{count(run.calls)}</Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
        {seconds(run.seconds)}
      </Table.Td>
      <Table.Td ta="right" style={{ whiteSpace: "nowrap" }}>
        {when(run.began)}
      </Table.Td>
    </Table.Tr>
  );
}
