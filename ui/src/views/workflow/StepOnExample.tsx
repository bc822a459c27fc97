import { Anchor, Group, Loader, Select, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { useExamples, useTrace } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Wrong } from "../../parts/Loading";
import { StepRuns } from "../../parts/StepRuns";
import { score } from "../../parts/words";
import { decidingSplit, drawsOf, runsOf } from "./looks";

interface Props {
  run: Run;
  candidate: string;
  step: string;
}

/** What a step read and gave on an example that the reader picks. */
export function StepOnExample({ run, candidate, step }: Props) {
  const id = run.line.id;
  const source = useSource();
  const [split, setSplit] = useState(() => decidingSplit(run.splits));
  const [find, setFind] = useState("");
  const [picked, setPicked] = useState("");
  const window = { split, candidates: [candidate], sort: "", descending: false, find, offset: 0, limit: 100 };
  const page = useExamples(id, window);
  const rows = (page.data?.rows ?? []).filter((row) => row.scores[0] !== null && row.scores[0] !== undefined);
  const example = picked || (find ? "" : (rows[0]?.id ?? ""));
  const draws = useQuery({
    queryKey: ["draws", id, candidate, split, example],
    queryFn: () => drawsOf(source, id, candidate, split, example),
    enabled: example !== "",
    staleTime: 10_000,
  });
  const draw = draws.data?.[0] ?? "";
  const trace = useTrace(id, candidate, draw, example);
  const options = rows.map((row) => ({
    value: row.id,
    label: `${score(row.scores[0], run.line.fraction)}  ${row.id}  ${row.inputs}`.slice(0, 110),
  }));
  if (example && !options.some((each) => each.value === example)) options.unshift({ value: example, label: example });
  const wrong = page.error ?? draws.error ?? trace.error;
  return (
    <Stack gap="sm" data-testid="step-on-example">
      <Group gap="xs" wrap="nowrap">
        <Select
          size="xs"
          w={110}
          aria-label="Split"
          data={run.splits.map((each) => each.name)}
          value={split}
          allowDeselect={false}
          onChange={(value) => {
            setSplit(value ?? split);
            setPicked("");
          }}
        />
        <Select
          size="xs"
          style={{ flex: 1 }}
          aria-label="Example"
          placeholder="Find an example"
          searchable
          data={options}
          value={example || null}
          onChange={(value) => setPicked(value ?? "")}
          onSearchChange={(text) => setFind(options.some((each) => each.label === text) ? "" : text)}
          filter={({ options: all }) => all}
          nothingFoundMessage="This workflow was run on no such example"
        />
        {page.isFetching && <Loader size="xs" aria-label="Loading" />}
      </Group>
      {wrong && <Wrong error={wrong} />}
      {page.data && rows.length === 0 && !find && (
        <Text size="sm" c="var(--fb-quiet)">
          This workflow was run on no example of {split}.
        </Text>
      )}
      {draws.data?.length === 0 && (
        <Text size="sm" c="var(--fb-quiet)">
          No run on this example is kept.
        </Text>
      )}
      {trace.data && (
        <>
          <Text size="sm">
            The whole run scored <b>{score(trace.data.score, run.line.fraction)}</b>.{" "}
            <Anchor component={Link} size="sm" href={places.trace(id, candidate, draw, example)}>
              Open its trace
            </Anchor>
          </Text>
          {trace.data.missing ? (
            <Text size="sm" c="var(--fb-quiet)">
              {trace.data.missing}
            </Text>
          ) : (
            <StepRuns runs={runsOf(trace.data.steps, step)} />
          )}
        </>
      )}
    </Stack>
  );
}
