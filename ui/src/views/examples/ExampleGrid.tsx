import { useVirtualizer, type Virtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, type ReactNode, useEffect, useRef, useState } from "react";
import { useExamplePages } from "../../api/hooks";
import { useSource } from "../../api/source";
import type { ExampleLine, ExamplePage, Run } from "../../api/types";
import { places } from "../../app/places";
import { Wrong } from "../../parts/Loading";
import { gain, middle, points } from "../../parts/words";
import { GridPart } from "./GridPart";
import { Heading, Means } from "./Heading";
import { type Cell, difference, moved, pagesOf, shade, type Table, windowAt } from "./table";
import { found, leave } from "./walk";

const HIGH = 34;

type Props = { at: string; run: Run; split: string; table: Table; change: (table: Table) => void };

/** The table itself: only the rows in sight are drawn, and their pages are asked for as they come into sight. */
export function ExampleGrid({ at, run, split, table, change }: Props) {
  const scroller = useRef<HTMLDivElement>(null);
  const [cell, setCell] = useState<Cell>(() => found(at, split)?.cell ?? { row: 0, column: 0 });
  const [total, setTotal] = useState(0);
  const virtual = useVirtualizer({
    count: total,
    getScrollElement: () => scroller.current,
    estimateSize: () => HIGH,
    overscan: 12,
    scrollPaddingStart: 96,
  });
  const items = virtual.getVirtualItems();
  const offsets = pagesOf(items[0]?.index ?? cell.row, items.at(-1)?.index ?? cell.row);
  const pages = useExamplePages(at, windowAt(split, table, 0), offsets);
  const loaded = pages.map((each) => each.data).filter((each) => each !== undefined);
  const heard = loaded[0]?.total;
  const failure = pages.find((each) => each.error)?.error;
  useEffect(() => {
    if (heard !== undefined) setTotal(heard);
  }, [heard]);
  const move = useMoves(virtual.scrollToIndex, scroller.current, cell, setCell, total, table.columns.length + 1);
  useEffect(() => void leave(at, split, table, cell), [at, split, table, cell]);
  useStart(virtual, cell, setCell, total, `${table.sort} ${table.descending} ${table.find}`);
  if (failure) return <Wrong error={failure} />;
  const shape = {
    gridTemplateColumns: `150px minmax(220px, 1.6fr) minmax(110px, 0.8fr) repeat(${table.columns.length}, minmax(128px, 0.3fr))${table.minus ? " minmax(128px, 0.3fr)" : ""}`,
    minWidth: 480 + 128 * (table.columns.length + (table.minus ? 1 : 0)),
  };
  const [low, high] = run.line.fraction ? [0, 1] : rangeOf(loaded);
  return (
    <GridPart
      ref={scroller}
      className="fb-sheet"
      role="grid"
      aria-label={`Scores of ${total} examples`}
      aria-rowcount={total + 2}
      aria-colcount={table.columns.length + 3 + (table.minus ? 1 : 0)}
      onKeyDown={move}
      data-testid="examples-grid"
    >
      <GridPart className="fb-sheet-head" style={{ minWidth: shape.minWidth }} role="rowgroup">
        <Heading at={at} run={run} table={table} change={change} shape={shape} />
        <Means run={run} table={table} pages={loaded} total={total} shape={shape} />
      </GridPart>
      <GridPart
        style={{ height: virtual.getTotalSize(), position: "relative", minWidth: shape.minWidth }}
        role="rowgroup"
      >
        {items.map((item) => (
          <GridPart
            key={item.key}
            className="fb-sheet-row"
            role="row"
            aria-rowindex={item.index + 3}
            style={{ ...shape, height: HIGH, transform: `translateY(${item.start}px)` }}
          >
            <Row
              {...{ at, split, table, setCell, low, high }}
              fraction={run.line.fraction}
              focus={cell.row === item.index ? cell.column : -1}
              index={item.index}
              row={rowAt(loaded, item.index)}
            />
          </GridPart>
        ))}
      </GridPart>
      {total === 0 && heard === 0 && <p className="fb-sheet-none">No example matches.</p>}
    </GridPart>
  );
}

/** Begin at the row that the reader left; another order or filter begins at the top. */
function useStart(
  virtual: Virtualizer<HTMLDivElement, Element>,
  cell: Cell,
  set: (cell: Cell) => void,
  total: number,
  order: string,
) {
  const first = useRef(cell.row);
  const last = useRef(order);
  useEffect(() => {
    if (total > 0 && first.current > 0) virtual.scrollToIndex(first.current, { align: "center" });
    if (total > 0) first.current = 0;
  }, [total, virtual]);
  useEffect(() => {
    if (last.current === order) return;
    last.current = order;
    set({ row: 0, column: 0 });
    virtual.scrollToOffset(0);
  }, [order, virtual, set]);
}

