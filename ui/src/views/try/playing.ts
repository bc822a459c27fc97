import type { Played, TryStep } from "../../api/types";
import type { StepState } from "../../parts/graph/look";
import { stepOf } from "../../parts/graph/steps";
import { count, seconds } from "../../parts/words";

/** The steps of a try by path: null while they run. */
export type Going = Map<string, Played | null>;

export function heardStep(going: Going, { path, played }: TryStep): Going {
  return new Map(going).set(path, played);
}

/** How each step goes: one in a vote, a loop or a map may run several times. */
export function statesOf(going: Going, over: boolean): Map<string, StepState> {
  const runs = new Map<string, (Played | null)[]>();
  for (const [path, played] of going) {
    const step = stepOf(path);
    runs.set(step, [...(runs.get(step) ?? []), played]);
  }
  return new Map([...runs].map(([step, all]) => [step, stateOf(all, over)]));
}

function stateOf(all: (Played | null)[], over: boolean): StepState {
  const done = all.flatMap((each) => (each === null ? [] : [each]));
  const failed = done.find((each) => each.error !== "");
  const often = all.length > 1 ? `${done.length} of ${all.length}, ` : "";
  if (done.length < all.length && !over) return { state: "running", words: `${often}running` };
  if (failed !== undefined || done.length < all.length)
    return { state: "failed", words: failed ? `${often}failed` : `${often}stopped` };
  const took = done.reduce((sum, each) => sum + each.spent.seconds, 0);
  const tokens = done.reduce((sum, each) => sum + each.spent.input_tokens + each.spent.output_tokens, 0);
  const times = all.length > 1 ? `${all.length} times, ` : "";
  return { state: "done", words: `${times}${seconds(took)}${tokens > 0 ? `, ${count(tokens)} tokens` : ""}` };
}

/** The runs of a step so far, those that ended. */
export function runsOfStep(going: Going, step: string): Played[] {
  return [...going].flatMap(([path, played]) => (played !== null && stepOf(path) === step ? [played] : []));
}
