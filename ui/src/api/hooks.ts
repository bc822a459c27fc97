import { keepPreviousData, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { merged } from "./merge";
import { useSource, type Window } from "./source";
import type { Pulse, Run } from "./types";

export function useHome() {
  const source = useSource();
  return useQuery({ queryKey: ["home"], queryFn: () => source.home(), staleTime: Number.POSITIVE_INFINITY });
}

export function useRuns() {
  const source = useSource();
  return useQuery({ queryKey: ["runs"], queryFn: () => source.runs(), refetchInterval: source.live ? 3000 : false });
}

/** A run, followed as it goes: each sign of life brings what is new and no more. */
export function useRun(id: string) {
  const source = useSource();
  const client = useQueryClient();
  const [pulse, setPulse] = useState<Pulse | null>(null);
  const [lost, setLost] = useState(false);
  const query = useQuery({
    queryKey: ["run", id],
    queryFn: () => {
      const known = client.getQueryData<Run>(["run", id]);
      return known === undefined ? source.run(id) : source.run(id, known.seq).then((news) => merged(known, news));
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
  const ready = query.data !== undefined;
  useEffect(() => {
    if (!source.live || !ready) return;
    return source.follow(
      id,
      (heard) => {
        setLost(false);
        setPulse(heard);
        void client.invalidateQueries({ queryKey: ["run", id] }, { cancelRefetch: false });
      },
      () => setLost(true),
    );
  }, [source, client, id, ready]);
  return { ...query, pulse, lost };
}

export function useCandidate(run: string, id: string | null | undefined) {
  const source = useSource();
  return useQuery({
    queryKey: ["candidate", run, id],
    queryFn: () => source.candidate(run, id ?? ""),
    enabled: Boolean(id),
    staleTime: 10_000,
  });
}

export function useExamples(run: string, window: Window) {
  const source = useSource();
  return useQuery({
    queryKey: ["examples", run, window],
    queryFn: () => source.examples(run, window),
    placeholderData: keepPreviousData,
  });
}

/** Several windows of one table, which begin at `offsets`. */
export function useExamplePages(run: string, window: Window, offsets: number[]) {
  const source = useSource();
  return useQueries({
    queries: offsets.map((offset) => ({
      queryKey: ["examples", run, { ...window, offset }],
      queryFn: () => source.examples(run, { ...window, offset }),
      staleTime: 10_000,
    })),
  });
}

export function useExample(run: string, split: string, id: string) {
  const source = useSource();
  return useQuery({
    queryKey: ["example", run, split, id],
    queryFn: () => source.example(run, split, id),
    enabled: Boolean(split && id),
  });
}

export function useTrace(run: string, workflow: string, draw: string, example: string) {
  const source = useSource();
  return useQuery({
    queryKey: ["trace", run, workflow, draw, example],
    queryFn: () => source.trace(run, workflow, draw, example),
    enabled: Boolean(workflow && draw && example),
    staleTime: 10_000,
  });
}

export function useFlow() {
  const source = useSource();
  return useQuery({ queryKey: ["flow"], queryFn: () => source.flow() });
}
