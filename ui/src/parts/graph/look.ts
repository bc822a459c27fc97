import { createContext, useContext } from "react";
import type { Mark } from "./marks";

/** How a step goes while the workflow is tried. */
export interface StepState {
  state: "running" | "done" | "failed";
  words: string;
}

/** What is shown of a graph beside its steps: which one is chosen, what changed, how they go, where a click leads. */
export interface GraphLook {
  chosen?: string;
  marks?: Map<string, Mark>;
  states?: Map<string, StepState>;
  href?: (step: string) => string;
  open?: (step: string) => void;
}

export const GraphContext = createContext<GraphLook>({});
export const useLook = () => useContext(GraphContext);
