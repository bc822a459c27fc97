import type { LedgerLine } from "../../api/types";

export type Measure = "usd" | "tokens" | "calls" | "seconds";

/** The lines of a ledger by purpose, in the order in which purposes come. */
export function purposes(ledger: LedgerLine[]): LedgerLine[][] {
  const made = new Map<string, LedgerLine[]>();
  for (const line of ledger) made.set(line.purpose, [...(made.get(line.purpose) ?? []), line]);
  return [...made.values()];
}

/** The sum of a ledger; its money is not known where that of a line with calls is not. */
export function summed(ledger: LedgerLine[]): LedgerLine {
  const sum = (pick: (line: LedgerLine) => number) => ledger.reduce((all, line) => all + pick(line), 0);
  return {
    purpose: "",
    model: "",
    calls: sum((line) => line.calls),
    input_tokens: sum((line) => line.input_tokens),
    output_tokens: sum((line) => line.output_tokens),
    cached_tokens: sum((line) => line.cached_tokens),
    usd: ledger.some((line) => line.usd === null && line.calls > 0) ? null : sum((line) => line.usd ?? 0),
    seconds: sum((line) => line.seconds),
    retries: sum((line) => line.retries),
  };
}
