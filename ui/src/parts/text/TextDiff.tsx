import "./text.css";
import { Button, Group, SegmentedControl } from "@mantine/core";
import { useLocalStorage } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { foldedRows, type Piece, type Row, rowsOf, type Shown } from "./difference";

type Form = "unified" | "split";

/** The form of text diffs that the reader chose, the same everywhere. */
export function useDiffForm() {
  return useLocalStorage<Form>({ key: "flowbot-diff", defaultValue: "unified" });
}

export function DiffForm() {
  const [form, setForm] = useDiffForm();
  const data = [
    { value: "unified", label: "In one" },
    { value: "split", label: "Side by side" },
  ];
  return (
    <SegmentedControl
      size="xs"
      data={data}
      value={form}
      onChange={(value) => setForm(value === "split" ? "split" : "unified")}
      aria-label="How texts are compared"
    />
  );
}

/** What changed from one text to another, word by word within lines. */
export function TextDiff({ old, now, label }: { old: string; now: string; label: string }) {
  const [form] = useDiffForm();
  const [whole, setWhole] = useState(false);
  const rows = useMemo(() => rowsOf(old, now), [old, now]);
  const shown: Shown[] = whole ? rows.map((row, at) => ({ at, row })) : foldedRows(rows);
  const unfold = () => setWhole(true);
  return (
    <section className="fb-diff" aria-label={label} data-testid="diff">
      {shown.map((each) =>
        "hidden" in each ? (
          <Group key={each.at} className="fb-diff-fold">
            <Button variant="subtle" size="compact-xs" onClick={unfold}>
              {each.hidden} unchanged {each.hidden === 1 ? "line" : "lines"}
            </Button>
          </Group>
        ) : form === "split" ? (
          <div key={each.at} className="fb-diff-split">
            <Line pieces={each.row.left} sign={each.row.kind === "same" ? " " : "−"} />
            <Line pieces={each.row.right} sign={each.row.kind === "same" ? " " : "+"} />
          </div>
        ) : (
          <Unified key={each.at} row={each.row} />
        ),
      )}
    </section>
  );
}

function Unified({ row }: { row: Row }) {
  if (row.kind === "same") return <Line pieces={row.right} sign=" " />;
  return (
    <>
      {row.left && <Line pieces={row.left} sign="−" />}
      {row.right && <Line pieces={row.right} sign="+" />}
    </>
  );
}

const tone = { " ": "", "−": "fb-diff-out", "+": "fb-diff-in" };
const spoken = { " ": "", "−": "removed: ", "+": "added: " };

function Line({ pieces, sign }: { pieces: Piece[] | null; sign: " " | "−" | "+" }) {
  if (pieces === null) return <div className="fb-diff-line fb-diff-none" />;
  const words = pieces.some((each) => each.kind === "same");
  let from = 0;
  return (
    <div className={`fb-diff-line ${tone[sign]}`}>
      <span className="fb-diff-sign" aria-hidden="true">
        {sign}
      </span>
      <span className="fb-text">
        {spoken[sign] && <span className="fb-hidden">{spoken[sign]}</span>}
        {pieces.map((each) => {
          const key = from;
          from += each.text.length + 1;
          if (each.kind === "same" || !words) return <span key={key}>{each.text || "\u00a0"}</span>;
          return each.kind === "in" ? <ins key={key}>{each.text}</ins> : <del key={key}>{each.text}</del>;
        })}
      </span>
    </div>
  );
}
