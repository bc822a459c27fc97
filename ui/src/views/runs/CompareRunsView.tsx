import { Anchor, SegmentedControl, Text, Title } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { useSource } from "../../api/source";
import type { Run } from "../../api/types";
import { AsTable } from "../../parts/charts/AsTable";
import { Chart } from "../../parts/charts/Chart";
import { type Across, incumbents } from "../../parts/charts/incumbents";
import type { Line } from "../../parts/charts/picture";
import { Loading, Wrong } from "../../parts/Loading";
import { Part } from "../../parts/Part";
import { count, score, seconds } from "../../parts/words";
import { Figures } from "./Figures";

const COLORS = ["--fb-best", "--fb-bad", "--fb-good", "--fb-open", "--fb-quiet"];
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/** Two or more runs side by side: their best scores in one chart, their figures and what was set differently. */
export function CompareRunsView({ ids }: { ids: string[] }) {
  const source = useSource();
  const found = useQueries({
    queries: ids.map((id) => ({
      queryKey: ["compared", id],
      queryFn: () => source.run(id),
      refetchInterval: (query: { state: { data?: Run } }) =>
        source.live && query.state.data?.line.state === "running" ? 5000 : (false as const),
    })),
  });
  const runs = found.map((each) => each.data).filter((each): each is Run => each !== undefined);
  const wrong = found.filter((each) => each.data === undefined && each.error !== null);
  return (
    <>
      <Anchor component={Link} href="/" size="sm">
        All runs
      </Anchor>
      <Title order={1} size="h3" mb="sm">
        {ids.length} runs compared
      </Title>
      {wrong.map((each) => each.error && <Wrong key={each.error.message} error={each.error} />)}
      {runs.length + wrong.length < found.length && <Loading />}
      {runs.length > 0 && <Compared runs={runs} />}
    </>
  );
}

function Compared({ runs }: { runs: Run[] }) {
  const [across, setAcross] = useState<Across>("calls");
  const fraction = runs.every((run) => run.line.fraction);
  const names = useMemo(() => named(runs), [runs]);
  const lines = useMemo(
    () =>
      runs.map(
        (run, at): Line => ({
          name: names[at] ?? run.line.id,
          color: COLORS[at % COLORS.length] ?? "--fb-quiet",
          dash: DASHES[at % DASHES.length],
          stepped: true,
          points: incumbents(run, across),
        }),
      ),
    [runs, names, across],
  );
  const picture = useMemo(
    () => ({ marks: [], lines: runs.length > 3 ? lines.map(bare) : lines }),
    [lines, runs.length],
  );
  const metrics = new Set(runs.map((run) => run.line.metric));
  return (
    <>
      <Part
        title="Best score on validation"
        aside={
          <SegmentedControl
            size="xs"
            aria-label="Across"
            value={across}
            onChange={(value) => setAcross(value as Across)}
            data={["calls", { value: "seconds", label: "time" }]}
          />
        }
      >
        {metrics.size > 1 && (
          <Text size="sm" c="var(--fb-bad)">
            These runs have different metrics ({[...metrics].join(", ")}): their scores do not compare.
          </Text>
        )}
        <Key lines={lines} />
        <Chart
          picture={picture}
          xLabel={across === "calls" ? "LLM calls" : "time"}
          xText={across === "calls" ? count : seconds}
          yText={fraction ? percent : plain}
          label={`The best score of ${runs.length} runs over ${across}: ${runs
            .map(
              (run, at) => `${names[at]} from ${score(run.line.start, fraction)} to ${score(run.line.best, fraction)}`,
            )
            .join("; ")}.`}
        />
        <AsTable
          heads={["Run", across === "calls" ? "Calls" : "Seconds", "Best score"]}
          rows={() =>
            lines.flatMap((line) =>
              line.points.map(([x, y], at) => ({
                key: `${line.name} ${at}`,
                cells: [line.name, count(x), score(y, fraction)],
              })),
            )
          }
        />
      </Part>
      <Figures runs={runs} names={names} />
    </>
  );
}

const percent = (value: number) => `${Math.round(1000 * value) / 10} %`;
const plain = (value: number) => String(Number(value.toPrecision(4)));
const bare = (line: Line): Line => ({ ...line, points: line.points.map(([x, y]) => [x, y]) });

/** The runs' names, with their folders where two have the same. */
function named(runs: Run[]): string[] {
  const seen = runs.map((run) => run.line.name);
  return runs.map(({ line }) => (seen.filter((name) => name === line.name).length > 1 ? line.id : line.name));
}

function Key({ lines }: { lines: Line[] }) {
  return (
    <div className="fb-chart-key">
      {lines.map((line) => (
        <span key={line.name}>
          <svg width={26} height={8} aria-hidden="true">
            <line
              x1={0}
              x2={26}
              y1={4}
              y2={4}
              stroke={`var(${line.color})`}
              strokeWidth={2}
              strokeDasharray={line.dash?.join(" ")}
            />
          </svg>{" "}
          {line.name}
        </span>
      ))}
    </div>
  );
}
