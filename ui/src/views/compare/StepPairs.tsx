import { Button, Group, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import type { Step } from "../../api/types";
import { places } from "../../app/places";
import { marks, type Pair } from "../../parts/graph/marks";
import { fieldWords } from "../../parts/graph/StepList";
import { kindWords, textOf } from "../../parts/graph/steps";
import { DiffForm, TextDiff } from "../../parts/text/TextDiff";
import { plain } from "../../parts/values";

interface Props {
  pairs: Pair[];
  run: string;
  left: string;
  right: string;
}

/** The steps of two workflows beside each other, those that differ with what differs; the others folded. */
export function StepPairs({ pairs, run, left, right }: Props) {
  const [all, setAll] = useState(false);
  const same = pairs.filter((each) => each.mark === "same").length;
  const shown = all ? pairs : pairs.filter((each) => each.mark !== "same");
  return (
    <section aria-label="Steps" data-testid="step-pairs">
      <Group justify="space-between" mb="sm">
        <Text component="h2" fz={17} fw={600} m={0}>
          Steps
        </Text>
        <DiffForm />
      </Group>
      {shown.length === 0 && (
        <Text size="sm" c="var(--fb-quiet)">
          All steps are the same.
        </Text>
      )}
      <Stack gap="xl">
        {shown.map((pair) => (
          <StepPair key={pair.id} pair={pair} href={places.candidate(run, pair.new ? right : left, pair.id)} />
        ))}
      </Stack>
      {same > 0 && (
        <Button variant="subtle" size="compact-sm" mt="sm" onClick={() => setAll(!all)} aria-expanded={all}>
          {all ? "Hide" : "Show"} {same} {same === 1 ? "step that is" : "steps that are"} the same
        </Button>
      )}
    </section>
  );
}

function StepPair({ pair, href }: { pair: Pair; href: string }) {
  const { old, new: now, mark, id } = pair;
  const { sign, color } = marks[mark];
  const step = now ?? old;
  if (step === null) return null;
  const [was, is] = [old ? textOf(old) : "", now ? textOf(now) : ""];
  const [wasSet, isSet] = [old ? settingsOf(old) : "", now ? settingsOf(now) : ""];
  const what = step.code && !step.prompt ? "code" : "prompt";
  return (
    <div data-testid={`pair-${id}`}>
      <Group gap="sm" mb={4} align="baseline">
        <Link href={href} className="fb-link fb-strong">
          {id}
        </Link>
        <Text size="sm" fw={600} c={color}>
          {sign} {mark}
        </Text>
        <Text size="sm" c="var(--fb-quiet)">
          {kindWords(step)}
        </Text>
      </Group>
      {mark !== "same" && (
        <Stack gap="xs">
          {mark === "moved" && (
            <Text size="sm">
              {placeOf(old)} → {placeOf(now)}
            </Text>
          )}
          {was !== is && <TextDiff old={was} now={is} label={`The ${what} of ${id}`} />}
          {wasSet !== isSet && <TextDiff old={wasSet} now={isSet} label={`What is set of ${id}`} />}
        </Stack>
      )}
    </div>
  );
}

function placeOf(step: Step | null): string {
  return step?.parent ? `${step.body} of ${step.parent}` : "top";
}

/** What is set of a step, a line each, for a comparison. */
export function settingsOf(step: Step): string {
  const lines = [`kind: ${step.kind}`, `reads: ${step.reads.join(", ")}`, `gives: ${fieldWords(step.gives)}`];
  if (step.model) lines.push(`model: ${step.model}`);
  if (step.tools.length > 0) lines.push(`tools: ${step.tools.join(", ")}`);
  for (const name of Object.keys(step.settings).sort()) lines.push(`${name}: ${plain(step.settings[name])}`);
  for (const demo of step.demos) lines.push(`worked example: ${plain(demo.reads)} gives ${plain(demo.gives)}`);
  return lines.join("\n");
}
