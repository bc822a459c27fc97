import "./compare.css";
import "../workflow/workflow.css";
import { Button, Group, Stack, Text, Title } from "@mantine/core";
import { useMemo } from "react";
import { Link } from "wouter";
import { useCandidate, useRun } from "../../api/hooks";
import type { Candidate, Run } from "../../api/types";
import { places } from "../../app/places";
import { nameOf } from "../../parts/CandidateName";
import { Fate } from "../../parts/Fate";
import { Graph } from "../../parts/graph/Graph";
import { type Mark, marks, marksOf, paired } from "../../parts/graph/marks";
import { Loading, Wrong } from "../../parts/Loading";
import { Trail } from "../../parts/Trail";
import { TextDiff } from "../../parts/text/TextDiff";
import { cost, score } from "../../parts/words";
import { ScoresBeside } from "./ScoresBeside";
import { StepPairs } from "./StepPairs";

/** Two candidates of a run side by side: graphs, steps with what differs, and scores on the same examples. */
export function CompareView({ run: id, left, right }: { run: string; left: string; right: string }) {
  const run = useRun(id);
  const old = useCandidate(id, left);
  const now = useCandidate(id, right);
  const wrong = run.data ? (old.error ?? now.error) : run.error;
  if (wrong) return <Wrong error={wrong} />;
  if (!run.data || !old.data || !now.data) return <Loading />;
  return <Compared key={`${left} ${right}`} run={run.data} left={old.data} right={now.data} />;
}

function Compared({ run, left, right }: { run: Run; left: Candidate; right: Candidate }) {
  const id = run.line.id;
  const pairs = useMemo(() => paired(left.flow, right.flow), [left.flow, right.flow]);
  const marked = useMemo(() => marksOf(pairs), [pairs]);
  const most = Math.max(left.flow.steps.length, right.flow.steps.length);
  const height = Math.min(640, 340 + 60 * most);
  const heads = [headOf(left), headOf(right)];
  return (
    <Stack gap="xl" data-testid="compare-view">
      <div>
        <Trail above={[[run.line.name, places.run(id)]]} here="compare" />
        <Group justify="space-between" mt={4}>
          <Title order={1} fz={22}>
            Two workflows
          </Title>
          <Group gap="sm">
            <Legend marked={marked} />
            <Button component={Link} size="xs" variant="default" href={places.compare(id, right.line.id, left.line.id)}>
              Swap sides
            </Button>
          </Group>
        </Group>
        <div className="fb-two" style={{ marginTop: 12 }}>
          <Side run={run} candidate={left} marked={marked} height={height} side="left" />
          <Side run={run} candidate={right} marked={marked} height={height} side="right" />
        </div>
      </div>
      {heads[0] !== heads[1] && (
        <section>
          <Text component="h2" fz={17} fw={600} m={0} mb="xs">
            The whole
          </Text>
          <TextDiff old={heads[0] ?? ""} now={heads[1] ?? ""} label="Model, inputs, output and tools" />
        </section>
      )}
      <StepPairs pairs={pairs} run={id} left={left.line.id} right={right.line.id} />
      <ScoresBeside run={run} left={left.line.id} right={right.line.id} />
    </Stack>
  );
}

function headOf({ flow }: Candidate): string {
  const tools = Object.entries(flow.tools).map(([name, tool]) => `tool ${name}: ${JSON.stringify(tool)}`);
  const inputs = flow.inputs.map(({ name, type }) => `${name}: ${type}`).join(", ");
  return [`model: ${flow.model}`, `inputs: ${inputs}`, `output: ${flow.output}`, ...tools].join("\n");
}

function Legend({ marked }: { marked: Map<string, Mark> }) {
  const counts = new Map<Mark, number>();
  for (const mark of marked.values()) counts.set(mark, (counts.get(mark) ?? 0) + 1);
  const shown: Mark[] = ["changed", "moved", "added", "removed", "same"];
  return (
    <Text size="sm" data-testid="compare-counts">
      {shown
        .filter((mark) => counts.has(mark))
        .map((mark) => (
          <Text key={mark} span size="sm" mr="sm" c={marks[mark].color}>
            {marks[mark].sign} {counts.get(mark)} {mark}
          </Text>
        ))}
    </Text>
  );
}

interface SideProps {
  run: Run;
  candidate: Candidate;
  marked: Map<string, Mark>;
  height: number;
  side: "left" | "right";
}

function Side({ run, candidate, marked, height, side }: SideProps) {
  const { line, flow } = candidate;
  const id = run.line.id;
  const { fraction } = run.line;
  const href = (step: string) => places.candidate(id, line.id, step);
  return (
    <div style={{ minWidth: 0 }} data-testid={`side-${side}`}>
      <Group gap="md" mb={6} align="baseline">
        <Link href={places.candidate(id, line.id)} className="fb-link fb-strong">
          {nameOf(run, line.id)}
        </Link>
        <span className="fb-fate">
          <Fate fate={line.fate} />
        </span>
        <Text size="sm">
          <b>{score(line.mean, fraction)}</b>
          {line.low !== null && line.high !== null && (
            <Text span size="sm" c="var(--fb-quiet)">
              {" "}
              ({score(line.low, fraction)} to {score(line.high, fraction)})
            </Text>
          )}
        </Text>
        <Text size="sm" c="var(--fb-quiet)">
          {cost(line.cost, run.dollars)} an example
        </Text>
      </Group>
      <Text size="sm" c="var(--fb-quiet)" truncate title={`${line.said}. ${line.hypothesis}`} mb={6} mih={22}>
        {line.hypothesis || line.said}
      </Text>
      <Graph flow={flow} label={`Graph of the workflow on the ${side}`} height={height} marks={marked} href={href} />
    </div>
  );
}
