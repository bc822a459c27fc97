import { Title } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { Link } from "wouter";
import { useRun } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { Loading, Wrong } from "../../parts/Loading";
import { Trail } from "../../parts/Trail";
import { count, splitName } from "../../parts/words";
import { ExampleGrid } from "./ExampleGrid";
import "./examples.css";
import { Toolbar } from "./Toolbar";
import { firstTable, type Table } from "./table";
import { found } from "./walk";

/** The scores of examples across candidates: where a candidate is better, and where it is worse. */
export function ExamplesView({ run: at, split }: { run: string; split: string }) {
  const source = useSource();
  const run = useRun(at);
  useFresh(at, run.pulse?.traces);
  if (run.error) return <Wrong error={run.error} />;
  if (!run.data) return <Loading />;
  const { line } = run.data;
  const splits = run.data.splits.filter((each) => source.columns?.(each.name).length !== 0); // a report holds some
  const shown = split || (splits.find((each) => each.name === "val") ?? splits[0])?.name;
  return (
    <>
      <Trail above={[[line.name, places.run(at)]]} here="Examples" />
      <Title order={1} size="h3" mb="xs">
        Examples
      </Title>
      {shown === undefined ? (
        <p className="fb-quiet">
          This run has no examples in its journal: it was made before FlowBot kept them, or it has not begun.
        </p>
      ) : (
        <>
          <nav aria-label="Splits" className="fb-ex-tabs">
            {splits.map((each) => (
              <Link
                key={each.name}
                href={places.examples(at, each.name)}
                aria-current={each.name === shown ? "page" : undefined}
                data-testid={`split-${each.name}`}
              >
                {splitName(each.name)} <span className="fb-quiet">{count(each.count)}</span>
              </Link>
            ))}
          </nav>
          <Held key={shown} at={at} run={run.data} split={shown} />
        </>
      )}
    </>
  );
}

function Held({ at, run, split }: { at: string; run: Run; split: string }) {
  const source = useSource();
  const held = source.columns?.(split);
  const [table, change] = useState<Table>(() => found(at, split)?.table ?? firstTable(run, held));
  return (
    <>
      {!run.content && <p className="fb-quiet">Texts were left out of this run on request; the scores are all here.</p>}
      <Toolbar run={run} held={held} table={table} change={change} />
      <ExampleGrid at={at} run={run} split={split} table={table} change={change} />
    </>
  );
}

/** While a run goes on, its new scores are asked for now and then. */
function useFresh(at: string, traces: number | undefined) {
  const client = useQueryClient();
  useEffect(() => {
    if (traces === undefined) return;
    const later = setTimeout(() => void client.invalidateQueries({ queryKey: ["examples", at] }), 1500);
    return () => clearTimeout(later);
  }, [client, at, traces]);
}
