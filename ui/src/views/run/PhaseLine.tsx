import { Progress, Text } from "@mantine/core";
import { useEffect, useRef, useState } from "react";
import type { Phase, Run, RunLine } from "../../api/types";
import { count, seconds } from "../../parts/words";

/** Calls by purpose so far. */
function callsOf(run: Run): Map<string, number> {
  const made = new Map<string, number>();
  for (const each of run.ledger) made.set(each.purpose, (made.get(each.purpose) ?? 0) + each.calls);
  return made;
}

/** The stage that a run is in. How far it is can be told only where this page saw it begin. */
export function PhaseLine({ phase, run, line }: { phase: Phase; run: Run; line: RunLine }) {
  const now = useNow();
  const began = useRef<{ at: number; before: Map<string, number> | null } | null>(null);
  if (began.current?.at !== phase.at) began.current = { at: phase.at, before: began.current ? callsOf(run) : null };
  const names = Object.keys(phase.calls);
  const expected = Object.values(phase.calls).reduce((sum, each) => sum + each, 0);
  const { before } = began.current;
  const calls = callsOf(run);
  const done = before && names.reduce((sum, name) => sum + (calls.get(name) ?? 0) - (before.get(name) ?? 0), 0);
  const passed = Math.max(0, now - phase.at);
  const told = [
    expected > 0 &&
      (done === null ? `about ${count(expected)} calls` : `${count(done)} of about ${count(expected)} calls`),
    `since ${passed < 60 ? `${Math.round(passed)} s` : seconds(passed)}`,
    line.last && now - line.last > 30 && `last sign of life ${seconds(now - line.last)} ago`,
  ].filter(Boolean);
  return (
    <div className="fb-phase" data-testid="phase" role="status">
      <Text size="sm">
        <Text span fw={600} c="var(--fb-best)">
          <span aria-hidden="true">●</span> {phase.name}
        </Text>{" "}
        <Text span c="var(--fb-quiet)">
          {told.join(", ")}
        </Text>
      </Text>
      {done !== null && expected > 0 && (
        <Progress value={Math.min(100, (100 * done) / expected)} size="xs" aria-label={`${phase.name}: ${told[0]}`} />
      )}
    </div>
  );
}

function useNow(): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const each = setInterval(() => setNow(Date.now() / 1000), 1000);
    return () => clearInterval(each);
  }, []);
  return now;
}
