import { Button, Group, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";
import { Link } from "wouter";
import { useHome } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Candidate, Run } from "../../api/types";
import { places } from "../../app/places";
import { nameOf } from "../../parts/CandidateName";
import { Fate } from "../../parts/Fate";
import { Folded } from "../../parts/Folded";
import { Trail } from "../../parts/Trail";
import { chance, cost, gain, score } from "../../parts/words";

/** What a candidate is and what it is worth: its fate, score, cost and idea, and where to go from here. */
export function CandidateHead({ run, candidate }: { run: Run; candidate: Candidate }) {
  const { line } = candidate;
  const { fraction } = run.line;
  const id = run.line.id;
  return (
    <header data-testid="candidate-head">
      <Trail above={[[run.line.name, places.run(id)]]} here={`workflow ${nameOf(run, line.id)}`} />
      <Group justify="space-between" align="flex-start" gap="md" mt={4}>
        <Group gap="md" align="baseline">
          <Title order={1} fz={22} style={{ overflowWrap: "anywhere" }}>
            {candidate.flow.name || "Workflow"}{" "}
            <Text span fz={16} c="var(--fb-quiet)" className="fb-mono">
              {line.id.slice(0, 10)}
            </Text>
          </Title>
          <span className="fb-fate">
            <Fate fate={line.fate} said={line.said} />
          </span>
        </Group>
        <Ways run={run} candidate={candidate} />
      </Group>
      <Group gap="xl" mt={8} component="dl" m={0}>
        <Figure name="Score" words={score(line.mean, fraction)}>
          {line.low !== null && line.high !== null && `${score(line.low, fraction)} to ${score(line.high, fraction)}`}
        </Figure>
        <Figure name="Measured on" words={line.items > 0 ? `${line.items} examples` : "–"}>
          {line.failed > 0 && `${line.failed} failed`}
        </Figure>
        {line.gain !== null && (
          <Figure name="Gain over the best of then" words={gain(line.gain, fraction)}>
            {line.p_gain !== null && `P(better) ${chance(line.p_gain)}`}
          </Figure>
        )}
        <Figure name="Cost of an example" words={cost(line.cost, run.dollars)} />
        {line.operator && (
          <Figure name="Made by" words={line.operator.replaceAll("_", " ")}>
            {madeAt(line.number)}
          </Figure>
        )}
      </Group>
      {line.hypothesis && (
        <Text component="div" mt={10} size="sm" maw={1000}>
          <Text size="sm" c="var(--fb-quiet)">
            Hypothesis
          </Text>
          <Folded text={line.hypothesis} lines={4} />
        </Text>
      )}
    </header>
  );
}

const madeAt = (number: number) => (number > 0 ? `iteration ${number}` : "");

function Figure({ name, words, children }: { name: string; words: string; children?: ReactNode }) {
  return (
    <div>
      <Text component="dt" size="xs" c="var(--fb-quiet)">
        {name}
      </Text>
      <Text component="dd" m={0} size="sm">
        <b>{words}</b>{" "}
        {children && (
          <Text span size="sm" c="var(--fb-quiet)">
            {children}
          </Text>
        )}
      </Text>
    </div>
  );
}

function Ways({ run, candidate }: { run: Run; candidate: Candidate }) {
  const source = useSource();
  const home = useHome();
  const { line } = candidate;
  const id = run.line.id;
  const others: [string, string | null][] = [
    ["parent", line.parent],
    ["start", run.start_id],
    ["best", run.best_id],
  ];
  const shown = others.filter(
    ([, other], at) => other && other !== line.id && others.findIndex(([, each]) => each === other) === at,
  );
  const draws = candidate.draws.some((each) => each.count > 0);
  return (
    <Group gap={6}>
      {shown.length > 0 && (
        <Text size="sm" c="var(--fb-quiet)">
          Compare with
        </Text>
      )}
      {shown.map(([name, other]) => (
        <Button
          key={name}
          component={Link}
          href={name === "best" ? places.compare(id, line.id, other ?? "") : places.compare(id, other ?? "", line.id)}
          variant="default"
          size="xs"
          aria-label={`Compare with the ${name}`}
          data-testid={`compare-${name}`}
        >
          {name}
        </Button>
      ))}
      {draws && (
        <Button component={Link} href={places.examples(id)} variant="default" size="xs">
          Examples
        </Button>
      )}
      {source.live && home.data?.can_try && (
        <Button component={Link} href={places.attempt(id, line.id)} size="xs" data-testid="try-it">
          Try it
        </Button>
      )}
    </Group>
  );
}
