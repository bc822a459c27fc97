import "@xyflow/react/dist/base.css";
import "./graph.css";
import { useComputedColorScheme } from "@mantine/core";
import { Background, Controls, type Edge, MiniMap, type Node, ReactFlow, ReactFlowProvider } from "@xyflow/react";
import { useMemo } from "react";
import type { Flow } from "../../api/types";
import { type FlowEdgeData, FlowEdge } from "./FlowEdge";
import { GraphContext, type GraphLook } from "./look";
import { type Layout, layoutFlow } from "./layout";
import { marks } from "./marks";
import { type BoxData, BoxNode } from "./nodes";

const nodeTypes = { box: BoxNode };
const edgeTypes = { flow: FlowEdge };
const MANY = 20;

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
  const large = flow.steps.length > MANY;
  return (
    <section className="fb-graph" style={{ height }} aria-label={label} data-testid="graph">
      <GraphContext.Provider value={look}>
        <ReactFlowProvider>
          <ReactFlow
            key={flow.id}
            nodes={nodes}
            edges={edges}
            nodeTypes={nodeTypes}
            edgeTypes={edgeTypes}
            colorMode={scheme}
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
    </section>
  );
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
