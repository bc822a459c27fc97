import { Badge } from "@mantine/core";
import type { CandidateLine, RunLine } from "../api/types";

type Look = { color: string; mark: string };

/** How each fate looks: a colour and a mark, so that it is told apart without the colour. */
export const fates: Record<CandidateLine["fate"], Look> = {
  start: { color: "var(--fb-quiet)", mark: "○" },
  seed: { color: "var(--fb-quiet)", mark: "◌" },
  best: { color: "var(--fb-best)", mark: "★" },
  accepted: { color: "var(--fb-good)", mark: "▲" },
  kept: { color: "var(--fb-good)", mark: "△" },
  rejected: { color: "var(--fb-bad)", mark: "✕" },
  guarded: { color: "var(--fb-bad)", mark: "⊘" },
  dropped: { color: "var(--fb-bad)", mark: "▽" },
  undecided: { color: "var(--fb-open)", mark: "◇" },
  pending: { color: "var(--fb-quiet)", mark: "…" },
};

/** A fate by its mark and word, or by what is `said` of it; `why` is told on hovering. */
export function Fate({ fate, said, why }: { fate: CandidateLine["fate"]; said?: string; why?: string }) {
  const { color, mark } = fates[fate];
  return (
    <span style={{ color, whiteSpace: "nowrap" }} title={why ?? said}>
      <span aria-hidden="true">{mark}</span> {said || fate}
    </span>
  );
}

const states: Record<RunLine["state"], string> = {
  running: "var(--fb-best)",
  stopped: "var(--fb-open)",
  done: "var(--fb-good)",
  failed: "var(--fb-bad)",
};

export function State({ state }: { state: RunLine["state"] }) {
  const color = states[state];
  return (
    <Badge
      variant="outline"
      styles={{ root: { color, borderColor: color, textTransform: "none", minWidth: "max-content" } }}
    >
      {state}
    </Badge>
  );
}
