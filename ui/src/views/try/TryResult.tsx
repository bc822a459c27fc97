import { Anchor, Group, Text } from "@mantine/core";
import type { Played } from "../../api/types";
import { Copy } from "../../parts/Copy";
import { Wrong } from "../../parts/Loading";
import { StepRuns, spentWords } from "../../parts/StepRuns";
import { Value } from "../../parts/Value";
import { plain } from "../../parts/values";
import type { Play } from "./usePlay";

interface Props {
  play: Play;
  chosen: string;
  runs: Played[];
  close: () => void;
}

/** How a try ended: its output or its error, what it took; and the step that the reader chose. */
export function TryResult({ play, chosen, runs, close }: Props) {
  const { state, end, error } = play;
  if (state === "ready") return null;
  return (
    <div style={{ marginTop: 20 }} aria-live="polite" data-testid="try-result" data-state={state}>
      {state === "stopped" && (
        <Text size="sm" c="var(--fb-open)">
          ◇ Stopped. What it had asked by then is paid for.
        </Text>
      )}
      {error && <Wrong error={error} />}
      {end && (
        <section>
          <Group justify="space-between">
            <Text component="h2" fz={17} fw={600} m={0}>
              {end.error ? "It failed" : "Output"}
            </Text>
            {!end.error && <Copy text={plain(end.output, 2)} label="the output" />}
          </Group>
          {end.error ? (
            <Text size="sm" c="var(--fb-bad)" className="fb-text">
              ✕ {end.error}
            </Text>
          ) : (
            <div className="fb-prompt" data-testid="try-output">
              <Value value={end.output} lines={30} />
            </div>
          )}
          <Text size="sm" c="var(--fb-quiet)" mt={6} data-testid="try-spent">
            It took {spentWords(end)}.
          </Text>
        </section>
      )}
      {chosen ? (
        <section style={{ marginTop: 20 }}>
          <Group justify="space-between">
            <Text component="h2" fz={17} fw={600} m={0}>
              {chosen}
            </Text>
            <Anchor component="button" type="button" size="sm" onClick={close}>
              Close
            </Anchor>
          </Group>
          <StepRuns runs={runs} />
        </section>
      ) : (
        <Text size="sm" c="var(--fb-quiet)" mt="md">
          Choose a step of the graph to see what it read and gave.
        </Text>
      )}
    </div>
  );
}
