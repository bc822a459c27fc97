import { SegmentedControl, Table, Text } from "@mantine/core";
import { useState } from "react";
import type { LedgerLine, Run } from "../../api/types";
import { Empty, Part } from "../../parts/Part";
import { count, money, seconds } from "../../parts/words";
import { type Measure, purposes, summed } from "./ledger";
import "./run.css";

const WIDE = 160;

/** What the run cost, by purpose and model. */
export function LedgerPart({ run }: { run: Run }) {
  const priced = run.ledger.some((each) => each.usd);
  const [measure, setMeasure] = useState<Measure>(priced ? "usd" : "tokens");
  if (run.ledger.length === 0)
    return <Empty title="Nothing has been asked yet">Each call to a model is put down here.</Empty>;
  const groups = purposes(run.ledger);
  const value = (line: LedgerLine) => shareOf(line, measure);
  const total = summed(run.ledger);
  const most = Math.max(...run.ledger.map(value), 1e-12);
  return (
    <Part
      title="Cost by purpose and model"
      said="Every call that was paid for; what was read from the journal again cost nothing more"
      aside={
        <SegmentedControl
          size="xs"
          aria-label="Bars show"
          value={measure}
          onChange={(chosen) => setMeasure(chosen as Measure)}
          data={[
            ...(priced ? [{ value: "usd", label: "money" }] : []),
            "tokens",
            "calls",
            { value: "seconds", label: "time" },
          ]}
        />
      }
    >
      <div className="fb-scroll-x">
        <Table fz="sm" verticalSpacing={5} data-testid="ledger">
          <Table.Thead>
            <Table.Tr>
              {["Purpose", "Model"].map((head) => (
                <Table.Th key={head}>{head}</Table.Th>
              ))}
              {["Calls", "Input", "of it cached", "Output", "Retries", "Time", "Money"].map((head) => (
                <Table.Th key={head} ta="right">
                  {head}
                </Table.Th>
              ))}
              <Table.Th>Share of {measure === "usd" ? "money" : measure === "seconds" ? "time" : measure}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {groups.map((lines) =>
              lines.map((line, at) => (
                <Table.Tr key={`${line.purpose} ${line.model}`}>
                  <Table.Th scope="row" fw={500}>
                    {at === 0 ? line.purpose : <span className="fb-hidden">{line.purpose}</span>}
                  </Table.Th>
                  <Table.Td className="fb-text">{line.model || <span className="fb-quiet">not known</span>}</Table.Td>
                  <Numbers line={line} />
                  <Table.Td style={{ whiteSpace: "nowrap" }}>
                    <span className="fb-share" style={{ width: (WIDE * value(line)) / most }} />{" "}
                    <Text span size="xs" c="var(--fb-quiet)">
                      {percent(value(line), value(total))}
                    </Text>
                  </Table.Td>
                </Table.Tr>
              )),
            )}
          </Table.Tbody>
          <Table.Tfoot>
            <Table.Tr fw={600}>
              <Table.Th scope="row">All</Table.Th>
              <Table.Td />
              <Numbers line={total} />
              <Table.Td />
            </Table.Tr>
          </Table.Tfoot>
        </Table>
      </div>
    </Part>
  );
}

function shareOf(line: LedgerLine, measure: Measure): number {
  if (measure === "tokens") return line.input_tokens + line.output_tokens;
  return line[measure] ?? 0;
}

function percent(part: number, whole: number): string {
  const share = whole > 0 ? (100 * part) / whole : 0;
  return share > 0 && share < 0.1 ? "< 0.1 %" : `${share.toFixed(share < 10 ? 1 : 0)} %`;
}

function Numbers({ line }: { line: LedgerLine }) {
  const cells: [string, string][] = [
    ["calls", count(line.calls)],
    ["input", count(line.input_tokens)],
    ["cached", line.cached_tokens ? count(line.cached_tokens) : "–"],
    ["output", count(line.output_tokens)],
    ["retries", line.retries ? count(line.retries) : "–"],
    ["time", seconds(line.seconds)],
    ["money", money(line.usd)],
  ];
  return cells.map(([key, cell]) => (
    <Table.Td
      key={key}
      ta="right"
      style={{ whiteSpace: "nowrap" }}
      c={key === "retries" && line.retries ? "var(--fb-bad)" : undefined}
    >
      {cell}
    </Table.Td>
  ));
}
