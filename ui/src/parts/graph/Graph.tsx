import "@xyflow/react/dist/base.css";
import "./graph.css";
import { useComputedColorScheme } from "@mantine/core";
import {
  Background,
  Controls,
  type Edge,
  MiniMap,
  type Node,
  ReactFlow,
  type ReactFlowInstance,
  ReactFlowProvider,
} from "@xyflow/react";
import { useMemo, useRef, useState } from "react";
import type { Flow } from "../../api/types";
import { FlowEdge, type FlowEdgeData } from "./FlowEdge";
import { type Layout, layoutFlow } from "./layout";
import { GraphContext, type GraphLook } from "./look";
import { marks } from "./marks";
import { type BoxData, BoxNode } from "./nodes";

const nodeTypes = { box: BoxNode };
const edgeTypes = { flow: FlowEdge };
const READABLE = 0.6;
const MARGIN = 24;

interface Props extends GraphLook {
  flow: Flow;
  label: string;
  height?: number | string;
}

/** A workflow as a graph: inputs on top, blocks around their bodies; steps are links or buttons. */
export function Graph({ flow, label, height = 560, ...look }: Props) {
  const scheme = useComputedColorScheme("light");
  const layout = useMemo(() => layoutFlow(flow), [flow]);
  const nodes = useMemo(() => nodesOf(flow, layout), [flow, layout]);
  const edges = useMemo(() => edgesOf(layout, look.chosen ?? ""), [layout, look.chosen]);
  const frame = useRef<HTMLElement>(null);
  const [large, setLarge] = useState(false);
  const begin = (graph: ReactFlowInstance<Node<BoxData>, Edge<FlowEdgeData>>) => {
    const size = { width: frame.current?.clientWidth ?? 0, height: frame.current?.clientHeight ?? 0 };
    const view = firstView(layout, size, look.chosen ?? "");
    setLarge(view !== null);
    if (view !== null) void graph.setViewport(view);
  };
  return (
    <section ref={frame} className="fb-graph" style={{ height }} aria-label={label} data-testid="graph">
      <GraphContext.Provider value={look}>
        <ReactFlowProvider>
          <ReactFlow
            key={flow.id}
            nodes={nodes}
            edges={edges}
            nodeTypes={nodeTypes}
            edgeTypes={edgeTypes}
            colorMode={scheme}
            onInit={begin}
            fitView
            fitViewOptions={{ padding: 0.06, maxZoom: 1 }}
            minZoom={0.08}
            maxZoom={2}
            nodesDraggable={false}
            nodesConnectable={false}
            nodesFocusable={false}
            edgesFocusable={false}
            elementsSelectable={false}
            zoomOnScroll={false}
            zoomOnDoubleClick={false}
            preventScrolling={false}
            proOptions={{ hideAttribution: true }}
          >
            <Background gap={20} size={1} color="var(--fb-line)" />
            <Controls showInteractive={false} />
            {large && <MiniMap pannable zoomable nodeColor={(node) => miniColor(node, look)} ariaLabel="Overview" />}
          </ReactFlow>
        </ReactFlowProvider>
      </GraphContext.Provider>
      {layout.left > 0 && (
        <p className="fb-graph-note">
          {layout.left} lines from the inputs, to steps that read other steps too, are left out; the list of steps has
          all.
        </p>
      )}
    </section>
  );
}

/** Where to begin in a graph that would be too small to read as a whole: at the chosen step, else at its top. */
function firstView(layout: Layout, size: { width: number; height: number }, chosen: string) {
  const { width, height } = size;
  const whole = Math.min((width - 2 * MARGIN) / layout.width, (height - 2 * MARGIN) / layout.height);
  if (whole >= READABLE || width === 0) return null;
  const zoom = Math.min(0.8, Math.max(READABLE, (width - 2 * MARGIN) / layout.width));
  const box = layout.boxes.find((each) => each.tree.id === (chosen || "inputs"));
  const middle = layout.width * zoom < width || box === undefined ? layout.width / 2 : box.x + box.width / 2;
  const y = chosen && box ? height / 3 - box.y * zoom : MARGIN - (box?.y ?? 0) * zoom;
  return { x: width / 2 - middle * zoom, y, zoom };
}

function miniColor(node: Node, { marks: marked }: GraphLook): string {
  const mark = marked?.get(node.id);
  return mark !== undefined && mark !== "same" ? marks[mark].color : "var(--fb-line)";
}

function nodesOf(flow: Flow, layout: Layout): Node<BoxData>[] {
  return layout.boxes.map(({ tree, depth, x, y, width, height }) => ({
    id: tree.id,
    type: "box",
    position: { x, y },
    width,
    height,
    zIndex: depth,
    data: { tree, flow },
  }));
}

function edgesOf(layout: Layout, chosen: string): Edge<FlowEdgeData>[] {
  return layout.lines.map((line) => ({
    id: line.id,
    type: "flow",
    source: line.from,
    target: line.to,
    sourceHandle: "out",
    targetHandle: "in",
    zIndex: 20,
    data: { line, lit: chosen !== "" && (line.from === chosen || line.to === chosen) },
  }));
}
