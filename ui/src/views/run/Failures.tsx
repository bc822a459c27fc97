import { Anchor, SegmentedControl, Table, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import type { ClusterLine, Run } from "../../api/types";
import { places } from "../../app/places";
import { AsTable } from "../../parts/charts/AsTable";
import { Spark } from "../../parts/charts/Spark";
import { Folded } from "../../parts/Folded";
import { Empty, Part } from "../../parts/Part";
import { ExampleLinks } from "../../parts/text/ExampleLinks";
import { count, short } from "../../parts/words";
import { blamed, overTime } from "./blame";
import "./run.css";

/** Why examples of train failed, cause by cause over the iterations, and which steps were to blame. */
export function Failures({ id, run }: { id: string; run: Run }) {
  return (
    <>
      <Clusters id={id} run={run} />
      <Blame id={id} run={run} />
    </>
  );
}

function Clusters({ id, run }: { id: string; run: Run }) {
  const [shown, setShown] = useState("open");
  const open = run.clusters.filter((each) => each.open).length;
  const rows = shown === "open" && open > 0 ? run.clusters.filter((each) => each.open) : run.clusters;
  const numbers = run.iterations.map((each) => each.number);
  const kept = run.splits.some(({ name }) => name === "train");
  const most = Math.max(1, ...run.clusters.flatMap((each) => each.counts.map(([, failing]) => failing)));
  const tried = Math.max(1, ...run.clusters.flatMap((each) => each.counts.map(([, , edits]) => edits)));
  if (run.clusters.length === 0)
    return (
      <Empty title="No causes of failure on record">
        They are told when the first iteration has read what failed on train.
      </Empty>
    );
  return (
    <Part
      title="Causes of failure"
      said="Examples of train that failed, by cause; open are those that the last iteration still saw"
      aside={
        open > 0 &&
        open < run.clusters.length && (
          <SegmentedControl
            size="xs"
            aria-label="Causes"
            value={shown}
            onChange={setShown}
            data={[
              { value: "open", label: `open ${open}` },
              { value: "all", label: `all ${run.clusters.length}` },
            ]}
          />
        )
      }
    >
      <div className="fb-scroll-x">
        <Table fz="sm" verticalSpacing={8} data-testid="clusters">
          <Table.Thead>
            <Table.Tr>
              {["Cause", "Failing, by iteration", "Edits tried for it", "Failing examples of train"].map((head) => (
                <Table.Th key={head}>{head}</Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((each) => (
              <Table.Tr key={each.name} style={{ verticalAlign: "top" }}>
                <Table.Td miw={320}>
                  <Text size="sm" fw={600} className="fb-text">
                    {each.name}{" "}
                    <Text span size="xs" fw={400} c={each.open ? "var(--fb-bad)" : "var(--fb-good)"}>
                      {each.open ? "● open" : "✓ gone"}
                    </Text>
                  </Text>
                  {each.defect && each.defect !== each.name && (
                    <Text className="fb-text" size="sm">
                      {each.defect}
                    </Text>
                  )}
                  {each.rule && (
                    <Text className="fb-text" size="sm" c="var(--fb-quiet)">
                      Rule: {each.rule}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>
                  <Counts
                    line={each}
                    numbers={numbers}
                    most={most}
                    at={1}
                    what="failing examples"
                    color="var(--fb-bad)"
                  />
                </Table.Td>
                <Table.Td>
                  <Counts line={each} numbers={numbers} most={tried} at={2} what="edits tried" color="var(--fb-open)" />
                </Table.Td>
                <Table.Td maw={360}>
                  {kept ? (
                    <ExampleLinks run={id} split="train" ids={each.examples} none="–" />
                  ) : (
                    <Folded text={each.examples.join("  ")} lines={3} />
                  )}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </div>
      <AsTable
        heads={["Cause", "Iteration", "Failing examples", "Edits tried"]}
        rows={() =>
          rows.flatMap((each) =>
            each.counts.map(([number, failing, edits]) => ({
              key: `${each.name} ${number}`,
              cells: [each.name, number, failing, edits],
            })),
          )
        }
      />
    </Part>
  );
}

interface CountsProps {
  line: ClusterLine;
  numbers: number[];
  most: number;
  at: 1 | 2;
  what: string;
  color: string;
}

function Counts({ line, numbers, most, at, what, color }: CountsProps) {
  const values = overTime(line.counts, numbers, at);
  const last = line.counts.at(-1)?.[at] ?? 0;
  const first = line.counts.at(0)?.[at] ?? 0;
  return (
    <span style={{ whiteSpace: "nowrap" }}>
      <Spark
        values={values}
        most={most}
        color={color}
        label={`${what} over ${numbers.length} iterations: ${count(first)} at first, ${count(last)} when last seen`}
      />{" "}
      {count(last)}
    </span>
  );
}

function Blame({ id, run }: { id: string; run: Run }) {
  const steps = useMemo(() => blamed(run.iterations), [run.iterations]);
  if (run.iterations.length === 0) return null;
  return (
    <Part title="Steps to blame" said="Shares of the blame for what failed on train, by iteration">
      {steps.length === 0 ? (
        <Text size="sm" c="var(--fb-quiet)">
          No step was blamed for anything.
        </Text>
      ) : (
        <div className="fb-scroll-x">
          <Table fz="sm" verticalSpacing={5} w="auto" miw={520} data-testid="blame">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>Step</Table.Th>
                <Table.Th>Share, by iteration</Table.Th>
                <Table.Th ta="right">Last</Table.Th>
                <Table.Th ta="right">Mean</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {steps.map(({ step, shares, mean }) => (
                <Table.Tr key={step}>
                  <Table.Th scope="row" fw={400} className="fb-mono">
                    {step}
                  </Table.Th>
                  <Table.Td>
                    <Spark
                      values={shares}
                      most={1}
                      color="var(--fb-best)"
                      label={`share of the blame of ${step}: ${percent(shares.at(-1) ?? 0)} at last, ${percent(mean)} on average`}
                    />
                  </Table.Td>
                  <Table.Td ta="right">{percent(shares.at(-1) ?? 0)}</Table.Td>
                  <Table.Td ta="right">{percent(mean)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <AsTable
        heads={["Iteration", "Parent", "Read", "Failed", "Most to blame"]}
        what="Show the iterations as table"
        rows={() =>
          run.iterations.map((each) => ({
            key: String(each.number),
            cells: [
              each.number,
              <Anchor key="parent" component={Link} inherit href={places.candidate(id, each.parent)}>
                {short(each.parent)}
              </Anchor>,
              count(each.items),
              count(each.failed),
              each.blame.map(([step, share]) => `${step} ${percent(share)}`).join(", ") || "–",
            ],
          }))
        }
      />
    </Part>
  );
}

const percent = (share: number) => `${Math.round(100 * share)} %`;
