import type { CandidateLine } from "../../api/types";
import { fates } from "../Fate";

export type Shape = "disc" | "ring" | "star" | "up" | "upring" | "cross" | "barred" | "downring" | "diamond" | "dot";

const shapes: Record<CandidateLine["fate"], Shape> = {
  start: "ring",
  seed: "ring",
  best: "star",
  accepted: "up",
  kept: "upring",
  rejected: "cross",
  guarded: "barred",
  dropped: "downring",
  undecided: "diamond",
  pending: "dot",
};

/** How a fate is drawn: the same colour and shape as its mark in text. */
export function look(fate: CandidateLine["fate"]): { color: string; shape: Shape } {
  return { color: fates[fate].color.slice(4, -1), shape: shapes[fate] };
}

function polygon(path: Path2D, corners: [number, number][]) {
  corners.forEach(([x, y], at) => {
    if (at === 0) path.moveTo(x, y);
    else path.lineTo(x, y);
  });
  path.closePath();
}

const filled: ReadonlySet<Shape> = new Set(["disc", "star", "up", "dot"]);

/** Draw a shape around (x, y); `size` is its radius in pixels of the canvas. */
export function drawShape(ink: CanvasRenderingContext2D, shape: Shape, x: number, y: number, size: number) {
  const path = new Path2D();
  if (shape === "star") {
    const corners = Array.from({ length: 10 }, (_, at): [number, number] => {
      const angle = (Math.PI * at) / 5 - Math.PI / 2;
      const far = size * (at % 2 === 0 ? 1.5 : 0.65);
      return [x + far * Math.cos(angle), y + far * Math.sin(angle)];
    });
    polygon(path, corners);
  } else if (shape === "up" || shape === "upring") {
    polygon(path, [
      [x, y - size * 1.15],
      [x + size, y + size * 0.8],
      [x - size, y + size * 0.8],
    ]);
  } else if (shape === "downring") {
    polygon(path, [
      [x, y + size * 1.15],
      [x + size, y - size * 0.8],
      [x - size, y - size * 0.8],
    ]);
  } else if (shape === "diamond") {
    polygon(path, [
      [x, y - size * 1.2],
      [x + size, y],
      [x, y + size * 1.2],
      [x - size, y],
    ]);
  } else if (shape === "cross") {
    const arm = size * 0.8;
    path.moveTo(x - arm, y - arm);
    path.lineTo(x + arm, y + arm);
    path.moveTo(x + arm, y - arm);
    path.lineTo(x - arm, y + arm);
  } else {
    path.arc(x, y, shape === "dot" ? size * 0.5 : size * 0.9, 0, 2 * Math.PI);
    if (shape === "barred") {
      path.moveTo(x - size * 0.6, y - size * 0.6);
      path.lineTo(x + size * 0.6, y + size * 0.6);
    }
  }
  if (filled.has(shape)) ink.fill(path);
  else ink.stroke(path);
}
