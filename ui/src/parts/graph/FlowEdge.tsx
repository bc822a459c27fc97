import "./lines.css";
import { type Edge, EdgeLabelRenderer, type EdgeProps } from "@xyflow/react";
import { type Line, pathOf } from "./layout";

export type FlowEdgeData = { line: Line; lit: boolean };

/** A line along the points that the layout found, with the names of the values that flow. */
export function FlowEdge({ id, data }: EdgeProps<Edge<FlowEdgeData>>) {
  if (data === undefined) return null;
  const { line, lit } = data;
  const end = line.points.at(-1);
  const before = line.points.at(-2);
  const up = end !== undefined && before !== undefined && before.y > end.y;
  const tip = end && (up ? `M-4 7L0 0L4 7z` : `M-4 -7L0 0L4 -7z`);
  const name = ["fb-line", lit ? "fb-line-lit" : "", line.back ? "fb-line-back" : ""].join(" ");
  return (
    <>
      <path id={id} className={name} d={pathOf(line.points)} />
      {end && (
        <path className={`fb-tip ${lit ? "fb-tip-lit" : ""}`} d={tip} transform={`translate(${end.x} ${end.y})`} />
      )}
      {line.label && (
        <EdgeLabelRenderer>
          <div
            className={`fb-line-label ${lit ? "fb-line-label-lit" : ""}`}
            style={{ transform: `translate(-50%, -50%) translate(${line.at.x}px, ${line.at.y}px)` }}
            title={line.full}
          >
            {line.label}
          </div>
        </EdgeLabelRenderer>
      )}
    </>
  );
}
