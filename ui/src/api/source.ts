import { createContext, useContext } from "react";
import type {
  Candidate,
  Example,
  ExamplePage,
  Flow,
  Home,
  Pulse,
  Run,
  RunLine,
  Trace,
  TryAsk,
  TryEnd,
  TryPrice,
  TryStep,
} from "./types";

/** A window of the table of examples: which columns, in which order, filtered by what. */
export interface Window {
  split: string;
  candidates: string[];
  sort: string;
  descending: boolean;
  find: string;
  offset: number;
  limit: number;
}

/** Where the page's data comes from: a server, or the data that stands in a report. Every call may reject. */
export interface Source {
  readonly live: boolean;
  /** Which candidates have scores in a table of examples; all where this is not told. */
  columns?(split: string): string[];
  /** Whether an example, or one run on it, can be opened; all can where this is not told. */
  holds?(split: string, example: string, workflow?: string): boolean;
  home(): Promise<Home>;
  runs(): Promise<RunLine[]>;
  run(id: string, after?: number): Promise<Run>;
  candidate(run: string, id: string): Promise<Candidate>;
  examples(run: string, window: Window): Promise<ExamplePage>;
  example(run: string, split: string, id: string): Promise<Example>;
  trace(run: string, workflow: string, draw: string, example: string): Promise<Trace>;
  flow(): Promise<Flow>;
  /** Calls back at every sign of life of a run until the returned function is called. */
  follow(run: string, heard: (pulse: Pulse) => void, lost: () => void): () => void;
  price(ask: TryAsk): Promise<TryPrice>;
  /** Runs a workflow; calls back as steps begin and end. Aborting the signal ends its calls. */
  attempt(ask: TryAsk, heard: (step: TryStep) => void, signal: AbortSignal): Promise<TryEnd>;
}

/** What is wrong with a request, in words for the reader. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly error: string,
    readonly mend: string,
  ) {
    super(mend ? `${error}: ${mend}` : error);
  }
}

export const SourceContext = createContext<Source | null>(null);

export function useSource(): Source {
  const source = useContext(SourceContext);
  if (source === null) throw new Error("no source of data around this component");
  return source;
}
