import { SegmentedControl } from "@mantine/core";
import { useMemo, useState } from "react";
import type { Run } from "../../api/types";
import { AsTable } from "../../parts/charts/AsTable";
import { Chart } from "../../parts/charts/Chart";
import { type Across, incumbents } from "../../parts/charts/incumbents";
import type { Picture } from "../../parts/charts/picture";
import { fates } from "../../parts/Fate";
import { Empty, Part } from "../../parts/Part";
import { count, score, seconds } from "../../parts/words";
import { type Kind, marksOf } from "./marks";

const AXES: Record<Across, { label: string; text: (value: number) => string }> = {
  calls: { label: "LLM calls", text: count },
  seconds: { label: "time", text: seconds },
  order: { label: "measurements in order", text: count },
};
const percent = (value: number) => `${Math.round(1000 * value) / 10} %`;
const plain = (value: number) => String(Number(value.toPrecision(4)));

/** The best score so far with its interval, and every measurement as a mark by what became of it. */
export function ScoreChart({ id, run }: { id: string; run: Run }) {
  const [across, setAcross] = useState<Across>("calls");
  const [hidden, setHidden] = useState<Kind[]>([]);
  const measured = useMemo(() => marksOf(id, run, across), [id, run, across]);
  const best = useMemo(() => incumbents(run, across), [run, across]);
  const picture = useMemo(
    (): Picture => ({
      marks: measured.filter(({ kind }) => !hidden.includes(kind)).map(({ mark }) => mark),
      lines: [{ name: "best so far", color: "--fb-best", points: best, stepped: true }],
    }),
    [measured, best, hidden],
  );
  const { fraction } = run.line;
  const last = best.at(-1);
  const counts = new Map<Kind, number>();
  for (const { kind } of measured) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const { label, text } = AXES[across];
  return (
    <Part
      title="Score"
      said="The line is the best so far on validation, the band its 95 % interval"
      aside={
        <SegmentedControl
          size="xs"
          aria-label="Across"
          value={across}
          onChange={(value) => setAcross(value as Across)}
          data={["calls", { value: "seconds", label: "time" }, "order"]}
        />
      }
    >
      {run.points.length === 0 ? (
        <Empty title="Nothing has been measured yet">
          The first score appears when the start has been run on validation.
        </Empty>
      ) : (
        <div data-testid="score-chart">
          <Fates
            counts={counts}
            hidden={hidden}
            onTurn={(kind) =>
              setHidden(hidden.includes(kind) ? hidden.filter((each) => each !== kind) : [...hidden, kind])
            }
          />
          <Chart
            picture={picture}
            xLabel={label}
            xText={text}
            yText={fraction ? percent : plain}
            label={`The best score on validation over ${label}: from ${score(run.line.start, fraction)} at the start to ${score(last?.[1], fraction)}, with ${measured.length} measurements.`}
          />
          <AsTable
            heads={["What", "Fate", "Calls", "Time", "Score", "Best so far", "95 % interval"]}
            rows={() => tableRows(id, run)}
          />
        </div>
      )}
    </Part>
  );
}

function tableRows(id: string, run: Run) {
  const { fraction } = run.line;
  return marksOf(id, run, "order").map(({ kind, mark }) => {
    const point = run.points[mark.x - 1];
    const best = point?.best ?? null;
    const between =
      point && point.low !== null ? `${score(point.low, fraction)} to ${score(point.high, fraction)}` : "–";
    const cells = [mark.name, kind, count(point?.calls ?? 0), seconds(point?.seconds ?? 0)];
    return {
      key: String(mark.x),
      href: mark.href,
      cells: [...cells, score(mark.y, fraction), score(best, fraction), between],
    };
  });
}

interface FatesProps {
  counts: Map<Kind, number>;
  hidden: Kind[];
  onTurn: (kind: Kind) => void;
}

/** The key of the chart; each of its marks can be taken out of it. */
function Fates({ counts, hidden, onTurn }: FatesProps) {
  const order: Kind[] = [...(Object.keys(fates) as (keyof typeof fates)[]), "other", "batch"];
  const names: Partial<Record<Kind, string>> = { batch: "batch of train", other: "between updates" };
  return (
    <fieldset className="fb-fates" style={{ border: 0, margin: 0, padding: 0 }}>
      <legend className="fb-hidden">Marks that are shown</legend>
      {order
        .filter((kind) => counts.has(kind))
        .map((kind) => {
          const known = kind === "batch" || kind === "other" ? { color: "var(--fb-quiet)", mark: "•" } : fates[kind];
          return (
            <button key={kind} type="button" aria-pressed={!hidden.includes(kind)} onClick={() => onTurn(kind)}>
              <span aria-hidden="true" style={{ color: known.color }}>
                {known.mark}
              </span>{" "}
              {names[kind] ?? kind} <span className="fb-quiet">{counts.get(kind)}</span>
            </button>
          );
        })}
    </fieldset>
  );
}
