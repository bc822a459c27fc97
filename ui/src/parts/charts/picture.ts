import type uPlot from "uplot";
import type { Paint } from "./Plot";
import { drawShape, type Shape } from "./shapes";

/** Something at a point: how it looks, what it is called, and where a click on it leads. */
export interface Mark {
  x: number;
  y: number;
  low?: number | null;
  high?: number | null;
  color: string;
  shape: Shape;
  name: string;
  told: string[];
  href?: string;
  /** Whether it stands over the lines. */
  over?: boolean;
}

/** A line through points (x, y, low, high), in steps or straight, with a band where low and high are known. */
export interface Line {
  name: string;
  color: string;
  points: [number, number, (number | null)?, (number | null)?][];
  stepped: boolean;
  dash?: number[];
}

export interface Picture {
  marks: Mark[];
  lines: Line[];
}

/** The least and the most of numbers, a little apart; null where there are none. */
export function span(values: number[], log = false): [number, number] | null {
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  for (const each of values) {
    if (log && each <= 0) continue;
    low = Math.min(low, each);
    high = Math.max(high, each);
  }
  if (low > high) return null;
  if (log) return [low / 1.25, high * 1.25];
  const room = high > low ? 0.05 * (high - low) : Math.max(0.05 * Math.abs(high), 0.01);
  return [low - room, high + room];
}

/** The mark nearest to a place on the plot, within `reach` pixels of it. */
export function nearest(marks: Mark[], at: (mark: Mark) => [number, number], x: number, y: number, reach: number) {
  let found: Mark | null = null;
  let least = reach * reach;
  for (const mark of marks) {
    const [left, top] = at(mark);
    const far = (left - x) ** 2 + (top - y) ** 2;
    if (far <= least) [found, least] = [mark, far];
  }
  return found;
}

/** The corners of a line; a stepped one holds its value until the next. */
function corners(line: Line, pick: (point: Line["points"][number]) => number): [number, number][] {
  const made: [number, number][] = [];
  let before: number | null = null;
  for (const point of line.points) {
    if (line.stepped && before !== null) made.push([point[0], before]);
    before = pick(point);
    made.push([point[0], before]);
  }
  return made;
}

function drawLine(u: uPlot, ink: CanvasRenderingContext2D, line: Line, scale: number) {
  const path = (places: [number, number][]) =>
    places.map(([x, y]) => [u.valToPos(x, "x", true), u.valToPos(y, "y", true)]);
  const trace = (places: number[][]) => {
    for (const [x = 0, y = 0] of places) ink.lineTo(x, y);
  };
  if (line.points.some((point) => point[2] != null)) {
    ink.globalAlpha = 0.14;
    ink.beginPath();
    trace(path(corners(line, (point) => point[3] ?? point[1])));
    trace(path(corners(line, (point) => point[2] ?? point[1])).reverse());
    ink.closePath();
    ink.fill();
    ink.globalAlpha = 1;
  }
  ink.beginPath();
  ink.lineWidth = 2 * scale;
  ink.setLineDash((line.dash ?? []).map((each) => each * scale));
  trace(path(corners(line, (point) => point[1])));
  ink.stroke();
  ink.setLineDash([]);
}

function drawMark(u: uPlot, ink: CanvasRenderingContext2D, mark: Mark, size: number, faint: boolean) {
  const x = u.valToPos(mark.x, "x", true);
  if (mark.low != null && mark.high != null) {
    ink.globalAlpha = 0.45;
    ink.beginPath();
    ink.moveTo(x, u.valToPos(mark.low, "y", true));
    ink.lineTo(x, u.valToPos(mark.high, "y", true));
    ink.stroke();
  }
  ink.globalAlpha = faint ? 0.6 : 1;
  drawShape(ink, mark.shape, x, u.valToPos(mark.y, "y", true), size);
  ink.globalAlpha = 1;
}

/** Draw marks, the lines over them, and over these the marks that matter most. */
export function draw(u: uPlot, { marks, lines }: Picture, paint: Paint) {
  const ink = u.ctx;
  const scale = devicePixelRatio;
  const { left, top, width, height } = u.bbox;
  const many = marks.length > 300;
  const paints = new Map<string, string>();
  const color = (name: string) => {
    const known = paints.get(name) ?? paint(name);
    paints.set(name, known);
    return known;
  };
  const drawMarks = (over: boolean) => {
    ink.lineWidth = 1.5 * scale;
    for (const mark of marks) {
      if (Boolean(mark.over) !== over) continue;
      ink.strokeStyle = ink.fillStyle = color(mark.color);
      drawMark(u, ink, mark, (many && !over ? 3.2 : 4.5) * scale, many && !over);
    }
  };
  ink.save();
  ink.beginPath();
  ink.rect(left - 6 * scale, top - 6 * scale, width + 12 * scale, height + 12 * scale);
  ink.clip();
  drawMarks(false);
  for (const line of lines) {
    ink.strokeStyle = ink.fillStyle = color(line.color);
    drawLine(u, ink, line, scale);
  }
  drawMarks(true);
  ink.restore();
}
