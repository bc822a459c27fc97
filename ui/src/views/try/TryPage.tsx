import { Button, Group, Loader, Text, Title } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useMemo, useState } from "react";
import { useSource } from "../../api/source";
import type { Flow } from "../../api/types";
import { Wrong } from "../../parts/Loading";
import { FlowPane } from "../workflow/FlowPane";
import { type Entered, entered, readType } from "./fieldTypes";
import { InputForm } from "./InputForm";
import { PriceLines, priceWords } from "./Price";
import { runsOfStep, statesOf } from "./playing";
import { TryResult } from "./TryResult";
import { usePlay } from "./usePlay";

const WAIT = 400;

/** The form, the price, and the graph whose steps light up as they run. */
export function TryPage({ run, candidate, flow }: { run: string; candidate: string; flow: Flow }) {
  const [typed, setTyped] = useState<Record<string, string>>({});
  const [touched, setTouched] = useState<Set<string>>(new Set());
  const [chosen, setChosen] = useState("");
  const play = usePlay();
  const read = useMemo(() => readAll(flow, typed), [flow, typed]);
  const inputs = useMemo(() => valuesOf(read), [read]);
  const running = play.state === "running";
  const price = usePrice(run, candidate, inputs);
  const over = play.state === "ended" || play.state === "stopped";
  const states = useMemo(() => statesOf(play.going, over), [play.going, over]);
  const priced = price.settled ? price.data : undefined;
  const ready = inputs !== null && priced !== undefined && !priced.problem && !running;
  const begin = () => {
    if (inputs === null) setTouched(new Set(flow.inputs.map((each) => each.name)));
    else if (ready) play.start({ run, candidate, inputs, agreed: true });
  };
  return (
    <div data-testid="try-view">
      <Title order={1} fz={22} mt={4} className="fb-text">
        Try {flow.name}
      </Title>
      <div className="fb-panes">
        <FlowPane flow={flow} content chosen={chosen} states={states} open={setChosen} />
        <section className="fb-side" aria-label="Inputs and output">
          <form
            onSubmit={(event) => {
              event.preventDefault();
              begin();
            }}
          >
            <InputForm
              fields={flow.inputs}
              typed={typed}
              read={read}
              touched={touched}
              disabled={running}
              type={(name, text) => setTyped((known) => ({ ...known, [name]: text }))}
              touch={(name) => setTouched((known) => new Set(known).add(name))}
            />
            <div style={{ minHeight: 26, margin: "12px 0" }} aria-live="polite">
              {inputs === null && (
                <Text size="sm" c="var(--fb-quiet)">
                  Fill in the inputs to see what it will take.
                </Text>
              )}
              {inputs !== null && price.error && <Wrong error={price.error} />}
              {inputs !== null && !price.error && (priced ? <PriceLines price={priced} /> : <Loader size="xs" />)}
            </div>
            <Group gap="sm">
              <Button type="submit" disabled={running || (inputs !== null && !ready)} data-testid="try-run">
                {ready ? `Run: ${priceWords(priced)}` : running ? "Running" : "Run"}
              </Button>
              {running && (
                <Button variant="default" onClick={play.stop} data-testid="try-stop">
                  Stop
                </Button>
              )}
            </Group>
          </form>
          <TryResult play={play} chosen={chosen} runs={runsOfStep(play.going, chosen)} close={() => setChosen("")} />
        </section>
      </div>
    </div>
  );
}

function readAll(flow: Flow, typed: Record<string, string>): Record<string, Entered> {
  return Object.fromEntries(flow.inputs.map(({ name, type }) => [name, entered(readType(type), typed[name] ?? "")]));
}

function valuesOf(read: Record<string, Entered>): Record<string, unknown> | null {
  const values: Record<string, unknown> = {};
  for (const [name, found] of Object.entries(read)) {
    if ("wrong" in found) return null;
    values[name] = found.value;
  }
  return values;
}

/** The price of trying these inputs, asked a moment after the last key; `settled` where it is of what stands there now. */
function usePrice(run: string, candidate: string, inputs: Record<string, unknown> | null) {
  const source = useSource();
  const text = JSON.stringify(inputs);
  const [asked] = useDebouncedValue(text, WAIT);
  const query = useQuery({
    queryKey: ["price", run, candidate, asked],
    queryFn: () => source.price({ run, candidate, inputs: JSON.parse(asked), agreed: false }),
    enabled: asked !== "null",
    retry: false,
    staleTime: 60_000,
  });
  return { data: query.data, error: query.error, settled: asked === text && query.data !== undefined };
}
