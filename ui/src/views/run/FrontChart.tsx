import { useMemo } from "react";
import type { Run } from "../../api/types";
import { places } from "../../app/places";
import { AsTable } from "../../parts/charts/AsTable";
import { Chart } from "../../parts/charts/Chart";
import type { Mark, Picture } from "../../parts/charts/picture";
import { look } from "../../parts/charts/shapes";
import { Part } from "../../parts/Part";
import { cost, count, score, short } from "../../parts/words";
import { scored, titleOf } from "./marks";

const percent = (value: number) => `${Math.round(1000 * value) / 10} %`;
const plain = (value: number) => String(Number(value.toPrecision(4)));
const dollars = (value: number) => `$${Number(value.toPrecision(3))}`;
const tokens = (value: number) => (value >= 10_000 ? `${Math.round(value / 1000)}k` : count(value));
const WIDE = 8; // costs so many times apart stand on an axis of powers
const MOST = 400; // candidates beside the front

/** Score against the cost of an example: the front that nothing beats, and the others that were run in full. */
export function FrontChart({ id, run }: { id: string; run: Run }) {
  const { fraction } = run.line;
  const picture = useMemo((): Picture => {
    const known = new Map(run.candidates.map((each) => [each.id, each]));
    const front = run.front.map((member): Mark => {
      const line = known.get(member.candidate);
      const told = [
        `${score(member.mean, fraction)} (${score(member.low, fraction)} to ${score(member.high, fraction)})`,
        `${cost(member.cost, run.dollars)} an example`,
        `${member.steps} steps, at most ${member.calls} calls an example`,
      ];
      return {
        x: member.cost,
        y: member.mean,
        low: member.low,
        high: member.high,
        ...look(line?.fate ?? "kept"),
        name: line ? titleOf(line) : short(member.candidate),
        told,
        href: places.candidate(id, member.candidate),
        over: true,
      };
    });
    const on = new Set(run.front.map((member) => member.candidate));
    const others = run.candidates
      .filter((each) => !on.has(each.id) && each.fate !== "dropped" && each.mean !== null && each.cost !== null)
      .slice(-MOST)
      .map(
        (each): Mark => ({
          x: each.cost ?? 0,
          y: each.mean ?? 0,
          ...look(each.fate),
          name: titleOf(each),
          told: [scored(each, fraction), `${cost(each.cost, run.dollars)} an example`, each.said || each.fate],
          href: places.candidate(id, each.id),
        }),
      );
    const points = [...run.front]
      .sort((a, b) => a.cost - b.cost)
      .map((each): [number, number] => [each.cost, each.mean]);
    return {
      marks: [...others, ...front],
      lines: [{ name: "front", color: "--fb-best", points, stepped: true, dash: [4, 3] }],
    };
  }, [id, run, fraction]);
  const costs = picture.marks.map((each) => each.x);
  const log = costs.length > 1 && Math.min(...costs) > 0 && Math.max(...costs) / Math.min(...costs) >= WIDE;
  return (
    <Part title="Score against cost" said="On validation; the dashed line is the front that no workflow beats on both">
      <div data-testid="front-chart">
        <Chart
          picture={picture}
          xLog={log}
          xLabel={run.dollars ? "dollars an example" : "weighted tokens an example"}
          xText={run.dollars ? dollars : tokens}
          yText={fraction ? percent : plain}
          label={`Score against cost of ${picture.marks.length} workflows, ${run.front.length} of them on the front: ${run.front
            .map((each) => `${score(each.mean, fraction)} at ${cost(each.cost, run.dollars)}`)
            .slice(0, 8)
            .join(", ")}.`}
        />
        <AsTable
          heads={["Workflow", "Score", "95 % interval", "Cost an example", "Steps", "Calls at most", "File"]}
          what="Show the front as table"
          rows={() =>
            run.front.map((each) => ({
              key: each.candidate,
              href: places.candidate(id, each.candidate),
              cells: [
                short(each.candidate),
                score(each.mean, fraction),
                `${score(each.low, fraction)} to ${score(each.high, fraction)}`,
                cost(each.cost, run.dollars),
                each.steps,
                each.calls,
                each.file,
              ],
            }))
          }
        />
      </div>
    </Part>
  );
}
