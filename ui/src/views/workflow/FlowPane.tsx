import { Group, SegmentedControl, Text } from "@mantine/core";
import { useState } from "react";
import type { Flow } from "../../api/types";
import { Copy } from "../../parts/Copy";
import { Graph } from "../../parts/graph/Graph";
import type { GraphLook } from "../../parts/graph/look";
import { StepList } from "../../parts/graph/StepList";

const HEIGHT = "max(420px, calc(100vh - 300px))";

/** A workflow as a graph, as a list of steps, or as its file: the reader chooses. */
export function FlowPane({ flow, content, ...look }: GraphLook & { flow: Flow; content: boolean }) {
  const [form, setForm] = useState("graph");
  const steps = flow.steps.length;
  return (
    <div className="fb-pane-left">
      <Group justify="space-between" mb={8}>
        <SegmentedControl
          size="xs"
          value={form}
          onChange={setForm}
          aria-label="How the workflow is shown"
          data={[
            { value: "graph", label: "Graph" },
            { value: "list", label: "Steps" },
            { value: "yaml", label: "YAML" },
          ]}
        />
        <Text size="sm" c="var(--fb-quiet)">
          {steps} {steps === 1 ? "step" : "steps"} · {flow.model || "no model of its own"}
        </Text>
      </Group>
      {form === "graph" && (
        <Graph flow={flow} label={`Graph of ${flow.name}, ${steps} steps`} height={HEIGHT} {...look} />
      )}
      {form === "list" && <StepList flow={flow} {...look} />}
      {form === "yaml" && <Yaml yaml={flow.yaml} content={content} />}
    </div>
  );
}

function Yaml({ yaml, content }: { yaml: string; content: boolean }) {
  if (!yaml)
    return (
      <Text size="sm" c="var(--fb-quiet)">
        {content ? "The file is not here." : "Texts were left out on request."}
      </Text>
    );
  return (
    <div>
      <Group justify="flex-end" mb={4}>
        <Copy text={yaml} label="the YAML" />
      </Group>
      <section
        className="fb-prompt fb-mono"
        style={{ height: HEIGHT, overflow: "auto", whiteSpace: "pre" }}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: a text that scrolls must be reached by the keyboard
        tabIndex={0}
        aria-label="The workflow's file"
        data-testid="yaml"
      >
        {yaml}
      </section>
    </div>
  );
}
