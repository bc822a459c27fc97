import { Group, Stack, Text } from "@mantine/core";
import { Link } from "wouter";
import type { Ancestor, Candidate, Run } from "../../api/types";
import { places } from "../../app/places";
import { ExampleLinks } from "../../parts/text/ExampleLinks";
import { DiffForm, TextDiff } from "../../parts/text/TextDiff";
import { gain, score } from "../../parts/words";
import { decidingSplit } from "./looks";

/** A change of the way that touched a step: what the step said before (null: it was not there) and after. */
export interface StepChange {
  place: number;
  by: Ancestor;
  before: Ancestor | null;
  old: string | null;
  now: string | null;
}

/** The changes of a way that touched what a step says, newest first; its coming is one. */
export function changesOf(way: Ancestor[], step: string): StepChange[] {
  const found: StepChange[] = [];
  way.forEach((by, place) => {
    const before = way[place - 1] ?? null;
    const old = before?.steps[step] ?? null;
    const now = by.steps[step] ?? null;
    if (old !== now) found.unshift({ place, by, before, old, now });
  });
  return found;
}

/** How a step came to say what it says: each edit with its text diff, and the examples that it fixed and broke. */
export function StepHistory({ run, candidate, step }: { run: Run; candidate: Candidate; step: string }) {
  const changes = changesOf(candidate.way, step);
  const id = run.line.id;
  const split = decidingSplit(run.splits);
  if (changes.length === 0)
    return (
      <Text size="sm" c="var(--fb-quiet)">
        {run.content
          ? "This step has no text of its own; what is set of it stands under Step."
          : "Texts were left out on request."}
      </Text>
    );
  return (
    <Stack gap="lg" data-testid="step-history">
      <Group justify="space-between">
        <Text size="sm" c="var(--fb-quiet)">
          {changes.length} {changes.length === 1 ? "text" : "texts"} over {candidate.way.length} workflows, newest first
        </Text>
        <DiffForm />
      </Group>
      {changes.map(({ place, by, before, old, now }) => (
        <section key={place}>
          <Group gap="xs" mb={2} wrap="nowrap" justify="space-between" align="baseline">
            <Text size="sm" fw={600}>
              {place}.{" "}
              <Link className="fb-link" href={places.candidate(id, by.id, step)}>
                {by.name}
              </Link>
            </Text>
            <Text size="sm" style={{ whiteSpace: "nowrap" }}>
              {score(by.mean, run.line.fraction)}
              {before && by.mean !== null && before.mean !== null && (
                <Text span size="sm" c="var(--fb-quiet)">
                  {" "}
                  ({gain(by.mean - before.mean, run.line.fraction)})
                </Text>
              )}
            </Text>
          </Group>
          {by.hypothesis && (
            <Text size="sm" className="fb-text" mb={4}>
              {by.hypothesis}
            </Text>
          )}
          {old === null && <Told words={place === 0 ? "As the run began" : "The step came with this edit"} />}
          {now === null && <Told words="The step was taken away" />}
          <TextDiff old={old ?? ""} now={now ?? ""} label={`Change of ${step} by ${by.name}`} />
          {before && <Moved run={id} split={split} by={by} />}
        </section>
      ))}
    </Stack>
  );
}

function Told({ words }: { words: string }) {
  return (
    <Text size="xs" c="var(--fb-quiet)" mb={4}>
      {words}
    </Text>
  );
}

/** Which examples an edit fixed and broke, as links. */
export function Moved({ run, split, by }: { run: string; split: string; by: Ancestor }) {
  return (
    <div style={{ marginTop: 6 }}>
      <Text size="sm" component="div">
        <Text span size="sm" c="var(--fb-good)" fw={600} mr={8}>
          ▲ fixed {by.fixed.length}
        </Text>
        <ExampleLinks run={run} split={split} ids={by.fixed} none="none" />
      </Text>
      <Text size="sm" component="div">
        <Text span size="sm" c="var(--fb-bad)" fw={600} mr={8}>
          ▼ broke {by.broken.length}
        </Text>
        <ExampleLinks run={run} split={split} ids={by.broken} none="none" />
      </Text>
    </div>
  );
}
