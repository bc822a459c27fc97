import { ActionIcon, UnstyledButton } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import type { CSSProperties } from "react";
import { mean } from "../../api/embedded";
import type { ExamplePage, Run } from "../../api/types";
import { CandidateName, nameOf } from "../../parts/CandidateName";
import { count, gain, score } from "../../parts/words";
import { GridPart } from "./GridPart";
import { sortedBy, type Table, withoutColumn } from "./table";

type Props = { at: string; run: Run; table: Table; change: (table: Table) => void; shape: CSSProperties };

/** The names of the columns; a press sorts. */
export function Heading({ at, run, table, change, shape }: Props) {
  const sorting = (sort: string, label: string) => (
    <UnstyledButton
      className="fb-sheet-sort"
      aria-label={`Sort by ${label}`}
      onClick={() => change(sortedBy(table, sort))}
      data-testid={`sort-${sort || "place"}`}
    >
      {table.sort === sort && sort ? (table.descending ? "▼ highest" : "▲ lowest") : "sort"}
    </UnstyledButton>
  );
  const order = (sort: string) =>
    table.sort !== sort ? "none" : table.descending ? ("descending" as const) : ("ascending" as const);
  return (
    <GridPart className="fb-sheet-names" style={shape} role="row" aria-rowindex={1}>
      <GridPart role="columnheader" className="fb-sheet-cell fb-sheet-first">
        Example
      </GridPart>
      <GridPart role="columnheader" className="fb-sheet-cell">
        Inputs
      </GridPart>
      <GridPart role="columnheader" className="fb-sheet-cell">
        Target
      </GridPart>
      {table.columns.map((id) => (
        <GridPart key={id} role="columnheader" aria-sort={order(id)} className="fb-sheet-cell fb-sheet-column">
          <CandidateName at={at} run={run} id={id} />
          <span>
            {sorting(id, nameOf(run, id))}
            <ActionIcon
              variant="subtle"
              color="gray"
              size={16}
              aria-label={`Take out ${nameOf(run, id)}`}
              onClick={() => change(withoutColumn(table, id))}
            >
              <IconX size={12} />
            </ActionIcon>
          </span>
        </GridPart>
      ))}
      {table.minus && (
        <GridPart
          role="columnheader"
          aria-sort={order(table.minus.join("-"))}
          className="fb-sheet-cell fb-sheet-column"
        >
          <span title={table.minus.map((id) => nameOf(run, id)).join(" minus ")}>Difference</span>
          <span>{sorting(table.minus.join("-"), "the difference")}</span>
        </GridPart>
      )}
    </GridPart>
  );
}

/** The means of the columns: over all rows that the filter leaves, or over those that are loaded, as it says. */
export function Means({
  run,
  table,
  pages,
  total,
  shape,
}: {
  run: Run;
  table: Table;
  pages: ExamplePage[];
  total: number;
  shape: CSSProperties;
}) {
  const rows = pages.flatMap((page) => page.rows);
  const told = pages[0]?.means ?? [];
  const means = table.columns.map(
    (_, at) => told[at] ?? (told.length ? null : mean(rows.map((row) => row.scores[at] ?? null))),
  );
  const { fraction } = run.line;
  const [first, second] = (table.minus ?? []).map((id) => means[table.columns.indexOf(id)] ?? null);
  const over = told.length || rows.length >= total ? `Mean of ${count(total)}` : `Mean of ${count(rows.length)} loaded`;
  const apart = typeof first === "number" && typeof second === "number" ? gain(first - second, fraction) : "–";
  return (
    <GridPart className="fb-sheet-means" style={shape} role="row" aria-rowindex={2} data-testid="examples-means">
      <GridPart role="rowheader" className="fb-sheet-cell fb-sheet-first">
        {over}
      </GridPart>
      <GridPart role="gridcell" className="fb-sheet-cell" />
      <GridPart role="gridcell" className="fb-sheet-cell" />
      {table.columns.map((id, at) => (
        <GridPart key={id} role="gridcell" className="fb-sheet-cell fb-sheet-score">
          {score(means[at], fraction)}
        </GridPart>
      ))}
      {table.minus && (
        <GridPart role="gridcell" className="fb-sheet-cell fb-sheet-score">
          {apart}
        </GridPart>
      )}
    </GridPart>
  );
}