/** The lowest and the highest score that is loaded, for shades where scores are no fractions. */
function rangeOf(pages: ExamplePage[]): [number, number] {
  const known = pages.flatMap((page) => page.rows.flatMap((row) => row.scores.filter((each) => each !== null)));
  return [Math.min(...known), Math.max(...known)];
}

function rowAt(pages: ExamplePage[], index: number): ExampleLine | undefined {
  const page = pages.find((each) => each.offset <= index && index < each.offset + each.rows.length);
  return page?.rows[index - page.offset];
}

type Scroll = (index: number) => void;

/** Arrows move the cell that has the focus; the links in the cells do the rest. */
function useMoves(
  scroll: Scroll,
  grid: HTMLDivElement | null,
  cell: Cell,
  set: (cell: Cell) => void,
  rows: number,
  columns: number,
) {
  const wanted = useRef<Cell | null>(null);
  useEffect(() => {
    if (wanted.current === null) return;
    const target = grid?.querySelector<HTMLElement>(`[data-cell="${wanted.current.row}-${wanted.current.column}"]`);
    if (!target) return;
    target.focus({ preventScroll: false });
    wanted.current = null;
  });
  return (event: KeyboardEvent) => {
    const inGrid = event.target instanceof HTMLElement && event.target.dataset.cell !== undefined;
    const next = inGrid ? moved(cell, event.key, rows, columns, 15) : null;
    if (next === null) return;
    event.preventDefault();
    wanted.current = next;
    scroll(next.row);
    set(next);
  };
}

type RowProps = {
  at: string;
  split: string;
  table: Table;
  fraction: boolean;
  /** The column of the cell that the keyboard is at, -1 where it is in another row. */
  focus: number;
  setCell: (cell: Cell) => void;
  index: number;
  row: ExampleLine | undefined;
  low: number;
  high: number;
};

/** A row. Its links are plain ones: those of the router would listen each for itself, hundreds at a time. */
const Row = memo(function Row({ at, split, table, fraction, focus, setCell, index, row, low, high }: RowProps) {
  const source = useSource();
  const focusable = (column: number) => ({
    "data-cell": `${index}-${column}`,
    tabIndex: focus === column ? 0 : -1,
    onFocus: () => setCell({ row: index, column }),
    onClick: () => leave(at, split, table, { row: index, column }),
  });
  if (row === undefined)
    return (
      <Box className="fb-sheet-first">
        <span {...focusable(0)} className="fb-quiet">
          …
        </span>
      </Box>
    );
  const opens = (workflow?: string) => source.holds?.(split, row.id, workflow) ?? true;
  const apart = difference(row, table);
  return (
    <>
      <Box className="fb-sheet-first" header>
        {opens() ? (
          <a href={`#${places.example(at, split, row.id)}`} title={row.id} {...focusable(0)}>
            {middle(row.id, 13)}
          </a>
        ) : (
          <span title={row.id} {...focusable(0)}>
            {middle(row.id, 13)}
          </span>
        )}
      </Box>
      <Box title={row.inputs}>{row.inputs}</Box>
      <Box title={row.target} className="fb-sheet-target">
        {row.target}
      </Box>
      {table.columns.map((id, place) => {
        const value = row.scores[place] ?? null;
        const said = points(value, fraction);
        return (
          <Box key={id} className="fb-sheet-score" color={shade(value, low, high)}>
            {value !== null && opens(id) ? (
              <a href={`#${places.trace(at, id, split, row.id)}`} {...focusable(place + 1)}>
                {said}
              </a>
            ) : (
              <span {...focusable(place + 1)} title={value === null ? "not run" : undefined}>
                {said}
              </span>
            )}
          </Box>
        );
      })}
      {table.minus && (
        <Box className="fb-sheet-score" color={shade(apart, low - high, high - low)}>
          {apart === null ? "–" : apart === 0 ? "0" : gain(apart, fraction)}
        </Box>
      )}
    </>
  );
});

type BoxProps = {
  children: ReactNode;
  className?: string;
  title?: string;
  color?: string | undefined;
  header?: boolean;
};

function Box({ children, className = "", title, color, header = false }: BoxProps) {
  return (
    <GridPart
      role={header ? "rowheader" : "gridcell"}
      className={`fb-sheet-cell ${className}`}
      title={title}
      style={{ background: color }}
    >
      {children}
    </GridPart>
  );
}
