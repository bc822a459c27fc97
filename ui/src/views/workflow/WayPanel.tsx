import { Stack, Text } from "@mantine/core";
import { Link } from "wouter";
import type { Candidate, Run } from "../../api/types";
import { places } from "../../app/places";
import { gain, score } from "../../parts/words";
import { decidingSplit } from "./looks";
import { Moved } from "./StepHistory";

/** What is shown where no step is chosen: the way from the start to this workflow, newest first. */
export function WayPanel({ run, candidate }: { run: Run; candidate: Candidate }) {
  const way = candidate.way.map((each, place) => ({ each, place, before: candidate.way[place - 1] ?? null })).reverse();
  const id = run.line.id;
  const { fraction } = run.line;
  return (
    <section className="fb-side" aria-label="How it came to be" data-testid="way">
      <Text component="h2" fz={17} fw={600} m={0}>
        How it came to be
      </Text>
      <Text size="sm" c="var(--fb-quiet)" mb="md">
        Choose a step for its prompt, its history and what it did on an example.
      </Text>
      <Stack gap="lg" component="ol" pl={0} m={0} style={{ listStyle: "none" }}>
        {way.map(({ each, place, before }) => (
          <li key={each.id}>
            <div className="fb-way-head">
              <Text size="sm" fw={600}>
                {place}.{" "}
                {place === way.length - 1 ? (
                  each.name
                ) : (
                  <Link className="fb-link" href={places.candidate(id, each.id)}>
                    {each.name}
                  </Link>
                )}
              </Text>
              <Text size="sm" style={{ whiteSpace: "nowrap" }}>
                {score(each.mean, fraction)}
                {before && each.mean !== null && before.mean !== null && (
                  <Text span size="sm" c="var(--fb-quiet)">
                    {" "}
                    ({gain(each.mean - before.mean, fraction)})
                  </Text>
                )}
              </Text>
            </div>
            {each.hypothesis && (
              <Text size="sm" className="fb-text">
                {each.hypothesis}
              </Text>
            )}
            {each.edits.map((edit) => (
              <Text key={edit} size="sm" c="var(--fb-quiet)" className="fb-text">
                · {edit}
              </Text>
            ))}
            {before && <Moved run={id} split={decidingSplit(run.splits)} by={each} />}
          </li>
        ))}
      </Stack>
    </section>
  );
}
