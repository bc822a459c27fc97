import { ActionIcon, UnstyledButton } from "@mantine/core";
import { IconX } from "@tabler/icons-react";
import { type CSSProperties, Fragment } from "react";
import { mean } from "../../api/embedded";
import type { ExamplePage, Run } from "../../api/types";
import { CandidateName, nameOf } from "../../parts/CandidateName";
import { count, gain, score } from "../../parts/words";
import { sortedBy, type Table, withoutColumn } from "./table";

type Props = { at: string; run: Run; table: Table; change: (table: Table) => void; shape: CSSProperties };

/** The names of the columns; a press sorts. */
export function Heading({ at, run, table, change, shape }: Props) {
  const sorting = (sort: string, label: string) => (
    <UnstyledButton
      className="fb-grid-sort"
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
    <div className="fb-grid-names" style={shape} role="row" tabIndex={-1} aria-rowindex={1}>
      <div role="columnheader" className="fb-grid-cell fb-grid-first" tabIndex={-1}>
        Example
      </div>
      <div role="columnheader" className="fb-grid-cell" tabIndex={-1}>
        Inputs
      </div>
      <div role="columnheader" className="fb-grid-cell" tabIndex={-1}>
        Target
      </div>
      {table.columns.map((id) => (
        <div
          key={id}
          role="columnheader"
          aria-sort={order(id)}
          className="fb-grid-cell fb-grid-column"
          tabIndex={-1}
        >
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
        </div>
      ))}
      {table.minus && (
        <div
          role="columnheader"
          aria-sort={order(table.minus.join("-"))}
          className="fb-grid-cell fb-grid-column"
          tabIndex={-1}
        >
          <span title={table.minus.map((id) => nameOf(run, id)).join(" minus ")}>Difference</span>
          <span>{sorting(table.minus.join("-"), "the difference")}</span>
        </div>
      )}
    </div>
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
  const means = table.columns.map((_, at) => told[at] ?? (told.length ? null : mean(rows.map((row) => row.scores[at] ?? null))));
  const { fraction } = run.line;
  const [first, second] = (table.minus ?? []).map((id) => means[table.columns.indexOf(id)] ?? null);
  const over = told.length || rows.length >= total ? `Mean of ${count(total)}` : `Mean of ${count(rows.length)} loaded`;
  const apart = typeof first === "number" && typeof second === "number" ? gain(first - second, fraction) : "–";
  return (
    <div className="fb-grid-means" style={shape} role="row" tabIndex={-1} aria-rowindex={2} data-testid="examples-means">
      <div role="rowheader" className="fb-grid-cell fb-grid-first" tabIndex={-1}>
        {over}
      </div>
      <div role="gridcell" className="fb-grid-cell" tabIndex={-1} />
      <div role="gridcell" className="fb-grid-cell" tabIndex={-1} />
      {table.columns.map((id, at) => (
        <Fragment key={id}>
          <div role="gridcell" className="fb-grid-cell fb-grid-score" tabIndex={-1}>
            {score(means[at], fraction)}
          </div>
        </Fragment>
      ))}
      {table.minus && (
        <div role="gridcell" className="fb-grid-cell fb-grid-score" tabIndex={-1}>
          {apart}
        </div>
      )}
    </div>
  );
}
