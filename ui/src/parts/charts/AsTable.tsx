import { Table } from "@mantine/core";
import { type ReactNode, useState } from "react";
import { Link } from "wouter";
import "./charts.css";

export interface Cells {
  key: string;
  cells: ReactNode[];
  href?: string;
}

const MOST = 200;

/** The numbers of a chart as a table, where a reader asks for it. `rows` is called only then. */
export function AsTable({
  heads,
  rows,
  what = "Show as table",
}: {
  heads: string[];
  rows: () => Cells[];
  what?: string;
}) {
  const [open, setOpen] = useState(false);
  const [all, setAll] = useState(false);
  const found = open ? rows() : [];
  return (
    <details className="fb-table-under" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>{what}</summary>
      {open && (
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keyboard
        <section tabIndex={0} aria-label="The chart's numbers">
          <Table fz="xs" verticalSpacing={3} stickyHeader>
            <Table.Thead>
              <Table.Tr>
                {heads.map((head) => (
                  <Table.Th key={head}>{head}</Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {found.slice(0, all ? undefined : MOST).map(({ key, cells, href }) => (
                <Table.Tr key={key}>
                  {cells.map((cell, at) => (
                    <Table.Td key={heads[at]}>{at === 0 && href ? <Link href={href}>{cell}</Link> : cell}</Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
          {!all && found.length > MOST && (
            <button type="button" onClick={() => setAll(true)}>
              Show all {found.length}
            </button>
          )}
        </section>
      )}
    </details>
  );
}
