import type { Gain } from "../../api/types";
import { gain, interval } from "../words";

const WIDE = 130;
const HIGH = 22;

/** A gain as a point with its 95 % interval, against a line at zero; `reach` is what the ends of the drawing stand for. */
export function GainBar({ found, reach, fraction }: { found: Gain; reach: number; fraction: boolean }) {
  const at = (value: number) => 8 + ((value + reach) / (2 * reach)) * (WIDE - 16);
  const color = found.low > 0 ? "var(--fb-good)" : found.high < 0 ? "var(--fb-bad)" : "var(--fb-open)";
  const middle = HIGH / 2;
  return (
    <svg
      width={WIDE}
      height={HIGH}
      role="img"
      aria-label={`gain ${gain(found.gain, fraction)}, 95 % interval ${interval(found.low, found.high, fraction)}`}
    >
      <line x1={at(0)} x2={at(0)} y1={1} y2={HIGH - 1} stroke="var(--fb-quiet)" strokeDasharray="2 2" />
      <line x1={at(found.low)} x2={at(found.high)} y1={middle} y2={middle} stroke={color} strokeWidth={2} />
      {[found.low, found.high].map((end, side) => (
        <line
          key={side === 0 ? "low" : "high"}
          x1={at(end)}
          x2={at(end)}
          y1={middle - 4}
          y2={middle + 4}
          stroke={color}
          strokeWidth={2}
        />
      ))}
      <circle cx={at(found.gain)} cy={middle} r={4} fill={color} />
    </svg>
  );
}

/** How far gains and their intervals go from zero, for bars under one another. */
export function reachOf(gains: Gain[]): number {
  return Math.max(0.01, ...gains.flatMap((each) => [Math.abs(each.low), Math.abs(each.high), Math.abs(each.gain)]));
}
