import { Table } from "@mantine/core";
import { useState } from "react";
import { Link } from "wouter";
import { useSource } from "../../api/source";
import type { Example, Run, Scored } from "../../api/types";
import { places } from "../../app/places";
import { CandidateName } from "../../parts/CandidateName";
import { Folded } from "../../parts/Folded";
import { count, many, money, points, seconds, splitName } from "../../parts/words";
import { shade } from "./table";

const FIRST = 40;

/** All runs on an example, newest first, with the way to their traces. */
export function ExampleRuns({ at, run, example }: { at: string; run: Run; example: Example }) {
  const [all, setAll] = useState(false);
  const { runs } = example;
  if (runs.length === 0) return <p className="fb-quiet">Nothing was run on this example.</p>;
  const dear = runs.some((each) => each.usd !== null);
  return (
    <>
      <Table className="fb-ex-runs" data-testid="example-runs" verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>Workflow</Table.Th>
            <Table.Th>Run for</Table.Th>
            <Table.Th ta="right">Score</Table.Th>
            <Table.Th>Feedback</Table.Th>
            <Table.Th ta="right">Calls</Table.Th>
            <Table.Th ta="right">Tokens</Table.Th>
            {dear && <Table.Th ta="right">Cost</Table.Th>}
            <Table.Th ta="right">Time</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {(all ? runs : runs.slice(0, FIRST)).map((each) => (
            <Line key={`${each.candidate} ${each.draw}`} {...{ at, run, example, each, dear }} />
          ))}
        </Table.Tbody>
      </Table>
      {runs.length > FIRST && !all && (
        <button type="button" className="fb-ex-all" onClick={() => setAll(true)}>
          Show all {many(runs.length, "run")}
        </button>
      )}
    </>
  );
}

type Props = { at: string; run: Run; example: Example; each: Scored; dear: boolean };

function Line({ at, run, example, each, dear }: Props) {
  const source = useSource();
  const opens = source.holds?.(example.split, example.id, each.candidate) ?? true;
  const said = each.failed ? "failed" : points(each.score, run.line.fraction);
  return (
    <Table.Tr>
      <Table.Td>
        <CandidateName at={at} run={run} id={each.candidate} />
      </Table.Td>
      <Table.Td>{splitName(each.draw)}</Table.Td>
      <Table.Td
        ta="right"
        className="fb-ex-score"
        style={{ background: run.line.fraction ? shade(each.score) : undefined }}
      >
        {opens ? (
          <Link href={places.trace(at, each.candidate, each.draw, example.id)} aria-label={`Trace: ${said}`}>
            {said}
          </Link>
        ) : (
          said
        )}
      </Table.Td>
      <Table.Td className="fb-ex-feedback">{each.feedback ? <Folded text={each.feedback} lines={3} /> : "–"}</Table.Td>
      <Table.Td ta="right">{count(each.calls)}</Table.Td>
      <Table.Td ta="right">{count(each.tokens)}</Table.Td>
      {dear && <Table.Td ta="right">{money(each.usd)}</Table.Td>}
      <Table.Td ta="right">{seconds(each.seconds)}</Table.Td>
    </Table.Tr>
  );
}
