// biome-ignore-all lint/a11y/useSemanticElements: rows that are placed by hand cannot be those of a table
// biome-ignore-all lint/a11y/useFocusableInteractive: what is in the cells takes the focus
import { Checkbox } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type CSSProperties, memo, useMemo, useRef, useState } from "react";
import { Link } from "wouter";
import type { CandidateLine, Run } from "../../api/types";
import { places } from "../../app/places";
import { Fate } from "../../parts/Fate";
import { ariaSort, type Order, SortHead } from "../../parts/Sort";
import { chance, cost, count, gain, short } from "../../parts/words";
import { type CandidateKey, ordered } from "./listing";
import { purposeOf, scored } from "./marks";
import "./run.css";

const HIGH = 34;
const COLUMNS = "20px 76px 44px 120px minmax(160px, 1fr) 92px 180px 52px 62px 62px 92px 44px";

/** The heads of the columns; a key sorts, the third says that the first click puts the highest first. */
const HEADS: [string, CandidateKey | null, boolean][] = [
  ["Candidate", null, false],
  ["Iter.", "number", false],
  ["Operator", "operator", false],
  ["What it tries", null, false],
  ["Fate", "fate", false],
  ["Score (95 % interval)", "mean", true],
  ["Items", "items", true],
  ["Gain", "gain", true],
  ["P(> 0)", "p_gain", true],
  ["Cost", "cost", false],
  ["Failed", "failed", true],
];
const FIRST_NUMBER = 5; // from this head on, columns hold numbers

export interface CandidatesProps {
  id: string;
  run: Run;
  matches: Set<string>;
  chosen: string[];
  onChoose: (id: string) => void;
}

/** Candidates as rows of a table of which only those in sight are there. */
export function CandidateTable({ id, run, matches, chosen, onChoose }: CandidatesProps) {
  const [order, setOrder] = useState<Order<CandidateKey>>({ by: "number", descending: false });
  const rows = useMemo(
    () =>
      ordered(
        run.candidates.filter((each) => matches.has(each.id)),
        order,
      ),
    [run.candidates, matches, order],
  );
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => HIGH,
    overscan: 12,
  });
  const choose = useRef(onChoose);
  choose.current = onChoose;
  return (
    <div
      ref={scroller}
      className="fb-cands"
      role="table"
      aria-label="Candidates"
      aria-rowcount={rows.length + 1}
      // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls can be scrolled by keyboard
      tabIndex={0}
      data-testid="candidates"
    >
      <div role="rowgroup" className="fb-cands-head" style={{ padding: 0 }}>
        <div role="row" className="fb-cands-row" style={{ gridTemplateColumns: COLUMNS }} aria-rowindex={1}>
          <span role="columnheader">
            <span className="fb-hidden">Compare</span>
          </span>
          {HEADS.map(([label, by, down], at) => (
            <span
              key={label}
              role="columnheader"
              className={at >= FIRST_NUMBER ? "fb-right" : undefined}
              aria-sort={by ? ariaSort(order, by) : undefined}
            >
              {by ? <SortHead order={order} by={by} label={label} down={down} onOrder={setOrder} /> : label}
            </span>
          ))}
        </div>
      </div>
      <div role="rowgroup" style={{ height: virtual.getTotalSize(), position: "relative", minWidth: 980 }}>
        {virtual.getVirtualItems().map((item) => {
          const line = rows[item.index];
          if (line === undefined) return null;
          return (
            <Row
              key={line.id}
              id={id}
              line={line}
              place={item.index}
              top={item.start}
              fraction={run.line.fraction}
              dollars={run.dollars}
              chosen={chosen.includes(line.id)}
              choose={choose}
            />
          );
        })}
      </div>
    </div>
  );
}

interface RowProps {
  id: string;
  line: CandidateLine;
  place: number;
  top: number;
  fraction: boolean;
  dollars: boolean;
  chosen: boolean;
  choose: { readonly current: (id: string) => void };
}

const Row = memo(function Row({ id, line, place, top, fraction, dollars, chosen, choose }: RowProps) {
  const what = purposeOf(line);
  const style: CSSProperties = { gridTemplateColumns: COLUMNS, position: "absolute", top, left: 0, right: 0 };
  const cells = [
    scored(line, fraction),
    line.items ? count(line.items) : "–",
    gain(line.gain, fraction),
    chance(line.p_gain),
    cost(line.cost, dollars),
    line.failed ? count(line.failed) : "–",
  ];
  return (
    <div
      role="row"
      className={`fb-cands-row${chosen ? " fb-chosen" : ""}`}
      style={style}
      aria-rowindex={place + 2}
      data-testid="candidate-row"
    >
      <span role="cell">
        <Checkbox
          size="xs"
          aria-label={`Compare ${short(line.id)}`}
          checked={chosen}
          onChange={() => choose.current(line.id)}
        />
      </span>
      <span role="cell" className="fb-mono">
        <Link href={places.candidate(id, line.id)}>{short(line.id)}</Link>
      </span>
      <span role="cell">{line.number || "–"}</span>
      <span role="cell" className="fb-line" title={line.operator}>
        {line.operator || "–"}
      </span>
      <span
        role="cell"
        className="fb-line"
        title={[what, ...line.clusters.map((each) => `cluster: ${each}`)].join("\n")}
      >
        {what || <span className="fb-quiet">{line.said || "–"}</span>}
      </span>
      <span role="cell">
        <Fate fate={line.fate} why={line.said} />
      </span>
      {cells.map((cell, at) => (
        <span key={HEADS[at + FIRST_NUMBER]?.[0]} role="cell" className="fb-right fb-line">
          {cell}
        </span>
      ))}
    </div>
  );
});
