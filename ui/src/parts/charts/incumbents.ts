import type { Point, Run } from "../../api/types";

export type Across = "calls" | "seconds" | "order";

/** Where a measurement stands on the axis across. */
export function place(point: Point, order: number, across: Across): number {
  return across === "order" ? order + 1 : point[across];
}

/** The best score so far, with its interval, at each measurement; the last value holds to the run's end. */
export function incumbents(run: Run, across: Across): [number, number, number | null, number | null][] {
  const made: [number, number, number | null, number | null][] = [];
  run.points.forEach((point, order) => {
    if (point.best !== null) made.push([place(point, order, across), point.best, point.low, point.high]);
  });
  const last = made.at(-1);
  const end = across === "order" ? run.points.length : run.line[across];
  if (last && end > last[0]) made.push([end, last[1], last[2], last[3]]);
  return made;
}
