import { Button, Group, SegmentedControl, TextInput, Title } from "@mantine/core";
import { IconSearch } from "@tabler/icons-react";
import { useMemo, useState } from "react";
import { Link } from "wouter";
import { useRuns } from "../../api/hooks";
import type { RunLine } from "../../api/types";
import { places } from "../../app/places";
import { Loading, Wrong } from "../../parts/Loading";
import { Empty } from "../../parts/Part";
import type { Order } from "../../parts/Sort";
import { listed, type RunKey, type Wanted } from "./order";
import { RunsTable } from "./RunsTable";

const STATES: Wanted[] = ["any", "running", "done", "stopped", "failed"];

/** The list of runs: what each came to and cost; two or more can be compared. */
export function RunsView() {
  const runs = useRuns();
  if (runs.data === undefined) return runs.error ? <Wrong error={runs.error} /> : <Loading />;
  return (
    <>
      {runs.error && <Wrong error={runs.error} />}
      <Runs runs={runs.data} />
    </>
  );
}

function Runs({ runs }: { runs: RunLine[] }) {
  const [find, setFind] = useState("");
  const [state, setState] = useState<Wanted>("any");
  const [order, setOrder] = useState<Order<RunKey>>({ by: "began", descending: true });
  const [chosen, setChosen] = useState<string[]>([]);
  const shown = useMemo(() => listed(runs, find, state, order), [runs, find, state, order]);
  const counts = useMemo(() => {
    const found = new Map<Wanted, number>([["any", runs.length]]);
    for (const run of runs) found.set(run.state, (found.get(run.state) ?? 0) + 1);
    return found;
  }, [runs]);
  const picked = chosen.filter((id) => runs.some((run) => run.id === id));
  if (runs.length === 0)
    return (
      <Empty title="No runs here yet">
        A run appears as soon as it begins: <span className="fb-mono">flowbot induce</span> starts one. This page looks
        again every few seconds.
      </Empty>
    );
  return (
    <>
      <Group justify="space-between" align="flex-end" mb="sm">
        <Title order={1} size="h3">
          Runs
        </Title>
        <Group gap="sm">
          <SegmentedControl
            size="xs"
            aria-label="State"
            value={state}
            onChange={(value) => setState(value as Wanted)}
            data={STATES.filter((each) => each === "any" || each === state || counts.get(each)).map((each) => ({
              value: each,
              label: `${each === "any" ? "all" : each} ${counts.get(each) ?? 0}`,
            }))}
          />
          <TextInput
            size="xs"
            w={240}
            aria-label="Find runs"
            placeholder="Name, recipe, model, error"
            leftSection={<IconSearch size={14} />}
            value={find}
            onChange={(event) => setFind(event.currentTarget.value)}
            data-testid="find-runs"
          />
          {picked.length > 0 && (
            <Button size="xs" variant="subtle" onClick={() => setChosen([])}>
              Clear
            </Button>
          )}
          {picked.length > 1 ? (
            <Button size="xs" component={Link} href={places.compareRuns(picked)} data-testid="compare-runs">
              Compare {picked.length} runs
            </Button>
          ) : (
            <Button size="xs" variant="default" disabled title="Choose two or more runs">
              Compare runs
            </Button>
          )}
        </Group>
      </Group>
      {shown.length > 0 ? (
        <RunsTable runs={shown} order={order} onOrder={setOrder} chosen={picked} onChosen={setChosen} />
      ) : (
        <Empty title="No run matches">{runs.length} runs are here; take words or the state away to see them.</Empty>
      )}
    </>
  );
}
