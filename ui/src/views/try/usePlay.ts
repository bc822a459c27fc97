import { useCallback, useEffect, useRef, useState } from "react";
import { useSource } from "../../api/source";
import type { TryAsk, TryEnd } from "../../api/types";
import { type Going, heardStep } from "./playing";

export interface Play {
  going: Going;
  state: "ready" | "running" | "ended" | "stopped";
  end: TryEnd | null;
  error: Error | null;
  start: (ask: TryAsk) => void;
  stop: () => void;
}

/** Runs a workflow on request, and keeps what is heard of it. Leaving the page stops it. */
export function usePlay(): Play {
  const source = useSource();
  const abort = useRef<AbortController | null>(null);
  const [going, setGoing] = useState<Going>(new Map());
  const [state, setState] = useState<Play["state"]>("ready");
  const [end, setEnd] = useState<TryEnd | null>(null);
  const [error, setError] = useState<Error | null>(null);
  useEffect(() => () => abort.current?.abort(), []);
  const start = useCallback(
    (ask: TryAsk) => {
      abort.current?.abort();
      const control = new AbortController();
      abort.current = control;
      setGoing(new Map());
      setEnd(null);
      setError(null);
      setState("running");
      const hear = (heard: Parameters<Parameters<typeof source.attempt>[1]>[0]) => {
        if (!control.signal.aborted) setGoing((known) => heardStep(known, heard));
      };
      source.attempt(ask, hear, control.signal).then(
        (ended) => {
          if (control.signal.aborted) return;
          setEnd(ended);
          setState("ended");
        },
        (failed: unknown) => {
          if (control.signal.aborted) return;
          setError(failed instanceof Error ? failed : new Error(String(failed)));
          setState("ended");
        },
      );
    },
    [source],
  );
  const stop = useCallback(() => {
    abort.current?.abort();
    setState("stopped");
  }, []);
  return { going, state, end, error, start, stop };
}
