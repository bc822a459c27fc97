import { Checkbox } from "@mantine/core";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, useMemo, useRef, useState } from "react";
import { Link, useLocation } from "wouter";
import { places } from "../../app/places";
import { Fate } from "../../parts/Fate";
import { gain, score, short } from "../../parts/words";
import type { CandidatesProps } from "./CandidateTable";
import { type Branch, branches, pressed } from "./listing";
import { purposeOf } from "./marks";
import "./run.css";

const HIGH = 30;
const DEEPEST = 18; // levels that are told apart by their indent
const HEADS = ["Candidate", "Operator", "What it tries", "Fate", "Score", "Gain"];
const COLUMNS = "minmax(200px, 3fr) 110px minmax(160px, 4fr) 96px 64px 64px";

/** Candidates under their parents. Arrows move, open and close; Enter opens the workflow, Space chooses for comparing. */
export function CandidateTree({ id, run, matches, chosen, onChoose }: CandidatesProps) {
  const [closed, setClosed] = useState<Set<string>>(() => new Set());
  const [active, setActive] = useState(0);
  const [, go] = useLocation();
  const rows = useMemo(() => branches(run.candidates, matches, closed), [run.candidates, matches, closed]);
  const at = Math.min(active, rows.length - 1);
  const scroller = useRef<HTMLDivElement>(null);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => HIGH,
    overscan: 12,
    scrollPaddingStart: 34,
  });
  const turn = (one: string) => {
    const next = new Set(closed);
    if (!next.delete(one)) next.add(one);
    setClosed(next);
  };
  const move = (to: number) => {
    const place = Math.max(0, Math.min(rows.length - 1, to));
    setActive(place);
    virtual.scrollToIndex(place);
  };
  const press = (event: KeyboardEvent) => {
    const row = rows[at];
    if (row === undefined || event.target !== scroller.current) return;
    const page = Math.max(1, Math.floor((scroller.current?.clientHeight ?? 0) / HIGH) - 1);
    const meant = pressed(event.key, rows, at, page);
    if (meant.move !== undefined) move(meant.move);
    else if (meant.turn) turn(row.line.id);
    else if (event.key === "Enter") go(places.candidate(id, row.line.id));
    else if (event.key === " ") onChoose(row.line.id);
    else return;
    event.preventDefault();
  };
  return (
    <div
      ref={scroller}
      className="fb-cands"
      role="tree"
      aria-label="Candidates under their parents"
      aria-activedescendant={rows[at] ? rowId(rows[at]) : undefined}
      tabIndex={0}
      onKeyDown={press}
      data-testid="candidate-tree"
    >
      <div className="fb-cands-row fb-cands-head" style={{ gridTemplateColumns: COLUMNS }} aria-hidden="true">
        {HEADS.map((head, at) => (
          <span key={head} className={at > 3 ? "fb-right" : undefined}>
            {head}
          </span>
        ))}
      </div>
      <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative", minWidth: 980 }}>
        {virtual.getVirtualItems().map((item) => {
          const row = rows[item.index];
          if (row === undefined) return null;
          return (
            <div
              key={row.line.id}
              id={rowId(row)}
              role="treeitem"
              tabIndex={-1}
              aria-level={row.depth + 1}
              aria-expanded={row.children > 0 ? row.open : undefined}
              aria-selected={chosen.includes(row.line.id)}
              data-active={item.index === at || undefined}
              className={`fb-cands-row${chosen.includes(row.line.id) ? " fb-chosen" : ""}`}
              style={{
                gridTemplateColumns: COLUMNS,
                height: HIGH,
                position: "absolute",
                top: item.start,
                left: 0,
                right: 0,
              }}
            >
              <Leaf
                id={id}
                row={row}
                chosen={chosen.includes(row.line.id)}
                onTurn={turn}
                onChoose={onChoose}
                fraction={run.line.fraction}
              />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function rowId(row: Branch): string {
  return `candidate-${row.line.id}`;
}

interface LeafProps {
  id: string;
  row: Branch;
  chosen: boolean;
  fraction: boolean;
  onTurn: (id: string) => void;
  onChoose: (id: string) => void;
}

function Leaf({ id, row, chosen, fraction, onTurn, onChoose }: LeafProps) {
  const { line } = row;
  const what = purposeOf(line);
  return (
    <>
      <span
        className="fb-line"
        style={{ display: "flex", alignItems: "center", gap: 6, paddingLeft: 16 * Math.min(row.depth, DEEPEST) }}
      >
        {row.children > 0 ? (
          <button
            type="button"
            className="fb-twist"
            tabIndex={-1}
            aria-label={`${row.open ? "Close" : "Open"} ${short(line.id)}`}
            onClick={() => onTurn(line.id)}
          >
            {row.open ? "▾" : "▸"}
          </button>
        ) : (
          <span className="fb-twist" />
        )}
        <Checkbox
          size="xs"
          tabIndex={-1}
          aria-label={`Compare ${short(line.id)}`}
          checked={chosen}
          onChange={() => onChoose(line.id)}
        />
        <Link href={places.candidate(id, line.id)} className="fb-mono">
          {short(line.id)}
        </Link>
        {row.children > 0 && !row.open && <span className="fb-quiet">{row.children} below</span>}
        {!row.match && <span className="fb-quiet">(parent)</span>}
      </span>
      <span className="fb-line" title={line.operator}>
        {line.operator || "–"}
      </span>
      <span className="fb-line" title={what}>
        {what || <span className="fb-quiet">{line.said}</span>}
      </span>
      <Fate fate={line.fate} why={line.said} />
      <span className="fb-right">{score(line.mean, fraction)}</span>
      <span className="fb-right">{gain(line.gain, fraction)}</span>
    </>
  );
}
