import { Stack, Text } from "@mantine/core";
import type { ReactNode } from "react";
import type { Played } from "../api/types";
import { Fields, Value } from "./Value";
import { count, money, seconds } from "./words";

/** What a step read and gave in each of its runs: more than one in a vote, a loop or a map. */
export function StepRuns({ runs }: { runs: Played[] }) {
  if (runs.length === 0)
    return (
      <Text size="sm" c="var(--fb-quiet)">
        The step was not run here.
      </Text>
    );
  return (
    <Stack gap="md" data-testid="step-runs">
      {runs.map((each) => (
        <section key={each.path}>
          <Text size="xs" c="var(--fb-quiet)" mb={6}>
            {runs.length > 1 && <b>{each.path} · </b>}
            {spentWords(each)}
          </Text>
          <Title>Read</Title>
          <Fields fields={each.reads} lines={8} />
          {each.tools.map((use, place) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: calls of a tool have no other key, and keep their order
            <div key={place}>
              <Title>Called {use.tool}</Title>
              <Fields fields={use.args} lines={5} />
              {use.failure ? <Failed words={use.failure} /> : <Value value={use.value} lines={5} />}
            </div>
          ))}
          <Title>{each.error ? "Failed" : "Gave"}</Title>
          {each.error ? <Failed words={each.error} /> : <Fields fields={each.gives} lines={8} />}
        </section>
      ))}
    </Stack>
  );
}

export function spentWords({ spent }: Pick<Played, "spent">): string {
  const words = [seconds(spent.seconds)];
  if (spent.calls > 0) {
    words.unshift(`${count(spent.calls)} ${spent.calls === 1 ? "call" : "calls"}`);
    words.push(`${count(spent.input_tokens + spent.output_tokens)} tokens`, money(spent.usd));
  }
  return words.join(" · ");
}

function Title({ children }: { children: ReactNode }) {
  return (
    <Text size="sm" fw={600} mt={8} mb={2}>
      {children}
    </Text>
  );
}

function Failed({ words }: { words: string }) {
  return (
    <Text size="sm" c="var(--fb-bad)" className="fb-text">
      ✕ {words}
    </Text>
  );
}
