import { Text } from "@mantine/core";
import type { Gain } from "../api/types";
import { gain, interval, score } from "./words";

const places: Record<string, string> = { test: "sealed test", confirm: "confirmation", val: "validation" };

/** The name of a split, in words. */
export function placeName(split: string): string {
  return places[split] ?? split;
}

/** The colour of a gain: good or bad where its interval leaves out zero, open otherwise. */
export function gainColor({ low, high }: { low: number; high: number }): string {
  return low > 0 ? "var(--fb-good)" : high < 0 ? "var(--fb-bad)" : "var(--fb-open)";
}

/** A gain with its interval, in one line. */
export function GainText({ found, fraction }: { found: Gain; fraction: boolean }) {
  return (
    <Text span inherit style={{ whiteSpace: "nowrap" }}>
      <Text span inherit fw={600} c={gainColor(found)}>
        {gain(found.gain, fraction)}
      </Text>{" "}
      <Text span inherit c="var(--fb-quiet)">
        ({interval(found.low, found.high, fraction)})
      </Text>
    </Text>
  );
}

/** From a score to another. */
export function FromTo({ from, to, fraction }: { from: number | null; to: number | null; fraction: boolean }) {
  return (
    <Text span inherit style={{ whiteSpace: "nowrap" }}>
      {score(from, fraction)} <span aria-hidden="true">→</span>
      <span className="fb-hidden"> to </span> {score(to, fraction)}
    </Text>
  );
}
