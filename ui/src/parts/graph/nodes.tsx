import {
  type Icon,
  IconCode,
  IconGitBranch,
  IconMessage,
  IconRepeat,
  IconStack2,
  IconTool,
  IconUsersGroup,
} from "@tabler/icons-react";
import { Handle, type Node, type NodeProps, Position, useReactFlow, useStore } from "@xyflow/react";
import type { FocusEvent, ReactNode } from "react";
import { Link } from "wouter";
import type { Field, Flow, Step } from "../../api/types";
import { useLook } from "./look";
import { marks } from "./marks";
import { kindWords } from "./steps";
import type { Tree } from "./tree";

export type BoxData = { tree: Tree; flow: Flow };

const icons: Record<string, Icon> = {
  call: IconMessage,
  tool: IconTool,
  code: IconCode,
  vote: IconUsersGroup,
  branch: IconGitBranch,
  map: IconStack2,
  loop: IconRepeat,
};

/** A box of the graph, with the ends of lines that the library asks for. */
export function BoxNode({ data }: NodeProps<Node<BoxData>>) {
  const { tree, flow } = data;
  return (
    <>
      <Handle id="in" type="target" position={Position.Top} isConnectable={false} />
      {tree.kind === "inputs" && <End title="Inputs" fields={flow.inputs} />}
      {tree.kind === "output" && <End title="Output" fields={[outputField(flow)]} />}
      {tree.kind === "body" && <Body tree={tree} />}
      {tree.step !== null && <StepBox step={tree.step} block={tree.kind === "block"} />}
      <Handle id="out" type="source" position={Position.Bottom} isConnectable={false} />
    </>
  );
}

function outputField({ output, steps }: Flow): Field {
  const [owner, name] = output.split(".");
  const type = steps.find((each) => each.id === owner)?.gives.find((each) => each.name === name)?.type ?? "";
  return { name: output, type };
}

function End({ title, fields }: { title: string; fields: Field[] }) {
  const shown = fields.length > 8 ? fields.slice(0, 7) : fields;
  return (
    <div className="fb-end">
      <div className="fb-end-title">{title}</div>
      {shown.map(({ name, type }) => (
        <div key={name} className="fb-end-field" title={`${name}: ${type}`}>
          <span>{name}</span> <span className="fb-faint">{type}</span>
        </div>
      ))}
      {shown.length < fields.length && <div className="fb-faint">and {fields.length - shown.length} more</div>}
    </div>
  );
}

function Body({ tree }: { tree: Tree }) {
  return (
    <div className="fb-body">
      <div className="fb-body-title" title={tree.title}>
        {tree.title}
      </div>
      {tree.children.length === 0 && <div className="fb-body-empty">hands on what is there</div>}
    </div>
  );
}

function StepBox({ step, block }: { step: Step; block: boolean }) {
  const { chosen, marks: marked, states } = useLook();
  const mark = marks[marked?.get(step.id) ?? "same"];
  const state = states?.get(step.id);
  const Kind = icons[step.kind] ?? IconMessage;
  const name = [
    block ? "fb-block" : "fb-step",
    chosen === step.id ? "fb-chosen" : "",
    state ? `fb-${state.state}` : "",
  ];
  const changed = marked?.get(step.id) ?? "same";
  const said = changed === "same" ? "" : changed;
  const style = said ? { borderColor: mark.color, background: block ? undefined : mark.soft } : undefined;
  const first = (step.prompt || step.code).trim().split("\n", 1)[0] ?? "";
  return (
    <div className={name.join(" ")} style={style}>
      <Opens step={step}>
        <span className="fb-step-name">
          <Kind size={15} stroke={1.8} aria-hidden="true" />
          <b>{step.id}</b>
          {said && (
            <span className="fb-step-mark" style={{ color: mark.color }}>
              {mark.sign} {said}
            </span>
          )}
        </span>
        <span className="fb-step-kind" title={kindWords(step)}>
          {state ? <State {...state} /> : kindWords(step)}
        </span>
        {!block && first && <span className="fb-step-first">{first}</span>}
      </Opens>
    </div>
  );
}

const stateMarks = { running: "●", done: "✓", failed: "✕" };

function State({ state, words }: { state: "running" | "done" | "failed"; words: string }) {
  return (
    <span className={`fb-state-${state}`}>
      <span aria-hidden="true">{stateMarks[state]}</span> {words}
    </span>
  );
}

/** What opens a step: a link where it has an address, else a button. Focus by the keyboard brings it into view. */
function Opens({ step, children }: { step: Step; children: ReactNode }) {
  const { href, open, chosen } = useLook();
  const flow = useReactFlow();
  const size = useStore((state) => ({ width: state.width, height: state.height }), same);
  const onFocus = ({ currentTarget }: FocusEvent<HTMLElement>) => {
    const node = flow.getNode(step.id);
    if (node === undefined || !currentTarget.matches(":focus-visible")) return;
    const { x, y, zoom } = flow.getViewport();
    const [left, top] = [node.position.x * zoom + x, node.position.y * zoom + y];
    const [right, bottom] = [left + 200 * zoom, top + 60 * zoom];
    if (left >= 0 && top >= 0 && right <= size.width && bottom <= size.height) return;
    void flow.setCenter(node.position.x + 116, node.position.y + 40, { zoom: Math.max(zoom, 0.6), duration: 150 });
  };
  const shared = {
    className: "fb-step-open nopan",
    onFocus,
    "data-testid": `step-${step.id}`,
    "aria-current": chosen === step.id ? ("true" as const) : undefined,
  };
  if (href)
    return (
      <Link href={href(step.id)} {...shared}>
        {children}
      </Link>
    );
  if (open)
    return (
      <button type="button" onClick={() => open(step.id)} {...shared}>
        {children}
      </button>
    );
  return <div className="fb-step-open">{children}</div>;
}

function same(a: { width: number; height: number }, b: { width: number; height: number }): boolean {
  return a.width === b.width && a.height === b.height;
}
